/* Stages inside the encoder: their rows are the visual tokens, of its width. All
 * that is said of candidates is the batch's; only rows are counted anew. */
#include "sequence/sequence.h"

#include <math.h>

tkp_status tkp__encoder_create(tkp_sequence *s)
{
    const size_t n = (size_t)s->layout->visual;
    s->encoder_model = s->model;
    s->encoder_model.hidden = s->model.vision_hidden;
    s->encoder_rows = tkp__alloc(n, sizeof(*s->encoder_rows));
    if (!s->encoder_rows)
        return TKP_ERR_MEMORY;
    for (size_t i = 0; i < n; i++)
        s->encoder_rows[i] = (int32_t)i;
    tkp__encoder_sync(s);
    return TKP_OK;
}

void tkp__encoder_release(tkp_sequence *s)
{
    tkp__free(s->encoder_rows);
}

void tkp__encoder_sync(tkp_sequence *s)
{
    s->encoder = s->batch;
    s->encoder.memory = NULL; /* is the batch's */
    s->encoder.rows = s->batch.candidates;
    s->encoder.padding = 0;
    s->encoder.row_offsets = s->batch.candidate_offsets;
    s->encoder.candidate_rows = s->encoder_rows;
}

/* Once a merger was proportional, the encoder is. */
static void list_key_bias(tkp_sequence *s, const tkp__run_stage *run)
{
    s->proportional_inside |=
        run->merger && run->merger->spec.options.proportional;
    for (int32_t k = 0; s->proportional_inside && k < s->kept; k++) {
        const int32_t row = s->batch.candidate_rows[s->selected[k]];
        s->key_bias[k] = logf(s->totals[s->assignment[row]]);
    }
}

void tkp__encoder_decision(
    tkp_sequence *s,
    const tkp__run_stage *run,
    tkp_decision *d)
{
    const int64_t in = s->batch.candidates;
    if (!run->merger) {
        for (int64_t n = 0; n < in; n++)
            s->kept_of[n] = -1;
        for (int32_t k = 0; k < s->kept; k++) {
            s->kept_of[s->selected[k]] = k;
            s->kept_sizes[k] = 1.0f;
        }
    }
    d->rows_in = in;
    d->rows_out = s->kept;
    d->host_offsets = s->kept_offsets;
    list_key_bias(s, run);
    d->key_bias = (tkp_tensor){0};
    if (s->proportional_inside)
        tkp_tensor_make_1d(&d->key_bias, s->key_bias, TKP_DTYPE_F32, s->kept);
    d->positions = (tkp_tensor){0};
    tkp_tensor_make_1d(&d->indices, s->selected, TKP_DTYPE_I32, s->kept);
    tkp_tensor_make_1d(
        &d->offsets, s->kept_offsets, TKP_DTYPE_I32, s->batch.sequences + 1);
    tkp_tensor_make_1d(&d->sizes, s->kept_sizes, TKP_DTYPE_F32, s->kept);
    tkp_tensor_make_1d(&d->assignment, s->kept_of, TKP_DTYPE_I32, in);
    if (run->merger) {
        tkp_tensor_make_2d(
            &d->merged, s->merged, s->model.dtype, s->kept,
            s->encoder_model.hidden);
        tkp__core_on_device(s->context, &d->merged);
        tkp_tensor_make_1d(
            &d->merged_at, s->encoder_rows, TKP_DTYPE_I32, s->kept);
    }
}
