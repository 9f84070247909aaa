/*
 * STATIC_WINDOWS: windows of frames in which most tokens only repeat.
 *
 *   run[n] = 0 where a run of like tokens begins, else run[before[n]] + 1
 *   static(s, e) = cells of frame e with run >= e - s
 *   windows [s, e] that maximise the sum of |static(s, e)| (e - s)
 *
 * Source: HoliTom (NeurIPS 2025), a dynamic programme over the frames. Open
 * choices: of equally good divisions the one whose last window is shortest, and
 * so on backwards; in a window of one frame nothing is static; a cell that is not
 * in the frame before begins a run.
 */

#include "ref/ref.h"

enum { STARTS, BEFORE, FRAME_OFFSETS, OFFSETS, WINDOW, HEAD };
enum { SCRATCH_RUN, SCRATCH_COUNT, SCRATCH_BEST, SCRATCH_FROM };

static tkp_status plan_static_windows(
    tkp__ref_plan *plan,
    tkp_ledger *ledger,
    const tkp_tensor *args)
{
    const int64_t n = args[STARTS].shape[0], f = args[WINDOW].shape[0];
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_RUN, n, sizeof(int32_t)));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_COUNT, f, sizeof(int64_t)));
    TKP__TRY(tkp__ref_book(plan, ledger, SCRATCH_BEST, f + 1, sizeof(int64_t)));
    return tkp__ref_book(plan, ledger, SCRATCH_FROM, f, sizeof(int32_t));
}

static tkp_status check_data(const tkp_tensor *args)
{
    const int64_t n = args[STARTS].shape[0], f = args[WINDOW].shape[0];
    const int32_t *before = tkp__ref_i32(&args[BEFORE]);
    TKP__TRY(tkp__ref_check_covering(&args[FRAME_OFFSETS], n, "frame_offsets"));
    TKP__TRY(tkp__ref_check_covering(&args[OFFSETS], f, "offsets"));
    for (int64_t i = 0; i < n; i++)
        TKP__CHECK(
            before[i] >= -1 && before[i] < i, TKP_ERR_ARGUMENT,
            "before: entry %lld is %d, wanted -1 to %lld", (long long)i,
            before[i], (long long)i - 1);
    return TKP_OK;
}

/* How many frames back each token of frame f goes, inside its video. */
static void
run_lengths(const tkp_tensor *args, int32_t f, int32_t first, int32_t *run)
{
    const int32_t *ends = tkp__ref_i32(&args[FRAME_OFFSETS]);
    const int32_t *before = tkp__ref_i32(&args[BEFORE]);
    const float *starts = tkp__data(&args[STARTS]);
    for (int32_t i = ends[f]; i < ends[f + 1]; i++)
        run[i] = f > first && starts[i] == 0.0f && before[i] >= ends[f - 1] &&
                         before[i] < ends[f]
                     ? run[before[i]] + 1
                     : 0;
}

/* The best windows that end with frame e. */
static void best_windows(
    const tkp_tensor *args,
    int32_t first,
    int32_t e,
    int32_t longest,
    const int32_t *run,
    int64_t *count,
    int64_t *best,
    int32_t *from)
{
    const int32_t *ends = tkp__ref_i32(&args[FRAME_OFFSETS]);
    const int32_t most = e - first + 1 < longest ? e - first + 1 : longest;
    for (int32_t i = 0; i < most; i++)
        count[i] = 0;
    for (int32_t i = ends[e]; i < ends[e + 1]; i++)
        count[run[i] < most ? run[i] : most - 1]++;
    for (int32_t i = most - 2; i >= 0; i--)
        count[i] += count[i + 1]; /* those with runs of i or more */
    best[e + 1] = best[e];
    from[e] = e;
    for (int32_t back = 1; back < most; back++) {
        const int64_t saving = best[e - back] + count[back] * back;
        if (saving > best[e + 1]) {
            best[e + 1] = saving;
            from[e] = e - back;
        }
    }
}

/* The window [s, e]: the static ones of its last frame, and what they repeat. */
static void
mark_window(const tkp_tensor *args, int32_t s, int32_t e, const int32_t *run)
{
    const int32_t *ends = tkp__ref_i32(&args[FRAME_OFFSETS]);
    const int32_t *before = tkp__ref_i32(&args[BEFORE]);
    int32_t *head = tkp__data(&args[HEAD]);
    for (int32_t i = ends[s]; i < ends[e + 1]; i++)
        head[i] = -1;
    for (int32_t i = ends[e]; e > s && i < ends[e + 1]; i++) {
        if (run[i] < e - s)
            continue;
        int32_t first = i;
        while (first >= ends[s + 1])
            first = before[first];
        for (int32_t k = i; k != first; k = before[k])
            head[k] = first;
        head[first] = first;
    }
}

static void run_video(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace,
    int32_t first,
    int32_t end,
    int32_t *number)
{
    int32_t *run = tkp__ref_scratch(plan, workspace, SCRATCH_RUN);
    int64_t *count = tkp__ref_scratch(plan, workspace, SCRATCH_COUNT);
    int64_t *best = tkp__ref_scratch(plan, workspace, SCRATCH_BEST);
    int32_t *from = tkp__ref_scratch(plan, workspace, SCRATCH_FROM);
    int32_t *window = tkp__data(&args[WINDOW]);
    int32_t windows = 0;
    best[first] = 0;
    for (int32_t e = first; e < end; e++) {
        run_lengths(args, e, first, run);
        best_windows(
            args, first, e, plan->params.static_windows.longest, run, count,
            best, from);
    }
    for (int32_t e = end - 1; e >= first; e = from[e] - 1, windows++) {
        mark_window(args, from[e], e, run);
        for (int32_t f = from[e]; f <= e; f++)
            window[f] = windows;
    }
    for (int32_t f = first; f < end; f++)
        window[f] = *number + windows - 1 - window[f];
    *number += windows;
}

static tkp_status run_static_windows(
    const tkp__ref_plan *plan,
    const tkp_tensor *args,
    char *workspace)
{
    const int32_t *offsets = tkp__ref_i32(&args[OFFSETS]);
    int32_t number = 0;
    TKP__TRY(check_data(args));
    for (int64_t b = 0; b + 1 < args[OFFSETS].shape[0]; b++)
        run_video(plan, args, workspace, offsets[b], offsets[b + 1], &number);
    return TKP_OK;
}

const tkp__ref_op tkp__ref_static_windows = {
    .kind = TKP_OP_STATIC_WINDOWS,
    .params_size = sizeof(tkp_op_static_windows),
    .kernel = "ref_static_windows",
    .plan = plan_static_windows,
    .run = run_static_windows,
};
