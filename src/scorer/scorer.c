/* The scorer: its leaves, the blend over them, and their workspace. */
#include "scorer/scorer.h"

#include "core/names.h"

TKP__ASSERT_NO_PADDING(tkp_model_desc, vision_value_dim);
TKP__ASSERT_NO_PADDING(tkp_inputs, vision_values);

tkp_status tkp__model_copy(tkp_model_desc *out, const tkp_model_desc *in)
{
    TKP__TRY(tkp__util_copy_options(
        out, sizeof(*out), in, in->struct_size,
        TKP__SIZE_THROUGH(tkp_model_desc, kv_pages), "model"));
    TKP__CHECK(
        tkp__is_float(out->dtype), TKP_ERR_DTYPE,
        "model: dtype is %s, wanted f32, f16 or bf16",
        tkp_dtype_string(out->dtype));
    TKP__CHECK(
        out->layers >= 0 && out->layers <= 65536 && out->heads >= 0 &&
            out->heads <= 65536 && out->kv_heads >= 0 && out->head_dim >= 0 &&
            out->head_dim <= 65536 && out->hidden >= 0 &&
            out->hidden <= INT32_MAX && out->intermediate >= 0 &&
            out->intermediate <= INT32_MAX && out->vision_hidden >= 0 &&
            out->vision_hidden <= INT32_MAX && out->vision_key_dim >= 0 &&
            out->vision_key_dim <= INT32_MAX && out->vision_value_dim >= 0 &&
            out->vision_value_dim <= INT32_MAX && out->clip_dim >= 0 &&
            out->clip_dim <= INT32_MAX && out->text_rows >= 0 &&
            out->clip_text_rows >= 0 && out->clip_token_rows >= 0,
        TKP_ERR_OPTION, "model: a size is out of range");
    TKP__CHECK(
        out->norm_eps >= 0.0f && out->norm_eps < 1.0f, TKP_ERR_OPTION,
        "model: norm_eps is %g, wanted 0 to 1", (double)out->norm_eps);
    TKP__CHECK(
        out->rope_theta >= 0.0 && out->rope_theta <= 1e30, TKP_ERR_OPTION,
        "model: rope_theta is %g, wanted 0 or more", out->rope_theta);
    if (out->norm_eps == 0.0f)
        out->norm_eps = 1e-5f;
    if (!out->kv_heads)
        out->kv_heads = out->heads;
    if (!out->head_dim && out->heads)
        out->head_dim = (int32_t)(out->hidden / out->heads);
    TKP__CHECK(
        !out->kv_heads || out->heads % out->kv_heads == 0, TKP_ERR_OPTION,
        "model: kv_heads is %d, wanted a divisor of heads = %d", out->kv_heads,
        out->heads);
    if (!out->mlp_matrices)
        out->mlp_matrices = 3;
    if (!out->kv_dtype)
        out->kv_dtype = out->dtype;
    TKP__CHECK(
        out->mlp_matrices == 2 || out->mlp_matrices == 3, TKP_ERR_OPTION,
        "model: mlp_matrices is %d, wanted 2 or 3", out->mlp_matrices);
    TKP__CHECK(
        tkp_dtype_bytes(out->kv_dtype) > 0, TKP_ERR_DTYPE,
        "model: kv_dtype is %d, wanted an enum tkp_dtype", out->kv_dtype);
    TKP__CHECK(
        out->kv_page >= 0 && out->kv_pages >= 0 &&
            (out->kv_page > 0) == (out->kv_pages > 0) &&
            out->kv_pages <= INT32_MAX,
        TKP_ERR_OPTION,
        "model: kv_page %d and kv_pages %lld, wanted both or "
        "none",
        out->kv_page, (long long)out->kv_pages);
    return TKP_OK;
}

tkp_status tkp__inputs_copy(tkp_inputs *out, const tkp_inputs *in)
{
    return tkp__util_copy_options(
        out, sizeof(*out), in, in->struct_size,
        TKP__SIZE_THROUGH(tkp_inputs, text), "inputs");
}

static const tkp__leaf_kind *leaf_kind(int32_t kind)
{
    switch (kind) {
    case TKP_SCORER_ATTENTION:
        return &tkp__leaf_attention;
    case TKP_SCORER_CLS_ATTENTION:
    case TKP_SCORER_EXTERNAL:
        return &tkp__leaf_given;
    case TKP_SCORER_NORM:
        return &tkp__leaf_norm;
    case TKP_SCORER_COSINE:
        return &tkp__leaf_cosine;
    case TKP_SCORER_ROTARY:
        return &tkp__leaf_rotary;
    case TKP_SCORER_VALUE_ATTENTION:
        return &tkp__leaf_value_attention;
    case TKP_SCORER_MEAN_QUERY:
        return &tkp__leaf_mean_query;
    case TKP_SCORER_RECONSTRUCTION:
        return &tkp__leaf_reconstruction;
    case TKP_SCORER_VARIANCE:
        return &tkp__leaf_variance;
    case TKP_SCORER_OVERVIEW:
        return &tkp__leaf_overview;
    case TKP_SCORER_TEMPORAL:
        return &tkp__leaf_temporal;
    case TKP_SCORER_GAUSSIAN:
        return &tkp__leaf_gaussian;
    case TKP_SCORER_CURVATURE:
        return &tkp__leaf_curvature;
    case TKP_SCORER_CUSTOM:
        return &tkp__leaf_custom;
    case TKP_SCORER_RELEVANCE:
    case TKP_SCORER_ENTROPY_RELEVANCE:
        return &tkp__leaf_relevance;
    default:
        return NULL;
    }
}

bool tkp__scorer_kind_known(int32_t kind)
{
    return kind == TKP_SCORER_NONE || kind == TKP_SCORER_BLEND ||
           leaf_kind(kind);
}

static tkp_status plan_leaf(
    tkp_scorer *s,
    int32_t i,
    const tkp_scorer_options *options,
    bool ranks,
    const tkp_model_desc *model)
{
    tkp__leaf *leaf = &s->leaves[i];
    const tkp__leaf_kind *kind = leaf_kind(options->kind);
    TKP__CHECK(kind, TKP_ERR_OPTION, "scorer: kind none computes no scores");
    *leaf = (tkp__leaf){
        .kind = kind,
        .context = s->context,
        .batch = s->batch,
        .model = *model,
        .options = *options,
        .ranks = ranks,
        .ledger = TKP__LEDGER_INIT,
    };
    if (options->custom) { /* the options may go; the name must stay */
        leaf->options.custom = tkp__strdup(options->custom);
        if (!leaf->options.custom)
            return TKP_ERR_MEMORY;
    }
    s->n_leaves = i + 1;
    TKP__TRY(kind->plan(leaf, s->batch));
    TKP__TRY(tkp__ledger_book(&leaf->ledger, leaf->ops_bytes, &leaf->ops_at));
    return TKP_OK;
}

/* Scores tile by tile, and back: tiles side by side take turns. */
static tkp_status plan_turn(tkp_scorer *s, tkp_ledger *ledger)
{
    const int64_t n = s->batch->layout->visual;
    tkp_tensor args[3];
    if (s->within != TKP_SCOPE_TILE)
        return TKP_OK;
    s->order = tkp__alloc(2 * (size_t)n, sizeof(int32_t));
    if (!s->order)
        return TKP_ERR_MEMORY;
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, n, 1);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_F32, n, 1);
    TKP__TRY(tkp__core_op_make(
        &s->gather, s->context, TKP_OP_GATHER_ROWS, args, 3, NULL, NULL));
    return tkp__ledger_book(ledger, (uint64_t)n * sizeof(float), &s->turn_at);
}

static tkp_status
plan_blend(tkp_scorer *s, const tkp__scorer_spec *spec, tkp_ledger *ledger)
{
    const int32_t terms = spec->options.n_terms;
    const int64_t n = s->batch->layout->visual;
    tkp_op_blend params = {
        .struct_size = sizeof(params),
        .terms = terms,
        .combine = spec->options.combine,
    };
    for (int32_t t = 0; t < terms; t++) {
        params.weight[t] = spec->terms[t].weight;
        params.normalise[t] = spec->terms[t].normalise;
        params.complement[t] = spec->terms[t].complement;
    }
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, terms, n);
    tkp_tensor_make_1d(
        &args[1], NULL, TKP_DTYPE_I32,
        tkp__layout_groups(s->batch->layout, s->within) + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__core_op_make(
        &s->blend, s->context, TKP_OP_BLEND, args, 3, &params, NULL));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)terms * (uint64_t)n * sizeof(float), &s->terms_at));
    TKP__TRY(plan_turn(s, ledger));
    const uint64_t blend = tkp__core_op_workspace(s->blend);
    const uint64_t turn = s->gather ? tkp__core_op_workspace(s->gather) : 0;
    return tkp__ledger_book(ledger, blend > turn ? blend : turn, &s->blend_at);
}

static tkp_status plan_scorer(
    tkp_scorer *s,
    const tkp__scorer_spec *spec,
    const tkp_model_desc *model)
{
    tkp_ledger ledger = TKP__LEDGER_INIT;
    s->blends = spec->options.kind == TKP_SCORER_BLEND;
    if (s->blends) {
        for (int32_t t = 0; t < spec->options.n_terms; t++)
            TKP__TRY(plan_leaf(s, t, &spec->term_scorers[t], false, model));
        s->within = spec->options.scope;
        TKP__TRY(plan_blend(s, spec, &ledger));
        s->offsets = tkp__alloc(
            (size_t)tkp__layout_groups(s->batch->layout, s->within) + 1,
            sizeof(int32_t));
        if (!s->offsets)
            return TKP_ERR_MEMORY;
    } else {
        TKP__TRY(plan_leaf(s, 0, &spec->options, spec->ranks, model));
    }
    /* Leaves run one after the other in the same piece. */
    uint64_t most = 0;
    for (int32_t i = 0; i < s->n_leaves; i++)
        if (s->leaves[i].ledger.bytes > most)
            most = s->leaves[i].ledger.bytes;
    TKP__TRY(tkp__ledger_book(&ledger, most, &s->leaf_at));
    s->workspace_bytes = ledger.bytes;
    s->needs = tkp__scorer_spec_needs(spec);
    return TKP_OK;
}

tkp_status tkp__scorer_new(
    tkp_scorer **out,
    tkp_context *context,
    const tkp__scorer_spec *spec,
    const tkp__batch *batch,
    const tkp_model_desc *model)
{
    tkp_scorer *s = tkp__zalloc(1, sizeof(*s));
    if (!s)
        return TKP_ERR_MEMORY;
    s->context = context;
    s->batch = batch;
    tkp__core_context_retain(context);
    const tkp_status status = plan_scorer(s, spec, model);
    if (status != TKP_OK) {
        tkp__scorer_free(s);
        return status;
    }
    *out = s;
    return TKP_OK;
}

void tkp__scorer_free(tkp_scorer *s)
{
    if (!s)
        return;
    for (int32_t i = 0; i < s->n_leaves; i++) {
        tkp__leaf *leaf = &s->leaves[i];
        for (int32_t j = 0; j < TKP__LEAF_OPS; j++)
            tkp__core_op_destroy(leaf->ops[j]);
        if (leaf->kind->release)
            leaf->kind->release(leaf);
        if (leaf->custom.run)
            tkp__names_put(&tkp__scorer_names, leaf->options.custom);
        tkp__free((void *)leaf->options.custom);
        tkp__features_release(&leaf->features);
        tkp__free(leaf->memory);
    }
    tkp__core_op_destroy(s->blend);
    tkp__core_op_destroy(s->gather);
    tkp__free(s->order);
    tkp__free(s->offsets);
    tkp__batch_free(s->own);
    tkp__core_context_release(s->context);
    tkp__free(s);
}

void tkp__scorer_bind(tkp_scorer *s)
{
    for (int32_t i = 0; i < s->n_leaves; i++)
        s->leaves[i].kind->bind(&s->leaves[i], s->batch);
    if (!s->blends)
        return;
    if (s->within != TKP_SCOPE_TILE) {
        s->groups = tkp__batch_unit_offsets(s->batch, s->within, s->offsets);
        return;
    }
    s->groups = tkp__batch_tiles(s->batch, s->order, s->offsets);
    for (int32_t i = 0; i < s->batch->candidates; i++)
        s->order[s->batch->candidates + s->order[i]] = i;
}

/* dst[i] = src[order[i]] */
static tkp_status turn(
    const tkp_scorer *s,
    tkp_exec *exec,
    const float *src,
    int32_t *order,
    float *dst,
    void *workspace)
{
    const int64_t n = s->batch->candidates;
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], (void *)(uintptr_t)src, TKP_DTYPE_F32, n, 1);
    tkp_tensor_make_1d(&args[1], order, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[2], dst, TKP_DTYPE_F32, n, 1);
    return tkp__core_op_run(
        s->gather, exec, args, 3, tkp__ledger_at(workspace, s->blend_at),
        tkp__core_op_workspace(s->gather));
}

/* Leaves that look at attention must agree on the rows: the first one's are
 * asked for, and those of different queries take them from q of all rows. */
int64_t tkp__scorer_query_rows(
    const tkp_scorer *const *scorers,
    int32_t n,
    int32_t *rows,
    int64_t capacity)
{
    const tkp__leaf *chosen = NULL;
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < scorers[i]->n_leaves; j++) {
            const tkp_scorer *s = scorers[i];
            const tkp__leaf *leaf = &s->leaves[j];
            if (leaf->kind != &tkp__leaf_attention)
                continue;
            if (chosen && chosen->options.query != leaf->options.query) {
                const int64_t all = s->batch->rows;
                for (int64_t r = 0; rows && r < all && r < capacity; r++)
                    rows[r] = (int32_t)r;
                return all;
            }
            chosen = leaf;
        }
    if (!chosen)
        return 0;
    const int64_t count = chosen->q_begin[chosen->rounds];
    for (int64_t r = 0; rows && r < count && r < capacity; r++)
        rows[r] = chosen->q_rows[r];
    return count;
}

static tkp_status run_leaf(
    const tkp_scorer *s,
    int32_t i,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    const tkp_tensor *dst)
{
    const tkp__leaf *leaf = &s->leaves[i];
    return leaf->kind->run(
        leaf, exec, inputs, tkp__ledger_at(workspace, s->leaf_at), dst);
}

tkp_status tkp__scorer_run(
    const tkp_scorer *s,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    const tkp_tensor *scores)
{
    const int64_t n = s->batch->candidates;
    if (!s->blends)
        return run_leaf(s, 0, exec, inputs, workspace, scores);
    float *terms = tkp__ledger_at(workspace, s->terms_at);
    float *turned = s->gather ? tkp__ledger_at(workspace, s->turn_at) : NULL;
    for (int32_t t = 0; t < s->n_leaves; t++) {
        tkp_tensor dst;
        float *term = terms + t * n;
        tkp_tensor_make_1d(&dst, turned ? turned : term, TKP_DTYPE_F32, n);
        TKP__TRY(run_leaf(s, t, exec, inputs, workspace, &dst));
        if (turned)
            TKP__TRY(turn(s, exec, turned, s->order, term, workspace));
    }
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], terms, TKP_DTYPE_F32, s->n_leaves, n);
    tkp_tensor_make_1d(&args[1], s->offsets, TKP_DTYPE_I32, s->groups + 1);
    args[2] = *scores;
    if (turned)
        tkp_tensor_make_1d(&args[2], turned, TKP_DTYPE_F32, n);
    TKP__TRY(tkp__core_op_run(
        s->blend, exec, args, 3, tkp__ledger_at(workspace, s->blend_at),
        tkp__core_op_workspace(s->blend)));
    return turned ? turn(
                        s, exec, turned, s->order + n, tkp__data(scores),
                        workspace)
                  : TKP_OK;
}

tkp_status tkp__scorer_rank(
    const tkp_scorer *s,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    int32_t *ranks)
{
    const tkp__leaf *leaf = &s->leaves[0];
    return leaf->kind->rank(
        leaf, exec, inputs, tkp__ledger_at(workspace, s->leaf_at), ranks);
}
