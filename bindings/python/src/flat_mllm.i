/* tokenprune._flat_mllm: the reference engine, raw. Private. */
%module(package="tokenprune", threads="1") flat_mllm
%nothread;

%include "common.i"
%import(module="tokenprune.flat") "tokenprune.i"

%thread flat_mllm_load;
%thread flat_mllm_generate;

%include "tokenprune_mllm.i"

%{
#include "answers.h"
%}
%thread tkpy_generate;
tkp_status tkpy_generate(
    int64_t *out,
    flat_handle model,
    flat_handle requests,
    flat_handle policy,
    const tkp_mllm_generate_options *options,
    PyObject *on_text,
    const int64_t *tensors,
    int64_t n_tensors);

%init %{
    if (tkpy_take_object_type() < 0)
        return NULL;
%}
