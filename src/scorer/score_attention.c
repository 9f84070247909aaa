/*
 * Scores from attention: the probabilities that a few query rows give to the
 * candidates. The engine gives q and k (best), finished rows, or the whole
 * tensor; which rows count is the `query` option.
 */
#include "scorer/raters.h"

enum { GATHER_Q = TKP__FORM_COUNT, GATHER_ORDER, FIND_RATERS, RANK_OF };
enum { AT_Q, AT_LSE, AT_SCORES, AT_RATERS };

/* One round scores all candidates of a sequence by the same rows. Scoring each
 * image by its own row takes a round for each image of a sequence. */
static int32_t count_rounds(const tkp__leaf *leaf, const tkp_layout *layout)
{
    if (leaf->options.query != TKP_QUERY_LAST_VISUAL_PER_IMAGE)
        return 1;
    int32_t most = 1;
    int32_t run = 0;
    for (int32_t i = 0; i < layout->n_images; i++) {
        const bool same =
            i && layout->images[i].sequence == layout->images[i - 1].sequence;
        run = same ? run + 1 : 1;
        most = run > most ? run : most;
    }
    return most;
}

static int64_t most_query_rows(const tkp__leaf *leaf, const tkp_layout *layout)
{
    int64_t text = 0;
    switch (leaf->options.query) {
    case TKP_QUERY_ALL:
        return layout->rows;
    case TKP_QUERY_TEXT:
    case TKP_QUERY_RATERS:
        for (int32_t b = 0; b < layout->n_sequences; b++)
            text +=
                layout->sequences[b].text_end - layout->sequences[b].text_begin;
        return text;
    case TKP_QUERY_LAST_VISUAL_PER_IMAGE:
        return layout->n_images;
    default:
        return layout->n_sequences;
    }
}

static int64_t longest_sequence(const tkp_layout *layout)
{
    int64_t longest = 1;
    for (int32_t b = 0; b < layout->n_sequences; b++)
        if (layout->sequences[b].length > longest)
            longest = layout->sequences[b].length;
    return longest;
}

static tkp_op_attention_scores score_params(const tkp__leaf *leaf)
{
    return (tkp_op_attention_scores){
        .struct_size = sizeof(tkp_op_attention_scores),
        .flags = leaf->options.flags | TKP_ATTENTION_CAUSAL,
        .row_reduce = leaf->options.row_reduce,
    };
}

/* Not of all heads, or not as they are. */
static bool of_heads(const tkp__leaf *leaf)
{
    return leaf->options.heads || leaf->options.level;
}

/* The op that turns q and k into scores. Of `args` the
 * last is `dst`; positions stand before it. */
static tkp_status plan_score_op(tkp__leaf *leaf, int32_t form, tkp_tensor *args)
{
    const tkp_layout *layout = leaf->batch->layout;
    const tkp_op_attention_scores scores = score_params(leaf);
    const tkp_op_attention_heads heads = {
        .struct_size = sizeof(heads),
        .flags = scores.flags,
        .row_reduce = scores.row_reduce,
        .heads = leaf->options.heads,
        .theta = leaf->options.level ? leaf->model.rope_theta : 0.0,
    };
    if (!of_heads(leaf))
        return tkp__leaf_op(
            leaf, form, TKP_OP_ATTENTION_SCORES, args, 10, &scores);
    tkp_tensor with[11];
    memcpy(with, args, 9 * sizeof(*with));
    tkp_tensor_make_2d(
        &with[9], NULL, TKP_DTYPE_I32, layout->position_rows, layout->rows);
    with[10] = args[9];
    return tkp__leaf_op(leaf, form, TKP_OP_ATTENTION_HEADS, with, 11, &heads);
}

/* Where ranks are asked for: the same rows, for each form of q and k. */
static tkp_status plan_rank(tkp__leaf *leaf, int32_t form, tkp_tensor *args)
{
    const tkp_op_attention_rank params = {
        .struct_size = sizeof(params),
        .flags = leaf->options.flags | TKP_ATTENTION_CAUSAL,
    };
    const tkp_tensor scores = args[9];
    if (!leaf->ranks)
        return TKP_OK;
    tkp_tensor_make_1d(&args[9], NULL, TKP_DTYPE_I32, leaf->batch->sequences);
    TKP__TRY(tkp__leaf_op(
        leaf, RANK_OF + form, TKP_OP_ATTENTION_RANK, args, 10, &params));
    args[9] = scores;
    return TKP_OK;
}

/* Plans for q and k in one layout of k, with and without LSE. */
static tkp_status plan_qk(
    tkp__leaf *leaf,
    int32_t form,
    const tkp_tensor *k,
    const tkp_tensor *block_table,
    int64_t q_rows,
    int64_t candidates)
{
    const tkp_model_desc *m = &leaf->model;
    const int64_t offsets = leaf->batch->sequences + 1;
    tkp_tensor args[10] = {0};
    tkp_tensor_make_3d(&args[0], NULL, m->dtype, q_rows, m->heads, m->head_dim);
    args[1] = *k;
    if (block_table)
        args[3] = *block_table;
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, offsets);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, q_rows);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_I32, offsets);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_I32, offsets);
    tkp_tensor_make_1d(&args[8], NULL, TKP_DTYPE_I32, candidates);
    tkp_tensor_make_1d(&args[9], NULL, TKP_DTYPE_F32, candidates);
    TKP__TRY(plan_score_op(leaf, form, args));
    TKP__TRY(plan_rank(leaf, form, args));
    if (leaf->options.flags & TKP_ATTENTION_LOGITS)
        return TKP_OK; /* logits have no normaliser to be given */
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_F32, q_rows, m->heads);
    TKP__TRY(plan_rank(leaf, form + 1, args));
    return plan_score_op(leaf, form + 1, args);
}

static tkp_status plan_finished(
    tkp__leaf *leaf,
    int32_t form,
    const tkp_tensor *probs,
    int64_t q_rows,
    int64_t candidates)
{
    const int64_t offsets = leaf->batch->sequences + 1;
    tkp_tensor args[6] = {0};
    args[0] = *probs;
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, offsets);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, q_rows);
    tkp_tensor_make_1d(&args[3], NULL, TKP_DTYPE_I32, offsets);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, candidates);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_F32, candidates);
    const tkp_op_attention_scores params = score_params(leaf);
    return tkp__leaf_op(
        leaf, form, TKP_OP_ATTENTION_ROWS_REDUCE, args, 6, &params);
}

static tkp_status plan_forms(tkp__leaf *leaf, int64_t q_rows)
{
    const tkp_layout *layout = leaf->batch->layout;
    const tkp_model_desc *m = &leaf->model;
    const int64_t longest = longest_sequence(layout);
    const int64_t n = layout->visual;
    tkp_tensor k;
    tkp_tensor_make_3d(
        &k, NULL, m->dtype, layout->rows, m->kv_heads, m->head_dim);
    TKP__TRY(plan_qk(leaf, TKP__FORM_PACKED, &k, NULL, q_rows, n));
    tkp_tensor_make(
        &k, NULL, m->dtype, 4,
        (int64_t[]){layout->n_sequences, longest, m->kv_heads, m->head_dim});
    TKP__TRY(plan_qk(leaf, TKP__FORM_BLOCK, &k, NULL, q_rows, n));
    if (m->kv_page) {
        tkp_tensor table;
        tkp_tensor_make(
            &k, NULL, m->dtype, 4,
            (int64_t[]){m->kv_pages, m->kv_page, m->kv_heads, m->head_dim});
        tkp_tensor_make_2d(
            &table, NULL, TKP_DTYPE_I32, layout->n_sequences,
            (longest + m->kv_page - 1) / m->kv_page);
        TKP__TRY(plan_qk(leaf, TKP__FORM_PAGED, &k, &table, q_rows, n));
    }
    if ((leaf->options.flags & TKP_ATTENTION_LOGITS) || of_heads(leaf))
        return TKP_OK;
    tkp_tensor probs;
    tkp_tensor_make_3d(&probs, NULL, m->dtype, q_rows, m->heads, longest);
    TKP__TRY(plan_finished(leaf, TKP__FORM_ROWS, &probs, q_rows, n));
    tkp_tensor_make(
        &probs, NULL, m->dtype, 4,
        (int64_t[]){layout->n_sequences, longest, m->heads, longest});
    return plan_finished(leaf, TKP__FORM_FULL, &probs, q_rows, n);
}

/* Rows to pick from tensors that hold all rows, and the way back from rounds
 * to candidate order. */
static tkp_status plan_gathers(tkp__leaf *leaf, int64_t q_rows)
{
    const tkp_layout *layout = leaf->batch->layout;
    const tkp_model_desc *m = &leaf->model;
    tkp_tensor args[3];
    const int64_t width = (int64_t)m->heads * m->head_dim;
    tkp_tensor_make_2d(&args[0], NULL, m->dtype, layout->rows, width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, q_rows);
    tkp_tensor_make_2d(&args[2], NULL, m->dtype, q_rows, width);
    TKP__TRY(tkp__leaf_op(leaf, GATHER_Q, TKP_OP_GATHER_ROWS, args, 3, NULL));
    /* also serves the rows of lse: 4-byte values */
    const int64_t n = layout->visual > layout->rows * m->heads
                          ? layout->visual
                          : layout->rows * m->heads;
    tkp_tensor_make_2d(&args[0], NULL, TKP_DTYPE_F32, n, m->heads);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[2], NULL, TKP_DTYPE_F32, n, m->heads);
    TKP__TRY(
        tkp__leaf_op(leaf, GATHER_ORDER, TKP_OP_GATHER_ROWS, args, 3, NULL));
    const uint64_t element = tkp_dtype_bytes(m->dtype);
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)(q_rows * width) * element, &leaf->at[AT_Q]));
    TKP__TRY(tkp__ledger_book(
        &leaf->ledger, (uint64_t)(q_rows * m->heads) * sizeof(float),
        &leaf->at[AT_LSE]));
    return tkp__ledger_book(
        &leaf->ledger, (uint64_t)layout->visual * sizeof(float),
        &leaf->at[AT_SCORES]);
}

static tkp_status plan_tables(tkp__leaf *leaf, int64_t q_rows)
{
    const tkp_layout *layout = leaf->batch->layout;
    const size_t q = (size_t)q_rows;
    const size_t n = (size_t)layout->visual;
    const size_t offsets = (size_t)leaf->batch->sequences + 1;
    const size_t rounds = (size_t)leaf->rounds;
    int32_t *at = tkp__alloc(
        2 * q + 2 * n + 2 * rounds * offsets + 2 * (rounds + 1), sizeof(*at));
    if (!at)
        return TKP_ERR_MEMORY;
    leaf->memory = at;
    leaf->q_rows = at;
    leaf->q_positions = leaf->q_rows + q;
    leaf->local = leaf->q_positions + q;
    leaf->order = leaf->local + n;
    leaf->q_offsets = leaf->order + n;
    leaf->local_offsets = leaf->q_offsets + rounds * offsets;
    leaf->q_begin = leaf->local_offsets + rounds * offsets;
    leaf->local_begin = leaf->q_begin + rounds + 1;
    return TKP_OK;
}

static tkp_status attention_plan(tkp__leaf *leaf, const tkp__batch *batch)
{
    const tkp_model_desc *m = &leaf->model;
    const int64_t q_rows = most_query_rows(leaf, batch->layout);
    TKP__CHECK(
        m->heads > 0 && m->kv_heads > 0 && m->head_dim > 0, TKP_ERR_OPTION,
        "model: heads, kv_heads, head_dim are %d, %d, %d; attention scores "
        "need all of them",
        m->heads, m->kv_heads, m->head_dim);
    TKP__CHECK(
        !leaf->options.level || (m->rope_theta > 0.0 && m->head_dim % 2 == 0),
        TKP_ERR_OPTION,
        "model: rope_theta is %g and head_dim %d; level needs the base of the "
        "rotary angles and pairs of channels",
        m->rope_theta, m->head_dim);
    leaf->rounds = count_rounds(leaf, batch->layout);
    TKP__TRY(plan_forms(leaf, q_rows));
    TKP__TRY(plan_gathers(leaf, q_rows));
    if (leaf->options.query == TKP_QUERY_RATERS)
        TKP__TRY(tkp__raters_plan(leaf, FIND_RATERS, AT_RATERS));
    return plan_tables(leaf, q_rows);
}

/* --- tables ------------------------------------------------------------- */

static void add_query(tkp__leaf *leaf, int32_t row, int32_t sequence_start)
{
    const int32_t at = leaf->q_begin[leaf->rounds]++;
    leaf->q_rows[at] = row;
    leaf->q_positions[at] = row - sequence_start;
}

/* Query rows of sequence b, if it has candidates (first .. end). */
static void list_queries(
    tkp__leaf *leaf,
    const tkp__batch *batch,
    int32_t b,
    int32_t first,
    int32_t end)
{
    const int32_t start = batch->row_offsets[b];
    const int32_t stop = batch->row_offsets[b + 1];
    const tkp__layout_sequence *s = &batch->layout->sequences[b];
    if (first == end)
        return;
    switch (leaf->options.query) {
    case TKP_QUERY_LAST:
        add_query(leaf, stop - 1, start);
        return;
    case TKP_QUERY_LAST_VISUAL:
    case TKP_QUERY_LAST_VISUAL_PER_IMAGE:
        add_query(leaf, batch->candidate_rows[end - 1], start);
        return;
    default:
        break;
    }
    for (int32_t r = start; r < stop; r++) {
        const int64_t local = batch->origin[r] - s->start;
        if (leaf->options.query == TKP_QUERY_ALL ||
            (local >= s->text_begin && local < s->text_end))
            add_query(leaf, r, start);
    }
}

/* Candidates of sequence b that belong to this round: all of them, or those of
 * its image number `round`. */
static void round_range(
    const tkp__leaf *leaf,
    const tkp__batch *batch,
    int32_t b,
    int32_t round,
    int32_t *first,
    int32_t *end)
{
    *first = batch->candidate_offsets[b];
    *end = batch->candidate_offsets[b + 1];
    if (leaf->options.query != TKP_QUERY_LAST_VISUAL_PER_IMAGE)
        return;
    const tkp_layout *layout = batch->layout;
    int32_t base = 0;
    while (base < layout->n_images && layout->images[base].sequence < b)
        base++;
    const int32_t image = base + round;
    const int32_t stop = *end;
    while (*first < stop && batch->candidate_images[*first] < image)
        (*first)++;
    *end = *first;
    while (*end < stop && batch->candidate_images[*end] == image)
        (*end)++;
}

static void attention_bind(tkp__leaf *leaf, const tkp__batch *batch)
{
    const int32_t offsets = batch->sequences + 1;
    int32_t listed = 0;
    leaf->q_begin[leaf->rounds] = 0; /* counts queries while they are added */
    for (int32_t round = 0; round < leaf->rounds; round++) {
        int32_t *q_offsets = leaf->q_offsets + round * offsets;
        int32_t *c_offsets = leaf->local_offsets + round * offsets;
        const int32_t q_first = leaf->q_begin[leaf->rounds];
        const int32_t c_first = listed;
        leaf->q_begin[round] = q_first;
        leaf->local_begin[round] = c_first;
        q_offsets[0] = c_offsets[0] = 0;
        for (int32_t b = 0; b < batch->sequences; b++) {
            int32_t first;
            int32_t end;
            round_range(leaf, batch, b, round, &first, &end);
            list_queries(leaf, batch, b, first, end);
            for (int32_t n = first; n < end; n++) {
                leaf->order[n] = listed;
                leaf->local[listed++] =
                    batch->candidate_rows[n] - batch->row_offsets[b];
            }
            q_offsets[b + 1] = leaf->q_begin[leaf->rounds] - q_first;
            c_offsets[b + 1] = listed - c_first;
        }
    }
    leaf->local_begin[leaf->rounds] = listed;
}

/* --- running ------------------------------------------------------------ */

static tkp_status
check_form(const tkp__leaf *leaf, int32_t form, const tkp_inputs *in)
{
    TKP__CHECK(
        in->q && in->k, TKP_ERR_ARGUMENT,
        "inputs: attention is needed: q and k, attention_rows or attention; "
        "none was given");
    TKP__CHECK(
        leaf->ops[form], TKP_ERR_OPTION,
        in->block_table
            ? "inputs: k has a block table, but the model says kv_page = 0"
            : "inputs: attention in this form does not go with this scorer");
    return TKP_OK;
}

static int32_t qk_form(const tkp_inputs *in)
{
    const int32_t lse = in->lse ? 1 : 0;
    if (in->block_table)
        return TKP__FORM_PAGED + lse;
    return (in->k && in->k->ndim == 4 ? TKP__FORM_BLOCK : TKP__FORM_PACKED) +
           lse;
}

static void slice_rows(tkp_tensor *t, int64_t first, int64_t count)
{
    t->byte_offset +=
        (uint64_t)(first * t->strides[0]) * tkp_dtype_bytes(t->dtype);
    t->shape[0] = count;
}

/* Query rows, or the raters among them, of a tensor that holds either just the
 * query rows or all rows of the batch: gathered into the workspace, unless it
 * holds just what is wanted. */
static tkp_status pick_rows(
    const tkp__leaf *leaf,
    const tkp__raters *raters,
    tkp_exec *exec,
    const tkp_tensor *in,
    const char *name,
    int32_t slot,
    void *memory,
    void *workspace,
    tkp_tensor *out)
{
    const int32_t given = leaf->q_begin[leaf->rounds];
    const int32_t count = raters ? raters->count : given;
    const int64_t all = leaf->batch->rows;
    const bool just_them = in->shape[0] == given;
    *out = *in;
    if (just_them && !raters)
        return TKP_OK;
    TKP__CHECK(
        just_them || in->shape[0] == all, TKP_ERR_SHAPE,
        "inputs: %s: dim 0 is %lld, wanted the %d query rows or all %lld rows",
        name, (long long)in->shape[0], given, (long long)all);
    tkp_tensor args[3];
    args[0] = *in;
    int32_t *list = !raters     ? leaf->q_rows
                    : just_them ? raters->pick
                                : raters->rows;
    tkp_tensor_make_1d(&args[1], list, TKP_DTYPE_I32, count);
    int64_t shape[TKP_MAX_DIMS];
    memcpy(shape, in->shape, sizeof(shape));
    shape[0] = count;
    tkp_tensor_make(&args[2], memory, in->dtype, in->ndim, shape);
    if (in->ndim == 3) { /* the plan is for flat rows */
        TKP__CHECK(
            in->strides[2] == 1 && in->strides[1] == in->shape[2],
            TKP_ERR_SHAPE,
            "inputs: %s: rows are not contiguous; give just the query rows",
            name);
        for (int32_t i = 0; i < 3; i += 2) {
            args[i].ndim = 2;
            args[i].shape[1] = in->shape[1] * in->shape[2];
            args[i].strides[1] = 1;
        }
        tkp_tensor_make(out, memory, in->dtype, 3, shape);
    } else {
        *out = args[2];
    }
    return tkp__leaf_run_op(leaf, slot, exec, args, 3, workspace);
}

static tkp_status check_qk(const tkp__leaf *leaf, const tkp_inputs *in)
{
    const tkp_model_desc *m = &leaf->model;
    const tkp_tensor *q = in->q;
    const tkp_tensor *k = in->k;
    TKP__TRY(tkp__check_view(q, "inputs: q", false));
    TKP__TRY(tkp__check_view(k, "inputs: k", false));
    TKP__CHECK(
        q->ndim == 3 && q->shape[1] == m->heads && q->shape[2] == m->head_dim,
        TKP_ERR_SHAPE, "inputs: q: wanted [query rows, %d, %d]", m->heads,
        m->head_dim);
    TKP__CHECK(
        q->dtype == m->dtype && k->dtype == m->dtype, TKP_ERR_DTYPE,
        "inputs: q is %s and k is %s, the model has %s",
        tkp_dtype_string(q->dtype), tkp_dtype_string(k->dtype),
        tkp_dtype_string(m->dtype));
    TKP__CHECK(
        (k->ndim == 3 && k->shape[0] == leaf->batch->rows &&
         !in->block_table) ||
            k->ndim == 4,
        TKP_ERR_SHAPE,
        "inputs: k: wanted [%lld, %d, %d], or 4 dimensions for blocks or pages",
        (long long)leaf->batch->rows, m->kv_heads, m->head_dim);
    TKP__CHECK(
        k->shape[k->ndim - 2] == m->kv_heads &&
            k->shape[k->ndim - 1] == m->head_dim,
        TKP_ERR_SHAPE, "inputs: k: ends in [%lld, %lld], wanted [%d, %d]",
        (long long)k->shape[k->ndim - 2], (long long)k->shape[k->ndim - 1],
        m->kv_heads, m->head_dim);
    if (in->lse) {
        TKP__TRY(tkp__check_view(in->lse, "inputs: lse", false));
        TKP__CHECK(
            in->lse->ndim == 2 && in->lse->shape[1] == m->heads &&
                in->lse->dtype == TKP_DTYPE_F32,
            TKP_ERR_SHAPE, "inputs: lse: wanted f32 [query rows, %d]",
            m->heads);
    }
    return TKP_OK;
}

/* Blocks and tables may be larger than the plan (a cache with room to grow);
 * only what the batch uses is looked at. */
static void narrow(tkp_tensor *t, int32_t dim, int64_t most)
{
    if (t->ndim > dim && t->shape[dim] > most)
        t->shape[dim] = most;
}

/* Scores of the candidates, or with `ranks` what the rows span. */
static tkp_status run_qk(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst,
    bool ranks)
{
    const int32_t form = qk_form(in);
    TKP__TRY(check_form(leaf, form, in));
    TKP__TRY(check_qk(leaf, in));
    const int32_t offsets = leaf->batch->sequences + 1;
    const int64_t longest = longest_sequence(leaf->batch->layout);
    tkp_tensor q;
    tkp_tensor lse = {0};
    tkp__raters found;
    const tkp__raters *raters = NULL;
    if (leaf->options.query == TKP_QUERY_RATERS) {
        TKP__TRY(tkp__raters_run(
            leaf, FIND_RATERS, AT_RATERS, exec, in, workspace, &found));
        raters = &found;
    }
    TKP__TRY(pick_rows(
        leaf, raters, exec, in->q, "q", GATHER_Q,
        tkp__ledger_at(workspace, leaf->at[AT_Q]), workspace, &q));
    if (in->lse)
        TKP__TRY(pick_rows(
            leaf, raters, exec, in->lse, "lse", GATHER_ORDER,
            tkp__ledger_at(workspace, leaf->at[AT_LSE]), workspace, &lse));
    const bool heads = of_heads(leaf) && !ranks;
    const int32_t out = heads ? 10 : 9;
    tkp_tensor args[11] = {[1] = *in->k};
    if (in->block_table) {
        args[3] = *in->block_table;
        narrow(
            &args[3], 1,
            (longest + leaf->model.kv_page - 1) / leaf->model.kv_page);
    } else if (in->k->ndim == 4) {
        narrow(&args[1], 1, longest);
    }
    tkp_tensor_make_1d(
        &args[6], leaf->batch->row_offsets, TKP_DTYPE_I32, offsets);
    for (int32_t round = 0; round < leaf->rounds; round++) {
        const int32_t q0 = leaf->q_begin[round];
        const int32_t c0 = leaf->local_begin[round];
        const int32_t nq =
            raters ? raters->count : leaf->q_begin[round + 1] - q0;
        const int32_t nc = leaf->local_begin[round + 1] - c0;
        args[0] = q;
        slice_rows(&args[0], q0, nq);
        if (in->lse) {
            args[2] = lse;
            slice_rows(&args[2], q0, nq);
        }
        tkp_tensor_make_1d(
            &args[4],
            raters ? raters->offsets : leaf->q_offsets + round * offsets,
            TKP_DTYPE_I32, offsets);
        tkp_tensor_make_1d(
            &args[5], raters ? raters->positions : leaf->q_positions + q0,
            TKP_DTYPE_I32, nq);
        tkp_tensor_make_1d(
            &args[7], leaf->local_offsets + round * offsets, TKP_DTYPE_I32,
            offsets);
        tkp_tensor_make_1d(&args[8], leaf->local + c0, TKP_DTYPE_I32, nc);
        if (heads)
            tkp_tensor_make_2d(
                &args[9], leaf->batch->positions, TKP_DTYPE_I32,
                leaf->batch->position_rows, leaf->batch->rows);
        args[out] = *dst;
        if (!ranks)
            slice_rows(&args[out], c0, nc);
        TKP__TRY(tkp__leaf_run_op(
            leaf, ranks ? RANK_OF + form : form, exec, args, out + 1,
            workspace));
    }
    return TKP_OK;
}

static tkp_status
check_finished(const tkp__leaf *leaf, const tkp_tensor *probs, bool full)
{
    const char *name = full ? "inputs: attention" : "inputs: attention_rows";
    TKP__TRY(tkp__check_view(probs, name, false));
    TKP__CHECK(
        probs->dtype == leaf->model.dtype, TKP_ERR_DTYPE,
        "%s: dtype is %s, the model has %s", name,
        tkp_dtype_string(probs->dtype), tkp_dtype_string(leaf->model.dtype));
    TKP__CHECK(
        probs->ndim == (full ? 4 : 3), TKP_ERR_SHAPE,
        "%s: has %d dimensions, wanted %d", name, probs->ndim, full ? 4 : 3);
    if (!full)
        TKP__CHECK(
            probs->shape[0] == leaf->q_begin[leaf->rounds], TKP_ERR_SHAPE,
            "%s: dim 0 is %lld, wanted the %d query rows", name,
            (long long)probs->shape[0], leaf->q_begin[leaf->rounds]);
    return TKP_OK;
}

static tkp_status run_finished(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const bool full = !in->attention_rows;
    const tkp_tensor *probs = full ? in->attention : in->attention_rows;
    const int32_t form = full ? TKP__FORM_FULL : TKP__FORM_ROWS;
    const int64_t longest = longest_sequence(leaf->batch->layout);
    TKP__CHECK(
        leaf->ops[form], TKP_ERR_OPTION,
        "inputs: finished attention rows hold no logits; give q and k");
    TKP__TRY(check_finished(leaf, probs, full));
    const int32_t offsets = leaf->batch->sequences + 1;
    tkp_tensor args[6] = {[0] = *probs};
    narrow(&args[0], full ? 3 : 2, longest);
    if (full)
        narrow(&args[0], 1, longest);
    const tkp_tensor base = args[0];
    for (int32_t round = 0; round < leaf->rounds; round++) {
        const int32_t q0 = leaf->q_begin[round];
        const int32_t c0 = leaf->local_begin[round];
        const int32_t nq = leaf->q_begin[round + 1] - q0;
        const int32_t nc = leaf->local_begin[round + 1] - c0;
        args[0] = base;
        if (!full)
            slice_rows(&args[0], q0, nq);
        tkp_tensor_make_1d(
            &args[1], leaf->q_offsets + round * offsets, TKP_DTYPE_I32,
            offsets);
        tkp_tensor_make_1d(&args[2], leaf->q_positions + q0, TKP_DTYPE_I32, nq);
        tkp_tensor_make_1d(
            &args[3], leaf->local_offsets + round * offsets, TKP_DTYPE_I32,
            offsets);
        tkp_tensor_make_1d(&args[4], leaf->local + c0, TKP_DTYPE_I32, nc);
        args[5] = *dst;
        slice_rows(&args[5], c0, nc);
        TKP__TRY(tkp__leaf_run_op(leaf, form, exec, args, 6, workspace));
    }
    return TKP_OK;
}

static tkp_status attention_run(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const bool finished =
        !(in->q && in->k) && (in->attention_rows || in->attention);
    tkp_tensor to = *dst;
    TKP__CHECK(
        !finished || leaf->options.query != TKP_QUERY_RATERS,
        TKP_ERR_UNSUPPORTED,
        "inputs: raters are picked out of q; give q and k, not finished "
        "attention");
    TKP__CHECK(
        !finished || !of_heads(leaf), TKP_ERR_UNSUPPORTED,
        "inputs: heads and level look at q and k, not at finished attention");
    if (leaf->rounds > 1) /* by image ordinal first, then back in order */
        to.data = tkp__ledger_at(workspace, leaf->at[AT_SCORES]),
        to.byte_offset = 0;
    TKP__TRY(
        finished ? run_finished(leaf, exec, in, workspace, &to)
                 : run_qk(leaf, exec, in, workspace, &to, false));
    if (leaf->rounds == 1)
        return TKP_OK;
    const int64_t n = leaf->batch->candidates;
    tkp_tensor args[3];
    tkp_tensor_make_2d(&args[0], tkp__data(&to), TKP_DTYPE_F32, n, 1);
    tkp_tensor_make_1d(&args[1], leaf->order, TKP_DTYPE_I32, n);
    tkp_tensor_make_2d(&args[2], tkp__data(dst), TKP_DTYPE_F32, n, 1);
    return tkp__leaf_run_op(leaf, GATHER_ORDER, exec, args, 3, workspace);
}

static tkp_status attention_rank(
    const tkp__leaf *leaf,
    tkp_exec *exec,
    const tkp_inputs *in,
    void *workspace,
    int32_t *ranks)
{
    tkp_tensor to;
    TKP__CHECK(
        in->q && in->k, TKP_ERR_UNSUPPORTED,
        "inputs: a budget by rank looks at q and k, not at finished "
        "attention");
    tkp_tensor_make_1d(&to, ranks, TKP_DTYPE_I32, leaf->batch->sequences);
    return run_qk(leaf, exec, in, workspace, &to, true);
}

static void attention_release(tkp__leaf *leaf)
{
    if (leaf->options.query == TKP_QUERY_RATERS)
        tkp__raters_release(leaf);
}

const tkp__leaf_kind tkp__leaf_attention = {
    .plan = attention_plan,
    .bind = attention_bind,
    .run = attention_run,
    .release = attention_release,
    .rank = attention_rank,
};
