#include "features/segments.h"

#include "tokenprune/sys/op.h"

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
    *s = (tkp__segments){.features = f};
    TKP__TRY(tkp__frames_plan(&s->in, layout));
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
    tkp__frames_release(&s->in);
    *s = (tkp__segments){0};
}

void tkp__segments_bind(tkp__segments *s)
{
    tkp__frames_bind(&s->in, s->features->batch);
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
    tkp_tensor_make_1d(
        &args[1], s->in.frame_ends, TKP_DTYPE_I32, s->in.frames + 1);
    tkp_tensor_make_2d(
        &args[4], tkp__ledger_at(workspace, s->means_at), TKP_DTYPE_F32,
        s->in.frames, s->features->width);
    TKP__TRY(
        tkp__core_op_run(s->pool, exec, args, 5, ops_workspace, ops_bytes));
    args[0] = args[4];
    tkp_tensor_make_1d(
        &args[1], s->in.video_ends, TKP_DTYPE_I32, s->in.videos + 1);
    tkp_tensor_make_1d(&args[2], of, TKP_DTYPE_I32, s->in.frames);
    *of_out = of;
    return tkp__core_op_run(s->op, exec, args, 3, ops_workspace, ops_bytes);
}
