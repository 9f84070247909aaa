#ifndef TKP_MLLM_CHECKPOINT_WEIGHT_SHARDS_H
#define TKP_MLLM_CHECKPOINT_WEIGHT_SHARDS_H

/*
 * The files that hold a model's weights: model.safetensors alone, or what
 * model.safetensors.index.json names.
 */

#include "safetensors/safetensors_file.h"

#define TKP__MAX_SHARDS 1024

typedef struct tkp__weight_shards {
    tkp__safetensors *files[TKP__MAX_SHARDS];
    int64_t count;
} tkp__weight_shards;

/* Called once a tensor; `i` is its entry in `file`. */
typedef tkp_status (
    *tkp__weight_visit)(void *user, const tkp__safetensors *file, int64_t i);

/* Opens the files and shows every tensor. On failure what was opened stays in
 * `shards` and is released by tkp__weight_shards_close. */
tkp_status tkp__weight_shards_open(
    tkp__weight_shards *shards,
    const char *model_dir,
    tkp__weight_visit visit,
    void *user);
void tkp__weight_shards_close(tkp__weight_shards *shards);

#endif
