#ifndef TOKENPRUNE_PYTHON_ANSWERS_H
#define TOKENPRUNE_PYTHON_ANSWERS_H

#include "callbacks.h"
#include "flat_mllm.h"

/**
 * flat_mllm_generate() that Ctrl-C can stop, and that calls
 * on_text(request, text) where that is not None; what it returns true for stops,
 * too, and what it raises passes through.
 */
tkp_status tkpy_generate(
    int64_t *out,
    flat_handle model,
    flat_handle requests,
    flat_handle policy,
    const tkp_mllm_generate_options *options,
    PyObject *on_text,
    const int64_t *tensors,
    int64_t n_tensors);

#endif
