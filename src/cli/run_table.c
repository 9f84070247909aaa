/* The short table under an answer. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/run.h"

/* "0-1: 576, 2-31: 144" */
static void print_layers(const int64_t *visual, int32_t layers)
{
    for (int32_t first = 0; first < layers;) {
        int32_t last = first;
        while (last + 1 < layers && visual[last + 1] == visual[first])
            last++;
        printf("%s%d", first ? ", " : "", first);
        if (last > first)
            printf("-%d", last);
        printf(": %" PRId64, visual[first]);
        first = last + 1;
    }
    putchar('\n');
}

/* Where some go inside the encoder. */
static void print_blocks(const tkp__run *run)
{
    int64_t patches[TKP__RUN_MOST_BLOCKS];
    const int32_t blocks = tkp__run_blocks(run, patches, TKP__RUN_MOST_BLOCKS);
    bool even = true;
    for (int32_t i = 1; i < blocks; i++)
        even &= patches[i] == patches[0];
    if (even)
        return;
    printf("  in encoder    ");
    print_layers(patches, blocks);
}

static double percent(double part, double whole)
{
    return whole > 0.0 ? 100.0 * part / whole : 100.0;
}

/* Three digits and a unit of thousands. */
static void print_count(double value, const char *unit)
{
    static const char *const steps[] = {"", "k", "M", "G", "T", "P"};
    int32_t step = 0;
    for (; value >= 1000.0 && step < 5; step++)
        value /= 1000.0;
    printf("%.3g %s%s", value, steps[step], unit);
}

/* "1.7 MB of 2.4 MB (71.0 %)" */
static void print_share(double part, double whole, const char *unit)
{
    print_count(part, unit);
    printf(" of ");
    print_count(whole, unit);
    printf(" (%.1f %%)\n", percent(part, whole));
}

static void print_time(double seconds)
{
    if (seconds >= 1.0)
        printf("%.2f s", seconds);
    else if (seconds >= 1e-3)
        printf("%.3g ms", 1e3 * seconds);
    else
        printf("%.3g us", 1e6 * seconds);
}

static void print_times(const tkp__run_answer *a)
{
    printf("vision ");
    print_time(a->times.vision);
    printf(", prefill ");
    print_time(a->times.prefill);
    printf(" (pruning ");
    print_time(a->times.pruning);
    printf("), ");
    if (a->times.decode_steps > 0)
        print_time(tkp__run_per_token(a));
    else
        printf("-");
    printf(" a token");
    if (a->runs > 1)
        printf("; medians of %d runs", a->runs);
    putchar('\n');
}

static void print_cost(const tkp__run *run)
{
    const tkp_report *r = &run->answer.report;
    printf(
        "visual tokens   %" PRId64 " of %" PRId64 " stay (%.1f %%)\n",
        r->visual_after, r->visual_before,
        percent((double)r->visual_after, (double)r->visual_before));
    print_blocks(run);
    printf("  in layers     ");
    print_layers(r->layer_visual, r->layers);
    printf("  EQUIV_IN      %.1f\n", r->equiv_in);
    printf("decoder work    ");
    print_share(r->macs, r->macs_unpruned, "MACs");
    printf("KV cache        ");
    print_share((double)r->kv_bytes, (double)r->kv_bytes_unpruned, "B");
}

static double ratio(double whole, double part)
{
    return part > 0.0 ? whole / part : 1.0;
}

static void print_comparison(const tkp__run *run)
{
    const tkp__run_answer *a = &run->answer;
    const tkp__run_answer *w = &run->whole;
    const double predicted = ratio(a->report.macs_unpruned, a->report.macs);
    const double realised = ratio(w->times.prefill, a->times.prefill);
    if (tkp__run_same_answer(run))
        printf("\nunpruned        the same answer\n");
    else
        printf("\nunpruned        %s\n", tkp_mllm_result_text(w->result, 0));
    printf("  time          ");
    print_times(w);
    printf(
        "speed-up        prefill %.2f x; the work left predicts %.2f x "
        "(%.0f %% of it reached)\n",
        realised, predicted, percent(realised, predicted));
    printf("                ");
    if (a->times.decode_steps > 0 && w->times.decode_steps > 0)
        printf(
            "a token %.2f x, ",
            ratio(tkp__run_per_token(w), tkp__run_per_token(a)));
    printf("all in all %.2f x\n", ratio(tkp__run_total(w), tkp__run_total(a)));
}

void tkp__run_print(const tkp__run *run)
{
    printf(
        "\npolicy          %s\n",
        run->policy ? tkp_policy_name(run->policy) : "none");
    print_cost(run);
    printf("time            ");
    print_times(&run->answer);
    if (run->whole.runs > 0)
        print_comparison(run);
    if (run->drawn)
        printf("picture         %s\n", run->options.picture);
}
