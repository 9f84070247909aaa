/*
 * Policies as text, seen from outside: every key and word, every preset,
 * round trips, and texts that are wrong or hostile.
 *
 *   TKP_TEST_CASE=at_word   only this file of tests/golden/policies/bad
 */

#include <check.h>
#include <dirent.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_allocator.h"
#include "tokenprune.h"

#define HEAD "tokenprune: 1\nname: test\n"
#define STAGE                                                                  \
    HEAD "stages:\n"                                                           \
         "  - at: llm:2\n"
#define ATTENTION "    scorer: {kind: attention}\n"
#define TOPK      "    selector: {kind: topk}\n"
#define QUARTER   "    budget: {ratio: 1/4}\n"

static tkp_policy *load(const char *text)
{
    tkp_policy *policy = NULL;
    const tkp_status status =
        tkp_policy_load_text(&policy, text, strlen(text), "text");
    ck_assert_msg(status == TKP_OK, "%s\n---\n%s", tkp_last_message(), text);
    return policy;
}

static void refuse(const char *text, tkp_status status, const char *message)
{
    tkp_policy *const untouched = (tkp_policy *)&status;
    tkp_policy *policy = untouched;
    const tkp_status met =
        tkp_policy_load_text(&policy, text, strlen(text), "text");
    ck_assert_str_eq(tkp_last_message(), message);
    ck_assert_int_eq(met, status);
    ck_assert_ptr_eq(policy, untouched);
}

static tkp_stage_options stage_of(const tkp_policy *policy, int32_t i)
{
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    ck_assert_int_eq(tkp_policy_get_stage(policy, i, &stage), TKP_OK);
    return stage;
}

/* The caller frees it. */
static char *print(const tkp_policy *policy)
{
    const size_t bytes = tkp_policy_to_yaml(policy, NULL, 0);
    char *text = malloc(bytes + 1);
    ck_assert_uint_eq(tkp_policy_to_yaml(policy, text, bytes + 1), bytes);
    ck_assert_uint_eq(strlen(text), bytes);
    return text;
}

/* --- comparing -------------------------------------------------------------- */

static void same_text(const char *a, const char *b)
{
    ck_assert_int_eq(!a, !b);
    if (a)
        ck_assert_str_eq(a, b);
}

static void
same_scorer(const tkp_scorer_options *a, const tkp_scorer_options *b)
{
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_uint_eq(a->flags, b->flags);
    ck_assert_int_eq(a->query, b->query);
    ck_assert_int_eq(a->row_reduce, b->row_reduce);
    ck_assert_int_eq(a->norm, b->norm);
    ck_assert_int_eq(a->reference, b->reference);
    ck_assert_int_eq(a->feature, b->feature);
    ck_assert(a->norm_eps == b->norm_eps);
    same_text(a->custom, b->custom);
    ck_assert_int_eq(a->n_terms, b->n_terms);
    for (int32_t t = 0; t < a->n_terms; t++) {
        ck_assert(a->terms[t].weight == b->terms[t].weight);
        ck_assert_int_eq(a->terms[t].normalise, b->terms[t].normalise);
        ck_assert_int_eq(a->terms[t].complement, b->terms[t].complement);
        same_scorer(a->terms[t].scorer, b->terms[t].scorer);
    }
}

/* Compared, and taken out. */
static void same_own_scorer(tkp_selector_options *a, tkp_selector_options *b)
{
    ck_assert(!a->scorer == !b->scorer);
    if (a->scorer)
        same_scorer(a->scorer, b->scorer);
    a->scorer = b->scorer = NULL;
}

static void same_stage(const tkp_stage_options *a, const tkp_stage_options *b)
{
    ck_assert_int_eq(a->point, b->point);
    ck_assert_int_eq(a->boundary, b->boundary);
    ck_assert_int_eq(a->score_layer, b->score_layer);
    ck_assert_int_eq(a->positions, b->positions);
    ck_assert_int_eq(a->effect, b->effect);
    ck_assert_int_eq(a->order, b->order);
    ck_assert_int_eq(a->kv_begin, b->kv_begin);
    ck_assert_int_eq(a->kv_end, b->kv_end);
    same_scorer(a->scorer, b->scorer);
    tkp_selector_options sa = *a->selector;
    tkp_selector_options sb = *b->selector;
    same_text(sa.custom, sb.custom);
    sa.custom = sb.custom = NULL;
    ck_assert_int_eq(sa.n_parts, sb.n_parts);
    for (int32_t p = 0; p < sa.n_parts; p++) {
        tkp_chain_part pa = sa.parts[p];
        tkp_chain_part pb = sb.parts[p];
        tkp_selector_options own_a = *pa.selector;
        tkp_selector_options own_b = *pb.selector;
        same_own_scorer(&own_a, &own_b);
        ck_assert_mem_eq(&own_a, &own_b, sizeof(own_a));
        pa.selector = pb.selector = NULL;
        ck_assert_mem_eq(&pa, &pb, sizeof(pa));
    }
    sa.parts = sb.parts = NULL;
    ck_assert(!sa.weigh == !sb.weigh);
    if (sa.weigh)
        same_scorer(sa.weigh, sb.weigh);
    sa.weigh = sb.weigh = NULL;
    same_own_scorer(&sa, &sb);
    ck_assert_mem_eq(&sa, &sb, sizeof(sa));
    tkp_merger_options ma = *a->merger;
    tkp_merger_options mb = *b->merger;
    same_text(ma.custom, mb.custom);
    ma.custom = mb.custom = NULL;
    ck_assert_mem_eq(&ma, &mb, sizeof(ma));
    ck_assert_mem_eq(a->budget, b->budget, sizeof(*a->budget));
}

static void same_policy(const tkp_policy *a, const tkp_policy *b)
{
    ck_assert_str_eq(tkp_policy_name(a), tkp_policy_name(b));
    ck_assert_int_eq(tkp_policy_stage_count(a), tkp_policy_stage_count(b));
    for (int32_t i = 0; i < tkp_policy_stage_count(a); i++) {
        const tkp_stage_options sa = stage_of(a, i);
        const tkp_stage_options sb = stage_of(b, i);
        same_stage(&sa, &sb);
    }
}

/* load, print, load: the same policy and the same text. */
static void round_trip(const tkp_policy *policy)
{
    char *first = print(policy);
    tkp_policy *again = load(first);
    same_policy(policy, again);
    char *second = print(again);
    ck_assert_str_eq(first, second);
    free(first);
    free(second);
    tkp_policy_destroy(again);
}

/* --- keys -------------------------------------------------------------------- */

START_TEST(load_text__only_what_is_required__defaults_filled_in)
{
    tkp_policy *policy = load(STAGE);
    const tkp_stage_options s = stage_of(policy, 0);
    ck_assert_int_eq(s.point, TKP_POINT_LLM);
    ck_assert_int_eq(s.boundary, 2);
    ck_assert_int_eq(s.score_layer, -1);
    ck_assert_int_eq(s.positions, TKP_POSITIONS_KEEP);
    ck_assert_int_eq(s.scorer->kind, TKP_SCORER_NONE);
    ck_assert_int_eq(s.selector->kind, TKP_SELECTOR_ALL);
    ck_assert_int_eq(s.merger->kind, TKP_MERGER_NONE);
    ck_assert_int_eq(s.budget->kind, TKP_BUDGET_ALL);
    round_trip(policy);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(load_text__attention__defaults_filled_in)
{
    tkp_policy *policy = load(STAGE ATTENTION TOPK QUARTER);
    const tkp_stage_options s = stage_of(policy, 0);
    ck_assert_int_eq(s.score_layer, 1);
    ck_assert_int_eq(s.scorer->query, TKP_QUERY_LAST);
    ck_assert_int_eq(s.scorer->row_reduce, TKP_ROW_REDUCE_LAST);
    ck_assert_uint_eq(s.scorer->flags, 0);
    ck_assert_int_eq(s.selector->order, TKP_ORDER_HIGHEST);
    ck_assert_int_eq(s.budget->kind, TKP_BUDGET_RATIO);
    ck_assert_int_eq(s.budget->ratio_num, 1);
    ck_assert_int_eq(s.budget->ratio_den, 4);
    ck_assert_int_eq(s.budget->rounding, TKP_ROUND_NEAREST);
    ck_assert_int_eq(s.budget->scope, TKP_SCOPE_SEQUENCE);
    ck_assert_int_eq(s.budget->label, TKP_LABEL_RETAIN);
    ck_assert_int_eq(s.budget->min_keep, 0);
    round_trip(policy);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(load_text__several_query_rows__mean_of_visible_by_default)
{
    static const char *const queries[] = {"text", "all"};
    for (int i = 0; i < 2; i++) {
        char text[400];
        snprintf(
            text, sizeof(text),
            STAGE "    scorer: {kind: attention, query: %s}\n" TOPK QUARTER,
            queries[i]);
        tkp_policy *policy = load(text);
        ck_assert_int_eq(
            stage_of(policy, 0).scorer->row_reduce,
            TKP_ROW_REDUCE_MEAN_VISIBLE);
        tkp_policy_destroy(policy);
    }
}
END_TEST

START_TEST(load_text__every_key_off_its_default__reaches_its_field)
{
    tkp_policy *policy = load(
        HEAD
        "summary: \"one: 'line' of \\\"text\\\" \\\\ caf\\u00e9\"\n"
        "source: arXiv 2403.06764\n"
        "stages:\n"
        "  - at: vision:7\n"
        "    positions: repack\n"
        "    scorer: {kind: norm, norm: l2, feature: final-norm, "
        "norm_eps: 2.5e-6}\n"
        "    selector: {kind: window, order: lowest, window: [2, 3], "
        "pick: centre, quota: 1}\n"
        "    merger: {kind: window-max, adaptive_overlap: true}\n"
        "    budget: {all: true, scope: image}\n"
        "  - at: projector\n"
        "    scorer: {kind: cosine, reference: mean-other}\n"
        "    selector: {kind: window-rank, window: [4, 4]}\n"
        "    budget: {count: 144, rounding: floor, scope: image, "
        "label: equiv-out, min_keep: 9}\n"
        "  - at: llm:3\n"
        "    score_layer: 1\n"
        "    scorer: {kind: attention, query: text, reduce: max, "
        "emulate_half: true, logits: true}\n"
        "    selector: {kind: random, stratified: true, window: [5, 6], "
        "seed: 18446744073709551615}\n"
        "    budget: {total_reduction: 7/9, training: literal, tacr: 9/4, "
        "rounding: ceil, scope: image}\n"
        "  - at: llm:4\n"
        "    effect: protect\n"
        "    scorer: external\n"
        "    selector: {kind: threshold, threshold: -0.5}\n"
        "    budget: {all: true, scope: image}\n"
        "  - at: kv\n"
        "    layers: [2, 15]\n"
        "    scorer:\n"
        "      kind: blend\n"
        "      combine: max\n"
        "      terms:\n"
        "        - scorer: external\n"
        "          weight: -0.1\n"
        "          complement: true\n"
        "          normalise: rank\n"
        "        - {weight: 3, scorer: {kind: custom, custom: \"My one\"}}\n"
        "    selector: {kind: custom, custom: mine}\n"
        "    merger: {kind: custom, custom: my-own}\n"
        "    budget: {ratio: 0.222, scope: image}\n");
    tkp_stage_options s = stage_of(policy, 0);
    ck_assert_int_eq(s.point, TKP_POINT_VISION);
    ck_assert_int_eq(s.boundary, 7);
    ck_assert_int_eq(s.positions, TKP_POSITIONS_REPACK);
    ck_assert_int_eq(s.scorer->norm, TKP_NORM_L2);
    ck_assert_int_eq(s.scorer->feature, TKP_FEATURE_FINAL_NORM);
    ck_assert(s.scorer->norm_eps == 2.5e-6f);
    ck_assert_int_eq(s.selector->order, TKP_ORDER_LOWEST);
    ck_assert_int_eq(s.selector->window_rows, 2);
    ck_assert_int_eq(s.selector->window_cols, 3);
    ck_assert_int_eq(s.selector->pick, TKP_PICK_CENTRE);
    ck_assert_int_eq(s.selector->quota, 1);
    ck_assert_int_eq(s.merger->kind, TKP_MERGER_WINDOW_MAX);
    ck_assert_int_eq(s.merger->adaptive_overlap, 1);
    ck_assert_int_eq(s.budget->scope, TKP_SCOPE_IMAGE);
    s = stage_of(policy, 1);
    ck_assert_int_eq(s.point, TKP_POINT_PROJECTOR);
    ck_assert_int_eq(s.boundary, 0);
    ck_assert_int_eq(s.scorer->reference, TKP_REFERENCE_MEAN_OTHER);
    ck_assert_int_eq(s.selector->kind, TKP_SELECTOR_WINDOW_RANK);
    ck_assert_int_eq(s.budget->count, 144);
    ck_assert_int_eq(s.budget->rounding, TKP_ROUND_FLOOR);
    ck_assert_int_eq(s.budget->label, TKP_LABEL_EQUIV_OUT);
    ck_assert_int_eq(s.budget->min_keep, 9);
    s = stage_of(policy, 2);
    ck_assert_int_eq(s.boundary, 3);
    ck_assert_int_eq(s.selector->stratified, 1);
    ck_assert_uint_eq(s.selector->seed, UINT64_MAX);
    ck_assert_int_eq(s.budget->kind, TKP_BUDGET_TOTAL_REDUCTION);
    ck_assert_int_eq(s.budget->ratio_num, 7);
    ck_assert_int_eq(s.budget->ratio_den, 9);
    ck_assert_int_eq(s.budget->tacr_num, 9);
    ck_assert_int_eq(s.budget->tacr_den, 4);
    ck_assert_int_eq(s.budget->training_mode, TKP_TRAINING_LITERAL);
    ck_assert_int_eq(s.budget->rounding, TKP_ROUND_CEIL);
    s = stage_of(policy, 3);
    ck_assert_int_eq(s.effect, TKP_EFFECT_PROTECT);
    ck_assert_int_eq(s.selector->kind, TKP_SELECTOR_THRESHOLD);
    ck_assert(s.selector->threshold == -0.5f);
    s = stage_of(policy, 4);
    ck_assert_int_eq(s.effect, TKP_EFFECT_CUT);
    ck_assert_int_eq(s.kv_begin, 2);
    ck_assert_int_eq(s.kv_end, 15);
    ck_assert_int_eq(s.scorer->combine, TKP_BLEND_MAX);
    ck_assert_int_eq(s.point, TKP_POINT_KV);
    ck_assert_int_eq(s.scorer->n_terms, 2);
    ck_assert_int_eq(s.scorer->terms[0].scorer->kind, TKP_SCORER_EXTERNAL);
    ck_assert(s.scorer->terms[0].weight == -0.1f);
    ck_assert_int_eq(s.scorer->terms[0].normalise, TKP_NORMALISE_RANK);
    ck_assert_int_eq(s.scorer->terms[0].complement, 1);
    ck_assert_str_eq(s.scorer->terms[1].scorer->custom, "My one");
    ck_assert_str_eq(s.selector->custom, "mine");
    ck_assert_str_eq(s.merger->custom, "my-own");
    ck_assert_int_eq(s.budget->ratio_num, 222);
    ck_assert_int_eq(s.budget->ratio_den, 1000);
    round_trip(policy);
    char *text = print(policy);
    ck_assert_ptr_nonnull(
        strstr(text, "\"one: 'line' of \\\"text\\\" \\\\ caf\xc3\xa9\""));
    ck_assert_ptr_nonnull(strstr(text, "source: \"arXiv 2403.06764\""));
    free(text);
    tkp_policy_destroy(policy);
}
END_TEST

/* The part of the stage options that a word's key sets. */
enum part {
    STAGE_PART,
    SCORER_PART,
    TERM_PART,
    SELECTOR_PART,
    MERGER_PART,
    BUDGET_PART
};

typedef struct word_case {
    const char *text; /* of the stage, with %s for the word */
    int part;
    size_t offset;
    const char *words[8]; /* in the order of the enum's values, from `first` */
    int32_t first;
} word_case;

#define SCORED TOPK QUARTER
#define NORM   "    scorer: norm\n"
#define QUOTA(more_)                                                           \
    "    selector: {kind: quota, weigh: curvature, " more_ "}\n"
#define WINDOWED                                                               \
    "    scorer: {kind: norm}\n"                                               \
    "    selector: {kind: window}\n" QUARTER

// clang-format off
static const word_case word_cases[] = {
    {"    positions: %s\n" ATTENTION SCORED, STAGE_PART,
     offsetof(tkp_stage_options, positions), {"keep", "repack"}, 0},
    {"    scorer: {kind: attention, query: %s}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, query),
     {"last", "last-visual", "last-visual-per-image", "text", "all"}, 0},
    {"    scorer: {kind: attention, reduce: %s}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, row_reduce),
     {"last", "mean", "mean-visible", "sum", "max"}, 1},
    {"    scorer: {kind: norm, norm: %s}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, norm), {"l1", "l2"}, 1},
    {"    scorer: {kind: cosine, reference: %s}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, reference),
     {"last", "mean-visual", "max-other", "mean-other", "mean-image",
      "mean-frame"}, 0},
    {"    scorer: {kind: gaussian, centre: %s}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, centre), {"both", "video", "frame"}, 0},
    {"    scorer: {kind: blend, scope: %s, terms: [{weight: 1,"
     " scorer: norm}]}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, scope), {"sequence", "image"}, 0},
    {"    scorer: {kind: cosine, feature: %s}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, feature), {"raw", "final-norm"}, 0},
    {"    scorer: {kind: %s}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, kind),
     {"attention", "cls-attention", "norm", "cosine", "external"}, 1},
    {"    scorer: %s\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, kind),
     {"attention", "cls-attention", "norm", "cosine", "external"}, 1},
    {"    scorer: {kind: blend, terms: [{weight: 1, normalise: %s,"
     " scorer: norm}]}\n" SCORED, TERM_PART,
     offsetof(tkp_blend_term, normalise),
     {"none", "min-max", "softmax", "rank", "sum"}, 0},
    {"    scorer: {kind: blend, terms: [{weight: 1, complement: %s,"
     " scorer: norm}]}\n" SCORED, TERM_PART,
     offsetof(tkp_blend_term, complement), {"false", "true"}, 0},
    {ATTENTION "    selector: {kind: topk, order: %s}\n" QUARTER,
     SELECTOR_PART, offsetof(tkp_selector_options, order),
     {"highest", "lowest"}, 0},
    {ATTENTION "    selector: {kind: %s}\n" QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, kind), {"topk", "window"}, 1},
    {ATTENTION "    selector: %s\n" QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, kind), {"topk", "window"}, 1},
    {ATTENTION "    selector: {kind: window, pick: %s}\n" QUARTER,
     SELECTOR_PART, offsetof(tkp_selector_options, pick),
     {"score", "centre", "first"}, 0},
    {ATTENTION "    selector: {kind: window, window: [2, 2], even: %s}\n" QUARTER,
     SELECTOR_PART, offsetof(tkp_selector_options, even), {"false", "true"}, 0},
    {"    selector: {kind: random, stratified: %s}\n" QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, stratified), {"false", "true"}, 0},
    {NORM QUOTA("rule: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, rule),
     {"largest-remainder", "spill", "soft"}, 0},
    {NORM QUOTA("order: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, order), {"highest", "lowest"}, 0},
    {NORM QUOTA("groups: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, groups), {"image"}, TKP_SCOPE_IMAGE},
    {NORM QUOTA("groups: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, groups), {"frame"}, TKP_SCOPE_FRAME},
    {NORM QUOTA("groups: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, groups), {"tile"}, TKP_SCOPE_TILE},
    {NORM QUOTA("reduce: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, reduce), {"mean"}, TKP_ROW_REDUCE_MEAN},
    {NORM QUOTA("reduce: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, reduce), {"sum", "max"},
     TKP_ROW_REDUCE_SUM},
    {NORM QUOTA("least: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, least), {"0", "1", "2"}, 0},
    {NORM QUOTA("temperature: 0.5, lowest: %s") QUARTER, SELECTOR_PART,
     offsetof(tkp_selector_options, lowest), {"false", "true"}, 0},
    {WINDOWED "    merger: {kind: %s}\n", MERGER_PART,
     offsetof(tkp_merger_options, kind),
     {"none", "window-average", "window-max"}, 0},
    {WINDOWED "    merger: {kind: window-max, adaptive_overlap: %s}\n",
     MERGER_PART, offsetof(tkp_merger_options, adaptive_overlap),
     {"false", "true"}, 0},
    {ATTENTION TOPK "    budget: {ratio: 1/4, rounding: %s}\n", BUDGET_PART,
     offsetof(tkp_budget, rounding),
     {"nearest", "floor", "ceil", "double-truncate"}, 0},
    {ATTENTION TOPK "    budget: {ratio: 1/4, at_least: %s}\n", BUDGET_PART,
     offsetof(tkp_budget, at_least), {"none", "frame", "each-frame"}, 0},
    {ATTENTION TOPK "    budget: {ratio: 1/4, at_least: frame, every: %s}\n",
     BUDGET_PART, offsetof(tkp_budget, every), {"0", "1", "2"}, 0},
    {"    scorer: {kind: temporal, group: %s}\n" SCORED, SCORER_PART,
     offsetof(tkp_scorer_options, group), {"0", "1", "2"}, 0},
    {ATTENTION TOPK "    budget: {ratio: 1/4, scope: %s}\n", BUDGET_PART,
     offsetof(tkp_budget, scope), {"frame"}, TKP_SCOPE_FRAME},
    {ATTENTION TOPK "    budget: {ratio: 1/4, scope: %s}\n", BUDGET_PART,
     offsetof(tkp_budget, scope), {"tile"}, TKP_SCOPE_TILE},
    {ATTENTION TOPK "    budget: {ratio: 1/4, label: %s}\n", BUDGET_PART,
     offsetof(tkp_budget, label), {"retain", "equiv-in", "equiv-out"}, 0},
    {ATTENTION TOPK "    budget: {ratio: 1/4, scope: %s}\n", BUDGET_PART,
     offsetof(tkp_budget, scope), {"sequence", "image"}, 0},
    {ATTENTION TOPK "    budget: {total_reduction: 1/2, training: %s}\n",
     BUDGET_PART, offsetof(tkp_budget, training_mode),
     {"composed", "literal"}, 0},
};
// clang-format on

static int32_t field_of(const tkp_stage_options *s, const word_case *c)
{
    const void *parts[] = {s,           s->scorer, s->scorer->terms,
                           s->selector, s->merger, s->budget};
    return *(const int32_t *)((const char *)parts[c->part] + c->offset);
}

START_TEST(load_text__every_word__its_enum_value)
{
    const word_case *c = &word_cases[_i];
    for (int32_t w = 0; w < 8 && c->words[w]; w++) {
        char stage[512];
        char text[600];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(stage, sizeof(stage), c->text, c->words[w]);
#pragma GCC diagnostic pop
        snprintf(text, sizeof(text), STAGE "%s", stage);
        tkp_policy *policy = load(text);
        const tkp_stage_options s = stage_of(policy, 0);
        ck_assert_msg(
            field_of(&s, c) == c->first + w, "%s gives %d", c->words[w],
            field_of(&s, c));
        round_trip(policy);
        tkp_policy_destroy(policy);
    }
}
END_TEST

START_TEST(load_text__quota__weighs_with_a_scorer_of_its_own)
{
    tkp_policy *policy =
        load(STAGE "    scorer: {kind: norm}\n"
                   "    selector:\n"
                   "      kind: quota\n"
                   "      weigh: {kind: gaussian, centre: video}\n"
                   "      rule: soft\n"
                   "      temperature: 0.01\n"
                   "      base: 0.25\n" QUARTER);
    const tkp_stage_options s = stage_of(policy, 0);
    ck_assert_int_eq(s.selector->weigh->kind, TKP_SCORER_GAUSSIAN);
    ck_assert_int_eq(s.selector->weigh->centre, TKP_CENTRE_VIDEO);
    ck_assert(s.selector->temperature == 0.01f && s.selector->base == 0.25f);
    round_trip(policy);
    tkp_policy_destroy(policy);
    static const struct {
        const char *selector, *message;
    } bad[] = {
        {"{kind: quota}", "selector has no 'weigh'"},
        {"{kind: quota, weigh: none}", "kind none"},
        {"{kind: quota, weigh: norm, lowest: true}", "lowest is 1"},
        {"{kind: quota, weigh: norm, base: 1.5}", "base"},
        {"{kind: quota, weigh: norm, groups: tile, crops: 2}", "2 crops"},
        {"{kind: quota, weigh: norm, rule: spill, compat: official}",
         "compat is 1"},
        {"{kind: diverse, groups: tile}", "groups share the budget by scores"},
        {"{kind: dpp, groups: tile, rule: soft}", "rule is 2"},
        {"{kind: chain, parts: [{selector: {kind: dpp, groups: tile}}]}",
         "part 0: with groups one"},
        {"{kind: topk, weigh: norm}", "key 'weigh' means nothing"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[400];
        snprintf(
            text, sizeof(text),
            STAGE "    scorer: {kind: norm}\n    selector: %s\n" QUARTER,
            bad[i].selector);
        ck_assert_int_ne(
            tkp_policy_load_text(&policy, text, strlen(text), NULL), TKP_OK);
        ck_assert_msg(
            strstr(tkp_last_message(), bad[i].message) != NULL, "%s: %s",
            bad[i].selector, tkp_last_message());
    }
}
END_TEST

START_TEST(load_text__chain__parts_with_their_shares)
{
    tkp_policy *policy =
        load(HEAD "stages:\n"
                  "  - at: llm:2\n"
                  "    scorer: {kind: norm}\n"
                  "    selector:\n"
                  "      kind: chain\n"
                  "      parts:\n"
                  "        - {share: 27/32, selector: topk}\n"
                  "        - {count: 3, selector: {kind: random, seed: 5}}\n"
                  "        - {selector: stride}\n"
                  "    budget: {count: 64}\n");
    const tkp_stage_options s = stage_of(policy, 0);
    const tkp_chain_part *parts = s.selector->parts;
    ck_assert_int_eq(s.selector->n_parts, 3);
    ck_assert_int_eq(parts[0].amount, TKP_CHAIN_SHARE);
    ck_assert_int_eq(parts[0].share_num, 27);
    ck_assert_int_eq(parts[0].share_den, 32);
    ck_assert_int_eq(parts[0].selector->kind, TKP_SELECTOR_TOPK);
    ck_assert_int_eq(parts[1].amount, TKP_CHAIN_COUNT);
    ck_assert_int_eq(parts[1].count, 3);
    ck_assert_uint_eq(parts[1].selector->seed, 5);
    ck_assert_int_eq(parts[2].amount, TKP_CHAIN_REST);
    ck_assert_int_eq(parts[2].selector->kind, TKP_SELECTOR_STRIDE);
    round_trip(policy);
    tkp_policy *again;
    ck_assert_int_eq(tkp_policy_with_seed(&again, policy, 9), TKP_OK);
    tkp_policy_destroy(policy);
    const tkp_stage_options t = stage_of(again, 0);
    ck_assert_uint_eq(t.selector->parts[1].selector->seed, 9);
    tkp_policy_destroy(again);
}
END_TEST

START_TEST(load_text__points__every_form)
{
    static const struct {
        const char *text;
        int32_t point, boundary;
    } cases[] = {
        {"projector", TKP_POINT_PROJECTOR, 0},
        {"llm:0", TKP_POINT_LLM, 0},
        {"llm:65536", TKP_POINT_LLM, 65536},
        {"vision:0", TKP_POINT_VISION, 0},
        {"\"vision:23\"", TKP_POINT_VISION, 23},
        {"kv", TKP_POINT_KV, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(
            text, sizeof(text), HEAD "stages:\n  - at: %s\n", cases[i].text);
        tkp_policy *policy = load(text);
        ck_assert_int_eq(stage_of(policy, 0).point, cases[i].point);
        ck_assert_int_eq(stage_of(policy, 0).boundary, cases[i].boundary);
        round_trip(policy);
        tkp_policy_destroy(policy);
    }
}
END_TEST

START_TEST(load_text__ratios__taken_exactly)
{
    static const struct {
        const char *text;
        int64_t num, den;
    } cases[] = {
        {"0", 0, 1},
        {"1", 1, 1},
        {"1/4", 1, 4},
        {"2/8", 2, 8},
        {"0.25", 25, 100},
        {"0.778", 778, 1000},
        {"1.0", 10, 10},
        {"0.123456789", 123456789, 1000000000},
        {"2147483646/2147483647", 2147483646, 2147483647},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[300];
        snprintf(
            text, sizeof(text),
            STAGE ATTENTION TOPK "    budget: {ratio: %s}\n", cases[i].text);
        tkp_policy *policy = load(text);
        ck_assert_int_eq(stage_of(policy, 0).budget->ratio_num, cases[i].num);
        ck_assert_int_eq(stage_of(policy, 0).budget->ratio_den, cases[i].den);
        round_trip(policy);
        tkp_policy_destroy(policy);
    }
}
END_TEST

static tkp_policy *load_weight(const char *weight)
{
    char text[400];
    snprintf(
        text, sizeof(text),
        STAGE "    scorer: {kind: blend, terms: [{weight: %s, scorer: "
              "norm}]}\n" TOPK QUARTER,
        weight);
    return load(text);
}

START_TEST(load_text__weights__print_shortest_and_come_back)
{
    static const struct {
        const char *text;
        float value;
        const char *printed;
    } cases[] = {
        {"0.5", 0.5f, "weight: 0.5\n"},
        {"0.1", 0.1f, "weight: 0.1\n"},
        {"-3", -3.0f, "weight: -3\n"},
        {"1e-5", 1e-5f, "weight: 1e-05\n"},
        {"16777217", 16777216.0f, "weight: 16777216\n"},
        {"0.30000001192092896", 0.3f, "weight: 0.3\n"},
        {"1e30", 1e30f, "weight: 1e+30\n"},
        {"1.17549421e-38", 1.17549421e-38f, "weight: 1.1754942e-38\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp_policy *policy = load_weight(cases[i].text);
        ck_assert(
            stage_of(policy, 0).scorer->terms[0].weight == cases[i].value);
        char *text = print(policy);
        ck_assert_msg(
            strstr(text, cases[i].printed) != NULL, "%s gives %s",
            cases[i].text, text);
        free(text);
        round_trip(policy);
        tkp_policy_destroy(policy);
    }
}
END_TEST

START_TEST(load_text__comma_locale__weights_unchanged)
{
    static const char *const names[] = {
        "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !found; i++)
        found = setlocale(LC_ALL, names[i]) != NULL;
    if (!found)
        fprintf(stderr, "skipped: no locale with a decimal comma\n");
    tkp_policy *policy = load_weight("0.25");
    ck_assert(stage_of(policy, 0).scorer->terms[0].weight == 0.25f);
    char *text = print(policy);
    ck_assert_ptr_nonnull(strstr(text, "weight: 0.25\n"));
    free(text);
    tkp_policy_destroy(policy);
    if (found)
        ck_assert_str_eq(localeconv()->decimal_point, ",");
}
END_TEST

START_TEST(load_text__not_terminated__reads_no_byte_more)
{
    static const char text[] = STAGE ATTENTION TOPK QUARTER;
    const size_t bytes = sizeof(text) - 1;
    char *exact = malloc(bytes);
    memcpy(exact, text, bytes);
    tkp_policy *policy = NULL;
    ck_assert_int_eq(tkp_policy_load_text(&policy, exact, bytes, NULL), TKP_OK);
    free(exact);
    tkp_policy_destroy(policy);
    ck_assert_int_eq(
        tkp_policy_load_text(&policy, "", 0, NULL), TKP_ERR_POLICY);
    ck_assert_str_eq(
        tkp_last_message(),
        "policy:1:1: text is empty, wanted 'tokenprune: 1'");
}
END_TEST

START_TEST(load_text__json_and_byte_order_mark__understood)
{
    tkp_policy *policy =
        load("\xef\xbb\xbf{\"tokenprune\": 1, \"name\": \"json\", \"stages\": "
             "[{\"at\": \"llm:2\", \"selector\": {\"kind\": \"random\"}, "
             "\"budget\": {\"count\": 3}}]}");
    ck_assert_str_eq(tkp_policy_name(policy), "json");
    ck_assert_int_eq(stage_of(policy, 0).budget->count, 3);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(load__null_arguments__refused)
{
    tkp_policy *policy;
    ck_assert_int_eq(tkp_policy_load_text(NULL, "", 0, NULL), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(
        tkp_policy_load_text(&policy, NULL, 0, NULL), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(tkp_policy_load_file(NULL, "x"), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(tkp_policy_load_file(&policy, NULL), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(tkp_policy_load_preset(NULL, "none"), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(tkp_policy_load_preset(&policy, NULL), TKP_ERR_ARGUMENT);
    ck_assert_uint_eq(tkp_policy_to_yaml(NULL, NULL, 0), 0);
}
END_TEST

/* --- printing ------------------------------------------------------------------ */

START_TEST(to_yaml__any_capacity__needed_bytes_and_a_terminated_prefix)
{
    tkp_policy *policy;
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "alpha-blend"), TKP_OK);
    char *whole = print(policy);
    const size_t bytes = strlen(whole);
    ck_assert_uint_eq(tkp_policy_to_yaml(policy, NULL, 1000), bytes);
    for (size_t capacity = 0; capacity <= bytes + 1; capacity++) {
        char *text = malloc(capacity + 1);
        memset(text, '#', capacity + 1);
        ck_assert_uint_eq(tkp_policy_to_yaml(policy, text, capacity), bytes);
        ck_assert_int_eq(text[capacity], '#');
        if (capacity) {
            ck_assert_uint_eq(strlen(text), capacity - 1);
            ck_assert_mem_eq(text, whole, capacity - 1);
        }
        free(text);
    }
    free(whole);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(to_yaml__policy_made_in_c__loads_as_the_same)
{
    static const char *const names[] = {
        "a",
        "true",
        "No",
        "1",
        "~",
        "a b",
        "-",
        "a: b",
        "a #b",
        "\"q\"",
        "back\\slash",
        "caf\xc3\xa9",
        "{a}",
        "[a]",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a`",
        " a ",
        "'",
        "null",
        "tokenprune: 1",
        "\xf0\x9f\x99\x82"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tkp_policy *policy;
        ck_assert_int_eq(tkp_policy_create(&policy, names[i]), TKP_OK);
        tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
        scorer.kind = TKP_SCORER_CUSTOM;
        scorer.custom = names[i];
        tkp_selector_options selector = TKP_SELECTOR_OPTIONS_INIT;
        selector.kind = TKP_SELECTOR_TOPK;
        tkp_budget budget = TKP_BUDGET_INIT;
        budget.kind = TKP_BUDGET_COUNT;
        budget.min_keep = INT64_MAX;
        tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
        stage.point = TKP_POINT_PROJECTOR;
        stage.scorer = &scorer;
        stage.selector = &selector;
        stage.budget = &budget;
        ck_assert_int_eq(tkp_policy_add_stage(policy, &stage), TKP_OK);
        round_trip(policy);
        tkp_policy_destroy(policy);
    }
}
END_TEST

START_TEST(create__name_that_is_no_line_of_text__refused)
{
    static const char *const names[] = {
        "",
        "a\nb",
        "a\tb",
        "\x7f",
        "\xff",
        "\xc2\x85",
        "\xe2\x80\xa8",
        "0123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tkp_policy *policy = NULL;
        ck_assert_int_eq(tkp_policy_create(&policy, names[i]), TKP_ERR_POLICY);
        ck_assert_ptr_null(policy);
    }
}
END_TEST

START_TEST(add_stage__custom_name_that_is_no_line_of_text__refused)
{
    tkp_policy *policy;
    ck_assert_int_eq(tkp_policy_create(&policy, "test"), TKP_OK);
    tkp_scorer_options scorer = TKP_SCORER_OPTIONS_INIT;
    scorer.kind = TKP_SCORER_CUSTOM;
    scorer.custom = "a\nb";
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    stage.point = TKP_POINT_PROJECTOR;
    stage.scorer = &scorer;
    ck_assert_int_eq(tkp_policy_add_stage(policy, &stage), TKP_ERR_POLICY);
    ck_assert_str_eq(
        tkp_last_message(),
        "stage 0: custom name 'a?b' is no line of UTF-8, wanted one without "
        "control characters");
    tkp_policy_destroy(policy);
}
END_TEST

/* --- presets --------------------------------------------------------------------- */

START_TEST(preset__each__carries_its_name_and_round_trips)
{
    ck_assert_int_ge(tkp_policy_preset_count(), 13);
    ck_assert_ptr_null(tkp_policy_preset_name(-1));
    ck_assert_ptr_null(tkp_policy_preset_name(tkp_policy_preset_count()));
    ck_assert_ptr_null(tkp_policy_preset_summary(-1));
    for (int32_t i = 0; i < tkp_policy_preset_count(); i++) {
        tkp_policy *policy = NULL;
        const char *name = tkp_policy_preset_name(i);
        ck_assert_msg(
            tkp_policy_load_preset(&policy, name) == TKP_OK, "%s",
            tkp_last_message());
        ck_assert_str_eq(tkp_policy_name(policy), name);
        char *text = print(policy);
        ck_assert_ptr_nonnull(strstr(text, "summary: "));
        ck_assert_ptr_nonnull(strstr(text, tkp_policy_preset_summary(i)));
        ck_assert_ptr_nonnull(strstr(text, "source: "));
        free(text);
        round_trip(policy);
        tkp_policy_destroy(policy);
    }
}
END_TEST

/* The published settings, as the method specification has them: boundary 2,
 * score layer 1, the last token, one head mean, a quarter of the tokens,
 * nearest rounding, one budget for all images, positions kept. */
typedef struct preset_case {
    const char *name;
    int32_t scorer, query, reduce;
    int32_t selector, order, rows, cols, quota, stratified;
    int32_t merger;
} preset_case;

// clang-format off
#define ATT  TKP_SCORER_ATTENTION
#define LAST TKP_QUERY_LAST
#define ONE  TKP_ROW_REDUCE_LAST
#define MEAN TKP_ROW_REDUCE_MEAN_VISIBLE
static const preset_case preset_cases[] = {
    {"random", TKP_SCORER_NONE, 0, ONE,
     TKP_SELECTOR_RANDOM, 0, 0, 0, 0, 0, 0},
    {"random-stratified", TKP_SCORER_NONE, 0, ONE,
     TKP_SELECTOR_RANDOM, 0, 0, 0, 0, 1, 0},
    {"uniform", TKP_SCORER_NONE, 0, ONE,
     TKP_SELECTOR_UNIFORM, 0, 0, 0, 0, 0, 0},
    {"stride", TKP_SCORER_NONE, 0, ONE,
     TKP_SELECTOR_STRIDE, 0, 0, 0, 0, 0, 0},
    {"drop-all", TKP_SCORER_NONE, 0, ONE,
     TKP_SELECTOR_UNIFORM, 0, 0, 0, 0, 0, 0},
    {"external", TKP_SCORER_EXTERNAL, 0, ONE,
     TKP_SELECTOR_TOPK, 0, 0, 0, 0, 0, 0},
    {"pooling", TKP_SCORER_NORM, 0, ONE,
     TKP_SELECTOR_WINDOW, 0, 0, 0, 0, 0, 0},
    {"pooling-avg", TKP_SCORER_NORM, 0, ONE,
     TKP_SELECTOR_WINDOW, 0, 0, 0, 0, 0, TKP_MERGER_WINDOW_AVERAGE},
    {"pooling-max", TKP_SCORER_NORM, 0, ONE,
     TKP_SELECTOR_WINDOW, 0, 0, 0, 0, 0, TKP_MERGER_WINDOW_MAX},
    {"fastv", ATT, LAST, ONE,
     TKP_SELECTOR_TOPK, 0, 0, 0, 0, 0, 0},
    {"fastv-mean", ATT, TKP_QUERY_ALL, MEAN,
     TKP_SELECTOR_TOPK, 0, 0, 0, 0, 0, 0},
    {"fastv-reverse", ATT, LAST, ONE,
     TKP_SELECTOR_TOPK, TKP_ORDER_LOWEST, 0, 0, 0, 0, 0},
    {"fastv-window", ATT, LAST, ONE,
     TKP_SELECTOR_WINDOW, 0, 0, 0, 0, 0, 0},
    {"fastv-window-128", ATT, LAST, ONE,
     TKP_SELECTOR_WINDOW, 0, 3, 3, 2, 0, 0},
    {"fastv-window-rank", ATT, LAST, ONE,
     TKP_SELECTOR_WINDOW_RANK, 0, 2, 2, 0, 0, 0},
    {"fastv-vis", ATT, TKP_QUERY_LAST_VISUAL, ONE,
     TKP_SELECTOR_TOPK, 0, 0, 0, 0, 0, 0},
    {"alpha-blend", TKP_SCORER_BLEND, 0, ONE,
     TKP_SELECTOR_TOPK, 0, 0, 0, 0, 0, 0},
};
// clang-format on

static void check_preset_budget(const tkp_stage_options *s, int32_t kind)
{
    const tkp_budget *b = s->budget;
    ck_assert_int_eq(b->kind, kind);
    if (kind == TKP_BUDGET_RATIO)
        ck_assert_int_eq(b->ratio_num * 4, b->ratio_den);
    if (kind == TKP_BUDGET_COUNT)
        ck_assert_int_eq(b->count, 0);
    ck_assert_int_eq(b->rounding, TKP_ROUND_NEAREST);
    ck_assert_int_eq(b->label, TKP_LABEL_RETAIN);
    ck_assert_int_eq(b->scope, TKP_SCOPE_SEQUENCE);
    ck_assert_int_eq(b->min_keep, 0);
}

START_TEST(preset__effective_options__are_the_published_ones)
{
    const preset_case *c = &preset_cases[_i];
    tkp_policy *policy;
    ck_assert_int_eq(tkp_policy_load_preset(&policy, c->name), TKP_OK);
    ck_assert_int_eq(tkp_policy_stage_count(policy), 1);
    const tkp_stage_options s = stage_of(policy, 0);
    const bool attention = c->scorer == ATT || c->scorer == TKP_SCORER_BLEND;
    ck_assert_int_eq(s.point, TKP_POINT_LLM);
    ck_assert_int_eq(s.boundary, 2);
    ck_assert_int_eq(s.score_layer, attention ? 1 : -1);
    ck_assert_int_eq(s.positions, TKP_POSITIONS_KEEP);
    ck_assert_int_eq(s.scorer->kind, c->scorer);
    ck_assert_uint_eq(s.scorer->flags, 0);
    ck_assert_int_eq(s.scorer->query, c->query);
    ck_assert_int_eq(s.scorer->row_reduce, c->reduce);
    ck_assert_int_eq(s.scorer->norm, TKP_NORM_L1);
    ck_assert_int_eq(s.scorer->feature, TKP_FEATURE_RAW);
    ck_assert_int_eq(s.selector->kind, c->selector);
    ck_assert_int_eq(s.selector->order, c->order);
    ck_assert_int_eq(s.selector->pick, TKP_PICK_SCORE);
    ck_assert_int_eq(s.selector->window_rows, c->rows);
    ck_assert_int_eq(s.selector->window_cols, c->cols);
    ck_assert_int_eq(s.selector->quota, c->quota);
    ck_assert_int_eq(s.selector->stratified, c->stratified);
    ck_assert_uint_eq(s.selector->seed, 0);
    ck_assert_int_eq(s.merger->kind, c->merger);
    ck_assert_int_eq(s.merger->adaptive_overlap, c->merger != 0);
    check_preset_budget(
        &s, c->quota > 0                       ? TKP_BUDGET_ALL
            : strcmp(c->name, "drop-all") == 0 ? TKP_BUDGET_COUNT
                                               : TKP_BUDGET_RATIO);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(preset__none__has_no_stage)
{
    tkp_policy *policy;
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "none"), TKP_OK);
    ck_assert_int_eq(tkp_policy_stage_count(policy), 0);
    tkp_policy_destroy(policy);
}
END_TEST

/* Those that stand elsewhere: their stages are held against published results
 * (tests/golden/published). */
static const char *const other_presets[] = {
    "dart",           "dart-embed",   "divprune",
    "fastervlm",      "mmr",          "scope",
    "mmtok",          "eadp",         "cdpruner",
    "tops",           "evs",          "vidcom2",
    "v-cast",         "apet",         "apet-embed",
    "framefusion",    "pyramiddrop",  "prunesid",
    "prunesid-qwen",  "visionzip",    "dycoke",
    "fastvid",        "prumerge",     "prumerge-plus",
    "vispruner",      "vscan",        "duet",
    "sparsevlm",      "holov",        "holitom",
    "sparsevlm-plus", "sparsevlm-v1", "pact",
    "globalcom2",     "hired",        "ivc",
    "tome",           "mustdrop",     "aim",
    "litelvlm"};

/* Who asks the question may not be served from a cache of pictures. */
START_TEST(preset__query__says_who_asks_the_question)
{
    static const struct {
        const char *name;
        bool asks;
    } known[] = {
        {"random", false},  {"fastv", true},       {"fastv-vis", false},
        {"dart", true},     {"dart-embed", true},  {"fastervlm", false},
        {"scope", false},   {"divprune", false},   {"mmtok", true},
        {"cdpruner", true}, {"alpha-blend", true}, {"external", false},
        {"litelvlm", true},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        tkp_policy *policy = NULL;
        tkp_policy_info info = TKP_POLICY_INFO_INIT;
        ck_assert_int_eq(
            tkp_policy_load_preset(&policy, known[i].name), TKP_OK);
        ck_assert_int_eq(tkp_policy_query(policy, &info), TKP_OK);
        ck_assert_msg(
            ((info.flags & TKP_POLICY_TEXT_DEPENDENT) != 0) == known[i].asks,
            "%s", known[i].name);
        tkp_policy_destroy(policy);
    }
}
END_TEST

START_TEST(policy__query__says_which_rows_of_the_encoder)
{
    static const char text[] =
        "tokenprune: 1\nname: rows\nstages:\n"
        "  - at: projector\n"
        "    scorer: {kind: cls-attention, encoder_layer: last, logits: true}\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/2}\n"
        "  - at: llm:2\n"
        "    scorer: {kind: cls-attention, shallow: true, encoder_layer: 6}\n"
        "    selector: topk\n"
        "    budget: {ratio: 1/2}\n";
    tkp_policy *policy = NULL;
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    ck_assert_int_eq(
        tkp_policy_load_text(&policy, text, strlen(text), NULL), TKP_OK);
    ck_assert_int_eq(tkp_policy_query(policy, &info), TKP_OK);
    ck_assert_uint_eq(
        info.needs, TKP_NEED_CLS_ATTENTION | TKP_NEED_CLS_SHALLOW);
    ck_assert_int_eq(info.cls_layer, -1);
    ck_assert_int_eq(info.cls_logits, 1);
    ck_assert_int_eq(info.shallow_layer, 6);
    ck_assert_int_eq(info.shallow_logits, 0);
    tkp_policy_destroy(policy);
}
END_TEST

/* Before the encoder runs: what all points want together, and each of them. */
START_TEST(preset__points__want_together_what_the_policy_says)
{
    tkp_policy *policy = NULL;
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    uint32_t needs = 0;
    ck_assert_int_eq(
        tkp_policy_load_preset(&policy, tkp_policy_preset_name(_i)), TKP_OK);
    ck_assert_int_eq(tkp_policy_query(policy, &info), TKP_OK);
    for (int32_t i = 0; i < tkp_policy_stage_count(policy); i++) {
        tkp_point point = TKP_POINT_INIT;
        ck_assert_int_eq(tkp_policy_get_point(policy, i, &point), TKP_OK);
        ck_assert_int_eq(point.stage, i);
        needs |= point.needs;
    }
    ck_assert_uint_eq(needs, info.needs);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(get_point__stages_of_each_kind__as_next_will_give_them)
{
    static const char text[] = "tokenprune: 1\nname: points\nstages:\n"
                               "  - at: vision:3\n"
                               "    scorer: {kind: norm}\n"
                               "    selector: topk\n"
                               "    budget: {ratio: 1/2}\n"
                               "  - at: projector\n"
                               "    scorer: {kind: cls-attention}\n"
                               "    selector: topk\n"
                               "    budget: {ratio: 1/2}\n"
                               "  - at: llm:4\n"
                               "    score_layer: next\n"
                               "    scorer: {kind: attention}\n"
                               "    selector: topk\n"
                               "    budget: {ratio: 1/2}\n"
                               "  - at: kv\n"
                               "    layers: [1, 3]\n"
                               "    selector: {kind: random}\n"
                               "    budget: {ratio: 1/2}\n";
    static const tkp_point wanted[] = {
        {sizeof(tkp_point), TKP_POINT_VISION, 0, 3, -1, TKP_NEED_VISION, 0, 0,
         0, 0, 0},
        {sizeof(tkp_point), TKP_POINT_PROJECTOR, 1, 0, -1,
         TKP_NEED_CLS_ATTENTION, 0, 0, 0, 0, 0},
        {sizeof(tkp_point), TKP_POINT_LLM, 2, 4, 4, TKP_NEED_ATTENTION, 0, 0, 0,
         0, 0},
        {sizeof(tkp_point), TKP_POINT_KV, 3, 0, -1, 0, 0, 0, 0, 1, 3},
    };
    tkp_policy *policy = NULL;
    tkp_point point = TKP_POINT_INIT;
    ck_assert_int_eq(
        tkp_policy_load_text(&policy, text, strlen(text), NULL), TKP_OK);
    ck_assert_int_eq(tkp_policy_stage_count(policy), 4);
    for (int32_t i = 0; i < 4; i++) {
        ck_assert_int_eq(tkp_policy_get_point(policy, i, &point), TKP_OK);
        ck_assert_mem_eq(&point, &wanted[i], sizeof(point));
    }
    /* wrong calls: told, and nothing is written */
    const tkp_point before = point;
    ck_assert_int_eq(tkp_policy_get_point(policy, 4, &point), TKP_ERR_ARGUMENT);
    ck_assert_str_eq(tkp_last_message(), "stage is 4, the policy has 4");
    ck_assert_int_eq(
        tkp_policy_get_point(policy, -1, &point), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(tkp_policy_get_point(NULL, 0, &point), TKP_ERR_ARGUMENT);
    ck_assert_int_eq(tkp_policy_get_point(policy, 0, NULL), TKP_ERR_ARGUMENT);
    ck_assert_mem_eq(&point, &before, sizeof(point));
    point.struct_size = 4;
    ck_assert_int_eq(tkp_policy_get_point(policy, 0, &point), TKP_ERR_OPTION);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(preset__each__is_in_one_of_the_tables)
{
    const int32_t cases =
        (int32_t)(sizeof(preset_cases) / sizeof(preset_cases[0]));
    const int32_t others =
        (int32_t)(sizeof(other_presets) / sizeof(other_presets[0]));
    ck_assert_int_eq(tkp_policy_preset_count(), 1 + cases + others);
    for (int32_t i = 0; i < others; i++) {
        tkp_policy *policy = NULL;
        ck_assert_int_eq(
            tkp_policy_load_preset(&policy, other_presets[i]), TKP_OK);
        tkp_policy_destroy(policy);
    }
}
END_TEST

START_TEST(preset__alpha_blend__half_attention_half_unlikeness)
{
    tkp_policy *policy;
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "alpha-blend"), TKP_OK);
    const tkp_scorer_options *scorer = stage_of(policy, 0).scorer;
    ck_assert_int_eq(scorer->n_terms, 2);
    const tkp_blend_term *a = &scorer->terms[0];
    const tkp_blend_term *b = &scorer->terms[1];
    ck_assert(a->weight == 0.5f && b->weight == 0.5f);
    ck_assert_int_eq(a->normalise, TKP_NORMALISE_MIN_MAX);
    ck_assert_int_eq(b->normalise, TKP_NORMALISE_MIN_MAX);
    ck_assert_int_eq(a->complement, 0);
    ck_assert_int_eq(b->complement, 1);
    ck_assert_int_eq(a->scorer->kind, TKP_SCORER_ATTENTION);
    ck_assert_int_eq(a->scorer->query, TKP_QUERY_LAST);
    ck_assert_int_eq(b->scorer->kind, TKP_SCORER_COSINE);
    ck_assert_int_eq(b->scorer->reference, TKP_REFERENCE_LAST);
    ck_assert_int_eq(b->scorer->feature, TKP_FEATURE_RAW);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(preset__unknown_name__nearest_or_all_are_named)
{
    tkp_policy *policy = NULL;
    ck_assert_int_eq(
        tkp_policy_load_preset(&policy, "fastv-windw"), TKP_ERR_POLICY);
    ck_assert_str_eq(
        tkp_last_message(),
        "no preset 'fastv-windw', did you mean 'fastv-window'");
    ck_assert_int_eq(
        tkp_policy_load_preset(&policy, "quantum\n"), TKP_ERR_POLICY);
    ck_assert_ptr_nonnull(strstr(
        tkp_last_message(), "no preset 'quantum?', wanted one of none,"));
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "alpha-blend"));
    ck_assert_ptr_null(policy);
}
END_TEST

static char *read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s cannot be read", path);
    char *text = malloc((1 << 16) + 1);
    *bytes = fread(text, 1, 1 << 16, file);
    ck_assert_uint_lt(*bytes, 1 << 16);
    fclose(file);
    return text;
}

/* --- the manual ---------------------------------------------------------------- */

/* Each block of YAML in docs/policies.md that is a whole policy. */
START_TEST(manual__every_example__loads_and_round_trips)
{
    const char *root = getenv("TKP_SOURCE_DIR");
    char path[1024];
    size_t bytes;
    snprintf(path, sizeof(path), "%s/docs/policies.md", root ? root : ".");
    char *text = read_file(path, &bytes);
    text[bytes] = '\0';
    int examples = 0;
    for (char *at = text; (at = strstr(at, "```yaml\n"));) {
        at += strlen("```yaml\n");
        char *stop = strstr(at, "```");
        *stop = '\0';
        tkp_policy *policy = load(at);
        round_trip(policy);
        tkp_policy_destroy(policy);
        examples++;
        at = stop + 3;
    }
    ck_assert_int_eq(examples, 6);
    for (int32_t i = 0; i < tkp_policy_preset_count(); i++) {
        char cell[80];
        /* the text was cut in pieces at the examples */
        snprintf(cell, sizeof(cell), "| `%s` |", tkp_policy_preset_name(i));
        bool found = false;
        for (size_t b = 0; b + strlen(cell) < bytes && !found; b++)
            found = memcmp(text + b, cell, strlen(cell)) == 0;
        ck_assert_msg(found, "%s is not in %s", cell, path);
    }
    free(text);
}
END_TEST

/* --- copies with one thing changed ----------------------------------------------- */

START_TEST(with_budget__replaces_budget_and_quota)
{
    tkp_policy *policy;
    tkp_policy *changed;
    tkp_budget budget = TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = 64;
    ck_assert_int_eq(
        tkp_policy_load_preset(&policy, "fastv-window-128"), TKP_OK);
    char *before = print(policy);
    ck_assert_int_eq(
        tkp_policy_with_budget(&changed, policy, -1, &budget), TKP_OK);
    const tkp_stage_options s = stage_of(changed, 0);
    ck_assert_int_eq(s.budget->count, 64);
    ck_assert_int_eq(s.selector->quota, 0);
    ck_assert_int_eq(s.selector->window_rows, 3);
    char *after = print(changed);
    ck_assert_ptr_nonnull(strstr(after, "summary: \"Two tokens"));
    ck_assert_ptr_nonnull(strstr(after, "source: \"Wen et al."));
    char *still = print(policy);
    ck_assert_str_eq(before, still);
    free(before);
    free(after);
    free(still);
    round_trip(changed);
    tkp_policy_destroy(changed);
    tkp_policy_destroy(policy);
}
END_TEST

#define TWO_STAGES                                                             \
    STAGE ATTENTION TOPK QUARTER "  - at: llm:8\n" ATTENTION TOPK QUARTER

START_TEST(with_budget__which_stage_is_not_clear__refused)
{
    tkp_policy *policy;
    tkp_policy *changed = NULL;
    tkp_budget budget = TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_COUNT;
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "none"), TKP_OK);
    ck_assert_int_eq(
        tkp_policy_with_budget(&changed, policy, -1, &budget), TKP_ERR_POLICY);
    tkp_policy_destroy(policy);
    policy = load(TWO_STAGES);
    ck_assert_int_eq(
        tkp_policy_with_budget(&changed, policy, -1, &budget), TKP_ERR_POLICY);
    ck_assert_str_eq(
        tkp_last_message(),
        "policy 'test': has 2 stages that prune; say which one");
    ck_assert_int_eq(
        tkp_policy_with_budget(&changed, policy, 2, &budget), TKP_ERR_POLICY);
    budget.count = -1;
    ck_assert_int_eq(
        tkp_policy_with_budget(&changed, policy, 1, &budget), TKP_ERR_OPTION);
    ck_assert_ptr_null(changed);
    budget.count = 7;
    ck_assert_int_eq(
        tkp_policy_with_budget(&changed, policy, 1, &budget), TKP_OK);
    ck_assert_int_eq(stage_of(changed, 0).budget->kind, TKP_BUDGET_RATIO);
    ck_assert_int_eq(stage_of(changed, 1).budget->count, 7);
    tkp_policy_destroy(changed);
    tkp_policy_destroy(policy);
}
END_TEST

START_TEST(with_point__score_layer_follows__rules_are_checked_anew)
{
    tkp_policy *policy;
    tkp_policy *moved = NULL;
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "fastv"), TKP_OK);
    ck_assert_int_eq(
        tkp_policy_with_point(&moved, policy, -1, TKP_POINT_LLM, 5), TKP_OK);
    ck_assert_int_eq(stage_of(moved, 0).boundary, 5);
    ck_assert_int_eq(stage_of(moved, 0).score_layer, 4);
    tkp_policy_destroy(moved);
    moved = NULL;
    ck_assert_int_eq(
        tkp_policy_with_point(&moved, policy, 0, TKP_POINT_PROJECTOR, 0),
        TKP_ERR_POLICY);
    ck_assert_int_eq(
        tkp_policy_with_point(&moved, policy, 0, TKP_POINT_LLM, 0),
        TKP_ERR_POLICY);
    ck_assert_ptr_null(moved);
    tkp_policy_destroy(policy);
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "pooling"), TKP_OK);
    ck_assert_int_eq(
        tkp_policy_with_point(&moved, policy, 0, TKP_POINT_PROJECTOR, 0),
        TKP_OK);
    ck_assert_int_eq(stage_of(moved, 0).point, TKP_POINT_PROJECTOR);
    round_trip(moved);
    tkp_policy_destroy(moved);
    tkp_policy_destroy(policy);
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "pyramiddrop"), TKP_OK);
    ck_assert_int_eq(
        tkp_policy_with_point(&moved, policy, 0, TKP_POINT_LLM, 0), TKP_OK);
    ck_assert_int_eq(stage_of(moved, 0).score_layer, 0);
    ck_assert_int_eq(stage_of(moved, 1).score_layer, 16);
    ck_assert_int_eq(stage_of(moved, 1).budget->of, TKP_OF_ORIGINAL);
    round_trip(moved);
    tkp_policy_destroy(moved);
    tkp_policy_destroy(policy);
}
END_TEST

static void stands_at(tkp_policy *p, int32_t i, int32_t point, int32_t boundary)
{
    const tkp_stage_options s = stage_of(p, i);
    ck_assert_int_eq(s.point, point);
    ck_assert_int_eq(s.boundary, boundary);
}

START_TEST(with_depth__same_shares__the_last_of_those_that_meet)
{
    tkp_policy *policy, *fit;
    tkp_depth depth = {32, 8, 23, 3};
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "pyramiddrop"), TKP_OK);
    ck_assert_int_eq(tkp_policy_with_depth(&fit, policy, &depth), TKP_OK);
    ck_assert_int_eq(tkp_policy_stage_count(fit), 3);
    for (int32_t i = 0; i < 3; i++) {
        stands_at(fit, i, TKP_POINT_LLM, 2 + 2 * i);
        ck_assert_int_eq(stage_of(fit, i).score_layer, 2 + 2 * i);
    }
    tkp_policy_destroy(policy);
    tkp_policy_destroy(fit);
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "tome"), TKP_OK);
    ck_assert_int_eq(tkp_policy_with_depth(&fit, policy, &depth), TKP_OK);
    ck_assert_int_eq(tkp_policy_stage_count(fit), 3);
    static const int64_t left[] = {442, 309, 192};
    for (int32_t i = 0; i < 3; i++) {
        stands_at(fit, i, TKP_POINT_VISION_MLP, i);
        ck_assert_int_eq(stage_of(fit, i).budget->ratio_num, left[i]);
    }
    tkp_policy_destroy(fit);
    depth.blocks = 24;
    depth.from_blocks = 22; /* it has 23 */
    ck_assert_int_eq(
        tkp_policy_with_depth(&fit, policy, &depth), TKP_ERR_OPTION);
    depth = (tkp_depth){0, 8, 0, 0};
    ck_assert_int_eq(
        tkp_policy_with_depth(&fit, policy, &depth), TKP_ERR_OPTION);
    tkp_policy_destroy(policy);
    depth = (tkp_depth){32, 8, 0, 0}; /* the encoder as it is */
    ck_assert_int_eq(tkp_policy_load_preset(&policy, "mustdrop"), TKP_OK);
    ck_assert_int_eq(tkp_policy_with_depth(&fit, policy, &depth), TKP_OK);
    ck_assert_int_eq(tkp_policy_stage_count(fit), 6);
    stands_at(fit, 0, TKP_POINT_VISION, 1);
    stands_at(fit, 1, TKP_POINT_PROJECTOR, 0);
    for (int32_t i = 2; i < 5; i++)
        stands_at(fit, i, TKP_POINT_LLM, i - 1);
    ck_assert_int_eq(stage_of(fit, 5).kv_begin, 1);
    ck_assert_int_eq(stage_of(fit, 5).kv_end, 3);
    tkp_policy_destroy(policy);
    tkp_policy_destroy(fit);
}
END_TEST

START_TEST(with_seed__random_selectors_only)
{
    tkp_policy *policy =
        load(STAGE "    selector: {kind: random, seed: 3}\n" QUARTER
                   "  - at: llm:8\n" ATTENTION TOPK QUARTER);
    tkp_policy *seeded;
    ck_assert_int_eq(tkp_policy_with_seed(&seeded, policy, 99), TKP_OK);
    ck_assert_uint_eq(stage_of(seeded, 0).selector->seed, 99);
    ck_assert_uint_eq(stage_of(seeded, 1).selector->seed, 0);
    ck_assert_uint_eq(stage_of(policy, 0).selector->seed, 3);
    tkp_policy_destroy(seeded);
    tkp_policy_destroy(policy);
}
END_TEST

/* --- texts that are wrong -------------------------------------------------------- */

/* 1 if the file gives another answer than NAME.txt has. */
static int check_bad(const char *folder, const char *name)
{
    char path[1024];
    size_t bytes;
    size_t expected_bytes;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    char *text = read_file(path, &bytes);
    strcpy(path + strlen(path) - 4, "txt");
    char *expected = read_file(path, &expected_bytes);
    char met[1200];
    tkp_policy *policy = NULL;
    const tkp_status status = tkp_policy_load_text(&policy, text, bytes, name);
    snprintf(
        met, sizeof(met), "%s %s\n", tkp_status_string(status),
        tkp_last_message());
    const int wrong = policy || strlen(met) != expected_bytes ||
                      memcmp(met, expected, expected_bytes) != 0;
    if (wrong)
        fprintf(
            stderr, "met    %swanted %.*s", met, (int)expected_bytes, expected);
    free(text);
    free(expected);
    return wrong;
}

START_TEST(load_text__corpus_of_bad_texts__whole_message_as_expected)
{
    const char *root = getenv("TKP_TEST_DATA");
    const char *only = getenv("TKP_TEST_CASE");
    char folder[900];
    snprintf(folder, sizeof(folder), "%s/policies/bad", root ? root : ".");
    DIR *dir = opendir(folder);
    ck_assert_msg(dir != NULL, "%s: is TKP_TEST_DATA set?", folder);
    int cases = 0;
    int wrong = 0;
    for (struct dirent *at; (at = readdir(dir));) {
        const size_t n = strlen(at->d_name);
        if (n < 6 || strcmp(at->d_name + n - 5, ".yaml") != 0)
            continue;
        if (only && (strncmp(at->d_name, only, n - 5) || only[n - 5]))
            continue;
        cases++;
        wrong += check_bad(folder, at->d_name);
    }
    closedir(dir);
    ck_assert_int_ge(cases, only ? 1 : 130);
    ck_assert_int_eq(wrong, 0);
}
END_TEST

/* `count` times `piece` between `head` and `tail`; the caller frees it. */
static char *
repeat(const char *head, const char *piece, size_t count, const char *tail)
{
    const size_t n = strlen(piece);
    char *text = malloc(strlen(head) + n * count + strlen(tail) + 1);
    char *at = text + sprintf(text, "%s", head);
    for (size_t i = 0; i < count; i++, at += n)
        memcpy(at, piece, n);
    strcpy(at, tail);
    return text;
}

static void refuse_repeated(
    const char *head,
    const char *piece,
    size_t count,
    const char *tail,
    tkp_status status,
    const char *message)
{
    char *text = repeat(head, piece, count, tail);
    refuse(text, status, message);
    free(text);
}

START_TEST(load_text__hostile_texts__bounded_and_clean)
{
    refuse_repeated(
        HEAD "stages: ", "[", 100000, "", TKP_ERR_POLICY,
        "text:3:16: nested deeper than 8, wanted less depth");
    refuse_repeated(
        HEAD "stages: ", "{a: ", 50000, "", TKP_ERR_POLICY,
        "text:3:37: nested deeper than 8, wanted less depth");
    refuse_repeated(
        HEAD "stages:\n", "- ", 9, "x\n", TKP_ERR_POLICY,
        "text:4:15: nested deeper than 8, wanted less depth");
    refuse_repeated(
        HEAD "stages: [", "a,", 50000, "]\n", TKP_ERR_POLICY,
        "text:3:8188: more than 4096 values, wanted a smaller file");
    refuse_repeated(
        "", "#", 256 * 1024 + 1, "", TKP_ERR_POLICY,
        "text:1:1: text has 262145 bytes, wanted at most 262144");
    refuse_repeated(
        "", "#", 256 * 1024, "", TKP_ERR_POLICY,
        "text:1:1: text is empty, wanted 'tokenprune: 1'");
    refuse_repeated(
        HEAD "summary: ", "x", 200000, "\nstages: []\n", TKP_ERR_POLICY,
        "text:3:10: summary is 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...', "
        "wanted one line of 0 to 255 bytes without control characters");
    refuse_repeated(
        HEAD, "name: x\n", 1000, "stages: []\n", TKP_ERR_POLICY,
        "text:3:1: key 'name' stands twice in policy, wanted it once");
    refuse_repeated(
        HEAD "summary: \"", "\\", 100001, "", TKP_ERR_PARSE,
        "text:3:100011: found unknown escape character (while parsing a quoted "
        "scalar)");
    refuse(
        HEAD "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", TKP_ERR_POLICY,
        "text:3:4: an anchor, wanted the value itself");
}
END_TEST

/* --- files --------------------------------------------------------------------- */

START_TEST(load_file__good_and_bad_files__named_in_messages)
{
    char path[] = "policy-XXXXXX";
    const int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    static const char good[] = STAGE ATTENTION TOPK QUARTER;
    ck_assert_int_eq(
        write(descriptor, good, sizeof(good) - 1), sizeof(good) - 1);
    tkp_policy *policy = NULL;
    ck_assert_int_eq(tkp_policy_load_file(&policy, path), TKP_OK);
    ck_assert_str_eq(tkp_policy_name(policy), "test");
    tkp_policy_destroy(policy);
    ck_assert_int_eq(write(descriptor, "x: 1\n", 5), 5);
    close(descriptor);
    policy = NULL;
    ck_assert_int_eq(tkp_policy_load_file(&policy, path), TKP_ERR_POLICY);
    ck_assert_ptr_eq(strstr(tkp_last_message(), path), tkp_last_message());
    unlink(path);
    ck_assert_int_eq(tkp_policy_load_file(&policy, path), TKP_ERR_IO);
    ck_assert_ptr_nonnull(strstr(tkp_last_message(), "cannot be opened"));
    ck_assert_int_eq(tkp_policy_load_file(&policy, "/"), TKP_ERR_IO);
    ck_assert_str_eq(tkp_last_message(), "/: cannot be read: Is a directory");
    ck_assert_int_eq(
        tkp_policy_load_file(&policy, "/dev/zero"), TKP_ERR_POLICY);
    ck_assert_str_eq(
        tkp_last_message(),
        "/dev/zero:1:1: file is longer than 262144 bytes, wanted a policy");
    ck_assert_int_eq(
        tkp_policy_load_file(&policy, "/dev/null"), TKP_ERR_POLICY);
    ck_assert_ptr_null(policy);
}
END_TEST

/* --- memory --------------------------------------------------------------------- */

static tkp_status load_and_change(void)
{
    tkp_policy *policy = NULL;
    tkp_policy *changed = NULL;
    tkp_status status = tkp_policy_load_preset(&policy, "alpha-blend");
    if (status == TKP_OK)
        status = tkp_policy_with_point(&changed, policy, -1, TKP_POINT_LLM, 3);
    tkp_policy_destroy(changed);
    tkp_policy_destroy(policy);
    return status;
}

START_TEST(load__each_allocation_fails_in_turn__clean_error_no_leak)
{
    bool done = false;
    int failures = 0;
    for (int at = 0; !done; at++) {
        test_allocator_install(at);
        const tkp_status status = load_and_change();
        done = test_allocator.calls <= at;
        ck_assert_int_eq(status, done ? TKP_OK : TKP_ERR_MEMORY);
        failures += !done;
        test_allocator_remove();
    }
    ck_assert_int_gt(failures, 20);
}
END_TEST

START_TEST(load_text__bad_texts__no_leak)
{
    test_allocator_install(-1);
    refuse(
        TWO_STAGES "    scorer: 3\n", TKP_ERR_POLICY,
        "text:12:5: key 'scorer' stands twice in stage, wanted it once");
    refuse(
        TWO_STAGES "  - [\n", TKP_ERR_PARSE,
        "text:13:1: did not find expected node content (while parsing a flow "
        "node)");
    test_allocator_remove();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/policy_yaml");
    TCase *t = tcase_create("keys");
    tcase_add_test(t, load_text__only_what_is_required__defaults_filled_in);
    tcase_add_test(t, load_text__attention__defaults_filled_in);
    tcase_add_test(
        t, load_text__several_query_rows__mean_of_visible_by_default);
    tcase_add_test(t, load_text__every_key_off_its_default__reaches_its_field);
    tcase_add_loop_test(
        t, load_text__every_word__its_enum_value, 0,
        (int)(sizeof(word_cases) / sizeof(word_cases[0])));
    tcase_add_test(t, load_text__quota__weighs_with_a_scorer_of_its_own);
    tcase_add_test(t, load_text__chain__parts_with_their_shares);
    tcase_add_test(t, load_text__points__every_form);
    tcase_add_test(t, load_text__ratios__taken_exactly);
    tcase_add_test(t, load_text__weights__print_shortest_and_come_back);
    tcase_add_test(t, load_text__comma_locale__weights_unchanged);
    tcase_add_test(t, load_text__not_terminated__reads_no_byte_more);
    tcase_add_test(t, load_text__json_and_byte_order_mark__understood);
    tcase_add_test(t, load__null_arguments__refused);
    suite_add_tcase(suite, t);
    t = tcase_create("printing");
    tcase_add_test(
        t, to_yaml__any_capacity__needed_bytes_and_a_terminated_prefix);
    tcase_add_test(t, to_yaml__policy_made_in_c__loads_as_the_same);
    tcase_add_test(t, create__name_that_is_no_line_of_text__refused);
    tcase_add_test(t, add_stage__custom_name_that_is_no_line_of_text__refused);
    suite_add_tcase(suite, t);
    t = tcase_create("presets");
    tcase_add_test(t, preset__each__carries_its_name_and_round_trips);
    tcase_add_loop_test(
        t, preset__effective_options__are_the_published_ones, 0,
        (int)(sizeof(preset_cases) / sizeof(preset_cases[0])));
    tcase_add_test(t, preset__none__has_no_stage);
    tcase_add_test(t, preset__each__is_in_one_of_the_tables);
    tcase_add_test(t, preset__query__says_who_asks_the_question);
    tcase_add_test(t, policy__query__says_which_rows_of_the_encoder);
    tcase_add_loop_test(
        t, preset__points__want_together_what_the_policy_says, 0,
        tkp_policy_preset_count());
    tcase_add_test(t, get_point__stages_of_each_kind__as_next_will_give_them);
    tcase_add_test(t, preset__alpha_blend__half_attention_half_unlikeness);
    tcase_add_test(t, preset__unknown_name__nearest_or_all_are_named);
    tcase_add_test(t, manual__every_example__loads_and_round_trips);
    suite_add_tcase(suite, t);
    t = tcase_create("changes");
    tcase_add_test(t, with_budget__replaces_budget_and_quota);
    tcase_add_test(t, with_budget__which_stage_is_not_clear__refused);
    tcase_add_test(t, with_point__score_layer_follows__rules_are_checked_anew);
    tcase_add_test(t, with_seed__random_selectors_only);
    tcase_add_test(t, with_depth__same_shares__the_last_of_those_that_meet);
    suite_add_tcase(suite, t);
    t = tcase_create("bad");
    tcase_add_test(
        t, load_text__corpus_of_bad_texts__whole_message_as_expected);
    tcase_add_test(t, load_text__hostile_texts__bounded_and_clean);
    tcase_add_test(t, load_file__good_and_bad_files__named_in_messages);
    tcase_add_test(t, load__each_allocation_fails_in_turn__clean_error_no_leak);
    tcase_add_test(t, load_text__bad_texts__no_leak);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
