/*
 * YAML text -> option structs -> policy. The first step fills the structs a C
 * caller would fill in by hand; the second is tkp__policy_add_stage(), which
 * checks them as it checks a C caller's.
 */
#include "policy/schema.h"
#include "util/text.h"
#include "yaml/yaml_tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* A scorer, and what a blend is made of. */
typedef struct scorer_parts {
    tkp_scorer_options scorer;
    tkp_blend_term terms[TKP_BLEND_MAX_TERMS];
    tkp_scorer_options term_scorers[TKP_BLEND_MAX_TERMS];
} scorer_parts;

/* The structs of one stage; option pointers lead in here. */
typedef struct stage_parts {
    tkp_stage_options stage;
    scorer_parts scorers[1 + 2 + TKP_CHAIN_MAX_PARTS]; /* the stage's, the
                                                   selector's, its parts' */
    int32_t n_scorers;
    tkp_selector_options selector;
    tkp_merger_options merger;
    tkp_budget budget;
    int32_t term; /* of the last scorer; the one being read, -1 = none */
    tkp_chain_part chain[TKP_CHAIN_MAX_PARTS];
    tkp_selector_options part_selectors[TKP_CHAIN_MAX_PARTS];
    int32_t part; /* the one being read, -1 = none */
} stage_parts;

typedef struct reader {
    tkp__yaml_tree tree;
    stage_parts parts;
} reader;

typedef tkp__yaml_node node;

/* --- messages -------------------------------------------------------------- */

__attribute__((format(printf, 3, 4), cold)) static tkp_status
fail_at(const reader *r, const node *at, const char *format, ...)
{
    char text[768];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return tkp__fail(
        TKP_ERR_POLICY, "%s:%d:%d: %s", r->tree.source, at->line, at->column,
        text);
}

/* What stands at a node, for "met" in messages; quotes as they stand there. */
static tkp__shown met(const node *n)
{
    tkp__shown out;
    if (n->kind == TKP__YAML_MAP)
        return (tkp__shown){"a map"};
    if (n->kind == TKP__YAML_LIST)
        snprintf(out.text, sizeof(out.text), "a list of %d", n->count);
    else if (n->plain && !n->text[0])
        return (tkp__shown){"nothing"};
    else
        snprintf(
            out.text, sizeof(out.text), n->plain ? "'%.44s'" : "\"%.44s\"",
            tkp__show(n->text).text);
    return out;
}

typedef struct wanted {
    char text[400];
} wanted;

static void add_wanted(wanted *w, const char *word, const char *suffix)
{
    const size_t used = strlen(w->text);
    snprintf(
        w->text + used, sizeof(w->text) - used, "%s%s%s", used ? ", " : "",
        word, suffix);
}

static const char *word_name(const void *words, int32_t i)
{
    return ((const tkp__word *)words)[i].text;
}

static const char *key_name(const void *keys, int32_t i)
{
    return ((const tkp__key *)keys)[i].name;
}

/* ", did you mean 'x'", or ", wanted a, b, c" */
static wanted suggest(
    const char *text,
    const char *(*name)(const void *, int32_t),
    const void *list)
{
    wanted all = {""};
    wanted out;
    const int32_t near = tkp__nearest(text, name, list);
    for (int32_t i = 0; name(list, i); i++)
        add_wanted(&all, name(list, i), "");
    if (near >= 0)
        snprintf(
            out.text, sizeof(out.text), "did you mean '%s'", name(list, near));
    else
        snprintf(out.text, sizeof(out.text), "wanted %.380s", all.text);
    return out;
}

static tkp_status fail_value(
    const reader *r,
    const node *value,
    const tkp__key *key,
    const char *what)
{
    return fail_at(
        r, value, "%s is %s, wanted %s", key->name, met(value).text, what);
}

/* --- values ----------------------------------------------------------------- */

static bool is_text(const node *n)
{
    return n->kind == TKP__YAML_SCALAR;
}

/* Numbers and truth values stand without quotes. */
static bool is_plain(const node *n)
{
    return is_text(n) && n->plain;
}

static const tkp__word *find_word(const tkp__word *words, const node *value)
{
    for (; is_text(value) && words && words->text; words++)
        if (!strcmp(words->text, value->text))
            return words;
    return NULL;
}

static tkp_status
read_word(const reader *r, const node *value, const tkp__key *key, int32_t *out)
{
    const tkp__word *word = find_word(key->words, value);
    if (word) {
        *out = word->value;
        return TKP_OK;
    }
    const wanted hint =
        suggest(is_text(value) ? value->text : "", word_name, key->words);
    return fail_at(
        r, value, "%s is %s, %s", key->name, met(value).text, hint.text);
}

static tkp_status
read_bool(const reader *r, const node *value, const tkp__key *key, bool *out)
{
    const bool yes = is_plain(value) && !strcmp(value->text, "true");
    if (!yes && !(is_plain(value) && !strcmp(value->text, "false")))
        return fail_value(r, value, key, "true or false");
    *out = yes;
    return TKP_OK;
}

static tkp_status
read_i64(const reader *r, const node *value, const tkp__key *key, int64_t *out)
{
    if (is_plain(value) &&
        tkp__text_to_i64(
            value->text, strlen(value->text), key->low, key->high, out))
        return TKP_OK;
    wanted range;
    const char *word = key->words ? key->words[0].text : NULL;
    snprintf(
        range.text, sizeof(range.text), "a whole number from %lld to %lld%s%s",
        (long long)key->low, (long long)key->high, word ? ", or " : "",
        word ? word : "");
    return fail_value(r, value, key, range.text);
}

static tkp_status
read_i32(const reader *r, const node *value, const tkp__key *key, int32_t *out)
{
    int64_t wide;
    const tkp__word *word = find_word(key->words, value);
    if (word) {
        *out = word->value;
        return TKP_OK;
    }
    TKP__TRY(read_i64(r, value, key, &wide));
    *out = (int32_t)wide;
    return TKP_OK;
}

/* [a, b], or a word that stands for both. */
static tkp_status
read_pair(const reader *r, const node *value, const tkp__key *key, int32_t *out)
{
    const tkp__word *word = find_word(key->words, value);
    if (word) {
        out[0] = out[1] = word->value;
        return TKP_OK;
    }
    if (value->kind != TKP__YAML_LIST || value->count != 2)
        return fail_at(
            r, value, "%s is %s, wanted [rows, columns] or %s", key->name,
            met(value).text, key->words[0].text);
    const tkp__key side = {
        .name = key->name, .low = key->low, .high = key->high};
    const node *first = tkp__yaml_at(&r->tree, value->first);
    TKP__TRY(read_i32(r, first, &side, &out[0]));
    return read_i32(r, tkp__yaml_at(&r->tree, first->next), &side, &out[1]);
}

static tkp_status read_line(
    const reader *r,
    const node *value,
    const tkp__key *key,
    const char **out)
{
    const size_t bytes = is_text(value) ? strlen(value->text) : 0;
    if (!is_text(value) || bytes < (size_t)key->low ||
        bytes > (size_t)key->high || !tkp__text_is_line(value->text, bytes)) {
        wanted range;
        snprintf(
            range.text, sizeof(range.text),
            "one line of %lld to %lld bytes without control characters",
            (long long)key->low, (long long)key->high);
        return fail_value(r, value, key, range.text);
    }
    *out = value->text;
    return TKP_OK;
}

/* projector, llm:B, vision:B, vision-mlp:B, kv */
static tkp_status read_point(
    const reader *r,
    const node *value,
    const tkp__key *key,
    int32_t *out)
{
    const char *text = is_text(value) ? value->text : "";
    for (const tkp__word *w = tkp__point_words; w->text; w++) {
        const size_t n = strlen(w->text);
        int64_t boundary = 0;
        if (strncmp(text, w->text, n))
            continue;
        const bool counted = tkp__point_counted(w->value);
        if (counted &&
            !(text[n] == ':' &&
              tkp__text_to_i64(
                  text + n + 1, strlen(text + n + 1), 0, 65536, &boundary)))
            continue;
        if (!counted && text[n])
            continue;
        out[0] = w->value;
        out[1] = (int32_t)boundary;
        return TKP_OK;
    }
    return fail_value(
        r, value, key,
        "projector, llm:B, vision:B, vision-mlp:B or kv, with B from 0 to "
        "65536");
}

static tkp_status
read_value(const reader *r, const node *value, const tkp__key *key, void *field)
{
    bool truth = false;
    switch (key->type) {
    case TKP__KEY_WORD:
        return read_word(r, value, key, field);
    case TKP__KEY_BOOL:
        TKP__TRY(read_bool(r, value, key, &truth));
        *(int32_t *)field = truth;
        return TKP_OK;
    case TKP__KEY_FLAG:
        TKP__TRY(read_bool(r, value, key, &truth));
        if (truth)
            *(uint32_t *)field |= key->bit;
        return TKP_OK;
    case TKP__KEY_I32:
        return read_i32(r, value, key, field);
    case TKP__KEY_I64:
        return read_i64(r, value, key, field);
    case TKP__KEY_SEED:
        if (is_plain(value) && tkp__text_to_u64(value->text, field))
            return TKP_OK;
        return fail_value(r, value, key, "a whole number below 2^64");
    case TKP__KEY_DECIMAL:
        if (is_plain(value) && tkp__text_to_f32(value->text, field))
            return TKP_OK;
        return fail_value(r, value, key, "a decimal number such as 0.5");
    case TKP__KEY_RATIO:
        if (is_plain(value) &&
            tkp__text_to_ratio(value->text, field, (int64_t *)field + 1))
            return TKP_OK;
        return fail_value(r, value, key, "a ratio such as 1/4 or 0.25");
    case TKP__KEY_PAIR:
        return read_pair(r, value, key, field);
    case TKP__KEY_LINE:
        return read_line(r, value, key, field);
    case TKP__KEY_TRUE:
        TKP__TRY(read_bool(r, value, key, &truth));
        return truth ? TKP_OK : fail_value(r, value, key, "true");
    default:
        return read_point(r, value, key, field);
    }
}

/* --- sections ----------------------------------------------------------------- */

static const node *child(const reader *r, const node *n)
{
    return tkp__yaml_at(&r->tree, n->first);
}

static const node *after(const reader *r, const node *n)
{
    return tkp__yaml_at(&r->tree, n->next);
}

/* The value of a key in a map; NULL = not there. */
static const node *
value_of(const reader *r, const node *map, const tkp__key *key)
{
    for (const node *k = child(r, map); k; k = after(r, after(r, k)))
        if (!strcmp(k->text, key->name))
            return after(r, k);
    return NULL;
}

static const tkp__key *
find_key(const tkp__section *section, const char *name, int32_t *number)
{
    *number = 0;
    for (const tkp__key *key = section->keys; key->name; key++, ++*number)
        if (!strcmp(key->name, name))
            return key;
    return NULL;
}

/* Every key is known and stands there once. */
static tkp_status
check_keys(const reader *r, const node *map, const tkp__section *section)
{
    bool seen[128] = {false}; /* more than any section has keys */
    for (const node *k = child(r, map); k; k = after(r, after(r, k))) {
        int32_t number;
        if (!is_text(k))
            return fail_at(
                r, k, "a key of %s is %s, wanted a name", section->name,
                met(k).text);
        if (!find_key(section, k->text, &number)) {
            const wanted hint = suggest(k->text, key_name, section->keys);
            return fail_at(
                r, k, "unknown key %s in %s, %s", met(k).text, section->name,
                hint.text);
        }
        if (seen[number])
            return fail_at(
                r, k, "key '%s' stands twice in %s, wanted it once", k->text,
                section->name);
        seen[number] = true;
    }
    return TKP_OK;
}

/* The kind of a section that follows from which of its keys is there. */
static tkp_status kind_by_keys(
    const reader *r,
    const node *map,
    const tkp__section *section,
    int32_t *kind)
{
    const tkp__key *giver = NULL;
    wanted all = {""};
    for (const tkp__key *key = section->keys; key->name; key++)
        if (key->gives >= 0)
            add_wanted(&all, key->name, "");
    for (const node *k = child(r, map); k; k = after(r, after(r, k))) {
        int32_t number;
        const tkp__key *key = find_key(section, k->text, &number);
        if (key->gives < 0)
            continue;
        if (giver)
            return fail_at(
                r, k, "%s has both '%s' and '%s', wanted one of %s",
                section->name, giver->name, key->name, all.text);
        giver = key;
    }
    if (!giver && section->kind_or_none) {
        *kind = 0;
        return TKP_OK;
    }
    if (!giver)
        return fail_at(
            r, map, "%s says no amount, wanted one of %s", section->name,
            all.text);
    *kind = giver->gives;
    return TKP_OK;
}

static tkp_status read_kind(
    const reader *r,
    const node *map,
    const tkp__section *section,
    int32_t *kind)
{
    if (section->kind_by_keys)
        return kind_by_keys(r, map, section, kind);
    const tkp__key *key = section->keys; /* kind is the first */
    const node *value = value_of(r, map, key);
    if (value)
        return read_word(r, value, key, kind);
    wanted all = {""};
    for (const tkp__word *word = key->words; word->text; word++)
        add_wanted(&all, word->text, "");
    return fail_at(
        r, map, "%s has no kind, wanted one of %s", section->name, all.text);
}

/* How messages name the kind a key does not go with. */
static const char *kind_name(const tkp__section *section, int32_t kind)
{
    if (!section->kind_by_keys)
        return tkp__word_of(section->keys[0].words, kind);
    for (const tkp__key *key = section->keys; key->name; key++)
        if (key->gives == kind)
            return key->name;
    return "";
}

static tkp_status read_section(
    reader *r,
    const node *at,
    const tkp__section *section,
    void *options);

static scorer_parts *last_scorer(stage_parts *parts)
{
    return &parts->scorers[parts->n_scorers - 1];
}

static void *part_of(stage_parts *parts, int32_t part)
{
    switch (part) {
    case TKP__PART_SCORER:
        return parts->term < 0 ? &parts->scorers[parts->n_scorers++].scorer
                               : &last_scorer(parts)->term_scorers[parts->term];
    case TKP__PART_SELECTOR:
        return parts->part < 0 ? &parts->selector
                               : &parts->part_selectors[parts->part];
    case TKP__PART_MERGER:
        return &parts->merger;
    default:
        return &parts->budget;
    }
}

static tkp_status
read_part(reader *r, const node *value, const tkp__key *key, void *field)
{
    void *options = part_of(&r->parts, key->part);
    TKP__TRY(read_section(r, value, tkp__part_section(key->part), options));
    *(void **)field = options;
    return TKP_OK;
}

static tkp_status read_terms(
    reader *r,
    const node *list,
    const tkp__key *key,
    tkp_scorer_options *scorer)
{
    if (r->parts.term >= 0)
        return fail_at(
            r, list, "a blend inside a blend, wanted terms of other kinds");
    if (list->kind != TKP__YAML_LIST || list->count < 1 ||
        list->count > key->high)
        return fail_at(
            r, list, "terms is %s, wanted a list of 1 to %d", met(list).text,
            (int)key->high);
    tkp_blend_term *terms = last_scorer(&r->parts)->terms;
    const node *item = child(r, list);
    for (int32_t t = 0; t < list->count; t++, item = after(r, item)) {
        r->parts.term = t;
        TKP__TRY(read_section(r, item, &tkp__section_term, &terms[t]));
    }
    r->parts.term = -1;
    scorer->n_terms = list->count;
    scorer->terms = terms;
    return TKP_OK;
}

static tkp_status read_chain(
    reader *r,
    const node *list,
    const tkp__key *key,
    tkp_selector_options *selector)
{
    if (r->parts.part >= 0)
        return fail_at(
            r, list, "a chain inside a chain, wanted parts of other kinds");
    if (list->kind != TKP__YAML_LIST || list->count < 1 ||
        list->count > key->high)
        return fail_at(
            r, list, "parts is %s, wanted a list of 1 to %d", met(list).text,
            (int)key->high);
    const node *item = child(r, list);
    for (int32_t p = 0; p < list->count; p++, item = after(r, item)) {
        r->parts.part = p;
        TKP__TRY(read_section(r, item, &tkp__section_part, &r->parts.chain[p]));
    }
    r->parts.part = -1;
    selector->n_parts = list->count;
    selector->parts = r->parts.chain;
    return TKP_OK;
}

/* All keys but the kind. */
static tkp_status read_keys(
    reader *r,
    const node *map,
    const tkp__section *section,
    int32_t kind,
    void *options)
{
    for (const node *k = child(r, map); k; k = after(r, after(r, k))) {
        int32_t number;
        const tkp__key *key = find_key(section, k->text, &number);
        const node *value = after(r, k);
        void *field = (char *)options + key->offset;
        if (!tkp__key_applies(key, kind))
            return fail_at(
                r, k, "key '%s' means nothing in a %s of kind %s", key->name,
                section->name, kind_name(section, kind));
        if (key->type == TKP__KEY_PART)
            TKP__TRY(read_part(r, value, key, field));
        else if (key->type == TKP__KEY_TERMS)
            TKP__TRY(read_terms(r, value, key, options));
        else if (key->type == TKP__KEY_PARTS)
            TKP__TRY(read_chain(r, value, key, options));
        else if (key->type != TKP__KEY_STAGES)
            TKP__TRY(read_value(r, value, key, field));
    }
    return TKP_OK;
}

/* The key that names the kind, which was read before all others. */
static bool is_kind(const tkp__section *section, const tkp__key *key)
{
    return section->kind_at >= 0 && !section->kind_by_keys &&
           key == section->keys;
}

static tkp_status check_required(
    const reader *r,
    const node *map,
    const tkp__section *section,
    int32_t kind)
{
    for (const tkp__key *key = section->keys; key->name; key++)
        if (key->required && tkp__key_applies(key, kind) &&
            !is_kind(section, key) && !value_of(r, map, key))
            return fail_at(
                r, map, "%s has no '%s', wanted one", section->name, key->name);
    return TKP_OK;
}

/* A word alone stands for the kind of that name: "merger: none". */
static tkp_status read_short(
    const reader *r,
    const node *at,
    const tkp__section *section,
    int32_t *kind)
{
    tkp__key alone = section->keys[0];
    alone.name = section->name;
    if (section->kind_by_keys) {
        static const tkp__word all[] = {{"all", TKP_BUDGET_ALL}, {NULL, 0}};
        if (find_word(all, at))
            return TKP_OK;
        return fail_value(r, at, &alone, "all, or a map such as {count: 144}");
    }
    return read_word(r, at, &alone, kind);
}

static tkp_status read_section(
    reader *r,
    const node *at,
    const tkp__section *section,
    void *options)
{
    int32_t kind = 0;
    memset(options, 0, section->bytes);
    if (section->sized)
        *(uint32_t *)options = (uint32_t)section->bytes;
    if (section->kind_at >= 0 && is_text(at) && !section->kind_or_none) {
        TKP__TRY(read_short(r, at, section, &kind));
        memcpy((char *)options + section->kind_at, &kind, sizeof(kind));
        const node bare = {.first = -1, .line = at->line, .column = at->column};
        return check_required(r, &bare, section, kind);
    }
    if (at->kind != TKP__YAML_MAP)
        return fail_at(
            r, at, "%s is %s, wanted a map of keys", section->name,
            met(at).text);
    TKP__TRY(check_keys(r, at, section));
    if (section->kind_at >= 0) {
        TKP__TRY(read_kind(r, at, section, &kind));
        memcpy((char *)options + section->kind_at, &kind, sizeof(kind));
    }
    TKP__TRY(check_required(r, at, section, kind));
    return read_keys(r, at, section, kind, options);
}
/* --- policies ------------------------------------------------------------------ */

/* "tokenprune: 1" comes first: what follows is read by its rules. */
static tkp_status check_version(const reader *r, const node *root)
{
    const node *first = child(r, root);
    if (!first || !is_text(first) || strcmp(first->text, "tokenprune") != 0)
        return fail_at(
            r, first ? first : root,
            "the first key is %s, wanted 'tokenprune: %d'",
            first ? met(first).text : "missing", TKP__POLICY_VERSION);
    const node *value = after(r, first);
    int32_t version;
    TKP__TRY(read_i32(r, value, tkp__section_policy.keys, &version));
    TKP__CHECK(
        version == TKP__POLICY_VERSION, TKP_ERR_VERSION,
        "%s:%d:%d: tokenprune is %d, wanted %d, which is what this library "
        "knows",
        r->tree.source, value->line, value->column, version,
        TKP__POLICY_VERSION);
    return TKP_OK;
}

static bool has_custom_scorer(const stage_parts *parts)
{
    bool custom = false;
    for (int32_t i = 0; i < parts->n_scorers; i++) {
        const scorer_parts *s = &parts->scorers[i];
        custom |= s->scorer.kind == TKP_SCORER_CUSTOM;
        for (int32_t t = 0; t < s->scorer.n_terms; t++)
            custom |= s->term_scorers[t].kind == TKP_SCORER_CUSTOM;
    }
    return custom;
}

static tkp_status read_stage(reader *r, const node *at, tkp_policy *policy)
{
    stage_parts *parts = &r->parts;
    *parts = (stage_parts){.term = -1, .part = -1};
    TKP__TRY(read_section(r, at, &tkp__section_stage, &parts->stage));
    const node *score_layer = NULL;
    for (const node *k = child(r, at); k; k = after(r, after(r, k)))
        if (!strcmp(k->text, "score_layer"))
            score_layer = k;
    if (!score_layer)
        parts->stage.score_layer = -1;
    const tkp_status status = tkp__policy_add_stage(policy, &parts->stage);
    if (status != TKP_OK)
        return tkp__fail_prefix(
            status == TKP_ERR_OPTION ? TKP_ERR_POLICY : status, "%s:%d:%d",
            r->tree.source, at->line, at->column);
    const tkp__stage *stage = policy->stages[policy->n_stages - 1];
    if (score_layer && stage->score_layer < 0 && !has_custom_scorer(parts))
        return fail_at(
            r, score_layer,
            "key 'score_layer' means nothing in a stage that reads no "
            "attention");
    return TKP_OK;
}

static tkp_status read_stages(reader *r, const node *list, tkp_policy *policy)
{
    if (list->kind != TKP__YAML_LIST || list->count > TKP_POLICY_MAX_STAGES)
        return fail_at(
            r, list, "stages is %s, wanted a list of at most %d",
            met(list).text, TKP_POLICY_MAX_STAGES);
    for (const node *at = child(r, list); at; at = after(r, at))
        TKP__TRY(read_stage(r, at, policy));
    return TKP_OK;
}

static tkp_status read_policy(reader *r, tkp_policy **out)
{
    tkp__document document;
    const node *root = tkp__yaml_at(&r->tree, r->tree.count ? 0 : -1);
    TKP__CHECK(
        root, TKP_ERR_POLICY, "%s:1:1: text is empty, wanted 'tokenprune: %d'",
        r->tree.source, TKP__POLICY_VERSION);
    if (root->kind == TKP__YAML_MAP)
        TKP__TRY(check_version(r, root));
    TKP__TRY(read_section(r, root, &tkp__section_policy, &document));
    tkp_policy *policy;
    TKP__TRY(tkp__policy_new(&policy, document.name));
    if (document.summary)
        strcpy(policy->summary, document.summary);
    if (document.source)
        strcpy(policy->source, document.source);
    const node *stages = child(r, root);
    while (strcmp(stages->text, "stages") != 0)
        stages = after(r, after(r, stages));
    const tkp_status status = read_stages(r, after(r, stages), policy);
    if (status != TKP_OK)
        tkp__policy_release(policy);
    else
        *out = policy;
    return status;
}

tkp_status tkp__policy_from_yaml(
    tkp_policy **out,
    const char *text,
    size_t bytes,
    const char *source_name)
{
    reader r;
    TKP__TRY(tkp__yaml_parse(&r.tree, text, bytes, source_name));
    const tkp_status status = read_policy(&r, out);
    tkp__yaml_release(&r.tree);
    return status;
}

/* --- files ------------------------------------------------------------------------ */

static tkp_status
read_all(FILE *file, const char *path, char *text, size_t *bytes)
{
    /* One byte more than is allowed tells a file that is too long. */
    *bytes = fread(text, 1, TKP__YAML_MAX_BYTES + 1, file);
    TKP__CHECK(
        !ferror(file), TKP_ERR_IO, "%s: cannot be read: %s", path,
        strerror(errno));
    TKP__CHECK(
        *bytes <= TKP__YAML_MAX_BYTES, TKP_ERR_POLICY,
        "%s:1:1: file is longer than %d bytes, wanted a policy", path,
        TKP__YAML_MAX_BYTES);
    return TKP_OK;
}

tkp_status tkp__policy_from_file(tkp_policy **out, const char *path)
{
    size_t bytes = 0;
    FILE *file = fopen(path, "rb");
    TKP__CHECK(
        file, TKP_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    char *text = tkp__alloc(1, TKP__YAML_MAX_BYTES + 1);
    tkp_status status =
        text ? read_all(file, path, text, &bytes) : TKP_ERR_MEMORY;
    fclose(file);
    if (status == TKP_OK)
        status = tkp__policy_from_yaml(out, text, bytes, path);
    tkp__free(text);
    return status;
}
