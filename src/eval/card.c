/* YAML -> card: every key is known, stands once, and every expression can be
 * read, before any data are. */
#include "eval/card.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "eval/expr.h"
#include "util/text.h"

typedef tkp__yaml_node node;

typedef struct reader {
    tkp__eval_card *card;
    const char *section;
} reader;

/* What a key does with its value. */
typedef struct key {
    const char *name;
    tkp_status (
        *read)(const reader *r, const struct key *key, const node *value);
    size_t offset; /* of the member that it fills */
} key;

__attribute__((format(printf, 3, 4), cold)) static tkp_status
fail_at(const reader *r, const node *at, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return tkp__fail(
        TKP_ERR_FORMAT, "%s:%d:%d: %s", r->card->tree.source, at->line,
        at->column, text);
}

static const node *child(const reader *r, const node *n)
{
    return tkp__yaml_at(&r->card->tree, n->first);
}

static const node *after(const reader *r, const node *n)
{
    return tkp__yaml_at(&r->card->tree, n->next);
}

static tkp__shown met(const node *n)
{
    if (n->kind == TKP__YAML_SCALAR)
        return tkp__show(n->text);
    return tkp__show(n->kind == TKP__YAML_MAP ? "a map" : "a list");
}

static void *member(const reader *r, const key *k)
{
    return (char *)r->card + k->offset;
}

/* --- sections ----------------------------------------------------------------- */

static const char *key_name(const void *keys, int32_t i)
{
    return ((const key *)keys)[i].name;
}

static const key *find_key(const key *keys, const char *name)
{
    for (; keys->name; keys++)
        if (strcmp(keys->name, name) == 0)
            return keys;
    return NULL;
}

static tkp_status check_once(const reader *r, const node *map, const node *name)
{
    for (const node *k = child(r, map); k != name; k = after(r, after(r, k)))
        if (strcmp(k->text, name->text) == 0)
            return fail_at(
                r, name, "'%s' stands twice in %s, wanted it once",
                tkp__show(name->text).text, r->section);
    return TKP_OK;
}

static tkp_status read_section(
    const reader *above,
    const node *map,
    const char *section,
    const key *keys)
{
    const reader r = {above->card, section};
    if (map->kind != TKP__YAML_MAP)
        return fail_at(
            &r, map, "%s is '%s', wanted a map", section, met(map).text);
    for (const node *k = child(&r, map); k; k = after(&r, after(&r, k))) {
        if (k->kind != TKP__YAML_SCALAR)
            return fail_at(
                &r, k, "a key of %s is no name, wanted one", section);
        TKP__TRY(check_once(&r, map, k));
        const key *known = find_key(keys, k->text);
        if (!known) {
            const int32_t near = tkp__nearest(k->text, key_name, keys);
            return fail_at(
                &r, k, "unknown key '%s' in %s%s%s%s", tkp__show(k->text).text,
                section, near >= 0 ? ", did you mean '" : "",
                near >= 0 ? keys[near].name : "", near >= 0 ? "'?" : "");
        }
        TKP__TRY(known->read(&r, known, after(&r, k)));
    }
    return TKP_OK;
}

/* --- values -------------------------------------------------------------------- */

static tkp_status read_text(const reader *r, const key *k, const node *value)
{
    if (value->kind != TKP__YAML_SCALAR || !value->text[0])
        return fail_at(
            r, value, "%s is '%s', wanted a text", k->name, met(value).text);
    *(const char **)member(r, k) = value->text;
    return TKP_OK;
}

/* An expression; it is tried, for its form. */
static tkp_status read_expr(const reader *r, const key *k, const node *value)
{
    char *nothing;
    TKP__TRY(read_text(r, k, value));
    const tkp_status status = tkp__eval_text_of(&nothing, value->text, NULL);
    if (status == TKP_OK)
        tkp__free(nothing);
    return status == TKP_OK || status == TKP_ERR_MEMORY
               ? status
               : tkp__fail_prefix(
                     status, "%s:%d:%d: %s", r->card->tree.source, value->line,
                     value->column, k->name);
}

static tkp_status read_flag(const reader *r, const key *k, const node *value)
{
    const bool yes =
        value->kind == TKP__YAML_SCALAR && !strcmp(value->text, "true");
    if (!yes &&
        !(value->kind == TKP__YAML_SCALAR && !strcmp(value->text, "false")))
        return fail_at(
            r, value, "%s is '%s', wanted true or false", k->name,
            met(value).text);
    *(bool *)member(r, k) = yes;
    return TKP_OK;
}

/* quotes: true is what all tables have; false makes them plain characters */
static tkp_status read_quotes(const reader *r, const key *k, const node *value)
{
    TKP__TRY(read_flag(r, k, value));
    bool *plain = member(r, k);
    *plain = !*plain;
    return TKP_OK;
}

static tkp_status read_count(const reader *r, const key *k, const node *value)
{
    if (value->kind != TKP__YAML_SCALAR ||
        !tkp__text_to_i64(
            value->text, strlen(value->text), 1, 1 << 30, member(r, k)))
        return fail_at(
            r, value, "%s is '%s', wanted a whole number from 1", k->name,
            met(value).text);
    return TKP_OK;
}

static tkp_status read_columns(const reader *r, const key *k, const node *value)
{
    const char **columns = member(r, k);
    int32_t n = 0;
    if (value->kind != TKP__YAML_LIST || value->count < 1 ||
        value->count > TKP__EVAL_MOST_COLUMNS)
        return fail_at(
            r, value, "%s is '%s', wanted a list of 1 to %d names", k->name,
            met(value).text, TKP__EVAL_MOST_COLUMNS);
    for (const node *v = child(r, value); v; v = after(r, v)) {
        if (v->kind != TKP__YAML_SCALAR)
            return fail_at(r, v, "a column is no name, wanted one");
        columns[n++] = v->text;
    }
    columns[n] = NULL;
    return TKP_OK;
}

/* --- how answers are scored -------------------------------------------------------- */

typedef struct word {
    const char *text;
    int32_t value;
} word;

static const word parsers[] = {
    {"bracket4", TKP__EVAL_BOX_BRACKET4}, {"seed", TKP__EVAL_BOX_SEED},
    {"qwen", TKP__EVAL_BOX_QWEN},         {"json", TKP__EVAL_BOX_JSON},
    {"any4", TKP__EVAL_BOX_ANY4},         {NULL, 0}};
static const word scales[] = {
    {"auto", TKP__EVAL_SCALE_AUTO},
    {"unit", TKP__EVAL_SCALE_UNIT},
    {"thousand", TKP__EVAL_SCALE_THOUSAND},
    {"q999", TKP__EVAL_SCALE_Q999},
    {"pixel", TKP__EVAL_SCALE_PIXEL},
    {"seed", TKP__EVAL_SCALE_SEED},
    {NULL, 0}};
static const word spaces[] = {{"image", 0}, {"padded", 1}, {NULL, 0}};

static tkp_status read_word(
    const reader *r,
    const node *value,
    const char *name,
    const word *words,
    int32_t *out)
{
    char wanted[160] = "";
    for (const word *w = words; w->text; w++) {
        const size_t used = strlen(wanted);
        if (value->kind == TKP__YAML_SCALAR && !strcmp(w->text, value->text)) {
            *out = w->value;
            return TKP_OK;
        }
        snprintf(
            wanted + used, sizeof(wanted) - used, "%s%s", used ? ", " : "",
            w->text);
    }
    return fail_at(
        r, value, "%s is '%s', wanted one of %s", name, met(value).text,
        wanted);
}

static tkp_status
read_metric_name(const reader *r, const key *k, const node *value)
{
    (void)k;
    const tkp__eval_box_rule rule = r->card->metric.box;
    const bool ruled = rule.parsers[0] != 0;
    tkp__eval_metric metric;
    if (value->kind != TKP__YAML_SCALAR)
        return fail_at(
            r, value, "metric is '%s', wanted a name", met(value).text);
    const tkp_status status = tkp__eval_metric_find(&metric, value->text);
    if (status != TKP_OK)
        return tkp__fail_prefix(
            status, "%s:%d:%d", r->card->tree.source, value->line,
            value->column);
    r->card->metric.kind = metric.kind;
    r->card->metric_name = value->text;
    if (!ruled)
        memcpy(
            r->card->metric.box.parsers, metric.box.parsers,
            sizeof(metric.box.parsers));
    return TKP_OK;
}

static tkp_status read_parsers(const reader *r, const key *k, const node *value)
{
    tkp__eval_box_rule *rule = &r->card->metric.box;
    int32_t n = 0;
    if (value->kind != TKP__YAML_LIST || value->count < 1 ||
        value->count > TKP__EVAL_BOX_MOST_PARSERS)
        return fail_at(
            r, value, "%s is '%s', wanted a list of 1 to %d", k->name,
            met(value).text, TKP__EVAL_BOX_MOST_PARSERS);
    memset(rule->parsers, 0, sizeof(rule->parsers));
    for (const node *v = child(r, value); v; v = after(r, v))
        TKP__TRY(read_word(r, v, "a parser", parsers, &rule->parsers[n++]));
    return TKP_OK;
}

static tkp_status read_scale(const reader *r, const key *k, const node *value)
{
    return read_word(r, value, k->name, scales, &r->card->metric.box.scale);
}

static tkp_status read_space(const reader *r, const key *k, const node *value)
{
    int32_t padded;
    TKP__TRY(read_word(r, value, k->name, spaces, &padded));
    r->card->metric.box.padded = padded;
    return TKP_OK;
}

static const key metric_keys[] = {
    {"name", read_metric_name, 0},
    {"parsers", read_parsers, 0},
    {"scale", read_scale, 0},
    {"space", read_space, 0},
    {"raw", read_flag, offsetof(tkp__eval_card, metric.box.raw)},
    {NULL, NULL, 0}};

static tkp_status read_metric(const reader *r, const key *k, const node *value)
{
    if (value->kind == TKP__YAML_MAP)
        return read_section(r, value, k->name, metric_keys);
    return read_metric_name(r, k, value);
}

/* --- files, fields, prompts ----------------------------------------------------------- */

static tkp_status read_prompt(const reader *r, const key *k, const node *value)
{
    tkp__eval_card *card = r->card;
    const reader inner = {card, k->name};
    if (value->kind != TKP__YAML_MAP ||
        value->count > 2 * TKP__EVAL_MOST_PROMPTS)
        return fail_at(
            r, value, "prompt is '%s', wanted a map of 1 to %d families",
            met(value).text, TKP__EVAL_MOST_PROMPTS);
    for (const node *n = child(r, value); n; n = after(r, after(r, n))) {
        const node *text = after(r, n);
        char *nothing;
        if (n->kind != TKP__YAML_SCALAR || text->kind != TKP__YAML_SCALAR)
            return fail_at(
                &inner, n, "a prompt is no text, wanted FAMILY: TEXT");
        TKP__TRY(check_once(&inner, value, n));
        const tkp_status status =
            tkp__eval_template(&nothing, text->text, NULL);
        if (status != TKP_OK)
            return tkp__fail_prefix(
                status, "%s:%d:%d: prompt", card->tree.source, text->line,
                text->column);
        tkp__free(nothing);
        card->prompts[card->n_prompts++] =
            (tkp__eval_prompt){n->text, text->text};
    }
    return TKP_OK;
}

#define AT(member_) offsetof(tkp__eval_card, member_)

static const key reader_keys[] = {
    {"tsv", read_text, AT(source.tsv)},
    {"json", read_text, AT(source.json)},
    {"path", read_text, AT(source.path)},
    {"columns", read_columns, AT(source_columns)},
    {"quotes", read_quotes, AT(source.plain)},
    {NULL, NULL, 0}};
static const key join_keys[] = {
    {"tsv", read_text, AT(join_source.tsv)},
    {"json", read_text, AT(join_source.json)},
    {"path", read_text, AT(join_source.path)},
    {"columns", read_columns, AT(join_columns)},
    {"quotes", read_quotes, AT(join_source.plain)},
    {"on", read_expr, AT(join_on)},
    {"key", read_expr, AT(join_key)},
    {NULL, NULL, 0}};
static const key map_keys[] = {
    {"id", read_expr, AT(id)},
    {"group", read_expr, AT(group)},
    {"split", read_expr, AT(split)},
    {"category", read_expr, AT(category)},
    {"question", read_expr, AT(question)},
    {"hint", read_expr, AT(hint)},
    {"rotation", read_expr, AT(rotation)},
    {"image", read_expr, AT(image)},
    {"images", read_expr, AT(images)},
    {"answers", read_expr, AT(answers)},
    {"options", read_expr, AT(options)},
    {"box", read_expr, AT(box)},
    {"width", read_expr, AT(width)},
    {"height", read_expr, AT(height)},
    {"images_only", read_flag, AT(images_only)},
    {"shuffle", read_flag, AT(shuffle)},
    {NULL, NULL, 0}};
static const key generate_keys[] = {
    {"max_new_tokens", read_count, AT(max_new_tokens)},
    {NULL, NULL, 0}};
static const key expect_keys[] = {
    {"questions", read_count, AT(expected)},
    {NULL, NULL, 0}};
#define FORM_KEYS(name_, form_)                                                \
    static const key name_[] = {                                               \
        {"id", read_expr, AT(form_.id)},                                       \
        {"text", read_expr, AT(form_.text)},                                   \
        {"columns", read_columns, AT(form_.columns)},                          \
        {"quotes", read_quotes, AT(form_.plain)},                              \
        {NULL, NULL, 0}}
FORM_KEYS(json_form_keys, from_json);
FORM_KEYS(tsv_form_keys, from_tsv);
FORM_KEYS(text_form_keys, from_text);

#define SECTION(function_, keys_)                                              \
    static tkp_status function_(                                               \
        const reader *r, const key *k, const node *value)                      \
    {                                                                          \
        return read_section(r, value, k->name, keys_);                         \
    }
SECTION(read_reader, reader_keys)
SECTION(read_join, join_keys)
SECTION(read_map, map_keys)
SECTION(read_generate, generate_keys)
SECTION(read_expect, expect_keys)
SECTION(read_json_form, json_form_keys)
SECTION(read_tsv_form, tsv_form_keys)
SECTION(read_text_form, text_form_keys)

static const key form_keys[] = {
    {"json", read_json_form, 0},
    {"tsv", read_tsv_form, 0},
    {"txt", read_text_form, 0},
    {NULL, NULL, 0}};
SECTION(read_forms, form_keys)

static const key card_keys[] = {
    {"name", read_text, AT(name)},
    {"about", read_text, AT(about)},
    {"reader", read_reader, 0},
    {"join", read_join, 0},
    {"map", read_map, 0},
    {"prompt", read_prompt, 0},
    {"generate", read_generate, 0},
    {"metric", read_metric, 0},
    {"expect", read_expect, 0},
    {"answers", read_forms, 0},
    {NULL, NULL, 0}};

/* --- whole cards ---------------------------------------------------------------------- */

static tkp_status check_source(
    const tkp__eval_card *card,
    const char *section,
    const tkp__eval_source *source)
{
    const char *name = card->tree.source;
    TKP__CHECK(
        !source->tsv != !source->json, TKP_ERR_FORMAT,
        "%s: %s has %s, wanted one of tsv and json", name, section,
        source->tsv ? "both tsv and json" : "neither tsv nor json");
    TKP__CHECK(
        source->tsv || (!source->columns && !source->plain), TKP_ERR_FORMAT,
        "%s: columns and quotes of %s go with tsv", name, section);
    TKP__CHECK(
        source->json || !source->path, TKP_ERR_FORMAT,
        "%s: path of %s goes with json", name, section);
    return TKP_OK;
}

static tkp_status check_card(tkp__eval_card *card)
{
    const struct {
        const char *text, *name;
    } wanted[] = {
        {card->name, "name"},
        {card->id, "map: id"},
        {card->question, "map: question"}};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        TKP__CHECK(
            wanted[i].text, TKP_ERR_FORMAT, "%s: there is no %s, wanted one",
            card->tree.source, wanted[i].name);
    TKP__CHECK(
        card->metric.kind, TKP_ERR_FORMAT, "%s: there is no metric, wanted one",
        card->tree.source);
    TKP__CHECK(
        card->n_prompts, TKP_ERR_FORMAT, "%s: there is no prompt, wanted one",
        card->tree.source);
    TKP__CHECK(
        !card->image || !card->images, TKP_ERR_FORMAT,
        "%s: map has image and images, wanted one of them", card->tree.source);
    if (card->source_columns[0])
        card->source.columns = card->source_columns;
    if (card->join_columns[0])
        card->join_source.columns = card->join_columns;
    TKP__TRY(check_source(card, "reader", &card->source));
    if (!card->join_on && !card->join_key && !card->join_source.tsv &&
        !card->join_source.json)
        return TKP_OK;
    TKP__CHECK(
        card->join_on && card->join_key, TKP_ERR_FORMAT,
        "%s: join lacks on or key, wanted both", card->tree.source);
    return check_source(card, "join", &card->join_source);
}

void tkp__eval_card_release(tkp__eval_card *card)
{
    tkp__yaml_release(&card->tree);
    tkp__free(card->source_name);
    tkp__free(card->text);
    *card = (tkp__eval_card){0};
}

tkp_status tkp__eval_card_parse(
    tkp__eval_card *out,
    const char *text,
    size_t bytes,
    const char *source)
{
    tkp__eval_card *card = tkp__zalloc(1, sizeof(*card));
    if (!card)
        return TKP_ERR_MEMORY;
    const reader r = {card, "the card"};
    tkp_status status = TKP_ERR_MEMORY;
    card->source_name = tkp__strdup(source);
    card->text = tkp__zalloc(bytes + 1, 1);
    if (card->text)
        memcpy(card->text, text, bytes);
    if (card->source_name && card->text)
        status = tkp__yaml_parse(&card->tree, text, bytes, card->source_name);
    if (status == TKP_OK)
        status =
            card->tree.count
                ? read_section(
                      &r, tkp__yaml_at(&card->tree, 0), r.section, card_keys)
                : tkp__fail(
                      TKP_ERR_FORMAT, "%s: nothing in it, wanted a card",
                      source);
    if (status == TKP_OK)
        status = check_card(card);
    if (status == TKP_OK) {
        *out = *card;
        if (out->source.columns)
            out->source.columns = out->source_columns;
        if (out->join_source.columns)
            out->join_source.columns = out->join_columns;
    } else {
        tkp__eval_card_release(card);
    }
    tkp__free(card);
    return status;
}

static tkp_status load_file(tkp__eval_card *out, const char *path)
{
    char text[TKP__YAML_MAX_BYTES + 1];
    FILE *file = fopen(path, "rb");
    TKP__CHECK(file, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    const size_t bytes = fread(text, 1, sizeof(text), file);
    const bool failed = ferror(file);
    fclose(file);
    TKP__CHECK(!failed, TKP_ERR_IO, "%s: %s", path, strerror(errno));
    TKP__CHECK(
        bytes <= TKP__YAML_MAX_BYTES, TKP_ERR_FORMAT,
        "%s: longer than %d bytes, wanted a card", path, TKP__YAML_MAX_BYTES);
    return tkp__eval_card_parse(out, text, bytes, path);
}

static const char *built_in_name(const void *unused, int32_t i)
{
    const char *name = NULL, *text;
    (void)unused;
    tkp__eval_card_at(i, &name, &text);
    return name;
}

tkp_status tkp__eval_card_load(tkp__eval_card *out, const char *name)
{
    const char *end = strrchr(name, '.');
    const char *built_in, *text;
    if (strchr(name, '/') ||
        (end && (!strcmp(end, ".yaml") || !strcmp(end, ".yml"))))
        return load_file(out, name);
    for (int32_t i = 0; tkp__eval_card_at(i, &built_in, &text); i++)
        if (strcmp(built_in, name) == 0)
            return tkp__eval_card_parse(out, text, strlen(text), name);
    const int32_t near = tkp__nearest(name, built_in_name, NULL);
    return tkp__fail(
        TKP_ERR_ARGUMENT,
        "there is no data card '%s'%s%s%s; see tokenprune data list, or give a "
        "file FOLDER/NAME.yaml",
        tkp__show(name).text, near >= 0 ? ", did you mean '" : "",
        near >= 0 ? built_in_name(NULL, near) : "", near >= 0 ? "'" : "");
}

const char *
tkp__eval_card_prompt(const tkp__eval_card *card, const char *family)
{
    for (int32_t i = 0; i < card->n_prompts; i++)
        if (strcmp(card->prompts[i].family, family) == 0)
            return card->prompts[i].text;
    return NULL;
}
