#include "features/basis.h"

#include "tokenprune/sys/op.h"
#include "util/philox.h"

tkp_status tkp__basis_plan(
    tkp__basis *basis,
    const tkp__features *f,
    uint64_t seed,
    uint64_t *ops_bytes)
{
    const int64_t n = f->batch->layout->visual;
    const tkp_op_greedy_distance params = {
        .struct_size = sizeof(params),
        .rule = TKP_GREEDY_MAX_MIN,
        .measure = TKP_GREEDY_EUCLIDEAN,
        .start = seed ? TKP_GREEDY_START_WEIGHT : TKP_GREEDY_START_NORM,
    };
    *basis = (tkp__basis){.seed = seed};
    if (seed && !(basis->start = tkp__alloc((size_t)n, sizeof(float))))
        return TKP_ERR_MEMORY;
    tkp_tensor args[8] = {0};
    tkp_tensor_make_2d(&args[0], NULL, f->dtype, f->most_rows, f->width);
    tkp_tensor_make_1d(&args[1], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[2], NULL, TKP_DTYPE_I32, n + 1);
    tkp_tensor_make_1d(&args[4], NULL, TKP_DTYPE_I32, n);
    tkp_tensor_make_1d(&args[5], NULL, TKP_DTYPE_I32, n + 1);
    if (seed)
        tkp_tensor_make_1d(&args[6], NULL, TKP_DTYPE_F32, n);
    tkp_tensor_make_1d(&args[7], NULL, TKP_DTYPE_I32, n);
    return tkp__core_op_make(
        &basis->op, f->context, TKP_OP_GREEDY_DISTANCE, args, 8, &params,
        ops_bytes);
}

void tkp__basis_release(tkp__basis *basis)
{
    tkp__core_op_destroy(basis->op);
    tkp__free(basis->start);
    *basis = (tkp__basis){0};
}

void tkp__basis_bind(
    const tkp__basis *basis,
    const tkp__batch *batch,
    const int32_t *ends,
    int32_t groups)
{
    const uint32_t key[2] = {
        (uint32_t)basis->seed, (uint32_t)(basis->seed >> 32)};
    int32_t b = 0, number = 0;
    if (!basis->start)
        return;
    for (int32_t g = 0; g < groups; g++) {
        const int32_t n = ends[g + 1] - ends[g];
        while (ends[g] >= batch->candidate_offsets[b + 1] &&
               b + 1 < batch->sequences) {
            b++;
            number = 0;
        }
        const uint32_t counter[4] = {
            0, (uint32_t)number++, batch->layout->sequences[b].id, 0};
        for (int32_t i = ends[g]; i < ends[g + 1]; i++)
            basis->start[i] = 0.0f;
        if (n > 0)
            basis->start
                [ends[g] + (int32_t)tkp__scale_u64(
                               tkp__philox_u64(counter, key), (uint32_t)n)] =
                1.0f;
    }
}

tkp_status tkp__basis_run(
    const tkp__basis *basis,
    tkp_exec *exec,
    const tkp_tensor *x,
    const tkp_tensor *rows,
    const int32_t *ends,
    int32_t groups,
    const int32_t *keep,
    const int32_t *list_ends,
    int32_t *list,
    void *ops_workspace,
    uint64_t ops_bytes)
{
    tkp_tensor args[8] = {[0] = *x, [1] = *rows};
    tkp_tensor_make_1d(&args[2], (void *)ends, TKP_DTYPE_I32, groups + 1);
    tkp_tensor_make_1d(&args[4], (void *)keep, TKP_DTYPE_I32, groups);
    tkp_tensor_make_1d(&args[5], (void *)list_ends, TKP_DTYPE_I32, groups + 1);
    if (basis->start)
        tkp_tensor_make_1d(
            &args[6], basis->start, TKP_DTYPE_F32, rows->shape[0]);
    tkp_tensor_make_1d(&args[7], list, TKP_DTYPE_I32, list_ends[groups]);
    return tkp__core_op_run(basis->op, exec, args, 8, ops_workspace, ops_bytes);
}
