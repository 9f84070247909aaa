#ifndef TKP_TESTS_PIPELINE_TESTING_H
#define TKP_TESTS_PIPELINE_TESTING_H

/*
 * A small engine for tests: it runs a policy over made-up hidden rows, queries
 * and keys through the public API, as a real engine would, and remembers where
 * every surviving row came from.
 */

#include <stdbool.h>

#include "tokenprune.h"

/* A context with one exec, on one backend list. */
typedef struct test_engine {
    tkp_context *context;
    tkp_exec *exec;
    void *workspace;
} test_engine;

/* False, with a line on standard error, where the backend cannot be had. */
bool test_engine_open(test_engine *engine, const char *backends, int threads);
void test_engine_close(test_engine *engine);

/* How attention is handed over. */
enum test_form {
    TEST_QK_ALL_ROWS, /* q of all rows */
    TEST_QK,          /* q of the query rows only */
    TEST_QK_LSE,
    TEST_QK_BLOCK,     /* k in one block a sequence */
    TEST_QK_BLOCK_LSE, /* all rows of q and of lse */
    TEST_QK_PAGED,     /* k in pages, listed backwards */
    TEST_QK_STRIDED,   /* k with gaps between heads */
    TEST_ROWS,         /* finished rows */
    TEST_FULL,         /* the whole tensor [B, L, H, L] */
    TEST_FORMS
};

enum {
    TEST_D = 8,
    TEST_H = 4,
    TEST_G = 2,
    TEST_C = 4,
    TEST_PAGE = 3,
    TEST_LAYERS = 32,
    TEST_DV = 6,   /* rows of the encoder */
    TEST_DK = 4,   /* its keys */
    TEST_DC = 5,   /* the space shared with text */
    TEST_TEXT = 3, /* rows of text a sequence, of each kind */
    TEST_CLS_HEADS = 2
};

/* A batch, described and filled. */
typedef struct test_batch {
    tkp_layout *layout;
    tkp_model_desc model;
    int32_t sequences;
    int32_t position_rows;
    int64_t rows;
    int64_t offsets[16]; /* [sequences + 1] */
    uint32_t ids[16];
    float *hidden; /* [rows, D] */
    float *q;      /* [rows, H, C] */
    float *k;      /* [rows, G, C] */
    float *scores; /* [candidates] of a scorer of the caller's own */
    /* Of the encoder, [candidates] rows; attention is [heads, candidates]. */
    float *cls, *cls_shallow, *vision, *vision_keys, *clip;
    /* [sequences * TEST_TEXT] rows */
    float *text, *clip_text, *clip_tokens;
    int32_t text_offsets[16]; /* [sequences + 1] */
    uint64_t cell[1024];      /* [candidates] a number of each */
    int64_t candidates;
} test_batch;

/* Views of what comes from before the language model. */
typedef struct test_inputs {
    tkp_tensor cls, cls_shallow, vision, vision_keys, vision_values, clip;
    tkp_tensor text, clip_text, clip_tokens, embeddings, scores, norm_weight;
} test_inputs;
/* Those of them that `needs` names. */
void test_batch_give(
    const test_batch *batch,
    uint32_t needs,
    test_inputs *views,
    tkp_inputs *inputs);

typedef struct test_image {
    int64_t start;
    int32_t frames, rows, cols, row_stride;
    const uint8_t *valid;
    const uint8_t *keep;
} test_image;

/* Rows of a sequence get values that depend on its id and their place in it
 * only, so that the company it keeps does not matter. */
void test_batch_begin(test_batch *batch);
void test_batch_add(
    test_batch *batch,
    uint32_t id,
    int64_t length,
    const test_image *images,
    int32_t n_images);
void test_batch_fill(test_batch *batch);
void test_batch_release(test_batch *batch);

enum { TEST_MOST_STAGES = 4 };

/* What a policy did to a batch. */
typedef struct test_outcome {
    int32_t cuts;
    int32_t sequences;
    int64_t rows;
    int32_t offsets[16];
    int32_t *origin;    /* [rows] row of the batch as it began */
    int32_t *positions; /* [position_rows, rows] */
    float *hidden;      /* [rows, D] */
    float *encoder;     /* [tokens, TEST_DV] what is left inside the encoder */
    int64_t tokens;
    float *sizes;  /* [rows] of the last cut; or NULL */
    float *scores; /* of the first cut, or NULL */
    int64_t n_scores;
    int32_t next_position[16][TEST_LAYERS + 1];
    int64_t layer_tokens[TEST_LAYERS];
    int64_t layer_visual[TEST_LAYERS];
    double equiv_in, equiv_out;
} test_outcome;

void test_run(
    test_outcome *result,
    const test_engine *engine,
    tkp_policy *policy,
    const test_batch *batch,
    int form);
void test_outcome_release(test_outcome *result);

/* Probabilities that row `row` (of a sequence of batch rows first .. end, as
 * they are now) gives to key `key` in head h; 0 for keys it cannot see. */
double test_probability(
    const float *q,
    const float *k,
    int64_t first,
    int64_t row,
    int64_t key,
    int32_t h);

tkp_policy *test_preset(const char *name);
tkp_policy *test_policy(const char *stages);
/* The preset with a budget of `count` tokens; takes `policy`. */
tkp_policy *test_with_count(tkp_policy *policy, int64_t count);

/* Well-mixed numbers in [-1, 1). */
float test_value(uint64_t a, uint64_t b);

#endif
