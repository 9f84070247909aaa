#ifndef TOKENPRUNE_SYS_BASE_H
#define TOKENPRUNE_SYS_BASE_H

#include <stddef.h>

#include "tokenprune/export.h"
#include "tokenprune/status.h"

TKP_BEGIN_DECLS

/*
 * What every extension shares with the library: the thread's message and the
 * process's allocator. For people who write backends, engines and custom
 * stages in C; a program that only prunes does not need this header.
 */

/**
 * Set the calling thread's message, as tkp_last_message() will give it. One
 * line without a final full stop, in the form "name: met 3, wanted 4". Line
 * breaks become blanks; beyond 1023 bytes it is cut between two characters.
 * `text` may be what tkp_last_message() returned. NULL is an empty message.
 * @since 0.1
 */
TKP_API void tkp_sys_message_set(const char *text);

/** Empty the message; every public entry point begins with this. */
TKP_API void tkp_sys_message_clear(void);

/**
 * Memory from the process's allocator (tkp_allocator_set()), aligned to 64
 * bytes, not cleared. Zero bytes give a valid pointer. Free it with
 * tkp_sys_free(), from any thread.
 *
 * @return NULL when memory is out; the message says how much was wanted.
 * @since 0.1
 */
TKP_API void *tkp_sys_alloc(size_t bytes);

/** Give memory of tkp_sys_alloc() back; NULL is fine. */
TKP_API void tkp_sys_free(void *pointer);

TKP_END_DECLS

#endif
