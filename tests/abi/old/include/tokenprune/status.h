#ifndef TOKENPRUNE_STATUS_H
#define TOKENPRUNE_STATUS_H

#include <stdint.h>

#include "tokenprune/export.h"

TKP_BEGIN_DECLS

/**
 * What a call answered: a code for the program. The line of text for the
 * person is tkp_last_message(). Values are grouped by ten and never reused.
 *
 * 1x the call is wrong; 2x it is right, but this build or machine does not
 * have it; 3x a resource ran out; 4x something broke; 5x the text of a policy.
 */
typedef enum tkp_status {
    TKP_OK = 0,

    TKP_ERR_ARGUMENT = 10,  /* NULL, out of range, or not allowed here */
    TKP_ERR_SHAPE = 11,     /* dimensions or strides disagree */
    TKP_ERR_DTYPE = 12,     /* element type not accepted */
    TKP_ERR_OPTION = 13,    /* an option struct holds an impossible value */
    TKP_ERR_WORKSPACE = 14, /* workspace missing, misaligned or too small */
    TKP_ERR_ALIAS = 15,     /* an output overlaps an input */
    TKP_ERR_STATE = 16,     /* calls in the wrong order */

    TKP_ERR_UNSUPPORTED = 20, /* legal, but not available: message says why */
    TKP_ERR_NO_BACKEND = 21,  /* the backend asked for is not there */
    TKP_ERR_VERSION = 22,     /* caller, file or module of another version */

    TKP_ERR_MEMORY = 30,    /* out of memory */
    TKP_ERR_IO = 31,        /* a file cannot be read or written */
    TKP_ERR_CANCELLED = 32, /* a callback asked to stop */

    TKP_ERR_DEVICE = 40,   /* the device failed */
    TKP_ERR_INTERNAL = 41, /* a bug of ours */
    TKP_ERR_DATA = 42,     /* data hold values nothing can be made of (NaN) */

    TKP_ERR_PARSE = 50,  /* text is not well formed: file:line:column */
    TKP_ERR_POLICY = 51, /* text is well formed, the policy is not */
    TKP_ERR_FORMAT = 52  /* a model or image file is damaged or hostile */
} tkp_status;

/** Constant name of a code, for example "TKP_ERR_SHAPE"; never NULL. */
TKP_API const char *tkp_status_string(tkp_status status);

/**
 * One line about the last failure of the calling thread, such as
 * "attn: dim 3 is 575, scores has 576". Empty after a call that succeeded.
 * Valid until this thread's next call into the library; never NULL.
 */
TKP_API const char *tkp_last_message(void);

TKP_END_DECLS

#endif
