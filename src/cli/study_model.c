/* The model of a study: loading it, and telling it from every other. */
#include <dirent.h>
#include <limits.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/study.h"

/* --- what it is ------------------------------------------------------------------ */

/* Of a large file its size, its beginning and its end: 14 GB of weights are not
 * read for a name. */
enum { PART = 1 << 20 };

static void hash_part(struct sha256_ctx *context, FILE *file, char *buffer)
{
    const size_t got = fread(buffer, 1, PART, file);
    sha256_update(context, got, (const uint8_t *)buffer);
}

static tkp_status
hash_file(struct sha256_ctx *context, const char *folder, const char *name)
{
    char path[PATH_MAX];
    struct stat about;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return TKP_OK;
    char *buffer = tkp__alloc(PART, 1);
    FILE *file = fopen(path, "rb");
    if (!buffer || !file) {
        tkp__free(buffer);
        return tkp__fail(TKP_ERR_IO, "%s: cannot be read", path);
    }
    const uint64_t size = (uint64_t)about.st_size;
    sha256_update(context, strlen(name) + 1, (const uint8_t *)name);
    sha256_update(context, sizeof(size), (const uint8_t *)&size);
    hash_part(context, file, buffer);
    if (size > PART && fseeko(file, -(off_t)PART, SEEK_END) == 0)
        hash_part(context, file, buffer);
    fclose(file);
    tkp__free(buffer);
    return TKP_OK;
}

/* What decides about answers: configuration, tokenizer, weights. */
static int is_model_file(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && (!strcmp(dot, ".json") || !strcmp(dot, ".safetensors") ||
                   !strcmp(dot, ".jinja") || !strcmp(dot, ".model") ||
                   !strcmp(dot, ".txt"));
}

static tkp_status hash_model(char out[65], const char *folder)
{
    struct dirent **entries;
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    tkp_status status = TKP_OK;
    const int n = scandir(folder, &entries, is_model_file, alphasort);
    TKP__CHECK(n >= 0, TKP_ERR_IO, "%s: cannot be read", folder);
    sha256_init(&context);
    for (int i = 0; i < n; i++) {
        if (status == TKP_OK)
            status = hash_file(&context, folder, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    sha256_digest(&context, sizeof(digest), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return status;
}

/* The last two folders of its path: "demo/model", "models/llava-1.5-7b-hf". */
static void name_model(char out[256], const char *folder)
{
    char full[PATH_MAX];
    const char *from = realpath(folder, full) ? full : folder;
    const char *name = strrchr(from, '/');
    while (name && name > from && name[-1] != '/')
        name--;
    snprintf(out, 256, "%.255s", name ? name : from);
}

/* --- what it runs on --------------------------------------------------------------- */

static void processor(char out[128])
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(out, 128, "unknown");
    while (file && fgets(line, sizeof(line), file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        snprintf(out, 128, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file)
        fclose(file);
}

static char *dumped(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_SORT_KEYS) : NULL;
    json_decref(object);
    return text;
}

static tkp_status describe(tkp__study *study)
{
    const tkp__study_options *o = &study->options;
    char name[128];
    processor(name);
    json_t *backends = json_array();
    for (int32_t i = 0; i < tkp_context_backend_count(study->context); i++)
        json_array_append_new(
            backends, json_string(tkp_context_backend_name(study->context, i)));
    study->machine = dumped(json_pack(
        "{s:o, s:o, s:i, s:s}", "processor", tkp__cli_json_text(name),
        "backends", backends, "threads", tkp_context_threads(study->context),
        "build", tkp_build_info()));
    json_t *settings = json_pack(
        "{s:I, s:s, s:i, s:I, s:s}", "batch", (json_int_t)o->batch, "dtype",
        tkp_dtype_string(study->info.dtype), "tiling", o->tiling,
        "max_new_tokens", (json_int_t)o->max_new_tokens, "decoding", "greedy");
    if (o->chat)
        json_object_set_new(settings, "template", json_string(o->chat));
    study->settings = dumped(settings);
    return study->machine && study->settings
               ? TKP_OK
               : tkp__fail(TKP_ERR_MEMORY, "no memory for the study");
}

tkp_status tkp__study_open_model(tkp__study *study)
{
    const tkp__study_options *o = &study->options;
    tkp_mllm_options options = TKP_MLLM_OPTIONS_INIT;
    if (o->model)
        snprintf(study->model_dir, sizeof(study->model_dir), "%s", o->model);
    else
        TKP__TRY(
            tkp__cli_demo_model(study->model_dir, sizeof(study->model_dir)));
    TKP__TRY(
        tkp__cli_context(&study->context, o->backend, (int32_t)o->threads));
    options.dtype = o->dtype;
    options.tiling = o->tiling;
    TKP__TRY(tkp_mllm_load(
        &study->model, study->context, study->model_dir, &options));
    tkp_mllm_info_init(&study->info);
    TKP__TRY(tkp_mllm_get_info(study->model, &study->info));
    TKP__TRY(hash_model(study->model_hash, study->model_dir));
    name_model(study->model_name, study->model_dir);
    return describe(study);
}
