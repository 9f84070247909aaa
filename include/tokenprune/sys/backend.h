#ifndef TOKENPRUNE_SYS_BACKEND_H
#define TOKENPRUNE_SYS_BACKEND_H

/*
 * For people who write backends. A backend is a table of functions; built in
 * ("ref"), registered by the program (tkp_backend_register), or found in a
 * module libtokenprune-NAME.so that exports tkp_backend_entry().
 *
 * Modules link against libtokenprune for the tkp_sys_* functions only. Their
 * NAME is the backend's, of a-z 0-9 _ -; those for CUDA begin with "cuda", so
 * that a program on the CPU does not load them to find out. They lie in one
 * folder and are never unloaded.
 */

#include "tokenprune/sys/op.h"

TKP_BEGIN_DECLS

/* Raised when this struct or an op's meaning changes. */
#define TKP_BACKEND_ABI_VERSION 1

/** Books pieces of workspace while an op is planned. */
typedef struct tkp_ledger {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t bytes; /* booked so far; only the functions below change it */
} tkp_ledger;

/**
 * Book `bytes` (64-byte aligned) and give its offset in the workspace that
 * run() will get.
 * @retval TKP_ERR_SHAPE the sum does not fit
 */
TKP_API TKP_NODISCARD tkp_status
tkp_sys_ledger_book(tkp_ledger *ledger, uint64_t bytes, uint64_t *offset_out);

/** What exec_create() is told. */
typedef struct tkp_backend_exec_info {
    uint32_t struct_size;
    int32_t threads;
    void *stream;
    int32_t device_id;
    int32_t reserved;
} tkp_backend_exec_info;

typedef struct tkp_backend_vtable {
    uint32_t abi_version; /* TKP_BACKEND_ABI_VERSION */
    uint32_t struct_size;
    const char *name;    /* "ref", "cpu", "cuda" */
    int32_t device_type; /* enum tkp_device_type */
    int32_t reserved;
    /* 0 = cannot run here (message says why); higher is preferred. */
    int32_t (*score)(void);
    /* One line: library versions, instruction set. Never NULL. */
    const char *(*info)(void);
    tkp_status (*device_count)(int32_t *count_out);
    /* TKP_OK, or TKP_ERR_UNSUPPORTED with the reason as message. The core has
     * already checked the description against the rules of the kind and
     * filled the defaults of its params in (but a scale of 0). It lives until
     * plan_destroy(). Params of a user's kind are the caller's, unchecked, and
     * go with the call. */
    tkp_status (*supports)(const tkp_op_desc *desc);
    /* Choose the kernel, book workspace. `kernel_out` is a static name. */
    tkp_status (*plan)(
        void **plan_out,
        const char **kernel_out,
        tkp_ledger *ledger,
        const tkp_op_desc *desc,
        int32_t threads);
    /* args were checked against the plan; workspace has the booked size. */
    tkp_status (*run)(
        const void *plan,
        void *exec_state,
        const tkp_tensor *args,
        int32_t n_args,
        void *workspace);
    void (*plan_destroy)(void *plan);
    /* Optional, NULL if there is nothing to keep for an exec. */
    tkp_status (
        *exec_create)(void **state_out, const tkp_backend_exec_info *info);
    void (*exec_destroy)(void *state);
    /* Optional, NULL = host memory: what a sequence keeps between calls. */
    tkp_status (*memory_alloc)(void **out, uint64_t bytes, int32_t device_id);
    void (*memory_free)(void *memory, int32_t device_id);
    /* Host to device in the exec's order; `src` may go after the call. */
    tkp_status (*memory_upload)(
        void *exec_state,
        void *dst,
        const void *src,
        uint64_t bytes);
    /* Device to host; the bytes are there when it returns. NULL = nobody can
     * ask for them. */
    tkp_status (*memory_download)(
        void *exec_state,
        void *dst,
        const void *src,
        uint64_t bytes);
    /* 1 if that address is the device's memory, whoever allocated it; NULL =
     * only what the views say counts. */
    int32_t (*memory_owns)(const void *memory);
} tkp_backend_vtable;

/** Symbol a module exports: `const tkp_backend_vtable *tkp_backend_entry(void)`. */
typedef const tkp_backend_vtable *(*tkp_backend_entry_fn)(void);
#define TKP_BACKEND_ENTRY_SYMBOL "tkp_backend_entry"

/**
 * Add a backend for contexts created from now on. The table must live as long
 * as the process. Takes a lock; meant for start-up. At most 16.
 * @retval TKP_ERR_VERSION   built for another TKP_BACKEND_ABI_VERSION
 * @retval TKP_ERR_ARGUMENT  a required entry is NULL, or the name is taken
 */
TKP_API TKP_NODISCARD tkp_status
tkp_backend_register(const tkp_backend_vtable *vtable);

/**
 * 1 if $TKP_DISABLE names this ISA, kernel or backend ("avx512", "dnnl", ...).
 * The variable is read when a context is created; the newest one counts. For
 * score(), supports() and plan(), not for run().
 */
TKP_API int32_t tkp_sys_disabled(const char *name);

TKP_END_DECLS

#endif
