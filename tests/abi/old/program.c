/*
 * A program of the first day: it knows the headers in include/ beside it and no
 * others, and is linked with the library of today. Its structs are shorter than
 * the library's, its enumerators fewer. Whatever the library fills lies between
 * guards. It prints what it gets, so that the same source built with today's
 * headers can be held against it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tokenprune.h>

#ifdef WITH_MLLM
#    include <tokenprune/mllm.h>
#endif

enum { HEADS = 4, CHANNELS = 8, HIDDEN = HEADS * CHANNELS, GUARD = 256 };

static void check(tkp_status status, const char *call)
{
    if (status == TKP_OK)
        return;
    fprintf(stderr, "%s: %s\n", call, tkp_last_message());
    exit(1);
}
#define OK(call) check(call, #call)

static void expect(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "this does not hold: %s\n", what);
    exit(1);
}
#define EXPECT(holds) expect(holds, #holds)

/* GUARDED(type, name): name.it is a struct with bytes behind it that the
 * library has to leave alone; INTACT(name) says whether it did. */
#define GUARDED(type, name)                                                    \
    struct {                                                                   \
        type it;                                                               \
        unsigned char after[GUARD];                                            \
    } name;                                                                    \
    memset(name.after, 0xA5, GUARD)
#define INTACT(name) EXPECT(untouched(name.after))

static int untouched(const unsigned char *bytes)
{
    for (int i = 0; i < GUARD; i++)
        if (bytes[i] != 0xA5)
            return 0;
    return 1;
}

static void *memory(size_t bytes)
{
    void *out = aligned_alloc(64, (bytes / 64 + 1) * 64);
    EXPECT(out != NULL);
    return out;
}

static float *numbers(int64_t count)
{
    uint32_t seed = 12345;
    float *out = memory((size_t)count * sizeof(*out));
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (float)(seed >> 8) / 16777216.0f - 0.5f;
    }
    return out;
}

/* --- a batch of two prompts --------------------------------------------------- */

static tkp_layout *two_prompts(void)
{
    tkp_layout *layout;
    tkp_sequence_desc prompt = TKP_SEQUENCE_DESC_INIT;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    OK(tkp_layout_create(&layout));
    for (int32_t b = 0; b < 2; b++) {
        prompt.length = 60 + 30 * b;
        prompt.id = (uint32_t)b;
        image.sequence = b;
        image.start = 5;
        image.rows = 6;
        image.cols = 8 + b;
        OK(tkp_layout_add_sequence(layout, &prompt, NULL));
        OK(tkp_layout_add_image(layout, &image, NULL));
    }
    return layout;
}

static tkp_model_desc model_desc(void)
{
    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = 6;
    model.heads = HEADS;
    model.head_dim = CHANNELS;
    model.hidden = HIDDEN;
    model.intermediate = 3 * HIDDEN;
    return model;
}

/* --- scorer, selector and merger by themselves --------------------------------- */

static void parts(tkp_context *context, tkp_exec *exec)
{
    tkp_layout *layout = two_prompts();
    const tkp_model_desc model = model_desc();

    tkp_scorer_options attention = TKP_SCORER_OPTIONS_INIT;
    attention.kind = TKP_SCORER_ATTENTION;
    tkp_scorer_options norm = TKP_SCORER_OPTIONS_INIT;
    norm.kind = TKP_SCORER_NORM;
    norm.norm = TKP_NORM_L2;
    tkp_blend_term terms[2] = {
        {&attention, 0.75f, TKP_NORMALISE_MIN_MAX, 0, 0},
        {&norm, 0.25f, TKP_NORMALISE_MIN_MAX, 1, 0}};
    tkp_scorer_options blend = TKP_SCORER_OPTIONS_INIT;
    blend.kind = TKP_SCORER_BLEND;
    blend.n_terms = 2;
    blend.terms = terms;
    tkp_selector_options window = TKP_SELECTOR_OPTIONS_INIT;
    window.kind = TKP_SELECTOR_WINDOW;
    window.window_rows = window.window_cols = 2;
    window.quota = 1;
    tkp_merger_options mean = TKP_MERGER_OPTIONS_INIT;
    mean.kind = TKP_MERGER_WINDOW_AVERAGE;

    tkp_scorer *scorer;
    tkp_selector *selector;
    tkp_merger *merger;
    OK(tkp_scorer_create(&scorer, context, &blend, layout, &model));
    const tkp_budget all = TKP_BUDGET_INIT;
    OK(tkp_selector_create(&selector, context, &window, &all, layout));
    OK(tkp_merger_create(&merger, context, &mean, selector, &model));
    GUARDED(tkp_requirements, needed);
    uint64_t most = 0;
    needed.it = (tkp_requirements)TKP_REQUIREMENTS_INIT;
    OK(tkp_scorer_query(scorer, &needed.it));
    most = needed.it.workspace_bytes;
    OK(tkp_selector_query(selector, &needed.it));
    most = needed.it.workspace_bytes > most ? needed.it.workspace_bytes : most;
    OK(tkp_merger_query(merger, &needed.it));
    most = needed.it.workspace_bytes > most ? needed.it.workspace_bytes : most;
    INTACT(needed);
    void *workspace = memory(most);
    OK(tkp_exec_set_workspace(exec, workspace, most));

    const int64_t rows = tkp_layout_rows(layout);
    const int64_t n = tkp_layout_visual_tokens(layout, 0) +
                      tkp_layout_visual_tokens(layout, 1);
    const int64_t kept =
        tkp_selector_count(selector, 0) + tkp_selector_count(selector, 1);
    float *data = numbers(rows * HIDDEN);
    float *score = memory((size_t)n * sizeof(*score));
    float *merged = memory((size_t)(kept * HIDDEN) * sizeof(*merged));
    int32_t *index = memory((size_t)kept * sizeof(*index));
    tkp_tensor hidden, heads, scores, indices, out;
    tkp_tensor_make_2d(&hidden, data, TKP_DTYPE_F32, rows, HIDDEN);
    tkp_tensor_make_3d(&heads, data, TKP_DTYPE_F32, rows, HEADS, CHANNELS);
    tkp_tensor_make_1d(&scores, score, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&indices, index, TKP_DTYPE_I32, kept);
    tkp_tensor_make_2d(&out, merged, TKP_DTYPE_F32, kept, HIDDEN);
    tkp_inputs inputs = TKP_INPUTS_INIT;
    inputs.hidden = &hidden;
    inputs.q = inputs.k = &heads;
    EXPECT(tkp_scorer_needs(scorer) == (TKP_NEED_ATTENTION | TKP_NEED_HIDDEN));
    OK(tkp_scorer_run(scorer, exec, &inputs, &scores));
    OK(tkp_selector_run(selector, exec, &scores, &indices, NULL));
    OK(tkp_merger_run(merger, exec, &inputs, &indices, &out, NULL, NULL));
    for (int64_t i = 0; i < kept; i++)
        printf(
            "%d %.5f %.5f\n", index[i], (double)score[index[i]],
            (double)merged[i * HIDDEN]);

    tkp_merger_destroy(merger);
    tkp_selector_destroy(selector);
    tkp_scorer_destroy(scorer);
    tkp_layout_destroy(layout);
    free(workspace);
    free(data);
    free(score);
    free(merged);
    free(index);
}

/* --- a policy in a sequence ------------------------------------------------------ */

/* Two stages, filled in by hand. */
static tkp_policy *by_hand(void)
{
    tkp_policy *policy;
    tkp_selector_options random = TKP_SELECTOR_OPTIONS_INIT;
    random.kind = TKP_SELECTOR_RANDOM;
    random.seed = 3;
    tkp_scorer_options attention = TKP_SCORER_OPTIONS_INIT;
    attention.kind = TKP_SCORER_ATTENTION;
    attention.query = TKP_QUERY_TEXT;
    tkp_selector_options best = TKP_SELECTOR_OPTIONS_INIT;
    best.kind = TKP_SELECTOR_TOPK;
    tkp_budget budget = TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_RATIO;
    budget.ratio_num = 2;
    budget.ratio_den = 3;
    budget.scope = TKP_SCOPE_IMAGE;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    OK(tkp_policy_create(&policy, "by-hand"));
    stage.point = TKP_POINT_PROJECTOR;
    stage.selector = &random;
    stage.budget = &budget;
    OK(tkp_policy_add_stage(policy, &stage));
    budget.scope = TKP_SCOPE_SEQUENCE;
    stage.point = TKP_POINT_LLM;
    stage.boundary = 3;
    stage.positions = TKP_POSITIONS_REPACK;
    stage.scorer = &attention;
    stage.selector = &best;
    OK(tkp_policy_add_stage(policy, &stage));

    GUARDED(tkp_stage_options, again);
    again.it = (tkp_stage_options)TKP_STAGE_OPTIONS_INIT;
    OK(tkp_policy_get_stage(policy, 1, &again.it));
    INTACT(again);
    EXPECT(again.it.scorer->query == TKP_QUERY_TEXT);
    EXPECT(again.it.budget->ratio_den == 3);
    return policy;
}

static void run_policy(tkp_context *context, tkp_exec *exec, tkp_policy *policy)
{
    tkp_layout *layout = two_prompts();
    const tkp_model_desc model = model_desc();
    tkp_sequence *sequence;
    OK(tkp_sequence_create(&sequence, context));
    OK(tkp_sequence_begin(sequence, exec, policy, layout, &model));
    tkp_requirements needed = TKP_REQUIREMENTS_INIT;
    OK(tkp_sequence_query(sequence, &needed));
    void *workspace = memory(needed.workspace_bytes);
    OK(tkp_exec_set_workspace(exec, workspace, needed.workspace_bytes));
    int64_t rows = tkp_layout_rows(layout);
    float *data = numbers(rows * HIDDEN);
    float *next = memory((size_t)(rows * HIDDEN) * sizeof(*next));

    printf("%s\n", tkp_policy_name(policy));
    for (;;) {
        GUARDED(tkp_point, point);
        point.it = (tkp_point)TKP_POINT_INIT;
        OK(tkp_sequence_next(sequence, &point.it));
        INTACT(point);
        if (!point.it.kind)
            break;
        EXPECT(point.it.rows_in == rows);
        tkp_tensor hidden, heads, kept;
        tkp_tensor_make_2d(&hidden, data, TKP_DTYPE_F32, rows, HIDDEN);
        tkp_tensor_make_3d(&heads, data, TKP_DTYPE_F32, rows, HEADS, CHANNELS);
        tkp_inputs inputs = TKP_INPUTS_INIT;
        inputs.hidden = &hidden;
        inputs.q = inputs.k = &heads;
        GUARDED(tkp_decision, decision);
        decision.it = (tkp_decision)TKP_DECISION_INIT;
        OK(tkp_sequence_prune(sequence, exec, &inputs, &decision.it));
        INTACT(decision);
        EXPECT(decision.it.rows_out == point.it.rows_out);
        tkp_tensor_make_2d(
            &kept, next, TKP_DTYPE_F32, decision.it.rows_out, HIDDEN);
        OK(tkp_gather_rows(sequence, exec, &kept, &hidden, &decision.it));
        INTACT(decision);
        rows = decision.it.rows_out;
        const int32_t *from = decision.it.indices.data;
        const int32_t *position = decision.it.positions.data;
        printf("  layer %d:", point.it.boundary);
        for (int64_t i = 0; i < rows; i++)
            printf(" %d@%d", from[i], position[i]);
        printf("\n");
        memcpy(data, next, (size_t)(rows * HIDDEN) * sizeof(*data));
    }
    GUARDED(tkp_report, report);
    report.it = (tkp_report)TKP_REPORT_INIT;
    OK(tkp_sequence_report(sequence, &report.it));
    INTACT(report);
    printf(
        "  %lld of %lld tokens, %.3f a layer, %.0f of %.0f, %lld bytes\n",
        (long long)report.it.visual_after, (long long)report.it.visual_before,
        report.it.equiv_in, report.it.macs, report.it.macs_unpruned,
        (long long)report.it.kv_bytes);
    tkp_sequence_destroy(sequence);
    tkp_layout_destroy(layout);
    free(workspace);
    free(data);
    free(next);
}

static void policies(tkp_context *context, tkp_exec *exec)
{
    static const char yaml[] = "tokenprune: 1\nname: text\nstages:\n"
                               "  - at: llm:2\n"
                               "    scorer: {kind: attention, query: last}\n"
                               "    selector: {kind: topk}\n"
                               "    budget: {ratio: 1/4}\n";
    static const char *const presets[] = {
        "none", "random", "fastv", "fastv-window", "pooling", "alpha-blend"};
    tkp_policy *policy = by_hand();
    run_policy(context, exec, policy);
    tkp_policy_destroy(policy);
    OK(tkp_policy_load_text(&policy, yaml, strlen(yaml), NULL));
    run_policy(context, exec, policy);

    tkp_budget fewer = TKP_BUDGET_INIT;
    fewer.kind = TKP_BUDGET_COUNT;
    fewer.count = 3;
    tkp_policy *changed;
    OK(tkp_policy_with_budget(&changed, policy, -1, &fewer));
    run_policy(context, exec, changed);
    tkp_policy_destroy(changed);
    tkp_policy_destroy(policy);
    for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
        OK(tkp_policy_load_preset(&policy, presets[i]));
        run_policy(context, exec, policy);
        tkp_policy_destroy(policy);
    }
}

/* --- a scorer of the program's own ------------------------------------------------ */

static tkp_status run_first(
    void *user,
    const tkp_batch_view *view,
    const tkp_inputs *inputs,
    tkp_exec *exec,
    const tkp_tensor *scores)
{
    (void)inputs;
    (void)exec;
    (*(int *)user)++;
    for (int64_t i = 0; i < view->candidates; i++)
        ((float *)scores->data)[i] = -(float)view->candidate_cells[i];
    return TKP_OK;
}

static void own_scorer(tkp_context *context, tkp_exec *exec)
{
    static const char yaml[] = "tokenprune: 1\nname: own\nstages:\n"
                               "  - at: projector\n"
                               "    scorer: {kind: custom, custom: first}\n"
                               "    selector: topk\n"
                               "    budget: {count: 5}\n";
    int calls = 0;
    tkp_scorer_vtable table;
    memset(&table, 0, sizeof(table));
    table.struct_size = sizeof(table);
    table.run = run_first;
    OK(tkp_scorer_register("first", &table, &calls));
    tkp_policy *policy;
    OK(tkp_policy_load_text(&policy, yaml, strlen(yaml), NULL));
    run_policy(context, exec, policy);
    EXPECT(calls == 1);
    tkp_policy_destroy(policy);
    OK(tkp_scorer_unregister("first"));
}

/* --- the model --------------------------------------------------------------------- */

#ifdef WITH_MLLM
static int32_t
on_text(void *user, int32_t request, const char *text, size_t bytes)
{
    (void)request;
    (void)text;
    *(size_t *)user += bytes;
    return 0;
}

/* Two requests in an array: their stride is the caller's. */
static void
answers(tkp_context *context, const char *directory, const char *picture)
{
    tkp_mllm *model;
    tkp_mllm_options options = TKP_MLLM_OPTIONS_INIT;
    OK(tkp_mllm_load(&model, context, directory, &options));
    GUARDED(tkp_mllm_info, info);
    info.it = (tkp_mllm_info)TKP_MLLM_INFO_INIT;
    OK(tkp_mllm_get_info(model, &info.it));
    INTACT(info);
    printf(
        "%s: %d layers, %lld parameters\n", info.it.kind, info.it.layers,
        (long long)info.it.parameters);

    tkp_mllm_request requests[2] = {
        TKP_MLLM_REQUEST_INIT, TKP_MLLM_REQUEST_INIT};
    requests[0].prompt = "What is this?";
    requests[1].prompt = "What color is it, and where?";
    for (int i = 0; i < 2; i++) {
        requests[i].id = (uint32_t)i;
        requests[i].images = &picture;
        requests[i].n_images = 1;
    }
    tkp_mllm_generate_options generate = TKP_MLLM_GENERATE_OPTIONS_INIT;
    size_t bytes = 0;
    generate.max_new_tokens = 3;
    generate.ignore_eos = 1;
    generate.on_text = on_text;
    generate.on_text_user = &bytes;
    OK(tkp_policy_load_preset(&generate.policy, "random"));
    tkp_mllm_result *result;
    OK(tkp_mllm_generate(&result, model, requests, 2, &generate));
    for (int32_t i = 0; i < 2; i++) {
        const int32_t *ids;
        const int64_t count = tkp_mllm_result_tokens(result, i, &ids);
        for (int64_t t = 0; t < count; t++)
            printf(" %d", ids[t]);
        printf("\n");
    }
    GUARDED(tkp_mllm_times, times);
    times.it = (tkp_mllm_times)TKP_MLLM_TIMES_INIT;
    OK(tkp_mllm_result_times(result, &times.it));
    INTACT(times);
    EXPECT(times.it.decode_steps == 2);
    EXPECT(
        bytes == strlen(tkp_mllm_result_text(result, 0)) +
                     strlen(tkp_mllm_result_text(result, 1)));
    tkp_mllm_result_destroy(result);
    tkp_policy_destroy(generate.policy);
    tkp_mllm_destroy(model);
}
#endif

int main(int argc, char **argv)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = "ref";
    tkp_context *context;
    tkp_exec *exec;
    OK(tkp_context_create(&context, &options));
    OK(tkp_exec_create(&exec, context, NULL));
    parts(context, exec);
    policies(context, exec);
    own_scorer(context, exec);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
#ifdef WITH_MLLM
    EXPECT(argc == 3);
    OK(tkp_context_create(&context, NULL));
    answers(context, argv[1], argv[2]);
    tkp_context_destroy(context);
#else
    (void)argc;
    (void)argv;
#endif
    return 0;
}
