/*
 * The backends that are compiled in. The only place where the core names one.
 */

#include "core/core.h"

extern const tkp_backend_vtable tkp__ref_backend; /* backends/ref/ref.c */

const tkp_backend_vtable *const tkp__core_builtin_backends[] = {
    &tkp__ref_backend,
    NULL,
};
