#ifndef TOKENPRUNE_PYTHON_CALLBACKS_H
#define TOKENPRUNE_PYTHON_CALLBACKS_H

/* Python called from native code, and its exceptions on their way back. */

#include "arrays.h"

/**
 * Keep the exception that is set, for the native call that this thread is in:
 * tkpy_fail() raises it again when that call has come back.
 */
void tkpy_keep_exception(void);
/** Raise what was kept, or else tokenprune.Error of the thread's message. */
void tkpy_fail(tkp_status status);

/** `call(batch, inputs)` gives the scores of a custom scorer. */
tkp_status
tkpy_scorer_register(const char *name, PyObject *call, int64_t needs);
tkp_status tkpy_scorer_unregister(const char *name);

#endif
