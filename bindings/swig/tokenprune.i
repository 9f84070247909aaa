/*
 * The interface that Go, Java and Python share. A language's own .i names the
 * module, says how a tkp_status becomes its error, and includes this:
 *
 *     %module native
 *     %typemap(...) tkp_status ...                          the error
 *     %typemap(...) (const int64_t *tensors, int64_t n_tensors) ...
 *     %apply (char *STRING, size_t LENGTH) { (const char *text, size_t bytes) }
 *     %include "tokenprune.i"
 *
 * Compile flat.c, flat_object.c, flat_parts.c and flat_sequence.c beside it.
 */
%{
#include <stdlib.h>

#include "flat.h"
%}

%include "stdint.i"
%include "typemaps.i"

/* Numbers that a call gives: one each, in the order of the parameters. */
%apply int64_t *OUTPUT { int64_t *out };
%apply int64_t *OUTPUT { int64_t *dtype_out };
%apply int64_t *OUTPUT { int64_t *ndim_out };
%apply int64_t *OUTPUT { int64_t *n0_out };
%apply int64_t *OUTPUT { int64_t *n1_out };

/* A text of flat_policy_yaml() is freed with free(). */
%newobject flat_policy_yaml;

/* What attributes and prototypes carry that SWIG need not know. */
#define TKP_API
#define TKP_NODISCARD
#define TKP_BEGIN_DECLS
#define TKP_END_DECLS

/*
 * Of the library's own headers only plain structs and constants: objects are
 * reached through flat_*. Structs come as their INIT macros make them: zero, but
 * for the size, which is the size here. (Init functions write as much as the
 * library that is loaded knows of, which may be newer: docs/abi.md.)
 */
%define TKP_STRUCT(name)
%extend name {
    name()
    {
        name *self = calloc(1, sizeof(*self));
        if (self)
            self->struct_size = (uint32_t)sizeof(*self);
        return self;
    }
    ~name()
    {
        free($self);
    }
}
%immutable name::struct_size;
%enddef

TKP_STRUCT(tkp_model_desc)
TKP_STRUCT(tkp_policy_info)
TKP_STRUCT(tkp_point)
TKP_STRUCT(tkp_report)
%ignore tkp_report::layer_tokens; /* flat_sequence_report() */
%ignore tkp_report::layer_visual;

%rename("$ignore", regextarget=1, %$isfunction) "^tkp_";
%rename("$ignore", regextarget=1, %$isclass)
    "^tkp_(allocator|tensor|context_options|requirements|budget|sequence_desc|image_desc|inputs|scorer|selector|merger|blend|batch|chain|stage|decision|depth)";
%rename("$ignore", regextarget=1, %$istypedef) "^tkp_";

%include "tokenprune/status.h"
%include "tokenprune/tensor.h"
%include "tokenprune/inputs.h"
%include "tokenprune/policy.h"
%include "tokenprune/sequence.h"

%include "flat.h"
