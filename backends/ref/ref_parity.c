/*
 * PARITY: of two halves of a list, those of one that are most like the other
 * go, again and again.
 *
 *   v_a = max over b in B of S_ab,   A the even places, B the odd ones
 *
 * Source: what VisPruner does with the tokens that are not important (its
 * "diverse" half); the split is that of ToMe. Open choices: an odd list has one
 * more in A; where B is empty v is the same for all; ties go to who stands
 * before in the list. In double.
 */

#include "ref/ref_greedy.h"

enum { SCRATCH_MATRIX = 2, SCRATCH_LISTS };
enum { DST = 7 };

static tkp_status
plan_parity(tkp__ref_plan *plan, tkp_ledger *ledger, const tkp_tensor *args)
{
    const int64_t n = tkp__ref_greedy_most(args, plan->params.parity.largest);
    TKP__TRY(tkp__ref_greedy_book(plan, ledger, args));
    /* The matrix and a value for each entry; two lists of entries. */
    TKP__TRY(tkp__ref_book(
        plan, ledger, SCRATCH_MATRIX, (n + 1) * n, sizeof(double)));
    return tkp__ref_book(plan, ledger, SCRATCH_LISTS, 2 * n, sizeof(int32_t));
}

typedef struct halves {
    const tkp__ref_group *g;
    double *matrix; /* [n, n] */
    double *value;  /* [n] by entry */
    int32_t *list;  /* what is left, in order */
    int32_t *next;
    int32_t n;
} halves;

/* Largest key first; of equal ones as they stood. */
static void sort_stable(int32_t *list, int32_t n, const double *key)
{
    for (int32_t i = 1; i < n; i++) {
        const int32_t held = list[i];
        int32_t at = i;
        for (; at > 0 && key[list[at - 1]] < key[held]; at--)
            list[at] = list[at - 1];
        list[at] = held;
    }
}

static void start(halves *h, const float *weights)
{
    h->n = h->g->n;
    for (int32_t i = 0; i < h->n; i++) {
        h->list[i] = i;
        h->value[i] = (double)weights[tkp__ref_member(h->g, i)];
        for (int32_t j = 0; j <= i; j++)
            h->matrix[(int64_t)i * h->n + j] =
                h->matrix[(int64_t)j * h->n + i] =
                    tkp__ref_cosine_of(h->g, i, j);
    }
    /* Members may come in any order: by candidate first. */
    for (int32_t i = 1; i < h->n; i++)
        for (int32_t at = i; at > 0 && tkp__ref_member(h->g, h->list[at - 1]) >
                                           tkp__ref_member(h->g, h->list[at]);
             at--) {
            const int32_t held = h->list[at];
            h->list[at] = h->list[at - 1];
            h->list[at - 1] = held;
        }
    sort_stable(h->list, h->n, h->value);
}

/* One round: `step` of the even places go, fewer where that is enough. */
static void halve(halves *h, int32_t step)
{
    const int32_t even = (h->n + 1) / 2, odd = h->n / 2;
    int32_t go = h->n - h->g->keep < step ? h->n - h->g->keep : step;
    go = go < even ? go : even;
    for (int32_t a = 0; a < even; a++) {
        const int32_t i = h->next[a] = h->list[2 * a];
        h->value[i] = -2.0;
        for (int32_t b = 0; b < odd; b++) {
            const double s =
                h->matrix[(int64_t)i * h->g->n + h->list[2 * b + 1]];
            h->value[i] = s > h->value[i] ? s : h->value[i];
        }
    }
    sort_stable(h->next, even, h->value);
    memmove(h->next, h->next + go, (size_t)(even - go) * sizeof(*h->next));
    for (int32_t b = 0; b < odd; b++)
        h->next[even - go + b] = h->list[2 * b + 1];
    int32_t *list = h->list;
    h->list = h->next;
    h->next = list;
    h->n -= go;
}

static tkp_status
run_parity(const tkp__ref_plan *plan, const tkp_tensor *args, char *workspace)
{
    const tkp_op_parity *p = &plan->params.parity;
    const tkp_tensor *weights = &args[TKP__REF_GREEDY_WEIGHTS];
    TKP__TRY(
        tkp__ref_greedy_check(plan, args, &args[DST], p->largest, workspace));
    TKP__TRY(tkp__ref_greedy_check_weights(args, weights, "weights", true));
    for (int64_t i = 0; i < args[TKP__REF_GREEDY_KEEP].shape[0]; i++) {
        const tkp__ref_group g =
            tkp__ref_greedy_group(plan, args, &args[DST], workspace, i);
        double *matrix = tkp__ref_scratch(plan, workspace, SCRATCH_MATRIX);
        int32_t *lists = tkp__ref_scratch(plan, workspace, SCRATCH_LISTS);
        halves h = {
            .g = &g,
            .matrix = matrix,
            .value = matrix + (int64_t)g.n * g.n,
            .list = lists,
            .next = lists + g.n,
        };
        start(&h, tkp__data(weights));
        while (h.n > g.keep)
            halve(&h, p->step);
        for (int32_t t = 0; t < g.keep; t++)
            g.dst[t] = tkp__ref_member(&g, h.list[t]);
    }
    return TKP_OK;
}

const tkp__ref_op tkp__ref_parity = {
    .kind = TKP_OP_PARITY,
    .params_size = sizeof(tkp_op_parity),
    .kernel = "ref_parity",
    .plan = plan_parity,
    .run = run_parity,
};
