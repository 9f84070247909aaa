/* Plain questions in JSON, as the demo model's are. */
#include <stdio.h>
#include <stdlib.h>

#include "eval/box.h"
#include "eval/set.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Paths are relative to the file they stand in. */
static tkp_status add_picture(
    tkp__eval_item *item,
    const char *path,
    const json_t *name,
    int64_t row)
{
    const char *file = json_string_value(name);
    const char *slash = strrchr(path, '/');
    char full[4096];
    TKP__CHECK(
        file && *file, TKP_ERR_FORMAT,
        "question %lld: a picture is no text, wanted the name of a file",
        (long long)row);
    const int length = slash && *file != '/' ? (int)(slash - path + 1) : 0;
    TKP__CHECK(
        snprintf(full, sizeof(full), "%.*s%s", length, path, file) <
            (int)sizeof(full),
        TKP_ERR_FORMAT, "question %lld: the picture's path is too long",
        (long long)row);
    return tkp__eval_item_add_file(item, full);
}

static tkp_status add_pictures(
    tkp__eval_item *item,
    const char *path,
    const json_t *object,
    int64_t row)
{
    const json_t *list = json_object_get(object, "images");
    const json_t *one;
    size_t i;
    if (json_object_get(object, "image"))
        return add_picture(item, path, json_object_get(object, "image"), row);
    json_array_foreach(list, i, one)
    {
        TKP__TRY(add_picture(item, path, one, row));
    }
    return TKP_OK;
}

static tkp_status
add_answers(tkp__eval_item *item, const json_t *object, int64_t row)
{
    const json_t *answer = json_object_get(object, "answer");
    const json_t *one;
    size_t i;
    if (json_is_string(answer))
        return tkp__eval_item_add_answer(item, json_string_value(answer));
    json_array_foreach(answer, i, one)
    {
        TKP__CHECK(
            json_is_string(one), TKP_ERR_FORMAT,
            "question %lld: answer %zu is no text", (long long)row, i + 1);
        TKP__TRY(tkp__eval_item_add_answer(item, json_string_value(one)));
    }
    TKP__CHECK(
        item->n_answers > 0, TKP_ERR_FORMAT,
        "question %lld: `answer` is missing, wanted a text or a list of them",
        (long long)row);
    return TKP_OK;
}

/* An answer that is a box in parts of the picture's sides. */
static void add_box(tkp__eval_item *item)
{
    double box[4];
    if (item->n_answers == 1 && item->answers[0][0] == '[' &&
        tkp__eval_box_read(box, item->answers[0], TKP__EVAL_BOX_BRACKET4)) {
        item->box = (tkp__eval_box){box[0], box[1], box[2], box[3], 1, 1};
        item->has_box = true;
    }
}

static tkp_status
add_texts(tkp__eval_item *item, const json_t *object, int64_t row)
{
    char number[24];
    snprintf(number, sizeof(number), "%lld", (long long)row);
    const char *id = text_of(object, "id");
    const char *group = text_of(object, "group");
    id = *id ? id : number;
    item->id = tkp__strdup(id);
    item->group = tkp__strdup(*group ? group : id);
    item->split = tkp__strdup(text_of(object, "split"));
    item->category = tkp__strdup(text_of(object, "category"));
    item->question = tkp__strdup(text_of(object, "question"));
    item->text = tkp__strdup(text_of(object, "question"));
    item->hint = tkp__strdup("");
    const json_t *cells = json_object_get(object, "cells");
    if (json_is_array(cells))
        item->extra = json_pack("{s:O}", "cells", cells);
    item->row = row;
    const bool all = item->id && item->group && item->split && item->category &&
                     item->question && item->text && item->hint &&
                     (item->extra || !json_is_array(cells));
    return all ? TKP_OK : tkp__fail(TKP_ERR_MEMORY, "no memory for questions");
}

static tkp_status make_item(
    tkp__eval_item *item,
    const char *path,
    const json_t *object,
    int64_t row)
{
    TKP__CHECK(
        json_is_object(object) && *text_of(object, "question"), TKP_ERR_FORMAT,
        "question %lld: is no object with a text `question`", (long long)row);
    TKP__TRY(add_texts(item, object, row));
    TKP__TRY(add_pictures(item, path, object, row));
    TKP__TRY(add_answers(item, object, row));
    add_box(item);
    return TKP_OK;
}

/* --- sets ---------------------------------------------------------------------- */

static tkp_status choose_metric(
    tkp__eval_set *set,
    const tkp__eval_item *first,
    const json_t *object)
{
    const char *name = text_of(object, "metric");
    if (!*name)
        name = first->has_box ? "box_iou" : "gqa_llava";
    TKP__TRY(tkp__eval_metric_find(&set->metric, name));
    snprintf(set->metric_name, sizeof(set->metric_name), "%s", name);
    set->metric.box = (tkp__eval_box_rule){
        .parsers = {TKP__EVAL_BOX_BRACKET4}, .scale = TKP__EVAL_SCALE_UNIT};
    json_t *card = json_pack(
        "{s:s, s:s, s:s}", "reader", "questions", "parser", "bracket4", "scale",
        "unit");
    char *text = card ? json_dumps(card, JSON_SORT_KEYS) : NULL;
    json_decref(card);
    set->card = text ? tkp__strdup(text) : NULL;
    free(text);
    return set->card ? TKP_OK : TKP_ERR_MEMORY;
}

static tkp_status set_of(
    tkp__eval_set **out,
    tkp__eval_sets *sets,
    const json_t *object,
    const tkp__eval_item *item)
{
    const char *task = text_of(object, "task");
    task = *task ? task : "questions";
    for (int32_t i = 0; i < sets->count; i++)
        if (!strcmp(sets->sets[i].name, task)) {
            *out = &sets->sets[i];
            return TKP_OK;
        }
    tkp__eval_set *set;
    TKP__TRY(tkp__eval_sets_add(&set, sets));
    set->name = tkp__strdup(task);
    if (!set->name)
        return TKP_ERR_MEMORY;
    TKP__TRY(choose_metric(set, item, object));
    *out = set;
    return TKP_OK;
}

static tkp_status
read_list(tkp__eval_sets *sets, const json_t *list, const char *path)
{
    const json_t *object;
    size_t i;
    TKP__CHECK(
        json_is_array(list) && json_array_size(list) > 0, TKP_ERR_FORMAT,
        "is no list of questions");
    json_array_foreach(list, i, object)
    {
        tkp__eval_item item = {0};
        tkp__eval_set *set = NULL;
        tkp_status status = make_item(&item, path, object, (int64_t)i + 1);
        if (status == TKP_OK)
            status = set_of(&set, sets, object, &item);
        if (status != TKP_OK) {
            tkp__eval_item_release(&item);
            return status;
        }
        TKP__TRY(tkp__eval_set_add(set, &item));
    }
    return TKP_OK;
}

/* The file's own bytes: whatever changes in it, it is another data set. */
static tkp_status hash_file(char out[65], const char *path)
{
    unsigned char *bytes;
    size_t count;
    const tkp__eval_image file = {.path = (char *)(uintptr_t)path};
    TKP__TRY(tkp__eval_image_bytes(&bytes, &count, &file));
    tkp__eval_hash(out, bytes, count);
    tkp__free(bytes);
    return TKP_OK;
}

tkp_status tkp__eval_questions_read(tkp__eval_sets *out, const char *path)
{
    json_error_t error;
    char hash[65];
    tkp__eval_sets sets = {0};
    TKP__TRY(hash_file(hash, path));
    json_t *list = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    TKP__CHECK(
        list, TKP_ERR_FORMAT, "%s: line %d: %s", path, error.line, error.text);
    const tkp_status status = read_list(&sets, list, path);
    json_decref(list);
    if (status != TKP_OK) {
        tkp__eval_sets_release(&sets);
        return tkp__fail_prefix(status, "%s", path);
    }
    for (int32_t i = 0; i < sets.count; i++)
        memcpy(sets.sets[i].hash, hash, sizeof(hash));
    *out = sets;
    return TKP_OK;
}
