#ifndef TKP_EVAL_EXPR_H
#define TKP_EVAL_EXPR_H

/*
 * The small language of cards: what of a record becomes what of a question.
 *
 *   'text'  3  name  name.part  name[0]  [a, b]  a + b  function(a, ...)
 *
 * A value is missing if its name is not in the record; + and most functions
 * make missing of missing. A template is text with such things in {braces}.
 * docs/eval.md lists the functions.
 */

#include <jansson.h>

#include "util/util.h"

/* Where names are looked up: the first object that has one. */
typedef struct tkp__eval_scope {
    const json_t *objects[3];
} tkp__eval_scope;

/* A new reference, or NULL: missing. `scope` NULL only checks the text: all
 * names are missing. TKP_ERR_PARSE shows the place, TKP_ERR_DATA what a value
 * is and should be. */
tkp_status
tkp__eval_expr(json_t **out, const char *text, const tkp__eval_scope *scope);

/* A template filled in; NULL = something in it is missing. tkp__free() it. */
tkp_status
tkp__eval_template(char **out, const char *text, const tkp__eval_scope *scope);

/* An expression, or a template if there are braces in it, as text. */
tkp_status
tkp__eval_text_of(char **out, const char *text, const tkp__eval_scope *scope);

/* A value as text: numbers as digits. TKP_ERR_DATA for lists and objects. */
tkp_status tkp__eval_value_text(char **out, const json_t *value);

#endif
