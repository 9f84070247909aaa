#ifndef TKP_TESTS_MLLM_ENGINE_TESTING_H
#define TKP_TESTS_MLLM_ENGINE_TESTING_H

/*
 * What tests of the engine share: a golden checkpoint made into a directory
 * that loads (its tokenizer gives each id a character of its own, its picture
 * is a file), the fixture's tensors, and a recorder of activations.
 */

#include "mllm/engine.h"
#include "model_files.h"

enum {
    VOCAB = 128, /* of the golden checkpoints */
    IMAGE_ID = 100,
    VIDEO_ID = 101, /* of those with videos */
    STEPS = 16
};

typedef struct testbed {
    char folder[PATH_MAX];
    char picture[PATH_MAX + 16];
    char prompt[4 * 4096]; /* the fixture's ids as text */
    tkp__safetensors *fixture;
    tkp_context *context;
    tkp_mllm *model;
} testbed;

/* Is there such a backend? "ref" always is. TKP_TEST_BACKEND in the environment
 * names one that takes the place of "ref"; others are not there then. */
bool testbed_has_backend(const char *backend);

/* dtype: of activations, 0 = as the weights say. */
void testbed_open(
    testbed *bed,
    const char *golden,
    const char *backend,
    int32_t dtype);
void testbed_close(testbed *bed);

/* Whether the prompt has more tokens than TKP_TEST_LARGEST allows. */
bool testbed_is_large(const testbed *bed);

/* The prompt of the fixture with its picture, raw. */
tkp_mllm_request testbed_request(const testbed *bed, const char **images);

/* Text of ids, in a buffer of the caller. */
void testbed_text(char *out, size_t bytes, const int32_t *ids, int64_t count);

/* Prompt `name` of a fixture with videos: one placeholder for all the tokens of
 * a video. Picture k of [h, w, 3] or [n, h, w, 3] as a file in the folder. */
void testbed_video_text(
    char *out,
    size_t bytes,
    const testbed *bed,
    const char *name);
void testbed_save_frame(
    char out[PATH_MAX + 96],
    const testbed *bed,
    const char *name,
    int64_t k,
    const tkp_tensor *rgb);

/* A tensor of the fixture; the test fails if it is not there. */
tkp_tensor fixture_get(const testbed *bed, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Cut before layer `boundary` to `keep` visual tokens by the attention of the
 * last token in the layer before. */
tkp_policy *policy_fastv(int32_t boundary, int64_t keep, int32_t positions);

/* A random cut to `keep` visual tokens: before the language model, or in it. */
tkp_policy *
policy_random(int32_t point, int32_t boundary, int64_t keep, int32_t positions);

/* --- activations ----------------------------------------------------------- */

typedef struct recorded {
    char name[32];
    int32_t layer;
    int64_t rows, width;
    float *values; /* [rows, width] */
} recorded;

typedef struct recorder {
    recorded entry[512];
    int32_t count;
} recorder;

/* A tkp_mllm_trace_fn; user is a recorder. */
void recorder_take(
    void *user,
    const char *name,
    int32_t layer,
    const tkp_tensor *tensor);
void recorder_clear(recorder *r);
/* The last one of that name and layer; the test fails if there is none. */
const recorded *
recorder_get(const recorder *r, const char *name, int32_t layer);

/*
 * actual [m, width] against expected [n, width], n <= m: the last n rows. Each
 * difference is at most `tolerance` times the largest expected value, and with
 * `cosine` rows point the same way to 0.999.
 */
void compare_rows(
    const char *what,
    const float *actual,
    int64_t m,
    const float *expected,
    int64_t n,
    int64_t width,
    double tolerance,
    bool cosine);

#endif
