#ifndef TKP_EVAL_EXPR_FUNCTIONS_H
#define TKP_EVAL_EXPR_FUNCTIONS_H

/* The functions of expr.h's language. */

#include "eval/expr.h"

enum { TKP__EVAL_MOST_ARGUMENTS = 4 };

typedef struct tkp__eval_function {
    const char *name;
    int32_t least, most; /* arguments */
    bool missing;        /* takes missing arguments; others give missing */
    tkp_status (*call)(
        json_t **out,
        json_t *const *arguments,
        int32_t count,
        const tkp__eval_scope *scope);
} tkp__eval_function;

const tkp__eval_function *tkp__eval_function_find(const char *name);
const char *tkp__eval_function_name(const void *unused, int32_t i);

#endif
