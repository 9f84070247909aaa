/* Starting a batch: plan every stage, resolve every budget, book memory. */
#include "sequence/sequence.h"

#include "util/carve.h"

tkp_status tkp__sequence_new(tkp_sequence **out, tkp_context *context)
{
    tkp_sequence *s = tkp__zalloc(1, sizeof(*s));
    if (!s)
        return TKP_ERR_MEMORY;
    s->context = context;
    tkp__core_context_retain(context);
    *out = s;
    return TKP_OK;
}

/* Forget the batch; the object stays. */
static void clear(tkp_sequence *s)
{
    for (int32_t i = 0; i < s->n_stages; i++) {
        tkp__merger_free(s->stages[i].merger);
        tkp__selector_release(s->stages[i].selector);
        tkp__scorer_free(s->stages[i].scorer);
    }
    tkp__core_op_destroy(s->compact);
    tkp__core_op_destroy(s->gather);
    tkp__core_op_destroy(s->scatter);
    tkp__core_op_destroy(s->scatter_encoder);
    tkp__encoder_release(s);
    tkp__cost_release(&s->cost);
    tkp__batch_release(&s->batch);
    tkp__free(s->memory);
    tkp__core_memory_free(s->context, s->merged);
    s->merged = NULL;
    tkp__free(s->next_position);
    tkp__layout_release(s->layout);
    tkp__policy_release(s->policy);
    *s = (tkp_sequence){.context = s->context};
}

void tkp__sequence_free(tkp_sequence *s)
{
    if (!s)
        return;
    clear(s);
    tkp__core_context_release(s->context);
    tkp__free(s);
}

/* --- stages -------------------------------------------------------------- */

static tkp_status plan_parts(tkp_sequence *s, int32_t i)
{
    tkp__run_stage *run = &s->stages[i];
    const tkp__stage *stage = run->stage;
    const bool encoder = tkp__run_in_encoder(run);
    const tkp__batch *batch = encoder ? &s->encoder : &s->batch;
    const tkp_model_desc *model = encoder ? &s->encoder_model : &s->model;
    /* After prefill such a stage has caches to catch up. */
    if (stage->selector.options.kind == TKP_SELECTOR_ALL &&
        stage->merger.options.kind == TKP_MERGER_NONE &&
        stage->point != TKP_POINT_KV)
        return TKP_OK;
    if (tkp__stage_needs_scores(stage))
        TKP__TRY(tkp__scorer_new(
            &run->scorer, s->context, &stage->scorer, batch, model));
    TKP__TRY(tkp__selector_new(
        &run->selector, s->context, &stage->selector, &stage->budget, batch,
        model, tkp__stage_first_layer(stage, s->model.layers), s->model.layers,
        (uint32_t)stage->boundary));
    for (int32_t j = 0; j < i; j++)
        run->selector->clamps |= tkp__stage_is_adaptive(s->stages[j].stage);
    if (stage->merger.options.kind != TKP_MERGER_NONE)
        TKP__TRY(tkp__merger_new(
            &run->merger, s->context, &stage->merger, run->selector, model));
    uint64_t most = run->selector->workspace_bytes;
    if (run->scorer && run->scorer->workspace_bytes > most)
        most = run->scorer->workspace_bytes;
    if (run->merger && run->merger->workspace_bytes > most)
        most = run->merger->workspace_bytes;
    run->workspace_bytes = most;
    return TKP_OK;
}

static tkp_status plan_stage(tkp_sequence *s, int32_t i)
{
    tkp__run_stage *run = &s->stages[i];
    const tkp__stage *stage = s->policy->stages[i];
    run->stage = stage;
    s->n_stages = i + 1;
    TKP__CHECK(
        stage->point != TKP_POINT_LLM || stage->boundary <= s->model.layers,
        TKP_ERR_OPTION,
        "policy '%s': stage %d: boundary is %d, wanted 0 to the %d layers of "
        "the model",
        s->policy->name, i, stage->boundary, s->model.layers);
    TKP__CHECK(
        stage->point != TKP_POINT_LLM || stage->score_layer < s->model.layers,
        TKP_ERR_OPTION,
        "policy '%s': stage %d: score_layer is %d, wanted one of the %d layers "
        "of the model",
        s->policy->name, i, stage->score_layer, s->model.layers);
    TKP__CHECK(
        stage->kv_end <= s->model.layers, TKP_ERR_OPTION,
        "policy '%s': stage %d: layers are [%d, %d), wanted some of the %d "
        "layers of the model",
        s->policy->name, i, stage->kv_begin, stage->kv_end, s->model.layers);
    TKP__CHECK(
        !tkp__stage_reads_layer(stage) || stage->score_layer >= 0,
        TKP_ERR_STATE,
        "policy '%s': stage %d: its scorer reads attention, but was registered "
        "after the stage was added; make the policy anew",
        s->policy->name, i);
    const tkp_status status = plan_parts(s, i);
    if (status != TKP_OK)
        return tkp__fail_prefix(
            status, "policy '%s': stage %d", s->policy->name, i);
    if (run->workspace_bytes > s->workspace_bytes)
        s->workspace_bytes = run->workspace_bytes;
    return TKP_OK;
}

/* --- budgets, before anything is computed --------------------------------- */

/* Counts of every stage, walked through without running: of each sequence, or
 * of each unit of another scope while all cuts so far had that scope. */
static tkp_status walk_part(
    tkp_sequence *s,
    int32_t i,
    tkp__batch_count *n,
    const char *what,
    int32_t index)
{
    const tkp__stage *stage = s->stages[i].stage;
    int64_t keep;
    const tkp_status status = tkp__batch_resolve(
        n, &stage->budget, tkp__stage_first_layer(stage, s->model.layers),
        s->model.layers, &keep);
    if (status != TKP_OK)
        return tkp__fail_prefix(
            status, "policy '%s': stage %d: %s %d", s->policy->name, i, what,
            index);
    keep += tkp__chain_more(
        &stage->selector, keep - n->kept, n->candidates - n->kept);
    if (stage->effect != TKP_EFFECT_PROTECT)
        n->candidates = keep;
    else /* with what an earlier stage protects, at most */
        n->kept =
            keep < n->candidates - n->kept ? n->kept + keep : n->candidates;
    return TKP_OK;
}

static bool cuts_by_budget(const tkp__run_stage *run)
{
    return run->selector &&
           run->stage->selector.options.kind != TKP_SELECTOR_ALL &&
           !run->stage->selector.options.quota;
}

static tkp_status walk_stages(
    tkp_sequence *s,
    int32_t scope,
    int32_t b,
    int32_t unit,
    const char *what)
{
    tkp__batch_count n = tkp__batch_count_of(&s->batch, scope, b, unit, 0);
    n.original = n.candidates;
    for (int32_t i = 0; i < s->n_stages; i++) {
        const tkp__stage *stage = s->stages[i].stage;
        const int32_t every = stage->budget.every;
        if (tkp__stage_is_adaptive(stage) &&
            stage->effect != TKP_EFFECT_PROTECT)
            break; /* nobody knows what is left */
        if (!cuts_by_budget(&s->stages[i]) || stage->budget.scope != scope)
            continue;
        if (every)
            n.first =
                tkp__batch_count_of(&s->batch, scope, b, unit, every).first;
        TKP__TRY(walk_part(s, i, &n, what, unit < 0 ? b : unit));
    }
    return TKP_OK;
}

static tkp_status walk_budgets(tkp_sequence *s)
{
    for (int32_t b = 0; b < s->batch.sequences; b++)
        TKP__TRY(walk_stages(s, TKP_SCOPE_SEQUENCE, b, -1, "sequence"));
    for (int32_t i = 0; i < s->layout->n_images; i++) {
        const tkp__layout_image *image = &s->layout->images[i];
        const int32_t b = image->sequence;
        TKP__TRY(walk_stages(s, TKP_SCOPE_IMAGE, b, i, "image"));
        for (int32_t t = 0; t < image->frames; t++)
            TKP__TRY(walk_stages(
                s, TKP_SCOPE_FRAME, b, image->first_frame + t, "frame"));
        for (int32_t t = 0; t < image->tile_lines * image->tile_columns; t++)
            TKP__TRY(walk_stages(
                s, TKP_SCOPE_TILE, b, image->first_tile + t, "tile"));
    }
    return TKP_OK;
}

/* --- memory and the sequence's own ops ------------------------------------ */

static bool merges(const tkp_sequence *s)
{
    for (int32_t i = 0; i < s->n_stages; i++)
        if (s->stages[i].merger)
            return true;
    return false;
}

static void carve_results(tkp_sequence *s, tkp__carver *c)
{
    const int64_t n = s->layout->visual;
    const int64_t rows = s->layout->rows;
    s->scores = tkp__carve(c, n, sizeof(float));
    s->selected = tkp__carve(c, n, sizeof(int32_t));
    s->roles = tkp__carve(c, n, sizeof(int32_t));
    s->pools = tkp__carve(c, n, sizeof(int32_t));
    s->kept_offsets =
        tkp__carve(c, s->layout->n_sequences + 1, sizeof(int32_t));
    s->ranks = tkp__carve(c, s->layout->n_sequences, sizeof(int32_t));
    s->allowance = tkp__carve(c, s->layout->n_sequences, sizeof(int64_t));
    s->places = tkp__carve(c, n, sizeof(int32_t));
    s->order = tkp__carve(c, n, sizeof(int32_t));
    s->protected_now = tkp__carve(c, n, sizeof(uint8_t));
    s->indices = tkp__carve(c, rows, sizeof(int32_t));
    s->offsets = tkp__carve(c, s->layout->n_sequences + 1, sizeof(int32_t));
    s->positions =
        tkp__carve(c, rows * s->layout->position_rows, sizeof(int32_t));
    s->sizes = tkp__carve(c, rows, sizeof(float));
    s->totals = tkp__carve(c, rows, sizeof(float));
    s->key_bias = tkp__carve(c, rows, sizeof(float));
    s->assignment = tkp__carve(c, rows, sizeof(int32_t));
    s->kept_sizes = tkp__carve(c, n, sizeof(float));
    s->kept_of = tkp__carve(c, n, sizeof(int32_t));
    if (!merges(s))
        return;
    s->merged_at = tkp__carve(c, n, sizeof(int32_t));
}

/* Rows of mergers lie where the batch lies. */
static tkp_status alloc_merged(tkp_sequence *s)
{
    const int64_t inside = s->encoder_model.hidden, behind = s->model.hidden;
    size_t bytes;
    if (!merges(s))
        return TKP_OK;
    TKP__CHECK(
        tkp__mul_size(
            (size_t)s->layout->visual,
            (size_t)(inside > behind ? inside : behind) *
                tkp_dtype_bytes(s->model.dtype),
            &bytes),
        TKP_ERR_SHAPE, "sequence: %lld merged rows do not fit",
        (long long)s->layout->visual);
    return tkp__core_memory_alloc(s->context, &s->merged, bytes);
}

static tkp_status plan_op(
    tkp_sequence *s,
    tkp_op **op,
    int32_t kind,
    const tkp_tensor *args,
    const void *params)
{
    return tkp__core_op_make(
        op, s->context, kind, args, 3, params, &s->workspace_bytes);
}

static tkp_status plan_ops(tkp_sequence *s)
{
    const int64_t rows = s->layout->rows;
    const int64_t n = s->layout->visual + s->layout->padding;
    const tkp_op_compact params = {.struct_size = sizeof(params), .rows = rows};
    tkp_tensor args[3];
    tkp_tensor_make_1d(&args[0], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, rows);
    TKP__TRY(plan_op(s, &s->compact, TKP_OP_COMPACT, args, &params));
    /* Rows of whatever the engine has are gathered as bytes. */
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_U8, rows, INT32_MAX);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, rows);
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_U8, rows, INT32_MAX);
    TKP__TRY(plan_op(s, &s->gather, TKP_OP_GATHER_ROWS, args, NULL));
    if (!merges(s))
        return TKP_OK;
    tkp_tensor_make_2d(
        &args[0], NULL, s->model.dtype, s->layout->visual, s->model.hidden);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, s->layout->visual);
    tkp_tensor_make_2d(&args[2], NULL, s->model.dtype, rows, s->model.hidden);
    TKP__TRY(plan_op(s, &s->scatter, TKP_OP_SCATTER_ROWS, args, NULL));
    if (!s->encoder_model.hidden)
        return TKP_OK;
    args[0].shape[1] = args[2].shape[1] = s->encoder_model.hidden;
    args[0].strides[0] = args[2].strides[0] = s->encoder_model.hidden;
    args[2].shape[0] = s->layout->visual;
    return plan_op(s, &s->scatter_encoder, TKP_OP_SCATTER_ROWS, args, NULL);
}

/* Highest position of each sequence + 1, in every layer. */
static tkp_status plan_positions(tkp_sequence *s)
{
    const int32_t b = s->batch.sequences;
    const int64_t rows = s->batch.rows;
    s->next_position =
        tkp__alloc(((size_t)s->model.layers + 1) * (size_t)b, sizeof(int32_t));
    if (!s->next_position)
        return TKP_ERR_MEMORY;
    for (int32_t i = 0; i < b; i++) {
        int32_t top = 0;
        for (int32_t p = 0; p < s->batch.position_rows; p++)
            for (int32_t r = s->batch.row_offsets[i];
                 r < s->batch.row_offsets[i + 1]; r++)
                if (s->batch.positions[p * rows + r] >= top)
                    top = s->batch.positions[p * rows + r] + 1;
        for (int32_t layer = 0; layer <= s->model.layers; layer++)
            s->next_position[layer * b + i] = top;
    }
    return TKP_OK;
}

static tkp_status build(tkp_sequence *s)
{
    TKP__TRY(tkp__batch_create(&s->batch, s->layout));
    TKP__TRY(tkp__encoder_create(s));
    for (int32_t i = 0; i < s->policy->n_stages; i++)
        TKP__TRY(plan_stage(s, i));
    TKP__TRY(walk_budgets(s));
    TKP__TRY(plan_ops(s));
    TKP__TRY(plan_positions(s));
    tkp__carver c = {NULL, 0};
    carve_results(s, &c);
    c = (tkp__carver){tkp__alloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    s->memory = c.base;
    carve_results(s, &c);
    TKP__TRY(alloc_merged(s));
    return tkp__cost_create(&s->cost, &s->model, &s->batch);
}

tkp_status tkp__sequence_begin(
    tkp_sequence *s,
    tkp_policy *policy,
    tkp_layout *layout,
    const tkp_model_desc *model)
{
    tkp_model_desc shapes;
    TKP__TRY(tkp__model_copy(&shapes, model));
    TKP__TRY(tkp__layout_freeze(layout));
    clear(s);
    s->policy = policy;
    tkp__policy_retain(policy);
    s->layout = layout;
    tkp__layout_retain(layout);
    s->model = shapes;
    const tkp_status status = build(s);
    if (status != TKP_OK)
        clear(s);
    return status;
}
