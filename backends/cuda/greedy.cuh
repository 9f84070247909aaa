#ifndef TKP_BACKENDS_CUDA_GREEDY_CUH
#define TKP_BACKENDS_CUDA_GREEDY_CUH

/*
 * What the greedy kinds share: their first arguments, the matrix of cosines, and
 * the best entry by a value.
 */

#include "cuda/gram.cuh"

namespace greedy
{
enum { X, ROWS, OFFSETS, MEMBERS, KEEP, OUT_OFFSETS, WEIGHTS };
enum { SCRATCH_MATRIX, SCRATCH_SQUARES, SCRATCH_STATE, SCRATCH_OWN };
} // namespace greedy

/* Entries of all groups, and of one. */
static inline int64_t tkp__greedy_listed(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[greedy::MEMBERS];
    return tkp__present(members) ? members->shape[0]
                                 : args[greedy::ROWS].shape[0];
}
static inline int64_t tkp__greedy_most(const tkp_tensor *args, int32_t largest)
{
    const int64_t n = tkp__greedy_listed(args);
    return largest > 0 && largest < n ? largest : n;
}

/* Matrix and squared lengths; `states` doubles an entry. */
static inline tkp_status tkp__greedy_book(
    tkp__cuda_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args,
    int32_t largest,
    int64_t states)
{
    const int64_t listed = tkp__greedy_listed(args);
    const int64_t most = tkp__greedy_most(args, largest);
    int64_t cells;
    TKP__CHECK(
        tkp__mul_i64(listed, most, &cells), TKP_ERR_SHAPE,
        "groups: %lld entries, %lld in one", (long long)listed,
        (long long)most);
    plan->extent[0] = most;
    TKP__TRY(tkp__cuda_book(
        plan, ledger, greedy::SCRATCH_MATRIX, cells, sizeof(float)));
    TKP__TRY(tkp__cuda_book(
        plan, ledger, greedy::SCRATCH_SQUARES, listed, sizeof(float)));
    return tkp__cuda_book(
        plan, ledger, greedy::SCRATCH_STATE, states * listed, sizeof(double));
}

static inline tkp__groups tkp__greedy_groups(const tkp__cuda_run *r)
{
    return {
        tkp__cuda_arg<const int32_t>(r, greedy::ROWS),
        tkp__cuda_arg<const int32_t>(r, greedy::OFFSETS),
        tkp__cuda_arg<const int32_t>(r, greedy::MEMBERS),
        tkp__cuda_size(r, greedy::KEEP, 0), (int32_t)r->plan->extent[0]};
}

/* Threads of a block that goes over the entries of a group. */
static inline unsigned tkp__greedy_threads(const tkp__groups &groups)
{
    return groups.most > 512 ? 1024 : groups.most > 128 ? 256 : 128;
}

struct tkp__greater {
    __device__ double operator()(double a, double b) const
    {
        return a > b ? a : b;
    }
};
struct tkp__lower {
    __device__ int operator()(int a, int b) const
    {
        return a < b ? a : b;
    }
};

/* Room that tkp__greedy_best() wants. */
struct tkp__greedy_room {
    double values[TKP__WARP];
    int entries[TKP__WARP];
};

/* The entry not chosen whose value is largest; of equal ones the lower member.
 * By a block; chosen ones have chosen[i] != 0. -1: all are chosen. */
__device__ inline int tkp__greedy_best(
    const tkp__group &g,
    const double *value,
    const unsigned char *chosen,
    tkp__greedy_room *room)
{
    double top = -INFINITY;
    for (int i = threadIdx.x; i < g.n; i += blockDim.x)
        if (!chosen[i] && value[i] > top)
            top = value[i];
    top =
        tkp__block_reduce(top, tkp__greater(), -(double)INFINITY, room->values);
    int lowest = INT32_MAX;
    for (int i = threadIdx.x; i < g.n; i += blockDim.x)
        if (!chosen[i] && value[i] == top)
            lowest = min(lowest, tkp__candidate(g, i));
    lowest = tkp__block_reduce(lowest, tkp__lower(), INT32_MAX, room->entries);
    /* Its entry: two of a group may name one candidate. */
    int entry = INT32_MAX;
    for (int i = threadIdx.x; i < g.n; i += blockDim.x)
        if (!chosen[i] && value[i] == top && tkp__candidate(g, i) == lowest)
            entry = min(entry, i);
    entry = tkp__block_reduce(entry, tkp__lower(), INT32_MAX, room->entries);
    return entry == INT32_MAX ? -1 : entry;
}

#endif
