/* A card's files read, joined and made into questions. */
#include "eval/data.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>

#include "eval/expr.h"
#include "util/text.h"

enum { LONGEST_INDEX = 64 }; /* a picture so short is another row's number */

typedef struct loader {
    tkp__eval_set *set;
    tkp__eval_data_counts counts;
    const tkp__eval_card *card;
    const tkp__eval_data_options *options;
    tkp__eval_records joined;
    json_t *joined_rows; /* key -> number of the record */
    json_t *numbers;     /* id -> number of the item */
} loader;

/* --- the second file ------------------------------------------------------------ */

static tkp_status
key_of(char **out, const char *expr, const json_t *fields, const char *section)
{
    const tkp__eval_scope scope = {{fields, NULL, NULL}};
    const tkp_status status = tkp__eval_text_of(out, expr, &scope);
    return status == TKP_OK ? status : tkp__fail_prefix(status, "%s", section);
}

static tkp_status add_key(loader *l, int64_t i)
{
    char *key = NULL;
    const tkp_status status =
        key_of(&key, l->card->join_on, l->joined.records[i].fields, "join on");
    if (status != TKP_OK)
        return tkp__fail_prefix(
            status, "%s", tkp__eval_place_of(&l->joined, i).text);
    if (!key)
        return TKP_OK; /* a row of another kind */
    l->counts.joined_twice += json_object_get(l->joined_rows, key) != NULL;
    const int failed = json_object_set_new_nocheck(
        l->joined_rows, key, json_integer((json_int_t)i));
    tkp__free(key);
    TKP__CHECK(!failed, TKP_ERR_MEMORY, "out of memory for a join");
    return TKP_OK;
}

static tkp_status open_join(loader *l)
{
    if (!l->card->join_on)
        return TKP_OK;
    TKP__TRY(tkp__eval_records_read(
        &l->joined, &l->card->join_source, l->options->root));
    l->counts.joined_rows = l->joined.count;
    l->joined_rows = json_object();
    for (int64_t i = 0; i < l->joined.count; i++)
        TKP__TRY(add_key(l, i));
    return TKP_OK;
}

static tkp_status
find_joined(loader *l, const json_t **out, const json_t *fields)
{
    char *key;
    *out = NULL;
    if (!l->joined_rows)
        return TKP_OK;
    TKP__TRY(key_of(&key, l->card->join_key, fields, "join key"));
    const json_t *row = key ? json_object_get(l->joined_rows, key) : NULL;
    tkp__free(key);
    if (row)
        *out = l->joined.records[json_integer_value(row)].fields;
    return TKP_OK;
}

/* --- pictures in tables ------------------------------------------------------------ */

static tkp_status add_list(loader *l, tkp__eval_item *item, json_t *list)
{
    size_t i;
    json_t *value;
    if (!l->set->kept)
        l->set->kept = json_array();
    TKP__CHECK(
        json_array_append_new(l->set->kept, list) == 0, TKP_ERR_MEMORY,
        "out of memory for pictures");
    json_array_foreach(list, i, value)
    {
        TKP__TRY(tkp__eval_item_add_base64(
            item, json_string_value(value), json_string_length(value)));
    }
    return TKP_OK;
}

static tkp_status
add_slice(loader *l, tkp__eval_item *item, tkp__eval_slice image)
{
    json_t *list = image.text[0] == '['
                       ? tkp__eval_python_list(image.text, image.bytes)
                       : NULL;
    if (list)
        return add_list(l, item, list);
    return tkp__eval_item_add_base64(item, image.text, image.bytes);
}

/* The picture of the row that is named instead of one. */
static tkp_status
share_image(const loader *l, const tkp__eval_item *item, tkp__eval_image *image)
{
    const tkp__eval_set *set = l->set;
    const json_t *row =
        json_object_getn(l->numbers, image->base64, image->base64_bytes);
    const int64_t other = row ? json_integer_value(row) : -1;
    const tkp__eval_image *shared = other >= 0 && set->items[other].n_images
                                        ? &set->items[other].images[0]
                                        : NULL;
    TKP__CHECK(
        shared && shared->base64_bytes > LONGEST_INDEX, TKP_ERR_DATA,
        "question '%s': image is '%.*s', wanted base64 or the index of a row "
        "that has some",
        tkp__show(item->id).text, (int)image->base64_bytes, image->base64);
    *image = *shared;
    return TKP_OK;
}

/* When all rows are there. */
static tkp_status share_images(loader *l)
{
    for (int64_t i = 0; i < l->set->n_items; i++) {
        tkp__eval_item *item = &l->set->items[i];
        for (int32_t k = 0; k < item->n_images; k++)
            if (!item->images[k].path &&
                item->images[k].base64_bytes <= LONGEST_INDEX)
                TKP__TRY(share_image(l, item, &item->images[k]));
    }
    return TKP_OK;
}

/* --- questions ------------------------------------------------------------------------ */

static tkp_status check_new(loader *l, const tkp__eval_item *item)
{
    const json_t *before = json_object_get(l->numbers, item->id);
    TKP__CHECK(
        !before, TKP_ERR_DATA,
        "id '%s' is that of row %lld too, wanted another",
        tkp__show(item->id).text,
        (long long)l->set->items[json_integer_value(before)].row);
    TKP__CHECK(
        json_object_set_new_nocheck(
            l->numbers, item->id, json_integer((json_int_t)l->set->n_items)) ==
            0,
        TKP_ERR_MEMORY, "out of memory for ids");
    return TKP_OK;
}

static tkp_status add_record(loader *l, int64_t number)
{
    const tkp__eval_record *record = &l->set->records.records[number];
    tkp__eval_item item;
    const json_t *joined;
    TKP__TRY(find_joined(l, &joined, record->fields));
    TKP__TRY(tkp__eval_item_make(
        &item, l->card, record->fields, joined, l->options, number));
    item.row = record->row;
    tkp_status status = TKP_OK;
    if (record->image.text && item.n_images == 0)
        status = add_slice(l, &item, record->image);
    if (status == TKP_OK && l->card->images_only && item.n_images == 0) {
        l->counts.left_out++;
        tkp__eval_item_release(&item);
        return TKP_OK;
    }
    if (status == TKP_OK)
        status = check_new(l, &item);
    if (status != TKP_OK) {
        tkp__eval_item_release(&item);
        return status;
    }
    l->counts.unjoined += l->joined_rows && !joined;
    return tkp__eval_set_add(l->set, &item);
}

/* --- what the set is called ------------------------------------------------------------ */

static void
hash_records(struct sha256_ctx *hash, const tkp__eval_records *records)
{
    for (int32_t i = 0; i < records->n_maps; i++)
        sha256_update(hash, records->maps[i].bytes, records->maps[i].data);
}

/* What the questions are made of: options, the card, both files. */
static tkp_status name_set(loader *l, const char *card_text)
{
    struct sha256_ctx hash;
    uint8_t digest[SHA256_DIGEST_SIZE];
    const tkp__eval_data_options *o = l->options;
    json_t *card = json_pack(
        "{s:s, s:s, s:s, s:s?, s:i, s:i}", "reader", "card", "name",
        l->card->name, "family", o->family ? o->family : "llava", "root",
        o->root, "max_images", o->max_images, "needle", o->needle);
    char *text = json_dumps(card, JSON_SORT_KEYS);
    json_decref(card);
    l->set->card = text ? tkp__strdup(text) : NULL;
    free(text);
    l->set->name = tkp__strdup(l->card->name);
    if (!l->set->card || !l->set->name)
        return tkp__fail(TKP_ERR_MEMORY, "out of memory for a data set");
    sha256_init(&hash);
    if (card_text)
        sha256_update(&hash, strlen(card_text), (const uint8_t *)card_text);
    hash_records(&hash, &l->set->records);
    hash_records(&hash, &l->joined);
    sha256_digest(&hash, sizeof(digest), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(l->set->hash + 2 * i, 3, "%02x", digest[i]);
    l->set->metric = l->card->metric;
    l->set->max_new_tokens = (int32_t)l->card->max_new_tokens;
    snprintf(
        l->set->metric_name, sizeof(l->set->metric_name), "%s",
        l->card->metric_name);
    return TKP_OK;
}

static tkp_status load(loader *l)
{
    TKP__TRY(tkp__eval_records_read(
        &l->set->records, &l->card->source, l->options->root));
    const tkp__eval_records *records = &l->set->records;
    l->counts.rows = records->count;
    TKP__TRY(open_join(l));
    for (int64_t i = 0; i < records->count; i++) {
        const tkp_status status = add_record(l, i);
        if (status != TKP_OK)
            return tkp__fail_prefix(
                status, "%s", tkp__eval_place_of(records, i).text);
        /* Only pictures are needed of the record from here on. */
        json_object_clear(records->records[i].fields);
    }
    TKP__TRY(share_images(l));
    return name_set(l, l->card->text);
}

tkp_status tkp__eval_data_read(
    tkp__eval_set *out,
    tkp__eval_data_counts *counts,
    const tkp__eval_card *card,
    const tkp__eval_data_options *options)
{
    tkp__eval_set set = {0};
    loader l = {
        .set = &set,
        .card = card,
        .options = options,
        .numbers = json_object()};
    const tkp_status status = load(&l);
    tkp__eval_records_release(&l.joined);
    json_decref(l.joined_rows);
    json_decref(l.numbers);
    if (status != TKP_OK) {
        tkp__eval_set_release(&set);
        return status;
    }
    *out = set;
    if (counts)
        *counts = l.counts;
    return TKP_OK;
}
