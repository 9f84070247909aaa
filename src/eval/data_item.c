/* A record becomes a question. */
#include <math.h>
#include <stdlib.h>

#include "eval/data.h"
#include "eval/expr.h"
#include "eval/words.h"
#include "util/philox.h"
#include "util/text.h"

typedef struct maker {
    tkp__eval_item *item;
    const tkp__eval_card *card;
    const tkp__eval_data_options *options;
    tkp__eval_scope scope;
    json_t *made; /* the item's own names, for what comes later */
    int64_t number;
} maker;

/* --- texts ----------------------------------------------------------------------- */

/* What a card says for a field, missing = NULL. */
static tkp_status
text_of(const maker *m, char **out, const char *expr, const char *field)
{
    *out = NULL;
    if (!expr)
        return TKP_OK;
    const tkp_status status = tkp__eval_text_of(out, expr, &m->scope);
    return status == TKP_OK ? status : tkp__fail_prefix(status, "%s", field);
}

/* The field's text, or a copy of `otherwise`; NULL there: it must be there. */
static tkp_status fill(
    maker *m,
    char **field,
    const char *expr,
    const char *name,
    const char *otherwise)
{
    TKP__TRY(text_of(m, field, expr, name));
    TKP__CHECK(
        *field || otherwise, TKP_ERR_DATA, "%s is missing, wanted '%s'", name,
        tkp__show(expr ? expr : name).text);
    if (!*field)
        *field = tkp__strdup(otherwise);
    if (!*field)
        return TKP_ERR_MEMORY;
    TKP__CHECK(
        json_object_set_new(m->made, name, json_string(*field)) == 0,
        TKP_ERR_DATA, "%s is not UTF-8, wanted that", name);
    return TKP_OK;
}

static tkp_status fill_texts(maker *m)
{
    tkp__eval_item *item = m->item;
    const tkp__eval_card *card = m->card;
    char *rotation;
    int64_t turn = 0;
    TKP__TRY(fill(m, &item->id, card->id, "id", NULL));
    TKP__TRY(fill(m, &item->group, card->group, "group", item->id));
    TKP__TRY(fill(m, &item->split, card->split, "split", ""));
    TKP__TRY(fill(m, &item->category, card->category, "category", ""));
    TKP__TRY(fill(m, &item->question, card->question, "question", NULL));
    TKP__TRY(text_of(m, &item->hint, card->hint, "hint"));
    /* null: missing in prompts, whatever the record's own field says. */
    TKP__CHECK(
        json_object_set_new(
            m->made, "hint",
            item->hint ? json_string(item->hint) : json_null()) == 0,
        TKP_ERR_MEMORY, "out of memory for a hint");
    if (!item->hint && !(item->hint = tkp__strdup("")))
        return TKP_ERR_MEMORY;
    TKP__TRY(text_of(m, &rotation, card->rotation, "rotation"));
    const bool legal =
        !rotation ||
        tkp__text_to_i64(rotation, strlen(rotation), 0, 1000, &turn);
    tkp__free(rotation);
    TKP__CHECK(legal, TKP_ERR_DATA, "rotation is no number below 1000");
    item->rotation = (int32_t)turn;
    return TKP_OK;
}

/* --- lists ------------------------------------------------------------------------- */

/* The list that a card's expression gives; a single value is a list of one. */
static tkp_status
list_of(const maker *m, json_t **out, const char *expr, const char *field)
{
    json_t *value;
    *out = NULL;
    if (!expr)
        return TKP_OK;
    const tkp_status status = tkp__eval_expr(&value, expr, &m->scope);
    if (status != TKP_OK)
        return tkp__fail_prefix(status, "%s", field);
    if (!value)
        return TKP_OK;
    if (json_is_array(value)) {
        *out = value;
        return TKP_OK;
    }
    *out = json_array();
    TKP__CHECK(
        json_array_append_new(*out, value) == 0, TKP_ERR_MEMORY,
        "out of memory for a list");
    return TKP_OK;
}

static tkp_status fill_answers(maker *m)
{
    json_t *list, *value;
    size_t i;
    TKP__TRY(list_of(m, &list, m->card->answers, "answers"));
    tkp_status status = TKP_OK;
    json_array_foreach(list, i, value)
    {
        char *text = NULL;
        status = tkp__eval_value_text(&text, value);
        if (status == TKP_OK)
            status = tkp__eval_item_add_answer(m->item, text);
        tkp__free(text);
        if (status != TKP_OK)
            break;
    }
    json_decref(list);
    return status == TKP_OK ? status : tkp__fail_prefix(status, "answers");
}

/* Texts get letters in order; objects {letter, text} bring theirs. */
static tkp_status
add_option(tkp__eval_item *item, const json_t *value, size_t i)
{
    const json_t *letter = json_object_get(value, "letter");
    const json_t *text = json_object_get(value, "text");
    char *plain = NULL;
    TKP__TRY(tkp__eval_value_text(&plain, text ? text : value));
    const char c = letter ? json_string_value(letter)[0] : (char)('A' + (int)i);
    const tkp_status status = tkp__eval_item_add_option(item, c, plain);
    tkp__free(plain);
    return status;
}

static tkp_status fill_options(maker *m)
{
    json_t *list, *value;
    size_t i;
    TKP__TRY(list_of(m, &list, m->card->options, "options"));
    tkp_status status = TKP_OK;
    json_array_foreach(list, i, value)
    {
        status = add_option(m->item, value, i);
        if (status != TKP_OK)
            break;
    }
    json_decref(list);
    return status == TKP_OK ? status : tkp__fail_prefix(status, "options");
}

static tkp_status
number_of(const maker *m, double *out, const char *expr, const char *field)
{
    char *text, *end;
    *out = 0;
    TKP__TRY(text_of(m, &text, expr, field));
    if (!text)
        return TKP_OK;
    *out = strtod(text, &end);
    const bool legal = end != text && !*end && isfinite(*out);
    tkp__free(text);
    TKP__CHECK(legal, TKP_ERR_DATA, "%s is no number, wanted one", field);
    return TKP_OK;
}

static tkp_status fill_box(maker *m)
{
    tkp__eval_box *box = &m->item->box;
    double *const sides[4] = {&box->x1, &box->y1, &box->x2, &box->y2};
    json_t *list;
    TKP__TRY(list_of(m, &list, m->card->box, "box"));
    if (!list)
        return TKP_OK;
    bool legal = json_array_size(list) == 4;
    for (size_t i = 0; legal && i < 4; i++) {
        const json_t *value = json_array_get(list, i);
        char *end = NULL;
        if (json_is_string(value)) {
            *sides[i] = strtod(json_string_value(value), &end);
            legal = end != json_string_value(value) && !*end;
        } else {
            legal = json_is_number(value);
            *sides[i] = json_number_value(value);
        }
        legal = legal && isfinite(*sides[i]);
    }
    json_decref(list);
    TKP__CHECK(legal, TKP_ERR_DATA, "box is not four numbers, wanted those");
    m->item->has_box = true;
    TKP__TRY(number_of(m, &box->width, m->card->width, "width"));
    return number_of(m, &box->height, m->card->height, "height");
}

/* --- pictures as files --------------------------------------------------------------- */

/* The order in which pictures are shown: `first` is where the needle, number 0
 * of the list, comes to stand. */
static void draw_order(const maker *m, int32_t *order, int32_t n)
{
    const uint64_t seed = m->options->seed;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int32_t i = 0; i < n; i++)
        order[i] = i;
    for (int32_t i = n - 1; i > 0; i--) {
        const uint32_t counter[4] = {
            (uint32_t)i, (uint32_t)m->number, (uint32_t)(m->number >> 32), 3};
        const int32_t k = (int32_t)tkp__scale_u64(
            tkp__philox_u64(counter, key), (uint32_t)i + 1);
        const int32_t was = order[i];
        order[i] = order[k];
        order[k] = was;
    }
    if (m->options->needle == 0)
        return;
    const int32_t wanted =
        (int32_t)((int64_t)(m->options->needle - 1) * n / 10);
    for (int32_t i = 0; i < n; i++)
        if (order[i] == 0) {
            order[i] = order[wanted];
            order[wanted] = 0;
            break;
        }
}

static tkp_status add_files(maker *m, const json_t *list)
{
    const int32_t n = (int32_t)json_array_size(list);
    const int32_t most = m->options->max_images;
    const int32_t shown = most > 0 && most < n ? most : n;
    int32_t *order = tkp__alloc((size_t)n + 1, sizeof(int32_t));
    if (!order)
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; i < n; i++)
        order[i] = i;
    if (m->card->shuffle)
        draw_order(m, order, n);
    tkp_status status = TKP_OK;
    json_t *shown_order = json_array();
    for (int32_t i = 0; i < shown && status == TKP_OK; i++) {
        const char *name =
            json_string_value(json_array_get(list, (size_t)order[i]));
        char *path = name ? tkp__eval_path(m->options->root, name) : NULL;
        status = path ? tkp__eval_item_add_file(m->item, path)
                 : name
                     ? TKP_ERR_MEMORY
                     : tkp__fail(
                           TKP_ERR_DATA, "a picture is no text, wanted a file");
        json_array_append_new(shown_order, json_integer(order[i]));
        tkp__free(path);
    }
    if (m->card->shuffle)
        m->item->extra =
            json_pack("{s:O, s:i}", "order", shown_order, "pictures", n);
    json_decref(shown_order);
    tkp__free(order);
    return status;
}

static tkp_status fill_files(maker *m)
{
    json_t *list = NULL;
    TKP__TRY(list_of(m, &list, m->card->images, "images"));
    if (m->card->image) {
        char *name;
        TKP__TRY(text_of(m, &name, m->card->image, "image"));
        if (name && name[0])
            list = json_pack("[s]", name);
        tkp__free(name);
    }
    const tkp_status status = list ? add_files(m, list) : TKP_OK;
    json_decref(list);
    return status;
}

/* --- what is asked ---------------------------------------------------------------------- */

char *tkp__eval_option_lines(const tkp__eval_item *item)
{
    tkp__eval_text out = {0};
    for (int32_t i = 0; i < item->n_options; i++) {
        if (i)
            tkp__eval_text_put(&out, '\n');
        tkp__eval_text_put(&out, item->options[i].letter);
        tkp__eval_text_puts(&out, ". ");
        tkp__eval_text_puts(&out, item->options[i].text);
    }
    return tkp__eval_text_take(&out);
}

static tkp_status fill_prompt(maker *m)
{
    const char *family = m->options->family ? m->options->family : "llava";
    const char *text = tkp__eval_card_prompt(m->card, family);
    TKP__CHECK(
        text, TKP_ERR_UNSUPPORTED, "the card has no prompt for %s",
        tkp__show(family).text);
    if (m->item->n_options) {
        char *lines = tkp__eval_option_lines(m->item);
        const int failed =
            !lines ||
            json_object_set_new(m->made, "option_lines", json_string(lines));
        tkp__free(lines);
        TKP__CHECK(!failed, TKP_ERR_MEMORY, "out of memory for the options");
    }
    TKP__TRY(tkp__eval_template(&m->item->text, text, &m->scope));
    TKP__CHECK(
        m->item->text, TKP_ERR_DATA,
        "something that the prompt wants is missing");
    return TKP_OK;
}

static tkp_status make(maker *m)
{
    TKP__TRY(fill_texts(m));
    TKP__TRY(fill_answers(m));
    TKP__TRY(fill_options(m));
    TKP__TRY(fill_box(m));
    TKP__TRY(fill_files(m));
    return fill_prompt(m);
}

tkp_status tkp__eval_item_make(
    tkp__eval_item *out,
    const tkp__eval_card *card,
    const json_t *fields,
    const json_t *joined,
    const tkp__eval_data_options *options,
    int64_t number)
{
    tkp__eval_item item = {0};
    json_t *made = json_pack("{s:I}", "_row", (json_int_t)number);
    json_t *other = joined ? json_pack("{s:O}", "join", joined) : NULL;
    tkp_status status = TKP_ERR_MEMORY;
    if (made && (!joined || other)) {
        maker m = {&item, card, options, {{made, fields, other}}, made, number};
        status = make(&m);
    }
    json_decref(made);
    json_decref(other);
    if (status == TKP_OK)
        *out = item;
    else
        tkp__eval_item_release(&item);
    return status;
}
