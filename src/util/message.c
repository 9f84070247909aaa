/*
 * Messages: formatted on the stack, kept by libtokenprune for the thread.
 */

#include <stdarg.h>
#include <stdio.h>

#include "tokenprune/sys/base.h"
#include "util/util.h"

enum { text_bytes = 1024 };

tkp_status tkp__fail(tkp_status status, const char *format, ...)
{
    char text[text_bytes];
    va_list args;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    tkp_sys_message_set(text);
    return status;
}

tkp_status tkp__fail_prefix(tkp_status status, const char *format, ...)
{
    char text[text_bytes];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (used < 0)
        return status;
    if ((size_t)used < sizeof(text))
        snprintf(
            text + used, sizeof(text) - (size_t)used, ": %s",
            tkp_last_message());
    tkp_sys_message_set(text);
    return status;
}
