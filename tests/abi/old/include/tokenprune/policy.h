#ifndef TOKENPRUNE_POLICY_H
#define TOKENPRUNE_POLICY_H

#include "tokenprune/merger.h"

TKP_BEGIN_DECLS

/*
 * A policy is a named list of stages; a stage is a point in the forward, a
 * scorer, a selector, a merger and a budget. It is data: it knows no batch, no
 * device and no model, and may be shared by everything.
 *
 *     tkp_policy_load_preset(&policy, "fastv");
 *     tkp_policy_load_file(&policy, "mine.yaml");
 */

typedef struct tkp_policy tkp_policy;

enum tkp_point_kind {
    TKP_POINT_PROJECTOR = 1, /* before the language model */
    TKP_POINT_LLM = 2,       /* before decoder layer `boundary` */
    TKP_POINT_VISION = 3,    /* after block `boundary` - 1 of the encoder */
    TKP_POINT_KV = 4         /* after prefill */
};

enum tkp_positions_rule {
    TKP_POSITIONS_KEEP = 0,  /* survivors keep their rotary positions */
    TKP_POSITIONS_REPACK = 1 /* survivors are renumbered 0, 1, 2, ... */
};

typedef struct tkp_stage_options {
    uint32_t struct_size;
    int32_t point;       /* enum tkp_point_kind */
    int32_t boundary;    /* LLM: layers that run before the cut */
    int32_t score_layer; /* whose attention; 0-based; -1 = boundary - 1 */
    int32_t positions;   /* enum tkp_positions_rule */
    int32_t reserved;
    const tkp_scorer_options *scorer;     /* NULL = TKP_SCORER_NONE */
    const tkp_selector_options *selector; /* NULL = TKP_SELECTOR_ALL */
    const tkp_merger_options *merger;     /* NULL = TKP_MERGER_NONE */
    const tkp_budget *budget;             /* NULL = everything */
} tkp_stage_options;

#define TKP_STAGE_OPTIONS_INIT                                                 \
    {                                                                          \
        (uint32_t)sizeof(tkp_stage_options), 0, 0, -1, 0, 0, NULL, NULL, NULL, \
            NULL                                                               \
    }
TKP_API void tkp_stage_options_init(tkp_stage_options *options);

#define TKP_POLICY_MAX_STAGES 32

/** An empty policy (prunes nothing) with a name of 1..63 characters. */
TKP_API TKP_NODISCARD tkp_status
tkp_policy_create(tkp_policy **out, const char *name);
TKP_API void tkp_policy_destroy(tkp_policy *policy);

/**
 * Add a stage; everything is copied and checked. Stages are given in the order
 * of the forward.
 * @retval TKP_ERR_POLICY  the parts do not fit together (message says how)
 */
TKP_API TKP_NODISCARD tkp_status
tkp_policy_add_stage(tkp_policy *policy, const tkp_stage_options *options);

/** Built-in presets: count, name of number i (NULL outside), one-line text. */
TKP_API int32_t tkp_policy_preset_count(void);
TKP_API const char *tkp_policy_preset_name(int32_t i);
TKP_API const char *tkp_policy_preset_summary(int32_t i);

/** @retval TKP_ERR_POLICY unknown name; the message has the nearest one */
TKP_API TKP_NODISCARD tkp_status
tkp_policy_load_preset(tkp_policy **out, const char *name);

/**
 * Read a policy from YAML (docs/policies.md has the schema). Errors are one
 * line "file:line:column: what was met, what was wanted".
 * @param[in] source_name  stands for the file name in messages; NULL = "policy"
 * @retval TKP_ERR_PARSE, TKP_ERR_POLICY, TKP_ERR_IO
 */
TKP_API TKP_NODISCARD tkp_status tkp_policy_load_text(
    tkp_policy **out,
    const char *text,
    size_t bytes,
    const char *source_name);
TKP_API TKP_NODISCARD tkp_status
tkp_policy_load_file(tkp_policy **out, const char *path);

/**
 * The policy as YAML with every default written out; loading it gives the same
 * policy. Writes at most `capacity` bytes, NUL included.
 * @return bytes needed without the NUL, whatever the capacity
 */
TKP_API size_t
tkp_policy_to_yaml(const tkp_policy *policy, char *text, size_t capacity);

TKP_API const char *tkp_policy_name(const tkp_policy *policy);
TKP_API int32_t tkp_policy_stage_count(const tkp_policy *policy);

/**
 * Look at stage i. The structs that `options` points to belong to the policy.
 */
TKP_API TKP_NODISCARD tkp_status tkp_policy_get_stage(
    const tkp_policy *policy, int32_t i, tkp_stage_options *options);

/**
 * A copy with one stage's budget changed; `stage` = -1: the only stage that
 * has a budget (TKP_ERR_POLICY if there are several or none).
 */
TKP_API TKP_NODISCARD tkp_status tkp_policy_with_budget(
    tkp_policy **out,
    const tkp_policy *policy,
    int32_t stage,
    const tkp_budget *budget);

/** A copy with the point moved; the score layer follows the boundary. */
TKP_API TKP_NODISCARD tkp_status tkp_policy_with_point(
    tkp_policy **out,
    const tkp_policy *policy,
    int32_t stage,
    int32_t point,
    int32_t boundary);

/** A copy in which every random selector draws from this seed. */
TKP_API TKP_NODISCARD tkp_status tkp_policy_with_seed(
    tkp_policy **out, const tkp_policy *policy, uint64_t seed);

TKP_END_DECLS

#endif
