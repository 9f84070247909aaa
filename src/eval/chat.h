#ifndef TKP_EVAL_CHAT_H
#define TKP_EVAL_CHAT_H

/*
 * The whole prompt around a question, as harnesses for LLaVA-1.5 write it. They
 * differ in a word and in blanks, and answers with them.
 */

#include "util/util.h"

/* Name i, NULL behind the last. */
const char *tkp__eval_chat_name(const void *unused, int32_t i);

/* tkp__free() it. Pictures that `text` has no "<image>" for come before it.
 * TKP_ERR_ARGUMENT for an unknown name. */
tkp_status
tkp__eval_chat(char **out, const char *name, const char *text, int32_t images);

#endif
