#ifndef TOKENPRUNE_FLAT_OBJECT_H
#define TOKENPRUNE_FLAT_OBJECT_H

/* What handles stand for, and how records become tensors; for flat*.c. */

#include "flat.h"

enum flat_kind {
    FLAT_KIND_CONTEXT = 0x74a1,
    FLAT_KIND_EXEC,
    FLAT_KIND_LAYOUT,
    FLAT_KIND_POLICY,
    FLAT_KIND_SCORER,
    FLAT_KIND_SELECTOR,
    FLAT_KIND_MERGER,
    FLAT_KIND_SEQUENCE,
    FLAT_KIND_MODEL,
    FLAT_KIND_REQUESTS,
    FLAT_KIND_RESULT
};

typedef struct flat_object {
    int32_t kind;
    int32_t inside; /* calls at work; atomic */
    void *object;   /* the library's own */
    void (*destroy)(struct flat_object *self);
    int64_t sequences; /* of the layout it was made for */
    uint64_t need;     /* workspace it wants */
    /* exec */
    tkp_context *context;
    void *memory; /* workspace of its own, on the device */
    uint64_t bytes;
    int64_t stream;
    int32_t device_type, device_id;
    int32_t lent;          /* 1: the caller's workspace */
    int32_t position_rows; /* layout, sequence: 1, or 3 for M-RoPE */
    /* sequence */
    int64_t serial; /* of the decision that is valid; 0 = none */
    int64_t serials;
    tkp_decision decision;
} flat_object;

/** The object behind a handle; NULL, with the message set, if it is none. */
flat_object *flat__get(flat_handle handle, int32_t kind);

/** A new object around `object`; destroys that if memory is out. */
tkp_status flat__wrap(
    int64_t *out,
    int32_t kind,
    void *object,
    void (*destroy)(flat_object *self));

/** Set the message (printf) and give `status` back. */
__attribute__((format(printf, 2, 3))) tkp_status
flat__fail(tkp_status status, const char *format, ...);

/* The tensors of a call, by slot. */
enum { FLAT_SLOTS = FLAT_WORKSPACE + 1 };
typedef struct flat_tensors {
    int32_t count;
    const tkp_tensor *at[FLAT_SLOTS]; /* NULL = not given */
    tkp_tensor view[FLAT_MAX_TENSORS];
} flat_tensors;

#define FLAT_BIT(slot) (UINT32_C(1) << ((slot)-FLAT_OUT_SCORES))

/**
 * @param inputs  1: slots of inputs are welcome
 * @param others  FLAT_BIT of the other slots that are
 */
tkp_status flat__tensors(
    flat_tensors *out,
    const int64_t *records,
    int64_t n,
    int32_t inputs,
    uint32_t others);

/** The given tensors as inputs for a batch of so many sequences. */
tkp_status
flat__inputs(tkp_inputs *out, const flat_tensors *tensors, int64_t sequences);

/**
 * A host array to be read or written here: contiguous, of that dtype; with
 * `count` >= 0 of so many elements. *out = NULL if it is not given.
 */
tkp_status flat__host(
    void **out,
    int64_t *count_out,
    const flat_tensors *tensors,
    int32_t slot,
    int32_t dtype,
    int64_t count);

/** Layers of a report into OUT_LAYER_TOKENS and OUT_LAYER_VISUAL. */
tkp_status
flat__report_layers(const tkp_report *report, const flat_tensors *tensors);

/* --- what the files share ------------------------------------------------------- */

#define TRY(call)                                                              \
    do {                                                                       \
        const tkp_status status_ = (call);                                     \
        if (status_ != TKP_OK)                                                 \
            return status_;                                                    \
    } while (0)

/* The object of a handle, or its status is the answer. */
#define GET(name, handle, kind)                                                \
    flat_object *name = flat__get(handle, kind);                               \
    if (!name)                                                                 \
    return TKP_ERR_ARGUMENT

#define DESTROYER(name, type)                                                  \
    static void destroy_##name(flat_object *self)                              \
    {                                                                          \
        type##_destroy(self->object);                                          \
    }

/** A policy of one stage made of these texts; see flat_scorer_create(). */
tkp_status flat__policy_of_parts(
    tkp_policy **out,
    const char *name,
    const char *scorer,
    const char *selector,
    const char *merger,
    const char *budget);

#endif
