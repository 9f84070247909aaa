/*
 * Checks of what offset and index arguments contain.
 */

#include "ref/ref.h"

tkp_status tkp__ref_check_offsets(
    const tkp_tensor *offsets,
    int64_t limit,
    const char *name)
{
    const int32_t *o = tkp__ref_i32(offsets);
    const int64_t n = offsets->shape[0] - 1;
    TKP__CHECK(
        o[0] == 0, TKP_ERR_ARGUMENT, "%s: entry 0 is %d, wanted 0", name, o[0]);
    for (int64_t i = 0; i < n; i++)
        TKP__CHECK(
            o[i + 1] >= o[i], TKP_ERR_ARGUMENT,
            "%s: entry %lld is %d, below %d before it", name,
            (long long)(i + 1), o[i + 1], o[i]);
    TKP__CHECK(
        o[n] <= limit, TKP_ERR_ARGUMENT,
        "%s: the last entry is %d, wanted at most %lld", name, o[n],
        (long long)limit);
    return TKP_OK;
}

tkp_status tkp__ref_check_covering(
    const tkp_tensor *offsets,
    int64_t count,
    const char *name)
{
    TKP__TRY(tkp__ref_check_offsets(offsets, count, name));
    const int32_t last = tkp__ref_i32(offsets)[offsets->shape[0] - 1];
    TKP__CHECK(
        last == count, TKP_ERR_ARGUMENT,
        "%s: the last entry is %d, wanted %lld", name, last, (long long)count);
    return TKP_OK;
}

tkp_status tkp__ref_check_index(
    const tkp_tensor *index,
    int64_t n,
    int64_t limit,
    const char *name)
{
    const int32_t *v = tkp__ref_i32(index);
    for (int64_t i = 0; i < n; i++)
        TKP__CHECK(
            v[i] >= 0 && v[i] < limit, TKP_ERR_ARGUMENT,
            "%s: entry %lld is %d, wanted 0 to %lld", name, (long long)i, v[i],
            (long long)limit - 1);
    return TKP_OK;
}

tkp_status
tkp__ref_check_range(const tkp_tensor *range, int64_t limit, const char *name)
{
    const int32_t *r = tkp__ref_i32(range);
    for (int64_t i = 0; i < range->shape[0]; i++)
        TKP__CHECK(
            r[2 * i] >= 0 && r[2 * i] <= r[2 * i + 1] && r[2 * i + 1] <= limit,
            TKP_ERR_ARGUMENT,
            "%s: entry %lld is %d to %d, wanted within 0 to %lld", name,
            (long long)i, r[2 * i], r[2 * i + 1], (long long)limit);
    return TKP_OK;
}

tkp_status tkp__ref_check_keep(
    const tkp_tensor *group_offsets,
    const tkp_tensor *keep,
    const tkp_tensor *out_offsets,
    int64_t kept)
{
    const int32_t *go = tkp__ref_i32(group_offsets);
    const int32_t *k = tkp__ref_i32(keep);
    const int32_t *oo = tkp__ref_i32(out_offsets);
    const int64_t m = keep->shape[0];
    int64_t sum = 0;
    for (int64_t g = 0; g <= m; g++) {
        TKP__CHECK(
            oo[g] == sum, TKP_ERR_ARGUMENT,
            "out_offsets: entry %lld is %d, the sum of keep is %lld",
            (long long)g, oo[g], (long long)sum);
        if (g == m)
            break;
        TKP__CHECK(
            k[g] >= 0 && k[g] <= go[g + 1] - go[g], TKP_ERR_ARGUMENT,
            "keep: entry %lld is %d, its group has %d members", (long long)g,
            k[g], go[g + 1] - go[g]);
        sum += k[g];
    }
    TKP__CHECK(
        sum == kept, TKP_ERR_ARGUMENT,
        "keep: the sum is %lld, dst has room for %lld", (long long)sum,
        (long long)kept);
    return TKP_OK;
}

tkp_status tkp__ref_check_sets(
    const tkp_tensor *group_offsets,
    const tkp_tensor *set_offsets,
    const tkp_tensor *keep)
{
    const int32_t *offsets = tkp__ref_i32(group_offsets);
    const int32_t *sets = tkp__ref_i32(set_offsets);
    TKP__TRY(tkp__ref_check_covering(
        set_offsets, group_offsets->shape[0] - 1, "set_offsets"));
    for (int64_t b = 0; b < keep->shape[0]; b++) {
        const int32_t k = tkp__ref_i32(keep)[b];
        const int32_t n = offsets[sets[b + 1]] - offsets[sets[b]];
        TKP__CHECK(
            k >= 0 && k <= n, TKP_ERR_ARGUMENT,
            "keep: entry %lld is %d, its set has %d members", (long long)b, k,
            n);
    }
    return TKP_OK;
}

tkp_status tkp__ref_check_members(
    const tkp_tensor *group_offsets,
    const tkp_tensor *members,
    int64_t n)
{
    const bool listed = tkp__present(members);
    TKP__TRY(tkp__ref_check_offsets(
        group_offsets, listed ? members->shape[0] : n, "group_offsets"));
    const int64_t groups = group_offsets->shape[0] - 1;
    return listed
               ? tkp__ref_check_index(
                     members, tkp__ref_i32(group_offsets)[groups], n, "members")
               : TKP_OK;
}
