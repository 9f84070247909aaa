/*
 * Status codes and the thread's message.
 */

#include <string.h>

#include "tokenprune/status.h"
#include "tokenprune/sys/base.h"

enum { message_bytes = 1024 };

/* Fixed, so that "out of memory" can be said without memory. */
static _Thread_local char message[message_bytes];

const char *tkp_status_string(tkp_status status)
{
#define CODE(code)                                                             \
    case code:                                                                 \
        return #code
    switch (status) {
        CODE(TKP_OK);
        CODE(TKP_ERR_ARGUMENT);
        CODE(TKP_ERR_SHAPE);
        CODE(TKP_ERR_DTYPE);
        CODE(TKP_ERR_OPTION);
        CODE(TKP_ERR_WORKSPACE);
        CODE(TKP_ERR_ALIAS);
        CODE(TKP_ERR_STATE);
        CODE(TKP_ERR_UNSUPPORTED);
        CODE(TKP_ERR_NO_BACKEND);
        CODE(TKP_ERR_VERSION);
        CODE(TKP_ERR_MEMORY);
        CODE(TKP_ERR_IO);
        CODE(TKP_ERR_CANCELLED);
        CODE(TKP_ERR_DEVICE);
        CODE(TKP_ERR_INTERNAL);
        CODE(TKP_ERR_DATA);
        CODE(TKP_ERR_PARSE);
        CODE(TKP_ERR_POLICY);
        CODE(TKP_ERR_FORMAT);
    }
#undef CODE
    return "TKP_ERR_?";
}

const char *tkp_last_message(void)
{
    return message;
}

void tkp_sys_message_clear(void)
{
    message[0] = '\0';
}

void tkp_sys_message_set(const char *text)
{
    if (!text) {
        tkp_sys_message_clear();
        return;
    }
    size_t length = strnlen(text, message_bytes);
    if (length == message_bytes) {
        /* Cut before the character that does not fit, not through it. */
        length = message_bytes - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0u) == 0x80u)
            length--;
    }
    memmove(message, text, length);
    message[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (message[i] == '\n' || message[i] == '\r')
            message[i] = ' ';
}
