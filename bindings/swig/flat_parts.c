/* Scorers, selectors and mergers: flat calls. */

#include "flat_object.h"

DESTROYER(scorer, tkp_scorer)
DESTROYER(selector, tkp_selector)
DESTROYER(merger, tkp_merger)

/* Wrap a part that was made, and note what it wants. */
static tkp_status wrap_part(
    int64_t *out,
    int32_t kind,
    void *part,
    void (*destroy)(flat_object *self),
    int64_t sequences,
    tkp_status asked,
    const tkp_requirements *need)
{
    if (asked != TKP_OK) {
        flat_object lost = {.object = part};
        destroy(&lost);
        return asked;
    }
    TRY(flat__wrap(out, kind, part, destroy));
    flat_object *self = (flat_object *)(intptr_t)*out;
    self->sequences = sequences;
    self->need = need->workspace_bytes;
    return TKP_OK;
}

/* --- making them -------------------------------------------------------------------- */

static tkp_status make_scorer(
    int64_t *out,
    flat_handle context,
    const tkp_stage_options *stage,
    flat_handle layout,
    const tkp_model_desc *model)
{
    GET(on, context, FLAT_KIND_CONTEXT);
    GET(batch, layout, FLAT_KIND_LAYOUT);
    tkp_scorer *scorer;
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    TRY(tkp_scorer_create(
        &scorer, on->object, stage->scorer, batch->object, model));
    const tkp_status asked = tkp_scorer_query(scorer, &need);
    return wrap_part(
        out, FLAT_KIND_SCORER, scorer, destroy_scorer,
        tkp_layout_sequences(batch->object), asked, &need);
}

static tkp_status make_selector(
    int64_t *out,
    flat_handle context,
    const tkp_stage_options *stage,
    flat_handle layout,
    const tkp_model_desc *model)
{
    GET(on, context, FLAT_KIND_CONTEXT);
    GET(batch, layout, FLAT_KIND_LAYOUT);
    tkp_selector *selector;
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    if (model)
        TRY(tkp_selector_create_for(
            &selector, on->object, stage->selector, stage->budget,
            batch->object, model));
    else
        TRY(tkp_selector_create(
            &selector, on->object, stage->selector, stage->budget,
            batch->object));
    const tkp_status asked = tkp_selector_query(selector, &need);
    return wrap_part(
        out, FLAT_KIND_SELECTOR, selector, destroy_selector,
        tkp_layout_sequences(batch->object), asked, &need);
}

static tkp_status make_merger(
    int64_t *out,
    flat_handle context,
    const tkp_stage_options *stage,
    flat_handle selector,
    const tkp_model_desc *model)
{
    GET(on, context, FLAT_KIND_CONTEXT);
    GET(of, selector, FLAT_KIND_SELECTOR);
    tkp_merger *merger;
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    TRY(tkp_merger_create(
        &merger, on->object, stage->merger, of->object, model));
    const tkp_status asked = tkp_merger_query(merger, &need);
    return wrap_part(
        out, FLAT_KIND_MERGER, merger, destroy_merger, of->sequences, asked,
        &need);
}

tkp_status flat_scorer_create(
    int64_t *out,
    flat_handle context,
    const char *scorer,
    flat_handle layout,
    const tkp_model_desc *model)
{
    tkp_policy *parts;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    TRY(flat__policy_of_parts(
        &parts, "scorer", scorer, "topk", "", "{count: 1}"));
    tkp_status status = tkp_policy_get_stage(parts, 0, &stage);
    if (status == TKP_OK)
        status = make_scorer(out, context, &stage, layout, model);
    tkp_policy_destroy(parts);
    return status;
}

tkp_status flat_selector_create(
    int64_t *out,
    flat_handle context,
    const char *selector,
    const char *budget,
    flat_handle layout,
    const tkp_model_desc *model)
{
    tkp_policy *parts;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    TRY(flat__policy_of_parts(&parts, "selector", "", selector, "", budget));
    tkp_status status = tkp_policy_get_stage(parts, 0, &stage);
    if (status == TKP_OK)
        status = make_selector(out, context, &stage, layout, model);
    tkp_policy_destroy(parts);
    return status;
}

tkp_status flat_merger_create(
    int64_t *out,
    flat_handle context,
    const char *merger,
    flat_handle selector,
    const char *selector_text,
    const char *budget,
    const tkp_model_desc *model)
{
    tkp_policy *parts;
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    TRY(flat__policy_of_parts(
        &parts, "merger", "", selector_text, merger, budget));
    tkp_status status = tkp_policy_get_stage(parts, 0, &stage);
    if (status == TKP_OK)
        status = make_merger(out, context, &stage, selector, model);
    tkp_policy_destroy(parts);
    return status;
}

/* The stage of a policy that a part is wanted of. */
static tkp_status
stage_of(tkp_stage_options *out, flat_handle policy, int32_t stage)
{
    GET(self, policy, FLAT_KIND_POLICY);
    tkp_stage_options_init(out);
    return tkp_policy_get_stage(self->object, stage, out);
}

tkp_status flat_scorer_create_of(
    int64_t *out,
    flat_handle context,
    flat_handle policy,
    int32_t stage,
    flat_handle layout,
    const tkp_model_desc *model)
{
    tkp_stage_options options;
    TRY(stage_of(&options, policy, stage));
    return make_scorer(out, context, &options, layout, model);
}

tkp_status flat_selector_create_of(
    int64_t *out,
    flat_handle context,
    flat_handle policy,
    int32_t stage,
    flat_handle layout,
    const tkp_model_desc *model)
{
    tkp_stage_options options;
    TRY(stage_of(&options, policy, stage));
    return make_selector(out, context, &options, layout, model);
}

tkp_status flat_merger_create_of(
    int64_t *out,
    flat_handle context,
    flat_handle policy,
    int32_t stage,
    flat_handle selector,
    const tkp_model_desc *model)
{
    tkp_stage_options options;
    TRY(stage_of(&options, policy, stage));
    return make_merger(out, context, &options, selector, model);
}

/* --- asking them ---------------------------------------------------------------------- */

int64_t flat_needs(flat_handle part)
{
    const flat_object *self = (const flat_object *)(intptr_t)part;
    if (self && self->kind == FLAT_KIND_SCORER)
        return tkp_scorer_needs(self->object);
    if (self && self->kind == FLAT_KIND_SELECTOR)
        return tkp_selector_needs(self->object);
    return 0;
}

int64_t flat_workspace_bytes(flat_handle part)
{
    const flat_object *self = (const flat_object *)(intptr_t)part;
    return self ? (int64_t)self->need : -1;
}

tkp_status flat_scorer_query_rows(
    int64_t *out,
    flat_handle scorer,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, scorer, FLAT_KIND_SCORER);
    flat_tensors given;
    void *rows;
    int64_t capacity;
    TRY(flat__tensors(&given, tensors, n_tensors, 0, FLAT_BIT(FLAT_OUT_ROWS)));
    TRY(flat__host(&rows, &capacity, &given, FLAT_OUT_ROWS, TKP_DTYPE_I32, -1));
    *out = tkp_scorer_query_rows(self->object, rows, capacity);
    return TKP_OK;
}

int64_t flat_selector_count(flat_handle selector, int32_t sequence)
{
    flat_object *self = flat__get(selector, FLAT_KIND_SELECTOR);
    return self ? tkp_selector_count(self->object, sequence) : -1;
}

/* --- running them --------------------------------------------------------------------- */

/* Inputs of a run, and room for it. */
static tkp_status prepare(
    flat_tensors *given,
    tkp_inputs *inputs,
    const flat_object *part,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors,
    uint32_t others)
{
    TRY(flat__tensors(given, tensors, n_tensors, 1, others));
    TRY(flat__inputs(inputs, given, part->sequences));
    return flat_exec_reserve(exec, (int64_t)part->need);
}

tkp_status flat_scorer_run(
    flat_handle scorer,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, scorer, FLAT_KIND_SCORER);
    GET(with, exec, FLAT_KIND_EXEC);
    flat_tensors given;
    tkp_inputs inputs;
    TRY(prepare(
        &given, &inputs, self, exec, tensors, n_tensors,
        FLAT_BIT(FLAT_OUT_SCORES)));
    return tkp_scorer_run(
        self->object, with->object, &inputs, given.at[FLAT_OUT_SCORES]);
}

tkp_status flat_selector_run(
    flat_handle selector,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, selector, FLAT_KIND_SELECTOR);
    GET(with, exec, FLAT_KIND_EXEC);
    flat_tensors given;
    tkp_inputs inputs;
    TRY(prepare(
        &given, &inputs, self, exec, tensors, n_tensors,
        FLAT_BIT(FLAT_OUT_INDICES) | FLAT_BIT(FLAT_OUT_OFFSETS) |
            FLAT_BIT(FLAT_OUT_ROLES) | FLAT_BIT(FLAT_OUT_POOLS)));
    const tkp_tensor *scores = given.at[FLAT_SCORES];
    return tkp_selector_run_on(
        self->object, with->object, &inputs, scores, given.at[FLAT_OUT_INDICES],
        given.at[FLAT_OUT_OFFSETS], given.at[FLAT_OUT_ROLES],
        given.at[FLAT_OUT_POOLS]);
}

tkp_status flat_merger_run(
    flat_handle merger,
    flat_handle exec,
    const int64_t *tensors,
    int64_t n_tensors)
{
    GET(self, merger, FLAT_KIND_MERGER);
    GET(with, exec, FLAT_KIND_EXEC);
    flat_tensors given;
    tkp_inputs inputs;
    TRY(prepare(
        &given, &inputs, self, exec, tensors, n_tensors,
        FLAT_BIT(FLAT_KEPT) | FLAT_BIT(FLAT_OUT_ROWS) |
            FLAT_BIT(FLAT_OUT_SIZES) | FLAT_BIT(FLAT_OUT_ASSIGNMENT)));
    return tkp_merger_run(
        self->object, with->object, &inputs, given.at[FLAT_KEPT],
        given.at[FLAT_OUT_ROWS], given.at[FLAT_OUT_SIZES],
        given.at[FLAT_OUT_ASSIGNMENT]);
}
