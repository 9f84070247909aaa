/* A policy as YAML, every default written out. */
#include "policy/schema.h"
#include "util/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct writer {
    char *text;
    size_t capacity;
    size_t length; /* bytes wanted so far, whatever fitted */
} writer;

static void put_bytes(writer *w, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++, w->length++)
        if (w->length + 1 < w->capacity)
            w->text[w->length] = bytes[i];
}

__attribute__((format(printf, 2, 3))) static void
put(writer *w, const char *format, ...)
{
    char piece[160];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(piece, sizeof(piece), format, args);
    va_end(args);
    if (n > 0)
        put_bytes(w, piece, strlen(piece));
}

/* --- values ----------------------------------------------------------------- */

/* Texts that no YAML reader takes for something else stand without quotes. */
static bool is_bare(const char *line)
{
    static const char *const taken[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (!strcmp(line, taken[i]))
            return false;
    if (line[0] < 'a' || line[0] > 'z')
        return false;
    return line[strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

static void put_line(writer *w, const char *line)
{
    if (is_bare(line)) {
        put_bytes(w, line, strlen(line));
        return;
    }
    put(w, "\"");
    for (; *line; line++) {
        if (*line == '"' || *line == '\\')
            put(w, "\\");
        put_bytes(w, line, 1);
    }
    put(w, "\"");
}

static void put_ratio(writer *w, const int64_t *ratio)
{
    put(w, "%" PRId64, ratio[0]);
    if (ratio[1] != 1)
        put(w, "/%" PRId64, ratio[1]);
}

static void put_pair(writer *w, const tkp__key *key, const int32_t *pair)
{
    const char *word = tkp__word_of(key->words, pair[0]);
    if (word)
        put(w, "%s", word);
    else
        put(w, "[%" PRId32 ", %" PRId32 "]", pair[0], pair[1]);
}

static void put_point(writer *w, const int32_t *point)
{
    put(w, "%s", tkp__word_of(tkp__point_words, point[0]));
    if (tkp__point_counted(point[0]))
        put(w, ":%" PRId32, point[1]);
}

static void put_int(writer *w, const tkp__key *key, int32_t value)
{
    const char *word = tkp__word_of(key->words, value);
    if (word)
        put(w, "%s", word);
    else
        put(w, "%" PRId32, value);
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* A value that stands on its key's line; false for those that are blocks. */
static bool put_value(writer *w, const tkp__key *key, const void *field)
{
    char decimal[32];
    switch (key->type) {
    case TKP__KEY_WORD:
    case TKP__KEY_I32:
        put_int(w, key, *(const int32_t *)field);
        return true;
    case TKP__KEY_BOOL:
        put(w, "%s", truth(*(const int32_t *)field));
        return true;
    case TKP__KEY_FLAG:
        put(w, "%s", truth(*(const uint32_t *)field & key->bit));
        return true;
    case TKP__KEY_I64:
        put(w, "%" PRId64, *(const int64_t *)field);
        return true;
    case TKP__KEY_SEED:
        put(w, "%" PRIu64, *(const uint64_t *)field);
        return true;
    case TKP__KEY_DECIMAL:
        tkp__f32_to_text(*(const float *)field, decimal);
        put(w, "%s", decimal);
        return true;
    case TKP__KEY_RATIO:
        put_ratio(w, field);
        return true;
    case TKP__KEY_PAIR:
        put_pair(w, key, field);
        return true;
    case TKP__KEY_LINE:
        put_line(w, *(const char *const *)field);
        return true;
    case TKP__KEY_TRUE:
        put(w, "true");
        return true;
    case TKP__KEY_POINT:
        put_point(w, field);
        return true;
    default:
        return false;
    }
}

/* --- sections ---------------------------------------------------------------- */

static int32_t kind_of(const tkp__section *section, const void *options)
{
    if (section->kind_at < 0)
        return 0;
    return *(const int32_t *)((const char *)options + section->kind_at);
}

static void put_block(
    writer *w,
    const tkp__section *section,
    const void *options,
    int32_t indent);

/* A part that is not there: a selector's own scorer. */
static bool is_absent(const tkp__key *key, const void *field)
{
    return key->type == TKP__KEY_PART && !*(const void *const *)field;
}

/* "{kind: topk, order: highest}" */
static void
put_flow(writer *w, const tkp__section *section, const void *options)
{
    const int32_t kind = kind_of(section, options);
    const char *comma = "";
    put(w, "{");
    for (const tkp__key *key = section->keys; key->name; key++) {
        if (!tkp__key_applies(key, kind) ||
            is_absent(key, (const char *)options + key->offset))
            continue;
        const void *field = (const char *)options + key->offset;
        put(w, "%s%s: ", comma, key->name);
        if (key->type == TKP__KEY_PART)
            put_flow(
                w, tkp__part_section(key->part), *(const void *const *)field);
        else
            put_value(w, key, field);
        comma = ", ";
    }
    put(w, "}");
}

static void
put_terms(writer *w, const tkp_scorer_options *scorer, int32_t indent)
{
    for (int32_t t = 0; t < scorer->n_terms; t++) {
        put(w, "\n%*s- ", indent, "");
        put_block(w, &tkp__section_term, &scorer->terms[t], indent + 2);
    }
}

static void
put_chain(writer *w, const tkp_selector_options *selector, int32_t indent)
{
    for (int32_t p = 0; p < selector->n_parts; p++) {
        put(w, "\n%*s- ", indent, "");
        put_block(w, &tkp__section_part, &selector->parts[p], indent + 2);
    }
}

/* Sections that hold a list or a part do not fit on a line. */
static bool is_long(const tkp__section *section, const void *options)
{
    const int32_t kind = kind_of(section, options);
    if (section == &tkp__section_selector)
        return kind == TKP_SELECTOR_CHAIN ||
               ((const tkp_selector_options *)options)->scorer;
    return section == &tkp__section_scorer && kind == TKP_SCORER_BLEND;
}

static void
put_part(writer *w, const tkp__key *key, const void *field, int32_t indent)
{
    const tkp__section *section = tkp__part_section(key->part);
    const void *options = *(const void *const *)field;
    if (is_long(section, options)) {
        put(w, "\n%*s", indent + 2, "");
        put_block(w, section, options, indent + 2);
        return;
    }
    put(w, " ");
    put_flow(w, section, options);
}

/* One key a line; the first where the writer stands, the others indented. */
static void put_block(
    writer *w,
    const tkp__section *section,
    const void *options,
    int32_t indent)
{
    const int32_t kind = kind_of(section, options);
    bool first = true;
    for (const tkp__key *key = section->keys; key->name; key++) {
        const void *field = (const char *)options + key->offset;
        const bool unset = section == &tkp__section_stage &&
                           key->type == TKP__KEY_I32 &&
                           *(const int32_t *)field < key->low;
        if (!tkp__key_applies(key, kind) || unset || is_absent(key, field))
            continue;
        if (!first)
            put(w, "\n%*s", indent, "");
        first = false;
        put(w, "%s:", key->name);
        if (key->type == TKP__KEY_PART) {
            put_part(w, key, field, indent);
        } else if (key->type == TKP__KEY_TERMS) {
            put_terms(w, options, indent + 2);
        } else if (key->type == TKP__KEY_PARTS) {
            put_chain(w, options, indent + 2);
        } else {
            put(w, " ");
            put_value(w, key, field);
        }
    }
}

static void put_policy(writer *w, const tkp_policy *policy)
{
    put(w, "tokenprune: %d\nname: ", TKP__POLICY_VERSION);
    put_line(w, policy->name);
    if (policy->summary[0]) {
        put(w, "\nsummary: ");
        put_line(w, policy->summary);
    }
    if (policy->source[0]) {
        put(w, "\nsource: ");
        put_line(w, policy->source);
    }
    put(w, "\nstages:%s", policy->n_stages ? "" : " []");
    for (int32_t i = 0; i < policy->n_stages; i++) {
        tkp_stage_options stage;
        tkp__stage_view(policy->stages[i], &stage);
        put(w, "\n  - ");
        put_block(w, &tkp__section_stage, &stage, 4);
    }
    put(w, "\n");
}

size_t
tkp__policy_to_yaml(const tkp_policy *policy, char *text, size_t capacity)
{
    writer w = {text, text ? capacity : 0, 0};
    put_policy(&w, policy);
    if (w.capacity)
        w.text[w.length < w.capacity ? w.length : w.capacity - 1] = '\0';
    return w.length;
}
