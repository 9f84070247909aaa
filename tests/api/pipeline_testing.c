#include "pipeline_testing.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(call)                                                               \
    do {                                                                       \
        const tkp_status status_ = (call);                                     \
        ck_assert_msg(                                                         \
            status_ == TKP_OK, "%s: %s: %s", #call,                            \
            tkp_status_string(status_), tkp_last_message());                   \
    } while (0)

float test_value(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15u + b;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    x = (x + b) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    return (float)(x >> 40) / (float)(1 << 23) - 1.0f;
}

/* --- engine ------------------------------------------------------------------- */

bool test_engine_open(test_engine *engine, const char *backends, int threads)
{
    tkp_context_options options = TKP_CONTEXT_OPTIONS_INIT;
    options.backends = backends;
    options.threads = threads;
    *engine = (test_engine){0};
    const tkp_status status = tkp_context_create(&engine->context, &options);
    if (status == TKP_ERR_NO_BACKEND) {
        fprintf(stderr, "skipped: %s\n", tkp_last_message());
        return false;
    }
    OK(status);
    OK(tkp_exec_create(&engine->exec, engine->context, NULL));
    return true;
}

void test_engine_close(test_engine *engine)
{
    tkp_exec_destroy(engine->exec);
    tkp_context_destroy(engine->context);
    free(engine->workspace);
    *engine = (test_engine){0};
}

/* --- batches ------------------------------------------------------------------ */

void test_batch_begin(test_batch *batch)
{
    *batch = (test_batch){0};
    OK(tkp_layout_create(&batch->layout));
    tkp_model_desc_init(&batch->model);
    batch->model.dtype = TKP_DTYPE_F32;
    batch->model.layers = TEST_LAYERS;
    batch->model.heads = TEST_H;
    batch->model.kv_heads = TEST_G;
    batch->model.head_dim = TEST_C;
    batch->model.rope_theta = 1e4;
    batch->model.hidden = TEST_D;
    batch->model.intermediate = 16;
    batch->model.kv_page = TEST_PAGE;
    batch->model.vision_hidden = TEST_DV;
    batch->model.vision_key_dim = TEST_DK;
    batch->model.vision_value_dim = TEST_DV;
    batch->model.clip_dim = TEST_DC;
    batch->position_rows = 1;
}

/* One for each cell that is no padding. */
static void add_cells(test_batch *batch, uint32_t id, const test_image *image)
{
    const int64_t frames = image->frames ? image->frames : 1;
    const int64_t cells = frames * image->rows * image->cols;
    ck_assert_int_le(
        batch->candidates + cells,
        (int)(sizeof(batch->cell) / sizeof(batch->cell[0])));
    for (int64_t cell = 0; cell < cells; cell++)
        if (!image->valid || image->valid[cell])
            batch->cell[batch->candidates++] =
                (uint64_t)id << 32 | (uint64_t)(image->start * 1000 + cell);
}

/* [count, width]; what a row holds depends on its number alone. */
static float *make_numbered(
    const uint64_t *number,
    int64_t count,
    int64_t width,
    uint64_t salt)
{
    float *rows = malloc((size_t)(count * width + 1) * sizeof(*rows));
    ck_assert_ptr_nonnull(rows);
    for (int64_t i = 0; i < count * width; i++)
        rows[i] = test_value(
            (number[i / width] >> 32) * 16 + salt,
            (number[i / width] & UINT32_MAX) * 64 + (uint64_t)(i % width));
    return rows;
}

/* Probabilities, as rows of CLS are. */
static float *make_cls(const test_batch *batch, uint64_t salt)
{
    const int64_t n = batch->candidates;
    float *rows = malloc((size_t)(TEST_CLS_HEADS * n + 1) * sizeof(*rows));
    ck_assert_ptr_nonnull(rows);
    for (int64_t i = 0; i < TEST_CLS_HEADS * n; i++) {
        const uint64_t cell = batch->cell[i % n];
        rows[i] = (2.0f + test_value(
                              (cell >> 32) * 16 + salt,
                              (cell & UINT32_MAX) * 8 + (uint64_t)(i / n))) /
                  1000.0f;
    }
    return rows;
}

static void fill_encoder(test_batch *batch)
{
    const int64_t n = batch->candidates;
    uint64_t number[16 * TEST_TEXT];
    const int64_t texts = (int64_t)batch->sequences * TEST_TEXT;
    for (int64_t i = 0; i < texts; i++)
        number[i] = (uint64_t)batch->ids[i / TEST_TEXT] << 32 |
                    (uint64_t)(i % TEST_TEXT);
    for (int32_t b = 0; b <= batch->sequences; b++)
        batch->text_offsets[b] = b * TEST_TEXT;
    batch->model.text_rows = (int32_t)texts;
    batch->model.clip_text_rows = (int32_t)texts;
    batch->model.clip_token_rows = (int32_t)texts;
    batch->scores = make_numbered(batch->cell, n, 1, 5);
    batch->cls = make_cls(batch, 6);
    batch->cls_shallow = make_cls(batch, 7);
    batch->vision = make_numbered(batch->cell, n, TEST_DV, 8);
    batch->vision_keys = make_numbered(batch->cell, n, TEST_DK, 9);
    batch->clip = make_numbered(batch->cell, n, TEST_DC, 10);
    batch->text = make_numbered(number, texts, TEST_D, 11);
    batch->clip_text = make_numbered(number, texts, TEST_DC, 12);
    batch->clip_tokens = make_numbered(number, texts, TEST_DC, 13);
}

void test_batch_give(
    const test_batch *batch,
    uint32_t needs,
    test_inputs *v,
    tkp_inputs *in)
{
    const int64_t n = batch->candidates;
    const int64_t m = (int64_t)batch->sequences * TEST_TEXT;
    const struct {
        uint32_t need;
        tkp_tensor *view;
        const tkp_tensor **input;
        float *data;
        int64_t rows, width;
    } all[] = {
        {TKP_NEED_CLS_ATTENTION, &v->cls, &in->cls_attention, batch->cls,
         TEST_CLS_HEADS, n},
        {TKP_NEED_CLS_SHALLOW, &v->cls_shallow, &in->cls_shallow,
         batch->cls_shallow, TEST_CLS_HEADS, n},
        {TKP_NEED_VISION, &v->vision, &in->vision, batch->vision, n, TEST_DV},
        {TKP_NEED_VISION_KEYS, &v->vision_keys, &in->vision_keys,
         batch->vision_keys, n, TEST_DK},
        {TKP_NEED_VISION_VALUES, &v->vision_values, &in->vision_values,
         batch->vision, n, TEST_DV},
        {TKP_NEED_CLIP, &v->clip, &in->clip, batch->clip, n, TEST_DC},
        {TKP_NEED_TEXT, &v->text, &in->text, batch->text, m, TEST_D},
        {TKP_NEED_CLIP_TEXT, &v->clip_text, &in->clip_text, batch->clip_text, m,
         TEST_DC},
        {TKP_NEED_CLIP_TOKENS, &v->clip_tokens, &in->clip_tokens,
         batch->clip_tokens, m, TEST_DC},
        {TKP_NEED_EMBEDDINGS, &v->embeddings, &in->embeddings, batch->hidden,
         batch->rows, TEST_D},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!(needs & all[i].need))
            continue;
        tkp_tensor_make_2d(
            all[i].view, all[i].data, TKP_DTYPE_F32, all[i].rows, all[i].width);
        *all[i].input = all[i].view;
    }
    in->text_offsets = batch->text_offsets;
    in->clip_text_offsets = batch->text_offsets;
    in->clip_token_offsets = batch->text_offsets;
    if (needs & TKP_NEED_SCORES) {
        tkp_tensor_make_1d(&v->scores, batch->scores, TKP_DTYPE_F32, n);
        in->scores = &v->scores;
    }
    if (needs & TKP_NEED_NORM_WEIGHT) {
        static float weight[TEST_D];
        for (int32_t i = 0; i < TEST_D; i++)
            weight[i] = 1.0f + 0.05f * (float)(i % 7);
        tkp_tensor_make_1d(&v->norm_weight, weight, TKP_DTYPE_F32, TEST_D);
        in->norm_weight = &v->norm_weight;
    }
}

void test_batch_add(
    test_batch *batch,
    uint32_t id,
    int64_t length,
    const test_image *images,
    int32_t n_images)
{
    tkp_sequence_desc sequence = TKP_SEQUENCE_DESC_INIT;
    sequence.id = id;
    sequence.length = length;
    int32_t b;
    OK(tkp_layout_add_sequence(batch->layout, &sequence, &b));
    for (int32_t i = 0; i < n_images; i++) {
        tkp_image_desc image = TKP_IMAGE_DESC_INIT;
        image.sequence = b;
        image.start = images[i].start;
        image.frames = images[i].frames;
        image.rows = images[i].rows;
        image.cols = images[i].cols;
        image.row_stride = images[i].row_stride;
        image.valid = images[i].valid;
        image.keep = images[i].keep;
        OK(tkp_layout_add_image(batch->layout, &image, NULL));
        add_cells(batch, id, &images[i]);
    }
    ck_assert_int_lt(b, 15);
    batch->ids[b] = id;
    batch->rows += length;
    batch->offsets[b + 1] = batch->rows;
    batch->sequences = b + 1;
    batch->model.kv_pages += (length + TEST_PAGE - 1) / TEST_PAGE;
}

static float *make_rows(const test_batch *batch, int64_t width, uint64_t salt)
{
    float *rows = malloc((size_t)(batch->rows * width) * sizeof(*rows));
    for (int32_t b = 0; b < batch->sequences; b++)
        for (int64_t i = batch->offsets[b] * width;
             i < batch->offsets[b + 1] * width; i++)
            rows[i] = test_value(
                batch->ids[b] * 8 + salt,
                (uint64_t)(i - batch->offsets[b] * width));
    return rows;
}

void test_batch_fill(test_batch *batch)
{
    batch->hidden = make_rows(batch, TEST_D, 1);
    batch->q = make_rows(batch, (int64_t)TEST_H * TEST_C, 2);
    batch->k = make_rows(batch, (int64_t)TEST_G * TEST_C, 3);
    fill_encoder(batch);
}

void test_batch_release(test_batch *batch)
{
    tkp_layout_destroy(batch->layout);
    free(batch->hidden);
    free(batch->q);
    free(batch->k);
    free(batch->scores);
    free(batch->cls);
    free(batch->cls_shallow);
    free(batch->vision);
    free(batch->vision_keys);
    free(batch->clip);
    free(batch->text);
    free(batch->clip_text);
    free(batch->clip_tokens);
    *batch = (test_batch){0};
}

/* --- attention as engines give it ---------------------------------------------- */

/* The scaled logit, in double. */
static double
logit(const float *q, const float *k, int64_t row, int64_t key, int32_t h)
{
    const float *a = q + (row * TEST_H + h) * TEST_C;
    const float *b = k + (key * TEST_G + h / (TEST_H / TEST_G)) * TEST_C;
    double dot = 0.0;
    for (int32_t c = 0; c < TEST_C; c++)
        dot += (double)a[c] * (double)b[c];
    return dot / sqrt((double)TEST_C);
}

static double
lse_of(const float *q, const float *k, int64_t first, int64_t row, int32_t h)
{
    double sum = 0.0;
    for (int64_t key = first; key <= row; key++)
        sum += exp(logit(q, k, row, key, h));
    return log(sum);
}

double test_probability(
    const float *q,
    const float *k,
    int64_t first,
    int64_t row,
    int64_t key,
    int32_t h)
{
    if (key > row)
        return 0.0;
    return exp(logit(q, k, row, key, h) - lse_of(q, k, first, row, h));
}

/* The batch as it is between two cuts. */
typedef struct state {
    const test_batch *batch;
    int64_t rows;
    int32_t offsets[16];
    float *hidden, *q, *k;
    int32_t *origin, *positions;
    int64_t tokens; /* inside the encoder */
    float *encoder; /* [tokens, TEST_DV] */
    float *encoder_keys;
} state;

/* Tensors of one point; `memory` is freed after it. */
typedef struct point_inputs {
    tkp_inputs inputs;
    tkp_tensor q, k, lse, table, rows, full, hidden, values;
    test_inputs before;
    void *memory[8];
    int32_t n_memory;
} point_inputs;

static void *take(point_inputs *p, size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    ck_assert_ptr_nonnull(memory);
    p->memory[p->n_memory++] = memory;
    return memory;
}

static int32_t sequence_of(const state *s, int64_t row)
{
    int32_t b = 0;
    while (s->offsets[b + 1] <= row)
        b++;
    return b;
}

static int64_t longest(const state *s)
{
    int64_t most = 0;
    for (int32_t b = 0; b < s->batch->sequences; b++)
        if (s->offsets[b + 1] - s->offsets[b] > most)
            most = s->offsets[b + 1] - s->offsets[b];
    return most;
}

static void
give_q(point_inputs *p, const state *s, const int32_t *query, int64_t count)
{
    const size_t width = TEST_H * TEST_C;
    float *q = take(p, (size_t)count * width * sizeof(*q));
    for (int64_t i = 0; i < count; i++)
        memcpy(
            q + (size_t)i * width, s->q + (size_t)query[i] * width,
            width * sizeof(*q));
    tkp_tensor_make_3d(&p->q, q, TKP_DTYPE_F32, count, TEST_H, TEST_C);
    p->inputs.q = &p->q;
}

static void give_lse(
    point_inputs *p,
    const state *s,
    const int32_t *query, /* NULL = all rows */
    int64_t count)
{
    float *lse = take(p, (size_t)count * TEST_H * sizeof(*lse));
    for (int64_t i = 0; i < count; i++)
        for (int32_t h = 0; h < TEST_H; h++) {
            const int64_t row = query ? query[i] : i;
            const int64_t first = s->offsets[sequence_of(s, row)];
            lse[i * TEST_H + h] = (float)lse_of(s->q, s->k, first, row, h);
        }
    tkp_tensor_make_2d(&p->lse, lse, TKP_DTYPE_F32, count, TEST_H);
    p->inputs.lse = &p->lse;
}

enum { K_WIDTH = TEST_G * TEST_C };

static void give_k_block(point_inputs *p, const state *s)
{
    const int64_t most = longest(s);
    const int32_t n = s->batch->sequences;
    float *k = take(p, (size_t)(n * most * K_WIDTH) * sizeof(*k));
    for (int32_t b = 0; b < n; b++)
        memcpy(
            k + b * most * K_WIDTH, s->k + (int64_t)s->offsets[b] * K_WIDTH,
            (size_t)(s->offsets[b + 1] - s->offsets[b]) * K_WIDTH * sizeof(*k));
    tkp_tensor_make(
        &p->k, k, TKP_DTYPE_F32, 4, (int64_t[]){n, most, TEST_G, TEST_C});
}

/* Pages are handed out from the last to the first. */
static void give_k_paged(point_inputs *p, const state *s)
{
    const int32_t n = s->batch->sequences;
    const int64_t pages = s->batch->model.kv_pages;
    const int64_t columns = (longest(s) + TEST_PAGE - 1) / TEST_PAGE;
    const size_t page = TEST_PAGE * K_WIDTH;
    float *k = take(p, (size_t)pages * page * sizeof(*k));
    int32_t *table = take(p, (size_t)(n * columns) * sizeof(*table));
    int64_t next = pages - 1;
    for (int32_t b = 0; b < n; b++) {
        const int64_t length = s->offsets[b + 1] - s->offsets[b];
        for (int64_t j = 0; j < length; j++) {
            if (j % TEST_PAGE == 0)
                table[b * columns + j / TEST_PAGE] = (int32_t)next--;
            const int64_t at = table[b * columns + j / TEST_PAGE];
            memcpy(
                k + (size_t)at * page + (size_t)(j % TEST_PAGE) * K_WIDTH,
                s->k + (s->offsets[b] + j) * K_WIDTH, K_WIDTH * sizeof(*k));
        }
    }
    tkp_tensor_make(
        &p->k, k, TKP_DTYPE_F32, 4,
        (int64_t[]){pages, TEST_PAGE, TEST_G, TEST_C});
    tkp_tensor_make_2d(&p->table, table, TKP_DTYPE_I32, n, columns);
    p->inputs.block_table = &p->table;
}

/* Heads outside rows, with a gap after each row's channels. */
static void give_k_strided(point_inputs *p, const state *s)
{
    enum { GAP = TEST_C + 3 };
    float *k = take(p, (size_t)(s->rows * TEST_G * GAP) * sizeof(*k));
    for (int64_t r = 0; r < s->rows; r++)
        for (int32_t g = 0; g < TEST_G; g++)
            memcpy(
                k + (g * s->rows + r) * GAP, s->k + (r * TEST_G + g) * TEST_C,
                TEST_C * sizeof(*k));
    tkp_tensor_make_3d(&p->k, k, TKP_DTYPE_F32, s->rows, TEST_G, TEST_C);
    p->k.strides[0] = GAP;
    p->k.strides[1] = s->rows * GAP;
}

static void
give_rows(point_inputs *p, const state *s, const int32_t *query, int64_t count)
{
    const int64_t most = longest(s);
    float *rows = take(p, (size_t)(count * TEST_H * most) * sizeof(*rows));
    for (int64_t i = 0; i < count; i++) {
        const int64_t first = s->offsets[sequence_of(s, query[i])];
        for (int32_t h = 0; h < TEST_H; h++)
            for (int64_t key = first; key <= query[i]; key++)
                rows[(i * TEST_H + h) * most + key - first] =
                    (float)test_probability(
                        s->q, s->k, first, query[i], key, h);
    }
    tkp_tensor_make_3d(&p->rows, rows, TKP_DTYPE_F32, count, TEST_H, most);
    p->inputs.attention_rows = &p->rows;
}

/* As frameworks have it, [B, H, L, L], seen as [B, L, H, L]. */
static void give_full(point_inputs *p, const state *s)
{
    const int64_t most = longest(s);
    const int32_t n = s->batch->sequences;
    float *full = take(p, (size_t)(n * TEST_H * most * most) * sizeof(*full));
    for (int64_t row = 0; row < s->rows; row++) {
        const int32_t b = sequence_of(s, row);
        const int64_t first = s->offsets[b];
        for (int32_t h = 0; h < TEST_H; h++)
            for (int64_t key = first; key <= row; key++)
                full
                    [((b * TEST_H + h) * most + row - first) * most + key -
                     first] =
                        (float)test_probability(s->q, s->k, first, row, key, h);
    }
    tkp_tensor_make(
        &p->full, full, TKP_DTYPE_F32, 4, (int64_t[]){n, most, TEST_H, most});
    p->full.strides[1] = most;
    p->full.strides[2] = most * most;
    p->inputs.attention = &p->full;
}

static void give_attention(
    point_inputs *p,
    const state *s,
    int form,
    const int32_t *query,
    int64_t count)
{
    if (form == TEST_ROWS) {
        give_rows(p, s, query, count);
        return;
    }
    if (form == TEST_FULL) {
        give_full(p, s);
        return;
    }
    const bool all = form == TEST_QK_ALL_ROWS || form == TEST_QK_BLOCK_LSE;
    if (all) {
        tkp_tensor_make_3d(&p->q, s->q, TKP_DTYPE_F32, s->rows, TEST_H, TEST_C);
        p->inputs.q = &p->q;
    } else {
        give_q(p, s, query, count);
    }
    if (form == TEST_QK_LSE || form == TEST_QK_BLOCK_LSE)
        give_lse(p, s, all ? NULL : query, all ? s->rows : count);
    if (form == TEST_QK_BLOCK || form == TEST_QK_BLOCK_LSE)
        give_k_block(p, s);
    else if (form == TEST_QK_PAGED)
        give_k_paged(p, s);
    else if (form == TEST_QK_STRIDED)
        give_k_strided(p, s);
    else
        tkp_tensor_make_3d(&p->k, s->k, TKP_DTYPE_F32, s->rows, TEST_G, TEST_C);
    p->inputs.k = &p->k;
}

/* --- running -------------------------------------------------------------------- */

static void *copy_of(const void *from, size_t bytes)
{
    void *to = malloc(bytes ? bytes : 1);
    ck_assert_ptr_nonnull(to);
    if (bytes)
        memcpy(to, from, bytes);
    return to;
}

static void state_begin(state *s, const test_batch *batch)
{
    const size_t rows = (size_t)batch->rows;
    *s = (state){.batch = batch, .rows = batch->rows};
    for (int32_t b = 0; b <= batch->sequences; b++)
        s->offsets[b] = (int32_t)batch->offsets[b];
    s->hidden = copy_of(batch->hidden, rows * TEST_D * sizeof(float));
    s->q = copy_of(batch->q, rows * TEST_H * TEST_C * sizeof(float));
    s->k = copy_of(batch->k, rows * K_WIDTH * sizeof(float));
    s->tokens = batch->candidates;
    s->encoder =
        copy_of(batch->vision, (size_t)s->tokens * TEST_DV * sizeof(float));
    s->encoder_keys = copy_of(
        batch->vision_keys, (size_t)s->tokens * TEST_DK * sizeof(float));
    s->origin = malloc(rows * sizeof(*s->origin));
    s->positions =
        calloc(rows * (size_t)batch->position_rows, sizeof(*s->positions));
    for (int64_t r = 0; r < batch->rows; r++)
        s->origin[r] = (int32_t)r;
    for (int32_t b = 0; b < batch->sequences; b++)
        for (int64_t r = batch->offsets[b]; r < batch->offsets[b + 1]; r++)
            s->positions[r] = (int32_t)(r - batch->offsets[b]);
}

/* Gather through the library what a decision says; queries and keys by hand,
 * which checks that both mean the same. */
static void apply(
    state *s,
    tkp_sequence *sequence,
    const test_engine *engine,
    const tkp_decision *d,
    bool permuted)
{
    tkp_tensor from;
    tkp_tensor to;
    float *hidden = malloc((size_t)d->rows_out * TEST_D * sizeof(float) + 1);
    float *k = malloc((size_t)d->rows_out * K_WIDTH * sizeof(float) + 1);
    tkp_tensor_make_2d(&from, s->hidden, TKP_DTYPE_F32, s->rows, TEST_D);
    tkp_tensor_make_2d(&to, hidden, TKP_DTYPE_F32, d->rows_out, TEST_D);
    OK(tkp_gather_rows(sequence, engine->exec, &to, &from, d));
    tkp_tensor_make_3d(&from, s->k, TKP_DTYPE_F32, s->rows, TEST_G, TEST_C);
    tkp_tensor_make_3d(&to, k, TKP_DTYPE_F32, d->rows_out, TEST_G, TEST_C);
    OK(tkp_gather_kv(sequence, engine->exec, &to, &from, d));
    free(s->hidden);
    s->hidden = hidden;
    const int32_t *indices = d->indices.data;
    float *q =
        malloc((size_t)d->rows_out * TEST_H * TEST_C * sizeof(float) + 1);
    int32_t *origin = malloc((size_t)(d->rows_out + 1) * sizeof(*origin));
    for (int64_t r = 0; r < d->rows_out; r++) {
        const int32_t old = indices[r];
        ck_assert(permuted || old >= r);
        ck_assert_mem_eq(
            k + r * K_WIDTH, s->k + (int64_t)old * K_WIDTH,
            K_WIDTH * sizeof(float));
        memcpy(
            q + r * TEST_H * TEST_C, s->q + (int64_t)old * TEST_H * TEST_C,
            TEST_H * TEST_C * sizeof(float));
        origin[r] = s->origin[old];
    }
    memcpy(s->q, q, (size_t)d->rows_out * TEST_H * TEST_C * sizeof(float));
    memcpy(s->origin, origin, (size_t)d->rows_out * sizeof(*origin));
    free(q);
    free(origin);
    free(s->k);
    s->k = k;
    memcpy(
        s->positions, d->positions.data,
        (size_t)(d->position_rows * d->rows_out) * sizeof(int32_t));
    memcpy(
        s->offsets, d->host_offsets,
        (size_t)(d->sequences + 1) * sizeof(int32_t));
    s->rows = d->rows_out;
}

static bool in_encoder(const tkp_point *point)
{
    return point->kind == TKP_POINT_VISION ||
           point->kind == TKP_POINT_VISION_MLP;
}

/* The decoder has not begun: it gets those rows of the batch that are left. */
static void
drop_rows(state *s, const tkp_sequence *sequence, const test_batch *batch)
{
    const int64_t n = tkp_sequence_rows(
        sequence, s->origin, s->positions, s->offsets, s->rows);
    ck_assert_int_le(n, s->rows);
    s->rows = n;
    for (int64_t r = 0; r < n; r++) {
        const int64_t old = s->origin[r];
        memcpy(
            s->hidden + r * TEST_D, batch->hidden + old * TEST_D,
            TEST_D * sizeof(float));
        memcpy(
            s->q + r * TEST_H * TEST_C, batch->q + old * TEST_H * TEST_C,
            TEST_H * TEST_C * sizeof(float));
        memcpy(
            s->k + r * K_WIDTH, batch->k + old * K_WIDTH,
            K_WIDTH * sizeof(float));
    }
}

static void apply_in_encoder(
    state *s,
    tkp_sequence *sequence,
    const test_engine *engine,
    const tkp_decision *d)
{
    tkp_tensor from, to;
    float *rows = malloc((size_t)d->rows_out * TEST_DV * sizeof(float) + 1);
    float *keys = malloc((size_t)d->rows_out * TEST_DK * sizeof(float) + 1);
    tkp_tensor_make_2d(&from, s->encoder, TKP_DTYPE_F32, s->tokens, TEST_DV);
    tkp_tensor_make_2d(&to, rows, TKP_DTYPE_F32, d->rows_out, TEST_DV);
    OK(tkp_gather_rows(sequence, engine->exec, &to, &from, d));
    tkp_tensor_make_2d(
        &from, s->encoder_keys, TKP_DTYPE_F32, s->tokens, TEST_DK);
    tkp_tensor_make_2d(&to, keys, TKP_DTYPE_F32, d->rows_out, TEST_DK);
    OK(tkp_gather_kv(sequence, engine->exec, &to, &from, d));
    free(s->encoder);
    free(s->encoder_keys);
    s->encoder = rows;
    s->encoder_keys = keys;
    s->tokens = d->rows_out;
    drop_rows(s, sequence, s->batch);
}

static void check_decision(
    const state *s,
    const tkp_point *point,
    const tkp_decision *d,
    bool exact)
{
    const int64_t rows = in_encoder(point) ? s->tokens : s->rows;
    ck_assert_int_eq(point->rows_in, rows);
    ck_assert_int_eq(d->rows_in, rows);
    if (exact)
        ck_assert_int_eq(d->rows_out, point->rows_out);
    ck_assert_int_le(d->rows_out, point->rows_out);
    ck_assert_int_eq(d->stage, point->stage);
    ck_assert_int_eq(d->sequences, s->batch->sequences);
    const int32_t *assignment = d->assignment.data;
    const int32_t *indices = d->indices.data;
    const float *sizes = d->sizes.data;
    double total = 0.0;
    for (int64_t r = 0; r < d->rows_out; r++) {
        ck_assert_int_eq(assignment[indices[r]], (int)r);
        total += (double)sizes[r];
    }
    int64_t assigned = 0;
    for (int64_t r = 0; r < d->rows_in; r++) {
        ck_assert_int_ge(assignment[r], -1);
        ck_assert_int_lt(assignment[r], (int)d->rows_out);
        assigned += assignment[r] >= 0;
    }
    /* overlapping bins count a token more than once */
    ck_assert_int_ge((int64_t)total, assigned);
}

static void lend_workspace(test_engine *engine, const tkp_sequence *sequence)
{
    tkp_requirements need = TKP_REQUIREMENTS_INIT;
    OK(tkp_sequence_query(sequence, &need));
    const size_t bytes = (need.workspace_bytes + 63) / 64 * 64;
    OK(tkp_exec_set_workspace(engine->exec, NULL, 0));
    free(engine->workspace);
    engine->workspace = bytes ? aligned_alloc(64, bytes) : NULL;
    OK(tkp_exec_set_workspace(
        engine->exec, engine->workspace, need.workspace_bytes));
}

static void one_point(
    state *s,
    test_outcome *result,
    const test_engine *engine,
    tkp_sequence *sequence,
    const tkp_policy *policy,
    const tkp_point *point,
    int form)
{
    point_inputs p = {.inputs = TKP_INPUTS_INIT};
    int32_t *query = malloc((size_t)(point->query_rows + 1) * sizeof(*query));
    ck_assert_int_eq(
        tkp_sequence_query_rows(sequence, query, point->query_rows),
        point->query_rows);
    if (point->needs & TKP_NEED_ATTENTION)
        give_attention(&p, s, form, query, point->query_rows);
    if (point->needs & TKP_NEED_HIDDEN) {
        tkp_tensor_make_2d(
            &p.hidden, s->hidden, TKP_DTYPE_F32, s->rows, TEST_D);
        p.inputs.hidden = &p.hidden;
    }
    tkp_tensor_make_3d(&p.values, s->k, TKP_DTYPE_F32, s->rows, TEST_G, TEST_C);
    if ((point->needs & TKP_NEED_KEYS) && !p.inputs.k)
        p.inputs.k = &p.values;
    if (point->needs & TKP_NEED_VALUES)
        p.inputs.values = &p.values;
    test_batch_give(s->batch, point->needs, &p.before, &p.inputs);
    if (in_encoder(point)) {
        tkp_tensor_make_2d(
            &p.before.vision, s->encoder, TKP_DTYPE_F32, s->tokens, TEST_DV);
        tkp_tensor_make_2d(
            &p.before.vision_keys, s->encoder_keys, TKP_DTYPE_F32, s->tokens,
            TEST_DK);
    }
    tkp_decision d = TKP_DECISION_INIT;
    OK(tkp_sequence_prune(sequence, engine->exec, &p.inputs, &d));
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    OK(tkp_policy_query(policy, &info));
    check_decision(s, point, &d, !(info.flags & TKP_POLICY_ADAPTIVE));
    if (!result->cuts && d.scores.dtype) {
        free(result->scores); /* protecting is no cut: there may be several */
        result->n_scores = d.scores.shape[0];
        result->scores =
            copy_of(d.scores.data, (size_t)result->n_scores * sizeof(float));
    }
    free(result->sizes);
    result->sizes = copy_of(d.sizes.data, (size_t)d.rows_out * sizeof(float));
    tkp_stage_options stage = TKP_STAGE_OPTIONS_INIT;
    OK(tkp_policy_get_stage(policy, point->stage, &stage));
    if (in_encoder(point))
        apply_in_encoder(s, sequence, engine, &d);
    else
        apply(s, sequence, engine, &d, stage.order == TKP_STAGE_ORDER_PARTS);
    result->cuts += stage.effect == TKP_EFFECT_CUT;
    free(query);
    for (int32_t i = 0; i < p.n_memory; i++)
        free(p.memory[i]);
}

static void
finish(test_outcome *result, const state *s, const tkp_sequence *sequence)
{
    tkp_report report = TKP_REPORT_INIT;
    OK(tkp_sequence_report(sequence, &report));
    ck_assert_int_eq(report.layers, TEST_LAYERS);
    ck_assert_int_eq(report.stages, result->cuts);
    for (int32_t l = 0; l < TEST_LAYERS; l++) {
        result->layer_tokens[l] = report.layer_tokens[l];
        result->layer_visual[l] = report.layer_visual[l];
    }
    result->equiv_in = report.equiv_in;
    result->equiv_out = report.equiv_out;
    for (int32_t b = 0; b < s->batch->sequences; b++)
        for (int32_t l = 0; l <= TEST_LAYERS; l++)
            result->next_position[b][l] =
                tkp_sequence_next_position(sequence, b, l);
    result->sequences = s->batch->sequences;
    result->rows = s->rows;
    memcpy(result->offsets, s->offsets, sizeof(s->offsets));
    result->origin = s->origin;
    result->positions = s->positions;
    result->hidden = s->hidden;
    free(s->q);
    free(s->k);
    result->encoder = s->encoder;
    result->tokens = s->tokens;
    free(s->encoder_keys);
}

/* The policy alone told everything of the point but what the batch decides. */
static void check_foretold(const tkp_policy *policy, const tkp_point *point)
{
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    tkp_point known = TKP_POINT_INIT;
    OK(tkp_policy_query(policy, &info));
    OK(tkp_policy_get_point(policy, point->stage, &known));
    ck_assert_uint_eq(known.needs & ~info.needs, 0);
    known.rows_in = point->rows_in;
    known.rows_out = point->rows_out;
    known.query_rows = point->query_rows;
    if (known.kind == TKP_POINT_KV && !known.kv_end)
        known.kv_end = TEST_LAYERS;
    ck_assert_mem_eq(&known, point, sizeof(known));
}

void test_run(
    test_outcome *result,
    const test_engine *engine_,
    tkp_policy *policy,
    const test_batch *batch,
    int form)
{
    test_engine *engine = (test_engine *)engine_;
    tkp_sequence *sequence;
    state s;
    *result = (test_outcome){0};
    state_begin(&s, batch);
    OK(tkp_sequence_create(&sequence, engine->context));
    OK(tkp_sequence_begin(
        sequence, engine->exec, policy, batch->layout, &batch->model));
    lend_workspace(engine, sequence);
    for (;;) {
        tkp_point point = TKP_POINT_INIT;
        OK(tkp_sequence_next(sequence, &point));
        if (!point.kind)
            break;
        check_foretold(policy, &point);
        one_point(&s, result, engine, sequence, policy, &point, form);
    }
    finish(result, &s, sequence);
    tkp_sequence_destroy(sequence);
}

void test_outcome_release(test_outcome *result)
{
    free(result->origin);
    free(result->positions);
    free(result->hidden);
    free(result->encoder);
    free(result->sizes);
    free(result->scores);
    *result = (test_outcome){0};
}

/* --- policies -------------------------------------------------------------------- */

tkp_policy *test_preset(const char *name)
{
    tkp_policy *policy = NULL;
    OK(tkp_policy_load_preset(&policy, name));
    return policy;
}

tkp_policy *test_policy(const char *stages)
{
    char text[4096];
    tkp_policy *policy = NULL;
    const int n = snprintf(
        text, sizeof(text), "tokenprune: 1\nname: test\nstages:\n%s", stages);
    OK(tkp_policy_load_text(&policy, text, (size_t)n, "test"));
    return policy;
}

tkp_policy *test_with_count(tkp_policy *policy, int64_t count)
{
    tkp_budget budget = TKP_BUDGET_INIT;
    budget.kind = TKP_BUDGET_COUNT;
    budget.count = count;
    /* the last first: a later scope may not be finer */
    for (int32_t i = tkp_policy_stage_count(policy); i-- > 0;) {
        tkp_policy *changed = NULL;
        OK(tkp_policy_with_budget(&changed, policy, i, &budget));
        tkp_policy_destroy(policy);
        policy = changed;
    }
    return policy;
}
