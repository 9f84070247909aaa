/*
 * Opening the weight files of a directory. A file name in an index is data
 * from elsewhere: it may name a file of this directory and nothing else.
 */

#include "mllm/checkpoint/weight_shards.h"

#include "mllm/checkpoint/checkpoint_json.h"

#include <unistd.h>

void tkp__weight_shards_close(tkp__weight_shards *shards)
{
    for (int64_t i = 0; i < shards->count; i++)
        tkp__safetensors_close(shards->files[i]);
    shards->count = 0;
}

static tkp_status
open_one(tkp__weight_shards *shards, const char *path, tkp__safetensors **file)
{
    TKP__CHECK(
        shards->count < TKP__MAX_SHARDS, TKP_ERR_FORMAT,
        "%s: more than %d weight files", path, TKP__MAX_SHARDS);
    TKP__TRY(tkp__safetensors_open(file, path));
    shards->files[shards->count++] = *file;
    return TKP_OK;
}

static tkp_status
check_file_name(const char *index, const char *tensor, const char *name)
{
    const bool plain = name && *name && *name != '.' &&
                       !strpbrk(name, "/\\:") && strlen(name) < 256;
    TKP__CHECK(
        plain, TKP_ERR_FORMAT,
        "%s: %.200s is in \"%.80s\", wanted the plain name of a file", index,
        tensor, name ? name : "(not a string)");
    return TKP_OK;
}

/* The shard of this name, opened when first met. */
static tkp_status shard_by_name(
    tkp__weight_shards *shards,
    const char *model_dir,
    const char *name,
    tkp__safetensors **file)
{
    char *path = tkp__path_join(model_dir, name);
    if (!path)
        return TKP_ERR_MEMORY;
    *file = NULL;
    for (int64_t i = 0; i < shards->count && !*file; i++)
        if (strcmp(tkp__safetensors_path(shards->files[i]), path) == 0)
            *file = shards->files[i];
    const tkp_status status = *file ? TKP_OK : open_one(shards, path, file);
    tkp__free(path);
    return status;
}

static tkp_status visit_index(
    tkp__weight_shards *shards,
    const char *model_dir,
    const char *index,
    json_t *map,
    tkp__weight_visit visit,
    void *user)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_string_value(value);
        TKP__TRY(check_file_name(index, tensor, name));
        tkp__safetensors *file;
        TKP__TRY(shard_by_name(shards, model_dir, name, &file));
        const int64_t i = tkp__safetensors_index(file, tensor);
        TKP__CHECK(
            i >= 0, TKP_ERR_FORMAT,
            "%s: %.200s is said to be in %s, which has no such tensor", index,
            tensor, name);
        TKP__TRY(visit(user, file, i));
    }
    return TKP_OK;
}

static tkp_status open_index(
    tkp__weight_shards *shards,
    const char *model_dir,
    const char *path,
    tkp__weight_visit visit,
    void *user)
{
    json_t *root = NULL;
    TKP__TRY(tkp__json_load(&root, path, false));
    json_t *map = json_object_get(root, "weight_map");
    tkp_status status;
    if (json_is_object(map))
        status = visit_index(shards, model_dir, path, map, visit, user);
    else
        status = tkp__fail(
            TKP_ERR_FORMAT, "%s: weight_map is missing, wanted an object",
            path);
    json_decref(root);
    return status;
}

static tkp_status open_single(
    tkp__weight_shards *shards,
    const char *path,
    tkp__weight_visit visit,
    void *user)
{
    tkp__safetensors *file;
    TKP__TRY(open_one(shards, path, &file));
    for (int64_t i = 0; i < tkp__safetensors_count(file); i++)
        TKP__TRY(visit(user, file, i));
    return TKP_OK;
}

tkp_status tkp__weight_shards_open(
    tkp__weight_shards *shards,
    const char *model_dir,
    tkp__weight_visit visit,
    void *user)
{
    shards->count = 0;
    char *single = tkp__path_join(model_dir, "model.safetensors");
    char *index = tkp__path_join(model_dir, "model.safetensors.index.json");
    tkp_status status = TKP_ERR_MEMORY;
    if (!single || !index)
        goto out;
    if (access(single, F_OK) == 0)
        status = open_single(shards, single, visit, user);
    else if (access(index, F_OK) == 0)
        status = open_index(shards, model_dir, index, visit, user);
    else
        status = tkp__fail(
            TKP_ERR_IO,
            "%s: has neither model.safetensors nor "
            "model.safetensors.index.json",
            model_dir);
out:
    tkp__free(single);
    tkp__free(index);
    return status;
}
