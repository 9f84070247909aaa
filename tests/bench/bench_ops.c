/*
 * tkp_bench_ops: the ops of a backend, one by one.
 *
 *   tkp_bench_ops [--backend cpu] [--threads 2] [--seconds 0.5] [--op NAME]
 *                 [--n 576] [--no-check] [--cpu-clock]
 *
 * A case is checked against "ref" first; a wrong kernel has no time. CSV on
 * standard output: comment lines about machine and floors, a header, a line a
 * case. GB/s are bytes that must be moved over the shortest time.
 */

#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(TKP_BENCH_COMMIT)
#    define TKP_BENCH_COMMIT "unknown"
#endif

typedef struct options {
    const char *backend;
    const char *op;
    int32_t threads;
    int64_t n; /* 0 = 576 and 2880 */
    double seconds;
    bool check;
    bool cpu_clock; /* one thread, its own time */
} options;

typedef struct floors {
    double read;    /* bytes/s */
    double gemm[2]; /* flop/s of a bare product: f32, bf16 */
} floors;

/* --- one op on one backend -------------------------------------------------------- */

typedef struct runner {
    tkp_context *context;
    tkp_exec *exec;
    tkp_op *op;
    const bench_case *c;
    void *workspace;
    const char *backend, *kernel;
} runner;

static bool runner_open(
    runner *r,
    const char *backend,
    int32_t threads,
    const bench_case *c)
{
    tkp_context_options o;
    tkp_context_options_init(&o);
    memset(r, 0, sizeof(*r));
    o.threads = threads;
    o.backends = backend;
    tkp_op_desc desc;
    memset(&desc, 0, sizeof(desc));
    desc.struct_size = (uint32_t)sizeof(desc);
    desc.kind = c->kind;
    desc.args = c->args;
    desc.n_args = c->n_args;
    desc.params = c->has_params ? &c->params : NULL;
    tkp_requirements q;
    tkp_requirements_init(&q);
    r->c = c;
    if (tkp_context_create(&r->context, &o) != TKP_OK ||
        tkp_exec_create(&r->exec, r->context, NULL) != TKP_OK ||
        tkp_op_create(&r->op, r->context, &desc) != TKP_OK ||
        tkp_op_query(r->op, &q) != TKP_OK)
        return false;
    const size_t bytes = (size_t)(q.workspace_bytes + 63) / 64 * 64;
    r->backend = q.backend;
    r->kernel = q.kernel;
    if (bytes == 0)
        return true;
    r->workspace = aligned_alloc(64, bytes);
    return r->workspace &&
           tkp_exec_set_workspace(r->exec, r->workspace, bytes) == TKP_OK;
}

static void runner_close(runner *r)
{
    tkp_op_destroy(r->op);
    tkp_exec_destroy(r->exec);
    tkp_context_destroy(r->context);
    free(r->workspace);
}

static void runner_run(void *user)
{
    runner *r = user;
    if (tkp_op_run(r->op, r->exec, r->c->args, r->c->n_args) != TKP_OK) {
        fprintf(stderr, "%s: %s\n", r->c->op, tkp_last_message());
        exit(1);
    }
}

/* --- check --------------------------------------------------------------------------- */

static double value(const tkp_tensor *t, int64_t i)
{
    if (t->dtype == TKP_DTYPE_I32)
        return ((const int32_t *)t->data)[i];
    if (t->dtype == TKP_DTYPE_F32)
        return (double)((const float *)t->data)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)t->data)[i] << 16;
    float x;
    memcpy(&x, &bits, 4);
    return (double)x;
}

/* The worst error over max(|expected|, rms), as the op tests count it. */
static double worst(const tkp_tensor *t, const double *expected)
{
    const int64_t n = tkp_tensor_count(t);
    double square = 0, most = 0;
    for (int64_t i = 0; i < n; i++)
        square += expected[i] * expected[i];
    const double rms = sqrt(square / (double)n);
    for (int64_t i = 0; i < n; i++) {
        const double off = fabs(value(t, i) - expected[i]);
        const double error = off / fmax(fabs(expected[i]), rms);
        if (off != 0 && !(error <= most))
            most = error;
    }
    return most;
}

static bool run_on(const char *backend, int32_t threads, const bench_case *c)
{
    runner r;
    const bool good = runner_open(&r, backend, threads, c);
    if (good)
        runner_run(&r);
    else
        fprintf(stderr, "%s: %s\n", c->op, tkp_last_message());
    runner_close(&r);
    return good;
}

static bool
check(const bench_entry *e, const options *o, int64_t n, int32_t dtype)
{
    static const double allowed[] = {0, 1e-5, 4e-3, 1.6e-2};
    bench_case c;
    e->build(&c, n, dtype, e->check_rows);
    const tkp_tensor *dst = &c.args[c.dst];
    const int64_t count = tkp_tensor_count(dst);
    const double limit = dst->dtype > 3 ? 0 : allowed[dst->dtype];
    double *expected = malloc((size_t)count * sizeof(double));
    bool good = expected && run_on("ref", 1, &c);
    if (good)
        for (int64_t i = 0; i < count; i++)
            expected[i] = value(dst, i);
    good = good && run_on(o->backend, o->threads, &c);
    const double error = good ? worst(dst, expected) : INFINITY;
    /* The scores of one row are as exact as its logits; see the op tests. */
    if (!(error <= limit * (c.kind == TKP_OP_ATTENTION_SCORES ? 10 : 1))) {
        fprintf(stderr, "%s: wrong, error %g\n", c.op, error);
        good = false;
    }
    free(expected);
    bench_case_free(&c);
    return good;
}

/* --- time ------------------------------------------------------------------------------- */

static double load_average(void)
{
    double load = 0;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

static void
print_line(const bench_case *c, const runner *r, bench_time t, const floors *f)
{
    const double gbs = c->bytes / t.min, rate = c->flops / t.min;
    const double gemm = f->gemm[c->dtype == TKP_DTYPE_BF16];
    printf(
        "%s,%s:%s,%s,%s,%d,%.4f,%.4f,%.0f,%.2f,%.1f,%.0f,%.1f,%.1f,%.2f\n",
        c->op, r->backend, r->kernel, tkp_dtype_string(c->dtype), c->shape,
        t.runs, t.min * 1e3, t.median * 1e3, c->bytes, gbs * 1e-9,
        f->read > 0 ? 100 * gbs / f->read : 0, c->flops, rate * 1e-9,
        gemm > 0 ? 100 * rate / gemm : 0, load_average());
    fflush(stdout);
}

static bool
one(const bench_entry *e,
    const options *o,
    const floors *f,
    int64_t n,
    int32_t dtype)
{
    if (o->check && !check(e, o, n, dtype))
        return false;
    bench_case c;
    runner r;
    floors near = *f;
    e->build(&c, n, dtype, 0);
    /* Where memory is shared with others, its speed is that of the moment. */
    if (c.flops <= 0)
        near.read = bench_read_bandwidth(o->threads, 0.1);
    const bool good = runner_open(&r, o->backend, o->threads, &c);
    if (good)
        print_line(&c, &r, bench_measure(o->seconds, runner_run, &r), &near);
    else
        fprintf(stderr, "%s: %s\n", c.op, tkp_last_message());
    runner_close(&r);
    bench_case_free(&c);
    return good;
}

/* --- floors, header ------------------------------------------------------------------------ */

static void cpu_name(char *out, size_t bytes)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, bytes, "unknown");
    while (f && fgets(line, sizeof(line), f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, bytes, "%s", colon + 2);
        break;
    }
    if (f)
        fclose(f);
}

static floors header(const options *o)
{
    static const int32_t dtypes[] = {TKP_DTYPE_F32, TKP_DTYPE_BF16};
    floors f = {0};
    char cpu[128];
    cpu_name(cpu, sizeof(cpu));
    f.read = bench_read_bandwidth(o->threads, 1.0);
    for (int32_t i = 0; i < 2; i++)
        f.gemm[i] = bench_gemm_rate(640, 4096, 11008, dtypes[i], o->threads);
    printf(
        "# commit %s; compiler %s; CPU %s; threads %d%s; %s\n",
        TKP_BENCH_COMMIT, __VERSION__, cpu, o->threads,
        o->cpu_clock ? ", processor time" : "", bench_gemm_library());
    printf(
        "# read %.2f GB/s; bare product 640x4096x11008: f32 %.1f, bf16 %.1f "
        "GFLOP/s; load %.2f\n",
        f.read * 1e-9, f.gemm[0] * 1e-9, f.gemm[1] * 1e-9, load_average());
    printf("op,kernel,dtype,shape,runs,min_ms,median_ms,bytes,gb_s,"
           "percent_of_read,flops,gflop_s,percent_of_product,load\n");
    fflush(stdout);
    return f;
}

/* --- main ------------------------------------------------------------------------------------- */

static bool parse(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--no-check")) {
            o->check = false;
            continue;
        }
        if (!strcmp(argv[i], "--cpu-clock")) {
            o->cpu_clock = true;
            continue;
        }
        if (i + 1 == argc)
            return false;
        const char *name = argv[i], *text = argv[++i];
        if (!strcmp(name, "--backend"))
            o->backend = text;
        else if (!strcmp(name, "--op"))
            o->op = text;
        else if (!strcmp(name, "--threads"))
            o->threads = (int32_t)strtol(text, NULL, 10);
        else if (!strcmp(name, "--n"))
            o->n = strtol(text, NULL, 10);
        else if (!strcmp(name, "--seconds"))
            o->seconds = strtod(text, NULL);
        else
            return false;
    }
    return o->threads > 0 && o->n >= 0;
}

int main(int argc, char **argv)
{
    static const int64_t sizes[] = {576, 2880};
    options o = {"cpu", NULL, 2, 0, 0.5, true, false};
    if (!parse(&o, argc, argv)) {
        fprintf(
            stderr,
            "usage: %s [--backend NAME] [--threads N] [--seconds S]\n"
            "       [--op NAME] [--n TOKENS] [--no-check] [--cpu-clock]\n",
            argv[0]);
        return 2;
    }
    if (o.cpu_clock) {
        o.threads = 1;
        bench_use_cpu_clock();
    }
    const floors f = header(&o);
    bool good = true;
    for (int32_t i = 0; i < bench_entry_count; i++) {
        const bench_entry *e = &bench_entries[i];
        if (o.op && strcmp(o.op, e->op))
            continue;
        for (int32_t s = 0; s < (o.n || e->once ? 1 : 2); s++) {
            const int64_t n = o.n ? o.n : sizes[s];
            good = one(e, &o, &f, n, TKP_DTYPE_F32) && good;
            if (e->any_dtype)
                good = one(e, &o, &f, n, TKP_DTYPE_BF16) && good;
        }
    }
    return good ? 0 : 1;
}
