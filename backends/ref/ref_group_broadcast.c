/*
 * GROUP_BROADCAST: a value of the group for each of its members.
 *
 *   dst[member] = value[g]
 *
 * Source: keeping whole windows, ranked by their mean score. Entries that are
 * in no group are left as they were. A member of two groups gets the value of
 * the later one here; do not count on it elsewhere.
 */

#include "ref/ref.h"

enum { VALUE, GROUP_OFFSETS, MEMBERS, DST };

static tkp_status run_group_broadcast(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    (void)plan;
    (void)workspace;
    const int64_t groups = args[VALUE].shape[0];
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], args[MEMBERS].shape[0], "group_offsets"));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    TKP__TRY(tkp__ref_check_index(
        &args[MEMBERS], offsets[groups], args[DST].shape[0], "members"));

    const float *value = tkp__data(&args[VALUE]);
    const int32_t *members = tkp__ref_i32(&args[MEMBERS]);
    float *dst = tkp__data(&args[DST]);
    for (int64_t g = 0; g < groups; g++)
        for (int32_t i = offsets[g]; i < offsets[g + 1]; i++)
            dst[members[i]] = value[g];
    return TKP_OK;
}

const tkp__ref_op tkp__ref_group_broadcast = {
    .kind = TKP_OP_GROUP_BROADCAST,
    .kernel = "ref_group_broadcast",
    .run = run_group_broadcast,
};
