/* Which words rate the visual tokens (SparseVLM): TKP_OP_TEXT_RATERS, and a
 * list of those query rows. */
#include "scorer/raters.h"

/* Of the layout: the words never change, nor does what they are held against. */
typedef struct words {
    int64_t visual, text;
    int32_t *rows;         /* [visual] */
    int32_t *offsets;      /* [B + 1] */
    int32_t *text_rows;    /* [text] */
    int32_t *text_offsets; /* [B + 1] */
} words;

static void list_visual(words *w, const tkp_layout *layout)
{
    int64_t n = 0;
    int32_t i = 0;
    for (int32_t b = 0; b < layout->n_sequences; b++) {
        w->offsets[b] = (int32_t)n;
        for (; i < layout->n_images && layout->images[i].sequence == b; i++) {
            const tkp__layout_image *image = &layout->images[i];
            const int64_t cells = tkp__image_cells(image);
            for (int64_t c = 0; c < cells; c++)
                if (!image->valid || image->valid[c])
                    w->rows[n++] =
                        (int32_t)(layout->sequences[b].start + image->start +
                                  c / image->cols * image->row_stride +
                                  c % image->cols);
        }
    }
    w->offsets[layout->n_sequences] = (int32_t)n;
}

static void list_text(words *w, const tkp_layout *layout)
{
    int64_t n = 0;
    for (int32_t b = 0; b < layout->n_sequences; b++) {
        const tkp__layout_sequence *s = &layout->sequences[b];
        w->text_offsets[b] = (int32_t)n;
        for (int64_t t = s->text_begin; t < s->text_end; t++)
            w->text_rows[n++] = (int32_t)(s->start + t);
    }
    w->text_offsets[layout->n_sequences] = (int32_t)n;
}

static tkp_status list_words(tkp__leaf *leaf)
{
    const tkp_layout *layout = leaf->batch->layout;
    const size_t b = (size_t)layout->n_sequences + 1;
    int64_t text = 0;
    for (int32_t s = 0; s < layout->n_sequences; s++)
        text += layout->sequences[s].text_end - layout->sequences[s].text_begin;
    const size_t head = tkp__align_up(sizeof(words), sizeof(int32_t));
    words *w = tkp__alloc(
        1, head + ((size_t)layout->visual + (size_t)text + 2 * b) *
                      sizeof(int32_t));
    if (!w)
        return TKP_ERR_MEMORY;
    leaf->state = w;
    w->visual = layout->visual;
    w->text = text;
    w->rows = (int32_t *)((char *)w + head);
    w->offsets = w->rows + w->visual;
    w->text_rows = w->offsets + b;
    w->text_offsets = w->text_rows + text;
    list_visual(w, layout);
    list_text(w, layout);
    return TKP_OK;
}

static void make_args(tkp_tensor *args, const words *w, int32_t sequences)
{
    tkp_tensor_make_1d(&args[1], w->rows, TKP_DTYPE_I32, w->visual);
    tkp_tensor_make_1d(&args[2], w->offsets, TKP_DTYPE_I32, sequences + 1);
    tkp_tensor_make_1d(&args[3], w->text_rows, TKP_DTYPE_I32, w->text);
    tkp_tensor_make_1d(&args[4], w->text_offsets, TKP_DTYPE_I32, sequences + 1);
}

tkp_status tkp__raters_plan(tkp__leaf *leaf, int32_t slot, int32_t at)
{
    const tkp_layout *layout = leaf->batch->layout;
    tkp_tensor args[7];
    TKP__CHECK(
        leaf->model.hidden > 0, TKP_ERR_OPTION,
        "model: hidden is %lld; raters are found among rows of that width",
        (long long)leaf->model.hidden);
    TKP__TRY(list_words(leaf));
    const words *w = leaf->state;
    tkp_tensor_make_2d(
        &args[0], NULL, leaf->model.dtype, layout->rows, leaf->model.hidden);
    make_args(args, w, layout->n_sequences);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_F32, w->text);
    tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_I32, w->text);
    TKP__TRY(tkp__leaf_op(leaf, slot, TKP_OP_TEXT_RATERS, args, 7, NULL));
    return tkp__ledger_book(
        &leaf->ledger,
        (uint64_t)(5 * w->text + layout->n_sequences + 1) * sizeof(int32_t),
        &leaf->at[at]);
}

static tkp_status check_embeddings(const tkp__leaf *leaf, const tkp_inputs *in)
{
    const tkp_tensor *x = in->embeddings;
    TKP__CHECK(
        x, TKP_ERR_ARGUMENT,
        "inputs: embeddings is NULL, but raters are found in it");
    TKP__TRY(tkp__check_view(x, "inputs: embeddings", false));
    TKP__CHECK(
        x->ndim == 2 && x->shape[0] == leaf->batch->layout->rows &&
            x->shape[1] == leaf->model.hidden && x->strides[1] == 1 &&
            x->dtype == leaf->model.dtype,
        TKP_ERR_SHAPE, "inputs: embeddings: wanted %s rows [%lld, %lld]",
        tkp_dtype_string(leaf->model.dtype),
        (long long)leaf->batch->layout->rows, (long long)leaf->model.hidden);
    return TKP_OK;
}

/* Query rows are all words of the sequences that have candidates. */
static void
list_raters(const tkp__leaf *leaf, const int32_t *rates, tkp__raters *out)
{
    const words *w = leaf->state;
    out->count = 0;
    for (int32_t b = 0; b < leaf->batch->sequences; b++) {
        const int32_t first = leaf->q_offsets[b];
        const int32_t *mine = rates + w->text_offsets[b];
        out->offsets[b] = out->count;
        for (int32_t q = first; q < leaf->q_offsets[b + 1]; q++) {
            if (!mine[q - first])
                continue;
            out->pick[out->count] = q;
            out->rows[out->count] = leaf->q_rows[q];
            out->positions[out->count++] = leaf->q_positions[q];
        }
    }
    out->offsets[leaf->batch->sequences] = out->count;
}

tkp_status tkp__raters_run(
    const tkp__leaf *leaf,
    int32_t slot,
    int32_t at,
    tkp_exec *exec,
    const tkp_inputs *inputs,
    void *workspace,
    tkp__raters *out)
{
    const words *w = leaf->state;
    int32_t *rates = tkp__ledger_at(workspace, leaf->at[at]);
    tkp_tensor args[7];
    TKP__TRY(check_embeddings(leaf, inputs));
    args[0] = *inputs->embeddings;
    make_args(args, w, leaf->batch->sequences);
    out->pick = rates + w->text;
    out->rows = out->pick + w->text;
    out->positions = out->rows + w->text;
    out->offsets = out->positions + w->text;
    float *share = (float *)(out->offsets + leaf->batch->sequences + 1);
    tkp_tensor_make_1d(&args[5], share, TKP_DTYPE_F32, w->text);
    tkp_tensor_make_1d(&args[6], rates, TKP_DTYPE_I32, w->text);
    TKP__TRY(tkp__leaf_run_op(leaf, slot, exec, args, 7, workspace));
    list_raters(leaf, rates, out);
    return TKP_OK;
}

void tkp__raters_release(tkp__leaf *leaf)
{
    tkp__free(leaf->state);
}
