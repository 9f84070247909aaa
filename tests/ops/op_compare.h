#ifndef TKP_TESTS_OP_COMPARE_H
#define TKP_TESTS_OP_COMPARE_H

/*
 * Comparing tensors, and the one place where tolerances are kept.
 *
 * The error of an element is |actual - expected| / max(|expected|, rms), rms
 * being the root mean square of the finite expected elements: a sum that
 * cancels to nearly 0 is as good as its neighbours, not better. NaN matches
 * NaN, an infinity matches itself. Integers and u8 match exactly.
 */

#include <stdbool.h>

#include "tokenprune/tensor.h"

typedef struct tkp_test_tolerance {
    double warn;
    double fail;
} tkp_test_tolerance;

/* Two and four steps of the half types; f32 as two f32 sums differ. */
static const tkp_test_tolerance tkp_test_f32 = {1e-6, 1e-5};
static const tkp_test_tolerance tkp_test_f16 = {2e-3, 4e-3};
static const tkp_test_tolerance tkp_test_bf16 = {8e-3, 1.6e-2};
static const tkp_test_tolerance tkp_test_exact = {0.0, 0.0};

/* The line of the table for an output of that dtype. */
const tkp_test_tolerance *tkp_test_table(int32_t dtype);

typedef struct tkp_test_report {
    bool ok;
    bool warned;   /* above warn, not above fail */
    double error;  /* of the worst element */
    int64_t index; /* of it, counted row-major; -1 = all are equal */
    double actual; /* both values */
    double expected;
    double ulp;     /* their distance in steps of the dtype */
    int64_t count;  /* elements */
    int64_t zeros;  /* expected elements that are 0 */
    char text[240]; /* the above as a line */
} tkp_test_report;

/*
 * Compare views of equal dtype and shape, any strides. With `table` NULL the
 * tolerance is that of the dtype. Returns report.ok.
 */
bool tkp_test_compare(
    const tkp_tensor *actual,
    const tkp_tensor *expected,
    const tkp_test_tolerance *table,
    tkp_test_report *report);

/*
 * Selections out of scores that differ a little: every index that is in one
 * list and not in the other must have a score within `tolerance` (as above) of
 * the cut, the worst score among the expected ones. `order` is enum tkp_order.
 */
bool tkp_test_compare_selection(
    const int32_t *actual,
    const int32_t *expected,
    int64_t kept,
    const float *scores,
    int64_t n,
    int32_t order,
    double tolerance,
    tkp_test_report *report);

/* Half types, written anew: the library's own are under test. */
float tkp_test_load(const void *data, int32_t dtype, int64_t i);
void tkp_test_store(void *data, int32_t dtype, int64_t i, double value);

/* Offset of element i, counted row-major, in elements. */
int64_t tkp_test_offset(const tkp_tensor *t, int64_t i);

#endif
