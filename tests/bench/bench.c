/*
 * Time and floors.
 */

#include "bench.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(TKP_BENCH_ONEDNN)
#    include "cpu/cpu_dnnl.h"
#endif

enum { MIN_RUNS = 5, MAX_RUNS = 200 };

static clockid_t bench_clock = CLOCK_MONOTONIC;

void bench_use_cpu_clock(void)
{
    bench_clock = CLOCK_THREAD_CPUTIME_ID;
}

double bench_now(void)
{
    struct timespec t;
    clock_gettime(bench_clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bench_time bench_measure(double seconds, void (*work)(void *user), void *user)
{
    double took[MAX_RUNS];
    int32_t runs = 0;
    work(user);
    const double start = bench_now();
    do {
        const double begin = bench_now();
        work(user);
        took[runs++] = bench_now() - begin;
    } while (runs < MAX_RUNS &&
             (runs < MIN_RUNS || bench_now() - start < seconds));
    qsort(took, (size_t)runs, sizeof(took[0]), ascending);
    return (bench_time){runs, took[0], took[runs / 2]};
}

/* --- reading memory --------------------------------------------------------- */

enum { LINES = 8 << 20 }; /* of 64 bytes: 512 MiB */

typedef struct read_work {
    const uint64_t *words;
    int32_t threads;
    uint64_t sum;
} read_work;

static void read_all(void *user)
{
    read_work *w = user;
    uint64_t sum = 0;
#pragma omp parallel for num_threads(w->threads) reduction(^ : sum)
    for (int64_t i = 0; i < (int64_t)LINES * 8; i++)
        sum ^= w->words[i];
    w->sum = sum;
}

double bench_read_bandwidth(int32_t threads, double seconds)
{
    static uint64_t *words; /* kept: it is asked for again and again */
    const size_t bytes = (size_t)LINES * 64;
    if (!words) {
        words = aligned_alloc(64, bytes);
        if (!words)
            return 0;
        memset(words, 1, bytes);
    }
    read_work work = {words, threads, 0};
    return (double)bytes / bench_measure(seconds, read_all, &work).min;
}

/* --- bare products ------------------------------------------------------------ */

#if defined(TKP_BENCH_ONEDNN)

typedef struct gemm_work {
    tkp__cpu_product *product;
    tkp__cpu_stream *stream;
    void *x, *w, *y, *scratch;
} gemm_work;

static void gemm(void *user)
{
    gemm_work *g = user;
    if (tkp__cpu_product_run(
            g->product, g->stream, g->x, g->w, NULL, g->y, g->scratch) !=
        TKP_OK)
        abort();
}

static void *zeros(int64_t count, size_t size)
{
    void *memory = aligned_alloc(64, ((size_t)count * size + 127) / 64 * 64);
    if (!memory)
        abort();
    memset(memory, 0, (size_t)count * size);
    return memory;
}

double
bench_gemm_rate(int64_t m, int64_t n, int64_t k, int32_t dtype, int32_t threads)
{
    const size_t size = tkp_dtype_bytes(dtype);
    tkp__cpu_product_key key;
    memset(&key, 0, sizeof(key));
    key.m = m;
    key.n = n;
    key.k = k;
    key.ldx = key.ldw = k;
    key.ldd = n;
    key.x_dtype = key.w_dtype = key.d_dtype = dtype;
    key.threads = threads;
    gemm_work g = {NULL, NULL, NULL, NULL, NULL, NULL};
    if (tkp__cpu_stream_create(&g.stream) != TKP_OK)
        return 0;
    if (tkp__cpu_product_create(&g.product, &key) != TKP_OK) {
        tkp__cpu_stream_destroy(g.stream);
        return 0;
    }
    g.x = zeros(m * k, size);
    g.w = zeros(n * k, size);
    g.y = zeros(m * n, size);
    g.scratch = zeros((int64_t)tkp__cpu_product_scratch(g.product), 1);
    const bench_time t = bench_measure(0.5, gemm, &g);
    free(g.x);
    free(g.w);
    free(g.y);
    free(g.scratch);
    tkp__cpu_product_destroy(g.product);
    tkp__cpu_stream_destroy(g.stream);
    return 2.0 * (double)m * (double)n * (double)k / t.min;
}

const char *bench_gemm_library(void)
{
    static char text[80];
    tkp__cpu_dnnl_version(text, sizeof(text));
    return text;
}

#else

double
bench_gemm_rate(int64_t m, int64_t n, int64_t k, int32_t dtype, int32_t threads)
{
    (void)m;
    (void)n;
    (void)k;
    (void)dtype;
    (void)threads;
    return 0;
}

const char *bench_gemm_library(void)
{
    return "no oneDNN";
}

#endif
