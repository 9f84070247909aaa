/* Eigenvalues of a symmetric matrix, in double: reduction to a tridiagonal one by
 * reflections, then bisection by Sturm counts (Golub and Van Loan, chapter 8). */
#include "ref/ref_tridiagonal.h"

#include <float.h>
#include <math.h>

/* Four sums side by side, then together: the order is always the same. */
double tkp__ref_dot_f64(const double *a, const double *b, int64_t n)
{
    double sum[4] = {0.0, 0.0, 0.0, 0.0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int32_t k = 0; k < 4; k++)
            sum[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/*
 * Reflect rows and columns 0 .. i - 1 so that row i has nothing left of its
 * neighbour, i from the last row down. Row i of `a` keeps the reflection u
 * (I - u u^T / scale[i]), its first i entries.
 */
void tkp__ref_tridiagonal_reduce(const tkp__ref_tridiagonal *t)
{
    const int64_t n = t->n;
    double *p = t->scratch;
    for (int64_t i = n - 1; i > 0; i--) {
        double *u = t->a + i * n;
        t->d[i] = u[i];
        t->scale[i] = 0.0;
        const double beside = u[i - 1];
        const double rest = i > 1 ? tkp__ref_dot_f64(u, u, i - 1) : 0.0;
        if (rest == 0.0) { /* is reduced as it stands */
            t->e[i] = beside;
            continue;
        }
        const double length = sqrt(rest + beside * beside);
        const double alpha = beside > 0.0 ? -length : length;
        const double h = length * length - beside * alpha; /* u^T u / 2 */
        t->e[i] = alpha;
        u[i - 1] = beside - alpha;
        t->scale[i] = h;
        for (int64_t r = 0; r < i; r++)
            p[r] = tkp__ref_dot_f64(t->a + r * n, u, i) / h;
        const double k = tkp__ref_dot_f64(p, u, i) / (2.0 * h);
        for (int64_t r = 0; r < i; r++)
            p[r] -= k * u[r];
        for (int64_t r = 0; r < i; r++) {
            double *row = t->a + r * n;
            const double ur = u[r], pr = p[r];
            for (int64_t c = 0; c < i; c++)
                row[c] -= ur * p[c] + pr * u[c];
        }
    }
    t->d[0] = t->a[0];
    t->e[0] = 0.0;
}

int32_t
tkp__ref_tridiagonal_below(const tkp__ref_tridiagonal *t, double x, double tiny)
{
    int32_t count = 0;
    double q = 1.0;
    for (int32_t i = 0; i < t->n; i++) {
        const double e2 = i ? t->e[i] * t->e[i] : 0.0;
        q = t->d[i] - x - e2 / q;
        if (fabs(q) < tiny)
            q = -tiny;
        count += q < 0.0;
    }
    return count;
}

double tkp__ref_tridiagonal_values(
    const tkp__ref_tridiagonal *t,
    int32_t q,
    double *value)
{
    double low = INFINITY, high = -INFINITY;
    for (int32_t i = 0; i < t->n; i++) {
        const double reach =
            fabs(t->e[i]) + (i + 1 < t->n ? fabs(t->e[i + 1]) : 0.0);
        low = fmin(low, t->d[i] - reach);
        high = fmax(high, t->d[i] + reach);
    }
    const double norm = fmax(fabs(low), fabs(high));
    const double tiny = norm * DBL_EPSILON * DBL_EPSILON + DBL_MIN;
    for (int32_t k = 0; k < q; k++) {
        double a = low - norm * 1e-15, b = high + norm * 1e-15;
        /* the k-th largest has n - 1 - k below it */
        for (int32_t step = 0; step < 200; step++) {
            const double middle = a + (b - a) / 2.0;
            if (middle <= a || middle >= b)
                break;
            if (tkp__ref_tridiagonal_below(t, middle, tiny) > t->n - 1 - k)
                b = middle;
            else
                a = middle;
        }
        value[k] = a + (b - a) / 2.0;
    }
    return norm;
}
