#ifndef LESSON_H
#define LESSON_H

/*
 * What all lessons share: stop at the first failure and say why, numbers in
 * place of a model's, memory for intermediate results.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <tokenprune.h>

/* The status is for the program, the message for the person. */
static inline void check(tkp_status status)
{
    if (status == TKP_OK)
        return;
    fprintf(stderr, "%s: %s\n", tkp_status_string(status), tkp_last_message());
    exit(1);
}

/* A lesson that does not do what it says fails. */
static inline void expect(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "this does not hold: %s\n", what);
    exit(1);
}

static inline void *memory(size_t bytes)
{
    /* 64 bytes: what a workspace has to be aligned to. */
    void *out = aligned_alloc(64, (bytes / 64 + 1) * 64);
    expect(out != NULL, "there is memory");
    return out;
}

/* `count` numbers in [-0.5, 0.5), the same in each run; free() them. */
static inline float *numbers(int64_t count, uint32_t seed)
{
    float *out = memory((size_t)count * sizeof(*out));
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (float)(seed >> 8) / 16777216.0f - 0.5f;
    }
    return out;
}

#endif
