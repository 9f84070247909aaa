#ifndef REF_REF_TRIDIAGONAL_H
#define REF_REF_TRIDIAGONAL_H

#include <stdint.h>

typedef struct tkp__ref_tridiagonal {
    int32_t n;
    double *a;       /* [n, n] the matrix; later the reflections, one a row */
    double *d, *e;   /* [n] diagonal; e[i] is beside d[i - 1] and d[i] */
    double *scale;   /* [n] of the reflections */
    double *scratch; /* [n] */
} tkp__ref_tridiagonal;

void tkp__ref_tridiagonal_reduce(const tkp__ref_tridiagonal *t);
/* The q largest eigenvalues, in falling order; the most any may be. */
double tkp__ref_tridiagonal_values(
    const tkp__ref_tridiagonal *t,
    int32_t q,
    double *value);
/* How many are below x; what divides is at least `tiny`. */
int32_t tkp__ref_tridiagonal_below(
    const tkp__ref_tridiagonal *t,
    double x,
    double tiny);
double tkp__ref_dot_f64(const double *a, const double *b, int64_t n);

#endif
