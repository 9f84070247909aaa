/*
 * Index and offset arguments: trusted by meaning, checked for memory safety.
 */

#include "cpu/cpu.h"

tkp_status tkp__cpu_check_offsets(
    const tkp_tensor *offsets,
    int64_t limit,
    const char *name)
{
    const int64_t n = offsets->shape[0];
    const int32_t *o = tkp__cpu_i32(offsets);
    TKP__CHECK(n >= 1, TKP_ERR_SHAPE, "%s: empty, needs at least one", name);
    TKP__CHECK(
        o[0] == 0, TKP_ERR_ARGUMENT, "%s[0] is %d, not 0", name, (int)o[0]);
    for (int64_t i = 1; i < n; i++)
        TKP__CHECK(
            o[i] >= o[i - 1] && o[i] <= limit, TKP_ERR_ARGUMENT,
            "%s[%lld] is %d after %d, at most %lld", name, (long long)i,
            (int)o[i], (int)o[i - 1], (long long)limit);
    return TKP_OK;
}

tkp_status tkp__cpu_check_covering(
    const tkp_tensor *offsets,
    int64_t count,
    const char *name)
{
    TKP__TRY(tkp__cpu_check_offsets(offsets, count, name));
    const int32_t last = tkp__cpu_i32(offsets)[offsets->shape[0] - 1];
    TKP__CHECK(
        last == count, TKP_ERR_ARGUMENT,
        "%s: the last entry is %d, wanted %lld", name, (int)last,
        (long long)count);
    return TKP_OK;
}

tkp_status tkp__cpu_check_index(
    const tkp_tensor *index,
    int64_t n,
    int64_t limit,
    const char *name)
{
    const int32_t *at = tkp__cpu_i32(index);
    for (int64_t i = 0; i < n; i++)
        TKP__CHECK(
            at[i] >= 0 && at[i] < limit, TKP_ERR_ARGUMENT,
            "%s[%lld] is %d, outside of 0..%lld", name, (long long)i,
            (int)at[i], (long long)limit - 1);
    return TKP_OK;
}

tkp_status tkp__cpu_check_keep(
    const tkp_tensor *group_offsets,
    const tkp_tensor *keeps,
    const tkp_tensor *out_offsets,
    int64_t kept)
{
    const int32_t *offsets = tkp__cpu_i32(group_offsets);
    const int32_t *keep = tkp__cpu_i32(keeps);
    const int32_t *out = tkp__cpu_i32(out_offsets);
    const int64_t groups = keeps->shape[0];
    int64_t sum = 0;
    for (int64_t g = 0; g < groups; g++) {
        TKP__CHECK(
            keep[g] >= 0 && keep[g] <= offsets[g + 1] - offsets[g],
            TKP_ERR_ARGUMENT, "keep[%lld] is %d, its group has %d members",
            (long long)g, (int)keep[g], (int)(offsets[g + 1] - offsets[g]));
        TKP__CHECK(
            out[g] == sum, TKP_ERR_ARGUMENT,
            "out_offsets[%lld] is %d, the sum of keep is %lld", (long long)g,
            (int)out[g], (long long)sum);
        sum += keep[g];
    }
    TKP__CHECK(
        out[groups] == sum && kept == sum, TKP_ERR_ARGUMENT,
        "keep: the sum is %lld, out_offsets end at %d, dst has %lld",
        (long long)sum, (int)out[groups], (long long)kept);
    return TKP_OK;
}

tkp_status
tkp__cpu_check_range(const tkp_tensor *range, int64_t limit, const char *name)
{
    const int32_t *r = tkp__cpu_i32(range);
    for (int64_t i = 0; i < range->shape[0]; i++)
        TKP__CHECK(
            r[2 * i] >= 0 && r[2 * i] <= r[2 * i + 1] && r[2 * i + 1] <= limit,
            TKP_ERR_ARGUMENT,
            "%s: entry %lld is %d to %d, wanted within 0 to %lld", name,
            (long long)i, r[2 * i], r[2 * i + 1], (long long)limit);
    return TKP_OK;
}
