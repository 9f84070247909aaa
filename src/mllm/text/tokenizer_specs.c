/* The lists of added tokens in tokenizer.json and tokenizer_config.json. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "mllm/text/json_field.h"
#include "mllm/text/tokenizer.h"

static tkp_status
parse_entry(tkp__added_spec *spec, const json_t *entry, const char *path)
{
    TKP__CHECK(
        json_is_object(entry), TKP_ERR_FORMAT, "%s is not an object", path);
    TKP__TRY(tkp__field_string(entry, path, "content", &spec->content));
    TKP__CHECK(spec->content[0], TKP_ERR_FORMAT, "%s.content is empty", path);
    TKP__TRY(tkp__field_bool(entry, path, "special", &spec->special));
    TKP__TRY(tkp__field_bool(entry, path, "single_word", &spec->single_word));
    TKP__TRY(tkp__field_bool(entry, path, "lstrip", &spec->lstrip));
    TKP__TRY(tkp__field_bool(entry, path, "rstrip", &spec->rstrip));
    return tkp__field_bool(entry, path, "normalized", &spec->normalized);
}

static tkp_status parse_listed(tkp__added_specs *specs, const json_t *added)
{
    size_t index;
    json_t *entry;
    json_array_foreach(added, index, entry)
    {
        char path[TKP__PATH_BYTES];
        int64_t id;
        snprintf(path, sizeof(path), "added_tokens[%zu]", index);
        tkp__added_spec *spec = &specs->list[specs->count];
        TKP__TRY(parse_entry(spec, entry, path));
        TKP__TRY(tkp__field_int(entry, path, "id", 0, TKP__TEXT_MAX_ID, &id));
        spec->id = (int32_t)id;
        ++specs->count;
    }
    return TKP_OK;
}

/* Here the id is the key: {"32000": {...}}. */
static tkp_status parse_keyed(tkp__added_specs *specs, json_t *config_added)
{
    const char *key;
    json_t *entry;
    json_object_foreach(config_added, key, entry)
    {
        char path[TKP__PATH_BYTES], shown[TKP__SHOWN_BYTES];
        char *end;
        errno = 0;
        const long id = strtol(key, &end, 10);
        TKP__CHECK(
            key[0] >= '0' && key[0] <= '9' && !*end && !errno &&
                id <= TKP__TEXT_MAX_ID,
            TKP_ERR_FORMAT,
            "tokenizer_config.json: added_tokens_decoder has the key \"%s\", "
            "wanted an id 0..%d",
            tkp__shown(shown, key), TKP__TEXT_MAX_ID);
        snprintf(
            path, sizeof(path),
            "tokenizer_config.json: added_tokens_decoder.%ld", id);
        tkp__added_spec *spec = &specs->list[specs->count];
        TKP__TRY(parse_entry(spec, entry, path));
        spec->id = (int32_t)id;
        ++specs->count;
    }
    return TKP_OK;
}

/* By id; what tokenizer.json says stands before its config's words: both lists
 * are one array, in that order, so the address decides. */
static int compare_specs(const void *left, const void *right)
{
    const tkp__added_spec *a = *(tkp__added_spec *const *)left;
    const tkp__added_spec *b = *(tkp__added_spec *const *)right;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return (a > b) - (a < b);
}

/* One spec an id, in a new list. */
static tkp_status merge_by_id(tkp__added_specs *specs)
{
    const size_t count = (size_t)specs->count;
    tkp_status status = TKP_ERR_MEMORY;
    tkp__added_spec **order = tkp__alloc(count, sizeof(*order));
    tkp__added_spec *list = tkp__alloc(count, sizeof(*list));
    if (!order || !list)
        goto out;
    for (size_t i = 0; i < count; ++i)
        order[i] = &specs->list[i];
    qsort(order, count, sizeof(*order), compare_specs);
    int64_t kept = 0;
    for (size_t i = 0; i < count; ++i) {
        tkp__added_spec *last = kept ? &list[kept - 1] : NULL;
        if (!last || last->id != order[i]->id) {
            list[kept++] = *order[i];
            continue;
        }
        if (strcmp(last->content, order[i]->content) != 0) {
            char first[TKP__SHOWN_BYTES], second[TKP__SHOWN_BYTES];
            status = tkp__fail(
                TKP_ERR_FORMAT,
                "added tokens \"%s\" and \"%s\" have the same id %d",
                tkp__shown(first, last->content),
                tkp__shown(second, order[i]->content), (int)last->id);
            goto out;
        }
        last->special = last->special || order[i]->special;
    }
    tkp__free(specs->list);
    specs->list = list;
    specs->count = kept;
    list = NULL;
    status = TKP_OK;
out:
    tkp__free(order);
    tkp__free(list);
    return status;
}

tkp_status tkp__added_specs_parse(
    tkp__added_specs *specs,
    const json_t *added,
    const json_t *config_added)
{
    /* jansson's iterators take a tree that may be changed; it is not. */
    json_t *keyed = (json_t *)config_added;
    specs->list = tkp__zalloc(
        json_array_size(added) + json_object_size(keyed), sizeof(*specs->list));
    if (!specs->list)
        return TKP_ERR_MEMORY;
    TKP__TRY(parse_listed(specs, added));
    TKP__TRY(parse_keyed(specs, keyed));
    return merge_by_id(specs);
}

void tkp__added_specs_free(tkp__added_specs *specs)
{
    tkp__free(specs->list);
    memset(specs, 0, sizeof(*specs));
}
