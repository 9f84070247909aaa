#ifndef TKP_CORE_CORE_H
#define TKP_CORE_CORE_H

/*
 * The room between the public entry points and the backends: contexts, execs,
 * plans, the registry. src/api checks pointers and empties the message, then
 * calls in here; scorers, selectors, mergers and sequences are built on the
 * same functions. A backend is reached through its vtable only.
 *
 * Functions that can fail set the message. None of them empties it, except
 * where a refusal was looked at and another way was found.
 */

#include <stdatomic.h>

#include "tokenprune/sys/backend.h"
#include "util/util.h"

/* ref, 16 registered ones, 16 modules. */
enum {
    TKP__MAX_REGISTERED = 16,
    TKP__MAX_MODULES = 16,
    TKP__MAX_BACKENDS = 1 + TKP__MAX_REGISTERED + TKP__MAX_MODULES,
    TKP__WORKSPACE_ALIGNMENT = 64,
    TKP__MAX_PARAMS_BYTES = 128
};

/* --- option structs ------------------------------------------------------ */

/* tkp__util_fill_struct() for tkp_requirements, which every query fills. */
static inline tkp_status
tkp__core_fill_requirements(tkp_requirements *dst, const tkp_requirements *src)
{
    return tkp__util_fill_struct(
        dst, src, sizeof(*src), TKP__SIZE_THROUGH(tkp_requirements, kernel),
        "requirements");
}

/* --- environment (environment.c) ------------------------------------------ */

typedef struct tkp__environment {
    int32_t verbose;         /* 0, 1, 2 */
    const char *backends;    /* NULL = unset or empty; may go with setenv() */
    const char *backend_dir; /* likewise */
} tkp__environment;

/* Read it, and take the snapshot of $TKP_DISABLE. Called by context create. */
void tkp__core_environment_read(tkp__environment *out);

/* Does the newest snapshot of $TKP_DISABLE have this name? */
bool tkp__core_disabled(const char *name);

/* --- registry (registry.c) and modules (module.c) ------------------------- */

/* Built-in tables; NULL ends the list. The one file that names backends. */
extern const tkp_backend_vtable *const tkp__core_builtin_backends[];

/* Check a table and bring it to our struct size. */
tkp_status
tkp__core_vtable_copy(tkp_backend_vtable *out, const tkp_backend_vtable *src);

tkp_status tkp__core_registry_add(const tkp_backend_vtable *vtable);
/* Built-in or registered table of that name; NULL if there is none. */
const tkp_backend_vtable *tkp__core_registry_find(const char *name);
/* Registered tables (no built-in ones), [TKP__MAX_REGISTERED]; how many. */
int32_t tkp__core_registry_list(const tkp_backend_vtable **out);
/* The one copy of a module's table, made when it is first seen. */
tkp_status tkp__core_registry_adopt(
    const tkp_backend_vtable **out,
    const tkp_backend_vtable *module_table);

enum { TKP__MODULE_NAME_BYTES = 64 };

/* Folder of modules when nobody named one; false if it cannot be known. */
bool tkp__core_module_default_dir(char *out, size_t bytes);
/* Load libtokenprune-NAME.so from `dir`; TKP_ERR_NO_BACKEND with the reason.
 * A loaded module stays for good. */
tkp_status tkp__core_module_load(
    const tkp_backend_vtable **out,
    const char *dir,
    const char *name);
/* Names of the modules lying in `dir`, sorted; how many (at most `max`). */
int32_t tkp__core_module_list(
    const char *dir,
    char (*names)[TKP__MODULE_NAME_BYTES],
    int32_t max);

/* --- context (context.c) -------------------------------------------------- */

struct tkp_context {
    atomic_int references;
    int32_t threads;
    int32_t device_type;
    int32_t device_id;
    int32_t verbose; /* 0 = silent, 1 = a line a plan, 2 = a line a run */
    tkp_log_fn log;  /* never NULL */
    void *log_user;
    int32_t backend_count;
    int32_t
        memory_backend; /* index of the first with memory_alloc; -1 = host */
    const tkp_backend_vtable *backends[TKP__MAX_BACKENDS]; /* best first */
};

tkp_status
tkp__core_context_create(tkp_context **out, const tkp_context_options *options);
void tkp__core_context_retain(tkp_context *context);
void tkp__core_context_release(tkp_context *context); /* NULL is fine */

/* The ordered list of backends (backend_choice.c). `names` is "a,b" or NULL,
 * `dir` NULL for the default folder. */
tkp_status tkp__core_context_choose_backends(
    tkp_context *context,
    const char *names,
    const char *dir);

/* A line for the log; `level` is enum tkp_log_level. */
void tkp__core_log(
    const tkp_context *context,
    int32_t level,
    const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* --- exec (exec.c) -------------------------------------------------------- */

struct tkp_exec {
    tkp_context *context; /* a reference */
    void *stream;
    void *workspace;
    size_t workspace_bytes;
    void *mirror; /* its addresses on the host, on a device */
    void *states[TKP__MAX_BACKENDS]; /* parallel to context->backends */
};

tkp_status
tkp__core_exec_create(tkp_exec **out, tkp_context *context, void *stream);
void tkp__core_exec_destroy(tkp_exec *exec);
tkp_status
tkp__core_exec_set_workspace(tkp_exec *exec, void *memory, size_t bytes);

static inline tkp_context *tkp__core_exec_context(const tkp_exec *exec)
{
    return exec->context;
}
/* As the rooms see it: on a device the mirror. */
static inline void *tkp__core_exec_workspace(const tkp_exec *exec)
{
    return exec->mirror ? exec->mirror : exec->workspace;
}
static inline size_t tkp__core_exec_workspace_bytes(const tkp_exec *exec)
{
    return exec->workspace_bytes;
}

/* TKP_ERR_WORKSPACE, with both numbers, if `bytes` are not there. */
tkp_status tkp__core_exec_check_workspace(const tkp_exec *exec, uint64_t bytes);

/* --- ledger --------------------------------------------------------------- */

#define TKP__LEDGER_INIT                                                       \
    {                                                                          \
        (uint32_t)sizeof(tkp_ledger), 0, 0                                     \
    }

/* Book `bytes` at a multiple of 64; see tkp_sys_ledger_book(). */
tkp_status
tkp__ledger_book(tkp_ledger *ledger, uint64_t bytes, uint64_t *offset_out);

/* The place in the workspace that was booked. */
static inline void *tkp__ledger_at(void *workspace, uint64_t offset)
{
    return workspace ? (char *)workspace + offset : NULL;
}

/* --- memory on the context's device (device_memory.c) --------------------- */

/* 64-byte aligned, not cleared; zero bytes give a pointer that can be freed. */
tkp_status
tkp__core_memory_alloc(tkp_context *context, void **out, uint64_t bytes);
void tkp__core_memory_free(tkp_context *context, void *memory); /* or NULL */
/* A view that was made of such memory, as what it is. */
static inline void
tkp__core_on_device(const tkp_context *context, tkp_tensor *t)
{
    t->device_type = context->device_type;
    t->device_id = context->device_id;
}
/* Host to device, in the order of the exec's work; `src` may go at once. */
tkp_status tkp__core_memory_upload(
    tkp_exec *exec,
    void *dst,
    const void *src,
    uint64_t bytes);
tkp_status tkp__core_memory_download(
    tkp_exec *exec,
    void *dst,
    const void *src,
    uint64_t bytes);

/* --- plans (op.c) --------------------------------------------------------- */

struct tkp__op_rule;

struct tkp_op {
    tkp_context *context; /* a reference */
    const tkp_backend_vtable *vtable;
    int32_t backend; /* index in context->backends and exec->states */
    int32_t kind;
    int32_t n_args;
    int32_t reserved;
    const struct tkp__op_rule *rule; /* NULL for kinds of user backends */
    const char *name;                /* "topk"; "op1000" for a user's kind */
    char user_name[16];
    void *plan;
    const char *kernel;
    uint64_t workspace_bytes;
    bool staged;  /* of the rooms, on a device: see staging.c */
    bool on_host; /* of the rooms, of tables alone, by "ref" */
    uint64_t stage_at[TKP_OP_MAX_ARGS];
    _Alignas(8) unsigned char params[TKP__MAX_PARAMS_BYTES];
    tkp_tensor args[TKP_OP_MAX_ARGS]; /* the description, data and all */
    tkp_op_desc desc; /* what the backend saw: points at params and args */
};

tkp_status tkp__core_op_create(
    tkp_op **out,
    tkp_context *context,
    const tkp_op_desc *desc);
/* The same from its parts; `most` (or NULL) becomes the largest workspace of
 * the ops that were made with it. */
tkp_status tkp__core_op_make(
    tkp_op **out,
    tkp_context *context,
    int32_t kind,
    const tkp_tensor *args,
    int32_t n_args,
    const void *params,
    uint64_t *most);
void tkp__core_op_destroy(tkp_op *op); /* NULL is fine */

/* --- tables of the host, ops of a device (staging.c) ------------------------ */

/* The args of a plan as the device's. */
void tkp__core_stage_relocate(tkp_op *op);
/* All of its args are such tables. */
bool tkp__core_stage_all_tables(const tkp_op *op);
/* It will run on the host. */
void tkp__core_stage_on_host(tkp_op *op);
/* Room for tables behind the op's own workspace. */
tkp_status tkp__core_stage_plan(tkp_op *op);
/* The same place in the device's workspace; what is not in the mirror stays. */
void *tkp__core_stage_workspace(const tkp_exec *exec, void *workspace);
tkp_status tkp__core_stage_in(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    tkp_tensor *staged,
    void *workspace);
tkp_status tkp__core_stage_out(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    const tkp_tensor *staged);

static inline uint64_t tkp__core_op_workspace(const tkp_op *op)
{
    return op->workspace_bytes;
}

/* Run in a slice of workspace of the caller's choosing (64-byte aligned, at
 * least tkp__core_op_workspace()): a composite object lays out its own
 * temporaries and the workspaces of its ops in one ledger. */
tkp_status tkp__core_op_run(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args,
    void *workspace,
    uint64_t workspace_bytes);

#endif
