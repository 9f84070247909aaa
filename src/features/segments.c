#include "features/segments.h"

#include "tokenprune/sys/op.h"
#include "util/carve.h"

static void
carve_segments(tkp__segments *s, tkp__carver *c, const tkp_layout *layout)
{
    const int64_t frames = tkp__layout_units(layout, TKP_SCOPE_FRAME);
    s->frame_of = tkp__carve(c, layout->visual, sizeof(int32_t));
    s->frame_ends = tkp__carve(c, frames + 1, sizeof(int32_t));
    s->video_ends = tkp__carve(c, layout->n_images + 1, sizeof(int32_t));
}

tkp_status tkp__segments_plan(
    tkp__segments *s,
    const tkp__features *f,
    float threshold,
    int32_t least,
    tkp_ledger *ledger,
    uint64_t *ops_bytes)
{
    const tkp_layout *layout = f->batch->layout;
    const int64_t frames = tkp__layout_units(layout, TKP_SCOPE_FRAME);
    const tkp_op_group_pool mean = {
        .struct_size = sizeof(mean),
        .pool = TKP_POOL_AVERAGE,
    };
    const tkp_op_segments cut = {
        .struct_size = sizeof(cut),
        .threshold = threshold,
        .least = least,
    };
    tkp__carver c = {NULL, 0};
    *s = (tkp__segments){.features = f};
    carve_segments(s, &c, layout);
    c = (tkp__carver){tkp__alloc(1, c.bytes), 0};
    if (!c.base)
        return TKP_ERR_MEMORY;
    s->memory = c.base;
    carve_segments(s, &c, layout);
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)(frames * f->width) * sizeof(float), &s->means_at));
    TKP__TRY(tkp__ledger_book(
        ledger, (uint64_t)frames * sizeof(int32_t), &s->of_at));
    tkp_tensor args[5] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, frames + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, layout->visual);
    tkp_tensor_make_2d(&args[4], NULL, TKP_DTYPE_F32, frames, f->width);
    TKP__TRY(tkp__core_op_make(
        &s->pool, f->context, TKP_OP_GROUP_POOL, args, 5, &mean, ops_bytes));
    args[0] = args[4];
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, layout->n_images + 1);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, frames);
    return tkp__core_op_make(
        &s->op, f->context, TKP_OP_SEGMENTS, args, 3, &cut, ops_bytes);
}

void tkp__segments_release(tkp__segments *s)
{
    tkp__core_op_destroy(s->pool);
    tkp__core_op_destroy(s->op);
    tkp__free(s->memory);
    *s = (tkp__segments){0};
}

void tkp__segments_bind(tkp__segments *s)
{
    const tkp__batch *batch = s->features->batch;
    s->frames = tkp__batch_unit_offsets(batch, TKP_SCOPE_FRAME, s->frame_ends);
    s->videos = 0;
    for (int32_t f = 0; f < s->frames; f++) {
        const int32_t n = s->frame_ends[f];
        if (f == 0 ||
            batch->candidate_images[n] != batch->candidate_images[n - 1])
            s->video_ends[s->videos++] = f;
        for (int32_t i = n; i < s->frame_ends[f + 1]; i++)
            s->frame_of[i] = f;
    }
    s->video_ends[s->videos] = s->frames;
}

tkp_status tkp__segments_run(
    const tkp__segments *s,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    void *workspace,
    void *ops_workspace,
    uint64_t ops_bytes,
    const int32_t **of_out)
{
    int32_t *of = tkp__ledger_at(workspace, s->of_at);
    tkp_tensor args[5] = {[0] = *x, [2] = *rows};
    tkp_tensor_make_1d(&args[1], s->frame_ends, TKP_DTYPE_I32, s->frames + 1);
    tkp_tensor_make_2d(
        &args[4], tkp__ledger_at(workspace, s->means_at), TKP_DTYPE_F32,
        s->frames, s->features->width);
    TKP__TRY(
        tkp__core_op_run(s->pool, exec, args, 5, ops_workspace, ops_bytes));
    args[0] = args[4];
    tkp_tensor_make_1d(&args[1], s->video_ends, TKP_DTYPE_I32, s->videos + 1);
    tkp_tensor_make_1d(&args[2], of, TKP_DTYPE_I32, s->frames);
    *of_out = of;
    return tkp__core_op_run(s->op, exec, args, 3, ops_workspace, ops_bytes);
}
