#ifndef TKP_CORE_OP_CHECK_H
#define TKP_CORE_OP_CHECK_H

/*
 * The rules of sys/op.h as tables: which arguments a kind has, their dtypes,
 * ranks and sizes, what the sizes have to do with each other, which output
 * may be which input. One function holds a description (at create) and the
 * real arguments (at run) against them; it allocates nothing.
 */

#include "core/core.h"

enum tkp__arg_dtype {
    TKP__ARG_ANY,
    TKP__ARG_F32,
    TKP__ARG_I32,
    TKP__ARG_FLOAT, /* f32 | f16 | bf16 */
    TKP__ARG_F32_OR_BF16,
    TKP__ARG_AS_FIRST,    /* the dtype of argument 0 */
    TKP__ARG_F32_OR_FIRST /* f32, or the dtype of argument 0 */
};

enum tkp__arg_flags {
    TKP__ARG_OPTIONAL = 1,
    TKP__ARG_OUT = 2, /* row-major, no gaps, overlaps nothing */
    /* Without one of these, gaps lie between rows (dimension 0) only. */
    TKP__ARG_ROWS_FREE = 4, /* all strides but the last are free */
    TKP__ARG_ALL_FREE = 8,  /* all strides are free */
    TKP__ARG_CONSTANT = 16  /* exactly the plan's shape; its data if given */
};

/*
 * `dims` has one character for each dimension:
 *   A-Z  that letter: all dimensions of the letter are equal
 *   a-z  the letter plus one (offset arrays)
 *   1-9  the number
 *   *    any size
 * Ranks to choose from are parted by '|'. NULL is any rank from 0 up.
 * `alias` is one more than the input that an output may be; 0 is none.
 */
typedef struct tkp__arg_rule {
    const char *name;
    const char *dims;
    uint8_t dtype;
    uint8_t flags;
    uint8_t alias;
} tkp__arg_rule;

/* Sizes of the letters of one call. */
typedef struct tkp__dims {
    uint32_t known; /* bit i: letter 'A' + i has a size */
    int64_t size[26];
} tkp__dims;

static inline int64_t tkp__dim(const tkp__dims *dims, char letter)
{
    return dims->size[letter - 'A'];
}

/* What is checked. */
typedef struct tkp__check_call {
    const struct tkp__op_rule *rule;
    const void *params;
    const tkp_tensor *args;
    bool descriptor; /* largest shapes, no data, strides do not matter */
    tkp__dims dims;
} tkp__check_call;

typedef struct tkp__op_rule {
    int32_t kind;
    int32_t n_args;
    const tkp__arg_rule *args;
    const char *name;
    const char *params_name; /* NULL = takes none */
    uint32_t params_size;
    uint32_t params_min; /* size of the first release */
    /* Values of the params; fills defaults in. NULL = nothing to check. */
    tkp_status (*params)(void *params);
    /* What the tables cannot say. NULL = nothing. */
    tkp_status (*relations)(const tkp__check_call *call);
} tkp__op_rule;

/* Name the argument in a message: "topk: keep: dim 0 is ...". */
#define TKP__ARG_CHECK(call, arg, condition, status, format, ...)              \
    TKP__CHECK(                                                                \
        condition, status, "%s: %s: " format, (call)->rule->name,              \
        (call)->rule->args[arg].name, __VA_ARGS__)

/* The table of a kind; NULL for an unknown or a user's kind. */
const tkp__op_rule *tkp__core_op_rule(int32_t kind);

/* Params of the caller's into [TKP__MAX_PARAMS_BYTES], checked and complete. */
tkp_status tkp__core_op_check_params(
    const tkp__op_rule *rule,
    void *dst,
    const void *params);

/* Hold args against the rules of the kind. `call` needs rule, params, args
 * and descriptor; the sizes of the letters come back in it. */
tkp_status tkp__core_op_check_args(tkp__check_call *call);

/* Args of any kind, a user's too: legal views on the device. */
tkp_status tkp__core_op_check_views(
    int32_t device_type,
    int32_t device_id,
    const char *kind_name,
    const tkp__op_rule *rule,
    const tkp_tensor *args,
    int32_t n_args,
    bool descriptor);

/* Do the args of a run fit the plan: presence, rank, dtype, sizes. */
tkp_status tkp__core_op_check_plan(const tkp_op *op, const tkp_tensor *args);

/* "n2880k320": the sizes of the letters in order of appearance, or of all
 * arguments where a kind has no letters. Returns out. */
char *tkp__core_op_shape_string(
    char *out,
    size_t bytes,
    const tkp__op_rule *rule,
    const tkp_tensor *args,
    int32_t n_args);

/* The tables, by theme; each ends with kind 0. */
extern const tkp__op_rule tkp__core_rules_score[];
extern const tkp__op_rule tkp__core_rules_select[];
extern const tkp__op_rule tkp__core_rules_rows[];
extern const tkp__op_rule tkp__core_rules_forward[];

#define TKP__RULE_ARGS(table)                                                  \
    (int32_t)(sizeof(table) / sizeof((table)[0])), table
#define TKP__RULE_NO_PARAMS NULL, 0, 0
#define TKP__RULE_PARAMS(type, last)                                           \
#    type, (uint32_t)sizeof(type), (uint32_t)TKP__SIZE_THROUGH(type, last)

#endif
