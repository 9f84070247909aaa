#ifndef TKP_POLICY_SCHEMA_H
#define TKP_POLICY_SCHEMA_H

/*
 * Policies as text: which key stands for which field. Reader and writer walk
 * the same tables, so that neither knows a key the other does not.
 */

#include "policy/policy.h"

typedef struct tkp__word {
    const char *text; /* NULL ends a list */
    int32_t value;
} tkp__word;

enum tkp__key_type {
    TKP__KEY_WORD,    /* int32_t, one of `words` */
    TKP__KEY_BOOL,    /* int32_t, true or false */
    TKP__KEY_FLAG,    /* bit `bit` of a uint32_t, true or false */
    TKP__KEY_I32,     /* int32_t in low..high, or one of `words` */
    TKP__KEY_I64,     /* int64_t in low..high */
    TKP__KEY_SEED,    /* uint64_t */
    TKP__KEY_DECIMAL, /* float */
    TKP__KEY_RATIO,   /* two int64_t: a, b of a/b */
    TKP__KEY_PAIR,    /* two int32_t in low..high: [a, b], or a word = both */
    TKP__KEY_LINE,    /* const char *: one line of text */
    TKP__KEY_TRUE,    /* no field: "true", there for its `gives` */
    TKP__KEY_POINT,   /* two int32_t: point and boundary */
    TKP__KEY_PART,    /* pointer to the struct of another section */
    TKP__KEY_TERMS,   /* the list of a blend */
    TKP__KEY_PARTS,   /* the list of a chain */
    TKP__KEY_STAGES   /* the list of a policy */
};

enum tkp__part {
    TKP__PART_SCORER,
    TKP__PART_SELECTOR,
    TKP__PART_MERGER,
    TKP__PART_BUDGET
};

typedef struct tkp__section tkp__section;

typedef struct tkp__key {
    const char *name; /* NULL ends a list */
    int32_t type;     /* enum tkp__key_type */
    size_t offset;    /* of the field in the section's struct */
    uint32_t kinds;   /* bits 1 << kind it has a meaning for; 0 = all */
    bool required;    /* where it has a meaning */
    int32_t gives;    /* kind of the section that this key stands for */
    const tkp__word *words;
    int64_t low, high;
    uint32_t bit;
    int32_t part; /* enum tkp__part */
} tkp__key;

struct tkp__section {
    const char *name;
    const tkp__key *keys;
    size_t bytes;      /* of the struct; */
    bool sized;        /* ... it begins with struct_size */
    int32_t kind_at;   /* offset of its kind; -1 = it has none */
    bool kind_by_keys; /* the kind follows from which key is there; */
    bool kind_or_none; /* ... none of them: kind 0 */
};

extern const tkp__section tkp__section_policy;
extern const tkp__section tkp__section_stage;
extern const tkp__section tkp__section_scorer;
extern const tkp__section tkp__section_term;
extern const tkp__section tkp__section_selector;
extern const tkp__section tkp__section_part;
extern const tkp__section tkp__section_merger;
extern const tkp__section tkp__section_budget;

/* The section that a TKP__KEY_PART leads to. */
const tkp__section *tkp__part_section(int32_t part);

/* What a policy's own keys are read into. */
typedef struct tkp__document {
    int32_t version;
    int32_t reserved;
    const char *name;
    const char *summary;
    const char *source;
} tkp__document;

enum { TKP__POLICY_VERSION = 1 };

/* Words of a TKP__KEY_POINT; `counted` ones are followed by ":B". */
extern const tkp__word tkp__point_words[];
extern const tkp__word tkp__scope_words[];
bool tkp__point_counted(int32_t point);

const char *tkp__word_of(const tkp__word *words, int32_t value);

static inline bool tkp__key_applies(const tkp__key *key, int32_t kind)
{
    return !key->kinds || (key->kinds >> kind & 1u);
}

#endif
