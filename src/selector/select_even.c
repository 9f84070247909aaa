/*
 * Choices by place alone, known before anything runs: every so many-th token,
 * or an even lattice.
 *
 * STRIDE  of the M members of a group, in order, the K at 0, s, 2 s, ... with
 *         s = floor(M / K).
 * UNIFORM of each image the K cells of a lattice that is spread evenly over its
 *         frames, lines and columns:
 *           part(i, n, K) = floor(((2 i + 2) K + n) / 2 n)
 *                         - floor((2 i K + n) / 2 n)      K over n parts
 *           frame t has k = part(t, frames, K) tokens
 *           L lines, of all L with ceil(k / L) columns that fit, the one that
 *           is nearest to square cells: least |L cols - ceil(k / L) rows|, the
 *           fewer of equals
 *           line i has m = part(i, L, k) tokens, at y = floor((2 i + 1) rows /
 *           2 L) and x = floor((2 j + 1) cols / 2 m), j = 0 .. m - 1
 *         Where cells are missing (cut before, padding, kept anyway), a point
 *         takes the nearest member that no point before it took; first those of
 *         its frame, then by squared distance, then the first.
 */
#include "selector/selector.h"

/* --- which members: their places in the group's list ----------------------- */

typedef struct even {
    tkp_op *take;
    int32_t *place; /* [kept] into the list of members, ascending in a group */
    uint8_t *taken; /* [N] scratch */
} even;

static void even_release(tkp_selector *s)
{
    even *e = s->state;
    if (!e)
        return;
    tkp__core_op_destroy(e->take);
    tkp__free(e);
}

/* dst = member[place]: what is chosen is a gather, wherever the list lies. */
static tkp_status even_plan(tkp_selector *s, tkp_ledger *ledger)
{
    (void)ledger;
    const int64_t n = s->batch->layout->visual;
    const size_t places = tkp__align_up(sizeof(even), sizeof(int32_t));
    even *e = tkp__zalloc(
        1, places + (size_t)n * (sizeof(*e->place) + sizeof(*e->taken)));
    if (!e)
        return TKP_ERR_MEMORY;
    s->state = e;
    e->place = (int32_t *)((char *)e + places);
    e->taken = (uint8_t *)(e->place + n);
    tkp_tensor args[3];
    for (int32_t i = 0; i < 3; i++)
        tkp_tensor_make_1d(&args[i], NULL, TKP_DTYPE_I32, n);
    return tkp__selector_op(s, &e->take, TKP_OP_GATHER_ROWS, args, 3, NULL);
}

static tkp_status even_run(
    const tkp_selector *s,
    tkp_exec *exec,
    const tkp__selection *in,
    void *workspace,
    const tkp_tensor *dst)
{
    const even *e = s->state;
    const tkp__groups *g = &s->groups;
    if (g->kept == 0)
        return TKP_OK;
    tkp_tensor args[3];
    tkp_tensor_make_1d(
        &args[0], (void *)(uintptr_t)in->member, TKP_DTYPE_I32, g->members);
    tkp_tensor_make_1d(&args[1], e->place, TKP_DTYPE_I32, g->kept);
    args[2] = *dst;
    return tkp__selector_run_op(s, e->take, exec, args, 3, workspace);
}

/* --- stride ------------------------------------------------------------------ */

static tkp_status stride_bind(tkp_selector *s)
{
    const tkp__groups *g = &s->groups;
    int32_t *place = ((even *)s->state)->place;
    for (int32_t i = 0; i < g->count; i++) {
        const int32_t size = g->offsets[i + 1] - g->offsets[i];
        for (int32_t k = 0; k < g->keep[i]; k++)
            *place++ = g->offsets[i] + k * (size / g->keep[i]);
    }
    return TKP_OK;
}

const tkp__selector_kind tkp__select_stride = {
    .ascending = true,
    .plan = even_plan,
    .bind = stride_bind,
    .run = even_run,
    .release = even_release,
};

/* --- uniform ----------------------------------------------------------------- */

/* Members of one image, or one frame of it, and the points they are to stand
 * for. */
typedef struct lattice {
    const tkp__batch *batch;
    const tkp__layout_image *image;
    int32_t first, frames; /* of the image */
    const int32_t *member; /* [size] */
    int32_t size;
    bool whole;     /* every cell is a member: member c is cell c */
    uint8_t *taken; /* [size] */
} lattice;

static int32_t part(int64_t i, int64_t n, int64_t total)
{
    return (
        int32_t)(((2 * i + 2) * total + n) / (2 * n) - (2 * i * total + n) / (2 * n));
}

static int32_t centre(int64_t i, int64_t n, int64_t cells)
{
    return (int32_t)((2 * i + 1) * cells / (2 * n));
}

static int32_t lines_for(int32_t rows, int32_t cols, int32_t tokens)
{
    int64_t best = INT64_MAX;
    int32_t chosen = rows;
    for (int64_t lines = 1; lines <= rows && lines <= tokens; lines++) {
        const int64_t columns = (tokens + lines - 1) / lines;
        const int64_t a = lines * cols;
        const int64_t b = columns * rows;
        const int64_t skew = a > b ? a - b : b - a;
        if (columns <= cols && skew < best) {
            best = skew;
            chosen = (int32_t)lines;
        }
    }
    return chosen;
}

/* The nearest member that is still free. */
static int32_t
nearest_member(const lattice *l, int32_t frame, int32_t y, int32_t x)
{
    const int64_t cols = l->image->cols;
    const int64_t rows = l->image->rows;
    const int64_t other_frame = rows * rows + cols * cols;
    int64_t best = INT64_MAX;
    int32_t chosen = 0;
    for (int32_t m = 0; m < l->size; m++) {
        if (l->taken[m])
            continue;
        const int64_t cell = l->batch->candidate_cells[l->member[m]];
        const int64_t dx = cell % cols - x;
        const int64_t dy = cell / cols % rows - y;
        const int64_t dt = cell / cols / rows - frame;
        const int64_t d = dx * dx + dy * dy + dt * dt * other_frame;
        if (d < best) {
            best = d;
            chosen = m;
        }
    }
    return chosen;
}

static void take_point(lattice *l, int32_t frame, int32_t y, int32_t x)
{
    const tkp__layout_image *im = l->image;
    l->taken
        [l->whole ? ((frame - l->first) * im->rows + y) * im->cols + x
                  : nearest_member(l, frame, y, x)] = 1;
}

static void take_points(lattice *l, int32_t keep)
{
    const tkp__layout_image *im = l->image;
    for (int32_t t = 0; t < l->frames; t++) {
        const int32_t k = part(t, l->frames, keep);
        const int32_t lines = lines_for(im->rows, im->cols, k);
        for (int32_t i = 0; i < lines && k; i++) {
            const int32_t m = part(i, lines, k);
            for (int32_t j = 0; j < m; j++)
                take_point(
                    l, l->first + t, centre(i, lines, im->rows),
                    centre(j, m, im->cols));
        }
    }
}

static tkp_status uniform_bind(tkp_selector *s)
{
    even *e = s->state;
    const tkp__groups *g = &s->groups;
    int32_t *place = e->place;
    for (int32_t i = 0; i < g->count; i++) {
        lattice l = {
            .batch = s->batch,
            .member = g->member + g->offsets[i],
            .size = g->offsets[i + 1] - g->offsets[i],
            .taken = e->taken,
        };
        l.image =
            &s->batch->layout->images[s->batch->candidate_images[l.member[0]]];
        l.frames = l.image->frames;
        if (s->budget.scope == TKP_SCOPE_FRAME) {
            l.first = tkp__batch_frame(s->batch, l.member[0]);
            l.frames = 1;
        }
        l.whole = l.size == (int64_t)l.frames * l.image->rows * l.image->cols;
        memset(l.taken, 0, (size_t)l.size);
        take_points(&l, g->keep[i]);
        for (int32_t m = 0; m < l.size; m++)
            if (l.taken[m])
                *place++ = g->offsets[i] + m;
    }
    return TKP_OK;
}

const tkp__selector_kind tkp__select_uniform = {
    .ascending = true,
    .plan = even_plan,
    .bind = uniform_bind,
    .run = even_run,
    .release = even_release,
};
