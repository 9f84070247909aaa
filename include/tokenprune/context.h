#ifndef TOKENPRUNE_CONTEXT_H
#define TOKENPRUNE_CONTEXT_H

#include "tokenprune/status.h"
#include "tokenprune/tensor.h"

TKP_BEGIN_DECLS

/*
 * A context is what a process shares: the device, the ordered list of
 * backends, the thread count, the log. It is read-only after create and may be
 * used by any number of threads.
 *
 * An exec is what one thread (or one CUDA stream) owns: the workspace and the
 * backends' per-thread handles. Everything that changes while work runs lives
 * here; one thread at a time.
 *
 * Objects made from a context hold a reference on it: destroying it early is
 * legal, it goes away with its last child.
 */

typedef struct tkp_context tkp_context;
typedef struct tkp_exec tkp_exec;

enum tkp_log_level { TKP_LOG_ERROR = 1, TKP_LOG_INFO = 2, TKP_LOG_TRACE = 3 };

/** Called from any thread; `line` has no newline and dies with the call. */
typedef void (*tkp_log_fn)(void *user, int32_t level, const char *line);

typedef struct tkp_context_options {
    uint32_t struct_size; /* set by the INIT macro */
    uint32_t flags;       /* none yet: 0 */
    int32_t threads;      /* threads inside an op; 0 = 1; at most 1024 */
    int32_t device_type;  /* enum tkp_device_type; 0 = TKP_DEVICE_CPU */
    int32_t device_id;    /* 0 on the CPU */
    int32_t reserved;     /* 0 */
    const char *backends; /* "cpu,ref": names, best first; NULL = $TKP_BACKEND,
                             else every backend of the device that can run
                             here, best first. A name that cannot be had is
                             TKP_ERR_NO_BACKEND with the reason. */
    const char *backend_dir; /* where modules lie; NULL = $TKP_BACKEND_DIR,
                                else "tokenprune" beside the library */
    tkp_log_fn log; /* NULL = standard error, only if $TKP_VERBOSE. A function
                       hears of backends and plans always, of runs only
                       with TKP_VERBOSE=2. */
    void *log_user;
} tkp_context_options;

#define TKP_CONTEXT_OPTIONS_INIT                                               \
    {                                                                          \
        (uint32_t)sizeof(tkp_context_options), 0, 0, 0, 0, 0, NULL, NULL,      \
            NULL, NULL                                                         \
    }

/** The bytes of the INIT macro, for languages without macros. */
TKP_API void tkp_context_options_init(tkp_context_options *options);

/**
 * Read the environment once (TKP_VERBOSE, TKP_BACKEND, TKP_BACKEND_DIR,
 * TKP_DISABLE), load the backends, fix their order.
 *
 * @param[out] out      The context; destroy with tkp_context_destroy().
 * @param[in]  options  NULL = defaults.
 * @retval TKP_ERR_OPTION      a field out of range
 * @retval TKP_ERR_NO_BACKEND  a backend asked for by name cannot be had, or
 *                             there is none for the device
 * @since 0.1
 */
TKP_API TKP_NODISCARD tkp_status
tkp_context_create(tkp_context **out, const tkp_context_options *options);

/** Give up the caller's reference; NULL is fine. */
TKP_API void tkp_context_destroy(tkp_context *context);

/**
 * Backends in order of preference. On the CPU "ref" is always among them: the
 * last, unless options or $TKP_BACKEND list it earlier.
 */
TKP_API int32_t tkp_context_backend_count(const tkp_context *context);

/** Name of backend i ("cpu", "ref"); NULL outside the list. */
TKP_API const char *
tkp_context_backend_name(const tkp_context *context, int32_t i);

/** What backend i says of itself, one line (versions, ISA, threads). */
TKP_API const char *
tkp_context_backend_info(const tkp_context *context, int32_t i);

TKP_API int32_t tkp_context_threads(const tkp_context *context);

/** enum tkp_device_type of the memory it works on; TKP_DEVICE_CPU for NULL. */
TKP_API int32_t tkp_context_device_type(const tkp_context *context);

/** Its number among the devices of that type; 0 on the CPU and for NULL. */
TKP_API int32_t tkp_context_device_id(const tkp_context *context);

/**
 * @param[out] out      Destroy with tkp_exec_destroy().
 * @param[in]  context  A reference is kept.
 * @param[in]  stream   cudaStream_t on CUDA; NULL on the CPU.
 */
TKP_API TKP_NODISCARD tkp_status
tkp_exec_create(tkp_exec **out, tkp_context *context, void *stream);
TKP_API void tkp_exec_destroy(tkp_exec *exec);

/**
 * Lend memory for intermediate results. The one thing of the caller's that is
 * remembered after the call: it must live until another is set or the exec is
 * destroyed. Sizes come from the tkp_*_query functions; the largest serves all.
 *
 * @param[in] memory  On the context's device, 64-byte aligned; NULL with 0.
 */
TKP_API TKP_NODISCARD tkp_status
tkp_exec_set_workspace(tkp_exec *exec, void *memory, size_t bytes);

/** What a plan needs; filled by the tkp_*_query functions. */
typedef struct tkp_requirements {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t workspace_bytes; /* for tkp_exec_set_workspace() */
    const char *backend;      /* of one op: name of the backend that will run;
                                 NULL where there are several */
    const char *kernel;       /* of one op: name of its kernel */
} tkp_requirements;

#define TKP_REQUIREMENTS_INIT                                                  \
    {                                                                          \
        (uint32_t)sizeof(tkp_requirements), 0, 0, NULL, NULL                   \
    }
TKP_API void tkp_requirements_init(tkp_requirements *requirements);

TKP_END_DECLS

#endif
