/* tokenizer.json and tokenizer_config.json to a tokenizer. */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"

/* The largest files in use have some 35 MB. */
enum { MAX_FILE_BYTES = 128 << 20 };

/* --- files ------------------------------------------------------------- */

static tkp_status join_path(char **out, const char *dir, const char *name)
{
    const size_t bytes = strlen(dir) + strlen(name) + 2;
    *out = tkp__alloc(bytes, 1);
    if (!*out)
        return TKP_ERR_MEMORY;
    snprintf(*out, bytes, "%s/%s", dir, name);
    return TKP_OK;
}

static tkp_status read_open(FILE *file, const char *path, char **out, size_t *n)
{
    struct stat about;
    TKP__CHECK(
        fstat(fileno(file), &about) == 0 && S_ISREG(about.st_mode), TKP_ERR_IO,
        "%s is not a regular file", path);
    TKP__CHECK(
        about.st_size <= MAX_FILE_BYTES, TKP_ERR_UNSUPPORTED,
        "%s has %lld bytes, wanted at most %d", path, (long long)about.st_size,
        MAX_FILE_BYTES);
    const size_t bytes = (size_t)about.st_size;
    char *data = tkp__alloc(bytes + 1, 1);
    if (!data)
        return TKP_ERR_MEMORY;
    if (fread(data, 1, bytes, file) != bytes) {
        tkp__free(data);
        return tkp__fail(
            TKP_ERR_IO, "%s: %zu bytes could not be read", path, bytes);
    }
    data[bytes] = '\0';
    *out = data;
    *n = bytes;
    return TKP_OK;
}

/* *out stays NULL where there is no such file and it is not `required`. */
static tkp_status read_file(
    const char *dir,
    const char *name,
    bool required,
    char **out,
    size_t *bytes)
{
    char *path;
    TKP__TRY(join_path(&path, dir, name));
    tkp_status status = TKP_OK;
    FILE *file = fopen(path, "rbe");
    if (file) {
        status = read_open(file, path, out, bytes);
        fclose(file);
    } else if (required || errno != ENOENT) {
        status = tkp__fail(TKP_ERR_IO, "%s: %s", path, strerror(errno));
    }
    tkp__free(path);
    return status;
}

static bool has_file(const char *dir, const char *name)
{
    char *path;
    if (join_path(&path, dir, name) != TKP_OK)
        return false;
    const bool there = access(path, F_OK) == 0;
    tkp__free(path);
    return there;
}

/* --- sections ---------------------------------------------------------- */

static tkp_status
parse_json(json_t **out, const char *name, const char *text, size_t bytes)
{
    json_error_t error;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    char shown[TKP__SHOWN_BYTES];
    TKP__CHECK(
        root, TKP_ERR_PARSE, "%s:%d:%d: %s", name, error.line, error.column,
        tkp__shown(shown, error.text));
    if (!json_is_object(root)) {
        json_decref(root);
        return tkp__fail(TKP_ERR_FORMAT, "%s is not a JSON object", name);
    }
    *out = root;
    return TKP_OK;
}

static tkp_status check_model(const json_t *model)
{
    const char *type;
    char shown[TKP__SHOWN_BYTES];
    TKP__CHECK(model, TKP_ERR_FORMAT, "model is missing, wanted an object");
    TKP__TRY(tkp__field_string(model, "model", "type", &type));
    TKP__CHECK(
        strcmp(type, "BPE") == 0, TKP_ERR_UNSUPPORTED,
        "model.type is \"%s\", wanted BPE", tkp__shown(shown, type));
    json_t *vocab;
    TKP__TRY(tkp__field_object(model, "model", "vocab", &vocab));
    TKP__CHECK(vocab, TKP_ERR_FORMAT, "model.vocab is missing");
    TKP__CHECK(
        json_object_size(vocab) > 0, TKP_ERR_FORMAT, "model.vocab is empty");
    return TKP_OK;
}

/* The added tokens' two sources, the pieces, and the two sets to look for. */
static tkp_status
parse_pieces(tkp__tokenizer *t, json_t *root, json_t *config, json_t *model)
{
    json_t *added, *config_added = NULL, *vocab;
    TKP__TRY(tkp__field_array(root, "", "added_tokens", &added));
    if (config)
        TKP__TRY(tkp__field_object(
            config, "tokenizer_config.json", "added_tokens_decoder",
            &config_added));
    TKP__TRY(tkp__field_object(model, "model", "vocab", &vocab));
    tkp__added_specs specs = {0};
    tkp_status status = TKP_OK;
    TKP__TRY_OUT(tkp__added_specs_parse(&specs, added, config_added));
    TKP__TRY_OUT(tkp__vocab_parse(&t->vocab, vocab, &specs));
    TKP__TRY_OUT(
        tkp__added_set_create(&t->added_raw, &specs, &t->normalizer, false));
    TKP__TRY_OUT(tkp__added_set_create(
        &t->added_normalized, &specs, &t->normalizer, true));
out:
    tkp__added_specs_free(&specs);
    return status;
}

/* `truncation` and `padding` are not read: they are left-overs of how the file
 * was used when it was written, and the libraries that load it for a model
 * reset them at each call. */
static tkp_status
parse_tokenizer(tkp__tokenizer *t, json_t *root, json_t *config)
{
    json_t *model, *section;
    TKP__TRY(tkp__field_object(root, "", "model", &model));
    TKP__TRY(check_model(model));
    TKP__TRY(tkp__field_object(root, "", "normalizer", &section));
    TKP__TRY(tkp__normalizer_parse(&t->normalizer, section));
    TKP__TRY(parse_pieces(t, root, config, model));
    TKP__TRY(tkp__field_object(root, "", "pre_tokenizer", &section));
    TKP__TRY(tkp__pretokenizer_parse(&t->pretokenizer, section));
    TKP__TRY(tkp__bpe_parse(&t->bpe, &t->vocab, model));
    TKP__TRY(tkp__field_object(root, "", "post_processor", &section));
    TKP__TRY(tkp__template_parse(&t->affixes, &t->vocab, section));
    TKP__TRY(tkp__field_object(root, "", "decoder", &section));
    return tkp__decoder_parse(&t->decoder, section);
}

/* `name`: what messages call it. */
static tkp_status
create(tkp__tokenizer **out, json_t *root, json_t *config, const char *name)
{
    tkp__tokenizer *tokenizer = tkp__zalloc(1, sizeof(*tokenizer));
    if (!tokenizer)
        return TKP_ERR_MEMORY;
    const tkp_status status = parse_tokenizer(tokenizer, root, config);
    if (status == TKP_OK) {
        *out = tokenizer;
        return TKP_OK;
    }
    tkp__tokenizer_destroy(tokenizer);
    return tkp__fail_prefix(status, "%s", name);
}

tkp_status tkp__tokenizer_load_memory(
    tkp__tokenizer **out,
    const char *json,
    size_t json_bytes,
    const char *config,
    size_t config_bytes)
{
    json_t *root = NULL, *config_root = NULL;
    tkp_status status = TKP_OK;
    TKP__TRY_OUT(parse_json(&root, "tokenizer.json", json, json_bytes));
    if (config)
        TKP__TRY_OUT(parse_json(
            &config_root, "tokenizer_config.json", config, config_bytes));
    status = create(out, root, config_root, "tokenizer.json");
out:
    json_decref(config_root);
    json_decref(root);
    return status;
}

static tkp_status
read_json(json_t **out, const char *model_dir, const char *name)
{
    char *text = NULL;
    size_t bytes = 0;
    TKP__TRY(read_file(model_dir, name, true, &text, &bytes));
    const tkp_status status = parse_json(out, name, text, bytes);
    tkp__free(text);
    return status;
}

/* vocab.json, merges.txt and tokenizer_config.json. */
static tkp_status load_parts(tkp__tokenizer **out, const char *model_dir)
{
    json_t *root = NULL, *vocab = NULL, *config = NULL;
    char *merges = NULL;
    size_t merges_bytes = 0;
    tkp_status status = TKP_OK;
    TKP__TRY_OUT(read_json(&vocab, model_dir, "vocab.json"));
    TKP__TRY_OUT(read_json(&config, model_dir, "tokenizer_config.json"));
    TKP__TRY_OUT(
        read_file(model_dir, "merges.txt", true, &merges, &merges_bytes));
    TKP__TRY_OUT(tkp__qwen2_layout(&root, vocab, merges, merges_bytes, config));
    status = create(out, root, config, "vocab.json and merges.txt");
out:
    tkp__free(merges);
    json_decref(root);
    json_decref(config);
    json_decref(vocab);
    return status;
}

tkp_status tkp__tokenizer_load(tkp__tokenizer **out, const char *model_dir)
{
    char *json = NULL, *config = NULL;
    size_t json_bytes = 0, config_bytes = 0;
    if (!has_file(model_dir, "tokenizer.json") &&
        has_file(model_dir, "vocab.json") &&
        has_file(model_dir, "merges.txt")) {
        const tkp_status parts = load_parts(out, model_dir);
        return parts == TKP_OK ? TKP_OK
                               : tkp__fail_prefix(parts, "%s", model_dir);
    }
    if (!has_file(model_dir, "tokenizer.json") &&
        has_file(model_dir, "tokenizer.model"))
        return tkp__fail(
            TKP_ERR_UNSUPPORTED,
            "%s has tokenizer.model (SentencePiece) alone, wanted "
            "tokenizer.json; transformers' LlamaTokenizerFast writes one",
            model_dir);
    tkp_status status = TKP_OK;
    TKP__TRY_OUT(
        read_file(model_dir, "tokenizer.json", true, &json, &json_bytes));
    TKP__TRY_OUT(read_file(
        model_dir, "tokenizer_config.json", false, &config, &config_bytes));
    status =
        tkp__tokenizer_load_memory(out, json, json_bytes, config, config_bytes);
    if (status != TKP_OK)
        tkp__fail_prefix(status, "%s", model_dir);
out:
    tkp__free(json);
    tkp__free(config);
    return status;
}

void tkp__tokenizer_destroy(tkp__tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    tkp__vocab_free(&tokenizer->vocab);
    tkp__normalizer_free(&tokenizer->normalizer);
    tkp__added_set_free(&tokenizer->added_raw);
    tkp__added_set_free(&tokenizer->added_normalized);
    tkp__pretokenizer_free(&tokenizer->pretokenizer);
    tkp__bpe_free(&tokenizer->bpe);
    tkp__template_free(&tokenizer->affixes);
    tkp__decoder_free(&tokenizer->decoder);
    tkp__free(tokenizer);
}
