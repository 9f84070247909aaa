#ifndef TOKENPRUNE_VERSION_H
#define TOKENPRUNE_VERSION_H

#include <stdint.h>

#include "tokenprune/export.h"

TKP_BEGIN_DECLS

/* Version of the headers; tkp_version_number() is that of the library. */
#define TKP_VERSION_MAJOR  0
#define TKP_VERSION_MINOR  1
#define TKP_VERSION_PATCH  0
#define TKP_VERSION_NUMBER                                                     \
    (TKP_VERSION_MAJOR * 10000 + TKP_VERSION_MINOR * 100 + TKP_VERSION_PATCH)
#define TKP_VERSION_STRING "0.1.0"

/** TKP_VERSION_NUMBER of the library that is loaded. */
TKP_API int32_t tkp_version_number(void);

/** TKP_VERSION_STRING of the library that is loaded, for example "0.1.0". */
TKP_API const char *tkp_version_string(void);

/**
 * How the loaded library was built, one line: version, compiler, build type,
 * what is built in. Backend modules speak for themselves through
 * tkp_context_backend_info().
 */
TKP_API const char *tkp_build_info(void);

TKP_END_DECLS

#endif
