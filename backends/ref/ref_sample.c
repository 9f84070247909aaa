/*
 * SAMPLE: per group, a uniform subset of keep[g] members.
 *
 *   for i in 0 .. keep - 1:                 list = the group's members, n long
 *       u = first 64 bits of Philox4x32-10(counter, key), first word low
 *           counter = (i, group's index in its sequence, sequence id, salt)
 *           key     = (low, high) word of seed
 *       j = i + high64(u * (n - i))
 *       swap list[i], list[j]
 *   dst = list[0 .. keep - 1], ascending
 *
 * Source: the Random baseline; a partial Fisher-Yates shuffle (Knuth, The Art
 * of Computer Programming 2, algorithm P). Philox: Salmon et al., SC 2011.
 * A draw depends on nothing but what is named above, so results do not change
 * with the thread count, the batch a sequence is in, or the order of calls.
 *
 * The list is not copied: without `members` its length is in the data only,
 * and there is no room for it. list[p] is p until a swap moves something there;
 * after swap t, list[j_t] is what was at t, and t itself is never looked at
 * again. So it is enough to remember what was moved to where: a hash table of
 * at most one entry a draw, half full at most, with linear probing.
 */

#include "ref/ref.h"
#include "util/philox.h"

enum { GROUP_OFFSETS, MEMBERS, KEEP, OUT_OFFSETS, STREAM, DST };
enum { SCRATCH_PLACE, SCRATCH_MOVED };

enum { FREE = -1 };

/* What swaps have moved to other places of the list. */
typedef struct moves {
    int32_t *place; /* [2^bits] FREE, or a place */
    int32_t *moved; /* [2^bits] what is there now */
    int32_t bits;
} moves;

/* The table for `draws` of them has 2^bits slots, at least twice as many. */
static int32_t slot_bits(int64_t draws)
{
    int32_t bits = 1;
    while ((int64_t)1 << bits < 2 * draws && bits < 32)
        bits++;
    return bits;
}

static tkp_status
plan_sample(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t slots = (int64_t)1 << slot_bits(args[DST].shape[0]);
    TKP__TRY(
        tkp__ref_book(plan, ledger, SCRATCH_PLACE, slots, sizeof(int32_t)));
    return tkp__ref_book(plan, ledger, SCRATCH_MOVED, slots, sizeof(int32_t));
}

/* The slot of place p, or the free one where it belongs. */
static uint32_t find(const moves *m, int32_t p)
{
    const uint32_t mask = (uint32_t)((UINT64_C(1) << m->bits) - 1);
    /* Fibonacci hashing: Knuth, TAOCP 3, 6.4. */
    uint32_t slot = ((uint32_t)p * UINT32_C(2654435769)) >> (32 - m->bits);
    while (m->place[slot] != FREE && m->place[slot] != p)
        slot = (slot + 1) & mask;
    return slot;
}

static int32_t at(const moves *m, int32_t p)
{
    const uint32_t slot = find(m, p);
    return m->place[slot] == FREE ? p : m->moved[slot];
}

static void put(moves *m, int32_t p, int32_t what)
{
    const uint32_t slot = find(m, p);
    m->place[slot] = p;
    m->moved[slot] = what;
}

static uint32_t
draw(const tkp_op_sample *p, const int32_t *stream, int32_t i, int32_t left)
{
    const uint32_t key[2] = {(uint32_t)p->seed, (uint32_t)(p->seed >> 32)};
    const uint32_t counter[4] = {
        (uint32_t)i, (uint32_t)stream[1], (uint32_t)stream[0], p->salt};
    return tkp__scale_u64(tkp__philox_u64(counter, key), (uint32_t)left);
}

static tkp_status check_data(const tkp_tensor *args)
{
    const tkp_tensor *members = &args[MEMBERS];
    const bool listed = tkp__present(members);
    TKP__TRY(tkp__ref_check_offsets(
        &args[GROUP_OFFSETS], listed ? members->shape[0] : INT32_MAX,
        "group_offsets"));
    return tkp__ref_check_keep(
        &args[GROUP_OFFSETS], &args[KEEP], &args[OUT_OFFSETS],
        args[DST].shape[0]);
}

static tkp_status
run_sample(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    TKP__TRY(check_data(args));
    const int32_t *offsets = tkp__ref_i32(&args[GROUP_OFFSETS]);
    const int32_t *members =
        tkp__present(&args[MEMBERS]) ? tkp__ref_i32(&args[MEMBERS]) : NULL;
    const int32_t *keep = tkp__ref_i32(&args[KEEP]);
    moves m = {
        .place = tkp__ref_scratch(plan, workspace, SCRATCH_PLACE),
        .moved = tkp__ref_scratch(plan, workspace, SCRATCH_MOVED)};
    int32_t *dst = tkp__data(&args[DST]);

    for (int64_t g = 0; g < args[KEEP].shape[0]; g++) {
        const int32_t n = offsets[g + 1] - offsets[g];
        const int32_t *stream = tkp__ref_row(&args[STREAM], g);
        m.bits = slot_bits(keep[g]);
        for (int64_t slot = 0; slot < (int64_t)1 << m.bits; slot++)
            m.place[slot] = FREE;
        for (int32_t i = 0; i < keep[g]; i++) {
            const int32_t j =
                i + (int32_t)draw(&plan->params.sample, stream, i, n - i);
            const int32_t drawn = offsets[g] + at(&m, j);
            dst[i] = members ? members[drawn] : drawn;
            put(&m, j, at(&m, i));
        }
        tkp__ref_sort(dst, keep[g], NULL, 0);
        dst += keep[g];
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_sample = {
    .kind = TKP_OP_SAMPLE,
    .params_size = sizeof(tkp_op_sample),
    .kernel = "ref_sample",
    .plan = plan_sample,
    .run = run_sample,
};
