/*
 * Lines for the person: to the context's function, else to standard error.
 */

#include <stdarg.h>
#include <stdio.h>

#include "core/core.h"

void tkp__core_log(
    const tkp_context *context,
    int32_t level,
    const char *format,
    ...)
{
    /* Info is for $TKP_VERBOSE >= 1, trace for 2. */
    if (level > TKP_LOG_ERROR && context->verbose < level - TKP_LOG_ERROR)
        return;
    char line[1024] = "tokenprune,";
    const size_t used = strlen(line);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof(line) - used, format, args);
    va_end(args);
    context->log(context->log_user, level, line);
}
