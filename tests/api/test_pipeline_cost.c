/*
 * What a policy costs: budgets, their labels and roundings, and the report,
 * against the published numbers and their audit (LLaVA-1.5-7B and NeXT-7B
 * shapes). No forward runs here: random selection needs no input.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenprune.h"

/* --- budgets -------------------------------------------------------------------- */

static tkp_budget count_of(int64_t count, int32_t label)
{
    tkp_budget b = TKP_BUDGET_INIT;
    b.kind = TKP_BUDGET_COUNT;
    b.count = count;
    b.label = label;
    return b;
}

static tkp_budget ratio_of(int64_t num, int64_t den, int32_t rounding)
{
    tkp_budget b = TKP_BUDGET_INIT;
    b.kind = TKP_BUDGET_RATIO;
    b.ratio_num = num;
    b.ratio_den = den;
    b.rounding = rounding;
    return b;
}

static int64_t
resolve(tkp_budget b, int64_t n, int32_t boundary, int32_t layers)
{
    int64_t keep = -1;
    const tkp_status status =
        tkp_budget_resolve(&b, n, boundary, layers, &keep);
    ck_assert_msg(status == TKP_OK, "%s", tkp_last_message());
    return keep;
}

/* Equivalent budgets of 192, 128, 96, 64 leave a cut at boundary 2 of 32
 * layers 166.4, 98.1, 64.0, 29.9 tokens. */
START_TEST(resolve__equivalent_budgets__published_conversions)
{
    static const struct {
        int64_t label, at2, at2_floor, at2_ceil, at3;
    } cases[] = {
        {192, 166, 166, 167, 152},
        {128, 98, 98, 99, 82},
        {96, 64, 64, 64, 46},
        {64, 30, 29, 30, 11},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp_budget b = count_of(cases[i].label, TKP_LABEL_EQUIV_IN);
        ck_assert_int_eq(resolve(b, 576, 2, 32), cases[i].at2);
        ck_assert_int_eq(resolve(b, 576, 3, 32), cases[i].at3);
        b.rounding = TKP_ROUND_FLOOR;
        ck_assert_int_eq(resolve(b, 576, 2, 32), cases[i].at2_floor);
        b.rounding = TKP_ROUND_CEIL;
        ck_assert_int_eq(resolve(b, 576, 2, 32), cases[i].at2_ceil);
    }
}
END_TEST

/* As engines size their placeholders: the product of doubles, cut off. */
START_TEST(resolve__double_truncate__as_an_engine_computes_it)
{
    static const struct {
        int32_t kind;
        int64_t num, den, n, keep;
    } cases[] = {
        {TKP_BUDGET_TOTAL_REDUCTION, 9, 10, 500, 49},
        {TKP_BUDGET_TOTAL_REDUCTION, 90, 100, 500, 49},
        {TKP_BUDGET_RATIO, 1, 10, 500, 50},
        {TKP_BUDGET_TOTAL_REDUCTION, 9, 10, 100, 9},
        {TKP_BUDGET_TOTAL_REDUCTION, 7, 10, 144, 43},
        {TKP_BUDGET_TOTAL_REDUCTION, 1, 2, 64, 32},
        {TKP_BUDGET_TOTAL_REDUCTION, 7, 10, 10, 3},
        {TKP_BUDGET_TOTAL_REDUCTION, 1, 1, 500, 0},
        {TKP_BUDGET_TOTAL_REDUCTION, 0, 1, 500, 500},
        {TKP_BUDGET_RATIO, 29, 100, 100, 28}, /* 28.999999999999996 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp_budget b =
            ratio_of(cases[i].num, cases[i].den, TKP_ROUND_DOUBLE_TRUNCATE);
        b.kind = cases[i].kind;
        ck_assert_int_eq(resolve(b, cases[i].n, 0, 32), cases[i].keep);
    }
    int64_t keep = 77;
    tkp_budget b = ratio_of(1, 10, TKP_ROUND_DOUBLE_TRUNCATE);
    b.label = TKP_LABEL_EQUIV_IN;
    ck_assert_int_eq(tkp_budget_resolve(&b, 500, 2, 32, &keep), TKP_ERR_OPTION);
    b = ratio_of(1, 2, TKP_ROUND_DOUBLE_TRUNCATE);
    b.kind = TKP_BUDGET_TOTAL_REDUCTION;
    b.tacr_num = 4;
    b.tacr_den = 1;
    ck_assert_int_eq(tkp_budget_resolve(&b, 500, 2, 32, &keep), TKP_ERR_OPTION);
    b = count_of(49, TKP_LABEL_RETAIN);
    b.rounding = TKP_ROUND_DOUBLE_TRUNCATE;
    ck_assert_int_eq(resolve(b, 500, 0, 32), 49);
    ck_assert_int_eq(keep, 77);
}
END_TEST

/* EQUIV_OUT credits the layer before the cut with the cut. */
START_TEST(resolve__equiv_out__one_layer_more_counts_as_cut)
{
    for (int64_t label = 48; label <= 576; label += 24) {
        const int64_t out =
            resolve(count_of(label, TKP_LABEL_EQUIV_OUT), 576, 3, 32);
        const int64_t in =
            resolve(count_of(label, TKP_LABEL_EQUIV_IN), 576, 2, 32);
        ck_assert_int_eq(out, in);
    }
    ck_assert_int_eq(
        resolve(count_of(100, TKP_LABEL_EQUIV_OUT), 576, 0, 32), 100);
    ck_assert_int_eq(
        resolve(count_of(100, TKP_LABEL_EQUIV_IN), 576, 0, 32), 100);
}
END_TEST

START_TEST(resolve__equivalent_budget_that_full_layers_exceed__refused)
{
    tkp_budget b = count_of(30, TKP_LABEL_EQUIV_IN);
    int64_t keep = 77;
    ck_assert_int_eq(tkp_budget_resolve(&b, 576, 2, 32, &keep), TKP_ERR_OPTION);
    ck_assert_str_eq(
        tkp_last_message(),
        "budget: 2 of 32 layers run on all 576 tokens; that alone exceeds the "
        "equivalent budget");
    ck_assert_int_eq(keep, 77);
    b.count = 36; /* exactly the two full layers */
    ck_assert_int_eq(resolve(b, 576, 2, 32), 0);
    ck_assert_int_eq(
        tkp_budget_resolve(&b, 576, 32, 32, &keep), TKP_ERR_OPTION);
}
END_TEST

START_TEST(resolve__by_rank__the_data_decide)
{
    tkp_budget b = TKP_BUDGET_INIT;
    int64_t keep = -1;
    b.kind = TKP_BUDGET_RANK;
    b.ratio_num = 27;
    b.ratio_den = 2;
    ck_assert_int_eq(
        tkp_budget_resolve(&b, 576, 2, 32, &keep), TKP_ERR_UNSUPPORTED);
    b.ratio_num = -1;
    ck_assert_int_eq(tkp_budget_resolve(&b, 576, 2, 32, &keep), TKP_ERR_OPTION);
    b.ratio_num = 1;
    b.count = INT64_MIN;
    ck_assert_int_eq(tkp_budget_resolve(&b, 576, 2, 32, &keep), TKP_ERR_OPTION);
    ck_assert_int_eq(keep, -1);
}
END_TEST

START_TEST(resolve__published_ratios__each_rounding)
{
    static const struct {
        int64_t num;
        int64_t floor, nearest, ceil;
    } cases[] = {
        {222, 127, 128, 128}, /* 77.8 % removed */
        {111, 63, 64, 64},    /* 88.9 % */
        {250, 144, 144, 144}, {125, 72, 72, 72},
        {333, 191, 192, 192}, /* 66.7 % */
        {0, 0, 0, 0},         {1000, 576, 576, 576},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int64_t num = cases[i].num;
        ck_assert_int_eq(
            resolve(ratio_of(num, 1000, TKP_ROUND_FLOOR), 576, 2, 32),
            cases[i].floor);
        ck_assert_int_eq(
            resolve(ratio_of(num, 1000, TKP_ROUND_NEAREST), 576, 2, 32),
            cases[i].nearest);
        ck_assert_int_eq(
            resolve(ratio_of(num, 1000, TKP_ROUND_CEIL), 576, 2, 32),
            cases[i].ceil);
    }
    /* a tenth of ten is one: 1 - 0.9 in floats would give none */
    ck_assert_int_eq(resolve(ratio_of(1, 10, TKP_ROUND_FLOOR), 10, 0, 1), 1);
    /* halves go to even */
    ck_assert_int_eq(resolve(ratio_of(1, 2, TKP_ROUND_NEAREST), 1, 0, 1), 0);
    ck_assert_int_eq(resolve(ratio_of(1, 2, TKP_ROUND_NEAREST), 3, 0, 1), 2);
    ck_assert_int_eq(resolve(ratio_of(1, 2, TKP_ROUND_NEAREST), 5, 0, 1), 2);
}
END_TEST

START_TEST(resolve__min_keep__clamps_from_below_but_not_above_what_is_there)
{
    tkp_budget b = ratio_of(1, 100, TKP_ROUND_FLOOR);
    b.min_keep = 8;
    ck_assert_int_eq(resolve(b, 576, 0, 1), 8);
    ck_assert_int_eq(resolve(b, 5, 0, 1), 5);
    ck_assert_int_eq(resolve(b, 0, 0, 1), 0);
    b.min_keep = INT64_MAX;
    ck_assert_int_eq(resolve(b, 576, 0, 1), 576);
}
END_TEST

/* FastV-dagger on Qwen2-VL: training merged 2 x 2 patches, compression 4. Read
 * literally, 66.7 / 77.8 / 88.9 % remove a quarter of that; composed, a total
 * below three quarters of the patches needs no pruning. */
START_TEST(resolve__total_reduction__composed_and_literal)
{
    static const struct {
        int64_t num;
        int64_t composed, literal;
    } cases[] = {
        {667, 1000, 833}, /* 4 (1 - .667) = 1.332 -> all; 1 - .16675 */
        {778, 888, 806},  /* .888; 1 - .1945 = .8055 */
        {889, 444, 778},  /* .444; 1 - .22225 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkp_budget b = TKP_BUDGET_INIT;
        b.kind = TKP_BUDGET_TOTAL_REDUCTION;
        b.ratio_num = cases[i].num;
        b.ratio_den = 1000;
        b.tacr_num = 4;
        b.tacr_den = 1;
        ck_assert_int_eq(resolve(b, 1000, 2, 28), cases[i].composed);
        b.training_mode = TKP_TRAINING_LITERAL;
        const int64_t literal = resolve(b, 1000, 2, 28);
        ck_assert_int_ge(literal, cases[i].literal - 1);
        ck_assert_int_le(literal, cases[i].literal);
    }
}
END_TEST

/* --- the report ------------------------------------------------------------------- */

typedef struct cost_case {
    int64_t visual_rows, visual_cols; /* grid */
    int64_t text;
    const char *at;
    int64_t keep;
    const char *label;
    int32_t mlp_matrices;
} cost_case;

typedef struct cost {
    double macs_share, equiv_in, equiv_out, macs_unpruned;
    int64_t kv, kv_unpruned, visual_after;
    int64_t tokens[33], visual[33];
} cost;

static tkp_model_desc llama_7b(int32_t mlp_matrices)
{
    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F16;
    model.layers = 32;
    model.heads = 32;
    model.hidden = 4096;
    model.intermediate = 11008;
    model.mlp_matrices = mlp_matrices;
    return model;
}

static void prune_all(tkp_sequence *sequence, tkp_exec *exec)
{
    const tkp_inputs inputs = TKP_INPUTS_INIT;
    for (;;) {
        tkp_point point = TKP_POINT_INIT;
        tkp_decision decision = TKP_DECISION_INIT;
        ck_assert_int_eq(tkp_sequence_next(sequence, &point), TKP_OK);
        if (!point.kind)
            return;
        ck_assert_int_eq(
            tkp_sequence_prune(sequence, exec, &inputs, &decision), TKP_OK);
    }
}

static cost read_cost(const tkp_sequence *sequence)
{
    cost out = {0};
    tkp_report r = TKP_REPORT_INIT;
    ck_assert_int_eq(tkp_sequence_report(sequence, &r), TKP_OK);
    out.macs_share = r.macs / r.macs_unpruned;
    out.macs_unpruned = r.macs_unpruned;
    out.equiv_in = r.equiv_in;
    out.equiv_out = r.equiv_out;
    out.kv = r.kv_bytes;
    out.kv_unpruned = r.kv_bytes_unpruned;
    out.visual_after = r.visual_after;
    for (int32_t l = 0; l < r.layers; l++) {
        out.tokens[l] = r.layer_tokens[l];
        out.visual[l] = r.layer_visual[l];
    }
    return out;
}

static cost
run_stages(const char *stages, const cost_case *c, const tkp_model_desc *model)
{
    char text[1200];
    const int n = snprintf(
        text, sizeof(text), "tokenprune: 1\nname: cost\nstages:\n%s", stages);
    tkp_policy *policy = NULL;
    tkp_layout *layout;
    tkp_context *context;
    tkp_exec *exec;
    tkp_sequence *sequence;
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = "ref";
    ck_assert_msg(
        tkp_policy_load_text(&policy, text, (size_t)n, NULL) == TKP_OK, "%s",
        tkp_last_message());
    ck_assert_int_eq(tkp_context_create(&context, &options), TKP_OK);
    ck_assert_int_eq(tkp_exec_create(&exec, context, NULL), TKP_OK);
    ck_assert_int_eq(tkp_layout_create(&layout), TKP_OK);
    tkp_sequence_desc desc = TKP_SEQUENCE_DESC_INIT;
    desc.length = c->visual_rows * c->visual_cols + c->text;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    image.rows = (int32_t)c->visual_rows;
    image.cols = (int32_t)c->visual_cols;
    ck_assert_int_eq(tkp_layout_add_sequence(layout, &desc, NULL), TKP_OK);
    ck_assert_int_eq(tkp_layout_add_image(layout, &image, NULL), TKP_OK);
    ck_assert_int_eq(tkp_sequence_create(&sequence, context), TKP_OK);
    const tkp_status status =
        tkp_sequence_begin(sequence, exec, policy, layout, model);
    ck_assert_msg(status == TKP_OK, "%s", tkp_last_message());
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    ck_assert_int_eq(tkp_sequence_query(sequence, &need), TKP_OK);
    void *workspace = aligned_alloc(64, (need.workspace_bytes + 127) / 64 * 64);
    ck_assert_int_eq(
        tkp_exec_set_workspace(exec, workspace, need.workspace_bytes), TKP_OK);
    prune_all(sequence, exec);
    const cost out = read_cost(sequence);
    tkp_sequence_destroy(sequence);
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
    tkp_policy_destroy(policy);
    free(workspace);
    return out;
}

static cost run_case(const cost_case *c)
{
    char stages[400];
    const tkp_model_desc model = llama_7b(c->mlp_matrices);
    snprintf(
        stages, sizeof(stages),
        "  - at: %s\n"
        "    selector: random\n"
        "    budget: {count: %lld, label: %s}\n",
        c->at, (long long)c->keep, c->label);
    return run_stages(stages, c, &model);
}

START_TEST(report__retain__mean_of_tokens_processed)
{
    static const struct {
        int64_t keep;
        double equiv_in;
    } cases[] = {{144, 171.0}, {128, 156.0}, {64, 96.0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const cost_case c = {24, 24, 46, "llm:2", cases[i].keep, "retain", 3};
        const cost r = run_case(&c);
        ck_assert_double_eq_tol(r.equiv_in, cases[i].equiv_in, 1e-9);
        ck_assert_double_eq_tol(
            r.equiv_out, (576.0 + 31.0 * (double)cases[i].keep) / 32.0, 1e-9);
        ck_assert_int_eq(r.visual_after, cases[i].keep);
        for (int32_t l = 0; l < 32; l++) {
            ck_assert_int_eq(r.visual[l], l < 2 ? 576 : cases[i].keep);
            ck_assert_int_eq(r.tokens[l], r.visual[l] + 46);
        }
    }
}
END_TEST

START_TEST(report__equivalent_budget__is_what_comes_out)
{
    static const int64_t labels[] = {192, 128, 96, 64};
    for (size_t i = 0; i < 4; i++) {
        const cost_case c = {24, 24, 46, "llm:2", labels[i], "equiv-in", 3};
        /* the count is whole, so the mean is within half a token of a layer */
        ck_assert_double_eq_tol(
            run_case(&c).equiv_in, (double)labels[i], 0.5 * 30 / 32);
    }
    const cost_case c = {24, 24, 46, "llm:3", 64, "equiv-out", 3};
    ck_assert_double_eq_tol(run_case(&c).equiv_out, 64.0, 0.5 * 30 / 32);
}
END_TEST

/* 2880 -> 320 without text: the published 12.8 % is one full layer. */
START_TEST(report__macs__published_shares)
{
    static const struct {
        const char *at;
        int32_t matrices;
        double percent;
    } cases[] = {
        {"llm:1", 3, 12.89}, {"llm:2", 3, 15.70}, {"llm:3", 3, 18.51},
        {"llm:1", 2, 12.64}, {"llm:2", 2, 15.46}, {"llm:3", 2, 18.28},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const cost_case c = {
            48, 60, 0, cases[i].at, 320, "retain", cases[i].matrices};
        ck_assert_double_eq_tol(
            100.0 * run_case(&c).macs_share, cases[i].percent, 0.005);
    }
}
END_TEST

/* 622 tokens through 32 layers: 3.23 T with two FFN matrices, 4.13 T with the
 * three there are. */
START_TEST(report__macs__whole_prefill)
{
    const cost_case plain = {24, 24, 46, "llm:2", 576, "retain", 2};
    const cost_case gated = {24, 24, 46, "llm:2", 576, "retain", 3};
    ck_assert_double_eq_tol(run_case(&plain).macs_unpruned, 3.23e12, 5e9);
    ck_assert_double_eq_tol(run_case(&gated).macs_unpruned, 4.13e12, 5e9);
}
END_TEST

START_TEST(report__kv_bytes__summed_over_layers)
{
    const cost_case c = {48, 60, 0, "llm:2", 320, "retain", 3};
    const cost r = run_case(&c);
    ck_assert_int_eq(r.kv_unpruned, 2880LL * 524288); /* 1509.9 MB */
    ck_assert_int_eq(r.kv, (2LL * 2880 + 30 * 320) * 16384);
    ck_assert_double_eq_tol((double)r.kv / 1e6, 251.7, 0.05);
}
END_TEST

START_TEST(report__grouped_queries__smaller_projections_and_cache)
{
    tkp_model_desc model = llama_7b(3);
    model.kv_heads = 8;
    model.kv_dtype = TKP_DTYPE_F32;
    const cost_case c = {24, 24, 0, "", 0, "", 3};
    const cost r = run_stages(
        "  - at: projector\n"
        "    selector: random\n"
        "    budget: {ratio: 1/4}\n",
        &c, &model);
    const double x = 576;
    const double d = 4096;
    ck_assert_double_eq_tol(
        r.macs_unpruned,
        32 * (2 * x * d * d + 2 * x * d * 1024 + 2 * x * x * d +
              3 * x * d * 11008),
        1.0);
    ck_assert_int_eq(r.kv_unpruned, 32LL * 576 * 2 * 1024 * 4);
    ck_assert_int_eq(r.kv, 32LL * 144 * 2 * 1024 * 4);
}
END_TEST

/* A cut inside the encoder, whatever the block, is before all layers. */
START_TEST(report__cut_in_the_encoder__counts_from_the_first_layer)
{
    const cost_case before = {24, 24, 46, "projector", 144, "equiv-in", 3};
    const cost_case inside = {24, 24, 46, "vision:23", 144, "equiv-in", 3};
    const cost a = run_case(&before);
    const cost b = run_case(&inside);
    ck_assert_mem_eq(&a, &b, sizeof(a));
    ck_assert_double_eq_tol(a.equiv_in, 144.0, 1e-9);
    ck_assert_int_eq(a.tokens[0], 190);
}
END_TEST

/* Evicting after prefill saves cache, not computation. */
START_TEST(report__cut_after_prefill__kv_only)
{
    const cost_case c = {24, 24, 46, "kv", 144, "retain", 3};
    const cost r = run_case(&c);
    ck_assert_double_eq(r.macs_share, 1.0);
    ck_assert_double_eq(r.equiv_in, 576.0);
    ck_assert_double_eq(r.equiv_out, 576.0);
    ck_assert_int_eq(r.visual_after, 144);
    ck_assert_int_eq(r.kv, 190LL * 524288);
    ck_assert_int_eq(r.tokens[31], 622);
}
END_TEST

START_TEST(report__two_cuts_and_an_eviction__each_where_it_belongs)
{
    const tkp_model_desc model = llama_7b(3);
    const cost_case c = {24, 24, 46, "", 0, "", 3};
    const cost r = run_stages(
        "  - at: llm:2\n"
        "    selector: random\n"
        "    budget: {count: 300}\n"
        "  - at: llm:16\n"
        "    selector: random\n"
        "    budget: {count: 100}\n"
        "  - at: kv\n"
        "    selector: random\n"
        "    budget: {count: 40}\n",
        &c, &model);
    for (int32_t l = 0; l < 32; l++)
        ck_assert_int_eq(r.visual[l], l < 2 ? 576 : l < 16 ? 300 : 100);
    ck_assert_double_eq_tol(
        r.equiv_in, (2 * 576 + 14 * 300 + 16 * 100) / 32.0, 1e-9);
    ck_assert_int_eq(r.visual_after, 40);
    ck_assert_int_eq(r.kv, 32LL * (46 + 40) * 16384);
}
END_TEST

/* Keeping all that is left, caches before the cuts catch up. */
START_TEST(report__eviction_that_keeps_all__earlier_caches_catch_up)
{
    const tkp_model_desc model = llama_7b(3);
    const cost_case c = {24, 24, 46, "", 0, "", 3};
    const cost r = run_stages(
        "  - at: llm:4\n"
        "    selector: random\n"
        "    budget: {count: 100}\n"
        "  - at: kv\n"
        "    layers: [2, 32]\n",
        &c, &model);
    ck_assert_int_eq(r.visual_after, 100);
    ck_assert_int_eq(r.kv, (2LL * (46 + 576) + 30 * (46 + 100)) * 16384);
}
END_TEST

START_TEST(report__cut_after_the_last_layer__only_what_leaves_it)
{
    const cost_case c = {24, 24, 46, "llm:32", 144, "retain", 3};
    const cost r = run_case(&c);
    ck_assert_double_eq(r.macs_share, 1.0);
    ck_assert_double_eq(r.equiv_in, 576.0);
    ck_assert_double_eq_tol(r.equiv_out, (31 * 576 + 144) / 32.0, 1e-9);
    ck_assert_int_eq(r.kv, r.kv_unpruned);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/pipeline_cost");
    TCase *t = tcase_create("budgets");
    tcase_add_test(t, resolve__equivalent_budgets__published_conversions);
    tcase_add_test(t, resolve__double_truncate__as_an_engine_computes_it);
    tcase_add_test(t, resolve__equiv_out__one_layer_more_counts_as_cut);
    tcase_add_test(
        t, resolve__equivalent_budget_that_full_layers_exceed__refused);
    tcase_add_test(t, resolve__by_rank__the_data_decide);
    tcase_add_test(t, resolve__published_ratios__each_rounding);
    tcase_add_test(
        t, resolve__min_keep__clamps_from_below_but_not_above_what_is_there);
    tcase_add_test(t, resolve__total_reduction__composed_and_literal);
    suite_add_tcase(suite, t);
    t = tcase_create("report");
    tcase_add_test(t, report__retain__mean_of_tokens_processed);
    tcase_add_test(t, report__equivalent_budget__is_what_comes_out);
    tcase_add_test(t, report__macs__published_shares);
    tcase_add_test(t, report__macs__whole_prefill);
    tcase_add_test(t, report__kv_bytes__summed_over_layers);
    tcase_add_test(t, report__grouped_queries__smaller_projections_and_cache);
    tcase_add_test(t, report__cut_in_the_encoder__counts_from_the_first_layer);
    tcase_add_test(t, report__cut_after_prefill__kv_only);
    tcase_add_test(t, report__two_cuts_and_an_eviction__each_where_it_belongs);
    tcase_add_test(t, report__eviction_that_keeps_all__earlier_caches_catch_up);
    tcase_add_test(t, report__cut_after_the_last_layer__only_what_leaves_it);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
