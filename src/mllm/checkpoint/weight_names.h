#ifndef TKP_MLLM_CHECKPOINT_WEIGHT_NAMES_H
#define TKP_MLLM_CHECKPOINT_WEIGHT_NAMES_H

/*
 * Which tensors a model has, under internal names, and how published names
 * are turned into these.
 */

#include "mllm/checkpoint/checkpoint.h"

#define TKP__WEIGHT_NAME_BYTES 80

enum tkp__weight_name_kind {
    TKP__WEIGHT_NAME_MAPPED,
    TKP__WEIGHT_NAME_IGNORED, /* buffers, parts of CLIP that no LLaVA uses */
    TKP__WEIGHT_NAME_UNKNOWN
};

/* Writes the internal name for a stored one if it can be mapped. Whether the
 * model has such a tensor is another question. */
enum tkp__weight_name_kind
tkp__weight_name_map(char out[TKP__WEIGHT_NAME_BYTES], const char *stored);

/* One tensor of the model. */
typedef struct tkp__weight_slot {
    char name[TKP__WEIGHT_NAME_BYTES];
    bool required; /* false: may be there, the forward does without */
    bool found;
    int32_t ndim;
    int64_t shape[TKP_MAX_DIMS];
    tkp_tensor view;    /* if found */
    const char *stored; /* its name in the file, if found */
} tkp__weight_slot;

typedef struct tkp__weight_slots {
    tkp__weight_slot *items; /* by name once made */
    int64_t count;
    int64_t room;
} tkp__weight_slots;

/* All tensors that `config` speaks of; release `items` with tkp__free. */
tkp_status
tkp__weight_slots_make(tkp__weight_slots *out, const tkp__model_config *config);
/* NULL if the model has no such tensor. */
tkp__weight_slot *
tkp__weight_slots_find(const tkp__weight_slots *slots, const char *name);

#endif
