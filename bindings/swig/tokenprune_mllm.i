/*
 * The reference engine, for Go, Java and Python; goes with tokenprune.i, in the
 * same module or, after an %import of it, in one of its own. Compile
 * flat_mllm.c beside it, and flat_object.c if the module is another.
 */
%{
#include "flat_mllm.h"
%}

%apply int64_t *OUTPUT { int64_t *height_out };
%apply int64_t *OUTPUT { int64_t *width_out };
%apply int64_t *OUTPUT { int64_t *rows_out };
%apply int64_t *OUTPUT { int64_t *cols_out };

TKP_STRUCT(tkp_mllm_info)
TKP_STRUCT(tkp_mllm_times)
TKP_STRUCT(tkp_mllm_generate_options)
%immutable tkp_mllm_info::kind;
/* Set by flat_mllm_generate(). */
%ignore tkp_mllm_generate_options::policy;
%ignore tkp_mllm_generate_options::scores;
%ignore tkp_mllm_generate_options::on_text;
%ignore tkp_mllm_generate_options::on_text_user;
%ignore tkp_mllm_generate_options::on_trace;
%ignore tkp_mllm_generate_options::on_trace_user;
%ignore tkp_mllm_generate_options::should_stop;
%ignore tkp_mllm_generate_options::should_stop_user;
%ignore flat_callbacks;

%rename("$ignore", regextarget=1, %$isclass)
    "^tkp_mllm_(options|video|request)$";

%include "tokenprune/mllm.h"
%include "flat_mllm.h"
