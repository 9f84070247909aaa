/*
 * vocab.json and merges.txt, as Qwen2 checkpoints have them beside or instead
 * of tokenizer.json. They hold pieces and merges alone; what goes around them
 * is the tokenizer class's, and is written out here as tokenizer.json has it.
 */

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"

/* Text is normalised, split as below, each byte a character, and joined. */
static const char qwen2_parts[] =
    "{\"normalizer\":{\"type\":\"NFC\"},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
    "{\"type\":\"Split\",\"behavior\":\"Isolated\",\"invert\":false,"
    "\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}"
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+"
    "|\\\\s+(?!\\\\S)|\\\\s+\"}},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
    "\"trim_offsets\":false,\"use_regex\":false}]},"
    "\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\"}}";

/* Other classes with such files split text in other ways. */
static tkp_status check_class(const json_t *config)
{
    const char *class;
    char shown[TKP__SHOWN_BYTES];
    TKP__TRY(tkp__field_string(
        config, "tokenizer_config.json", "tokenizer_class", &class));
    TKP__CHECK(
        strcmp(class, "Qwen2Tokenizer") == 0 ||
            strcmp(class, "Qwen2TokenizerFast") == 0,
        TKP_ERR_UNSUPPORTED,
        "tokenizer_config.json.tokenizer_class is \"%s\", wanted "
        "Qwen2Tokenizer for vocab.json and merges.txt without tokenizer.json",
        tkp__shown(shown, class));
    TKP__CHECK(
        json_object_size(json_object_get(config, "added_tokens_decoder")) > 0,
        TKP_ERR_FORMAT,
        "tokenizer_config.json.added_tokens_decoder is missing or empty, "
        "wanted the special tokens, which vocab.json does not hold");
    return TKP_OK;
}

/* "left right" a line; the first may name the format's version. Whether the
 * pieces are any is seen when the model is read. */
static tkp_status read_merges(json_t *list, const char *text, size_t bytes)
{
    const char *end = text + bytes;
    for (const char *line = text; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        const char *next = stop ? stop + 1 : end;
        size_t length = (size_t)((stop ? stop : end) - line);
        if (length && line[length - 1] == '\r')
            --length;
        const bool version =
            line == text && length >= 9 && memcmp(line, "#version:", 9) == 0;
        if (length && !version) {
            json_t *merge = json_stringn(line, length);
            TKP__CHECK(
                merge, TKP_ERR_PARSE,
                "merges.txt: line after entry %zu is not UTF-8",
                json_array_size(list));
            TKP__CHECK(
                json_array_append_new(list, merge) == 0, TKP_ERR_MEMORY,
                "no memory for merges.txt");
        }
        line = next;
    }
    return TKP_OK;
}

tkp_status tkp__qwen2_layout(
    json_t **out,
    json_t *vocab,
    const char *merges,
    size_t merges_bytes,
    const json_t *config)
{
    TKP__TRY(check_class(config));
    json_t *root = json_loads(qwen2_parts, 0, NULL);
    json_t *model = json_object_get(root, "model");
    json_t *list = json_array();
    tkp_status status = TKP_OK;
    if (!model || !list || json_object_set(model, "vocab", vocab) != 0 ||
        json_object_set(model, "merges", list) != 0)
        status = tkp__fail(TKP_ERR_MEMORY, "no memory for vocab.json");
    if (status == TKP_OK)
        status = read_merges(list, merges, merges_bytes);
    json_decref(list);
    if (status == TKP_OK)
        *out = root;
    else
        json_decref(root);
    return status;
}
