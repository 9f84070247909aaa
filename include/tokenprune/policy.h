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
    TKP_POINT_KV = 4,        /* after prefill */
    TKP_POINT_VISION_MLP = 5 /* inside block `boundary` of the encoder, between
                                attention and MLP */
};

enum tkp_positions_rule {
    TKP_POSITIONS_KEEP = 0,  /* survivors keep their rotary positions */
    TKP_POSITIONS_REPACK = 1 /* survivors are renumbered 0, 1, 2, ... */
};

enum tkp_stage_effect {
    TKP_EFFECT_CUT = 0, /* what is not kept goes */
    TKP_EFFECT_PROTECT =
        1 /* nothing goes; no later stage may drop what is kept */
};

enum tkp_stage_order {
    TKP_STAGE_ORDER_ROWS = 0, /* rows that stay keep their order */
    TKP_STAGE_ORDER_PARTS = 1 /* in each frame, tokens of later parts of a chain
                                 come behind those of the first, as they were
                                 chosen; indices do not ascend then */
};

enum tkp_score_layer {
    TKP_SCORE_LAYER_DEFAULT = -1, /* boundary - 1, the last that has run */
    TKP_SCORE_LAYER_NEXT = -2 /* boundary: q and k that the coming layer makes
                                     of the rows before the cut */
};

typedef struct tkp_stage_options {
    uint32_t struct_size;
    int32_t point;       /* enum tkp_point_kind */
    int32_t boundary;    /* LLM: layers that run before the cut; VISION,
                            VISION_MLP: blocks of the encoder */
    int32_t score_layer; /* whose attention; 0-based, at most `boundary`; or
                            enum tkp_score_layer */
    int32_t positions;   /* enum tkp_positions_rule */
    int32_t reserved;
    const tkp_scorer_options *scorer;     /* NULL = TKP_SCORER_NONE */
    const tkp_selector_options *selector; /* NULL = TKP_SELECTOR_ALL */
    const tkp_merger_options *merger;     /* NULL = TKP_MERGER_NONE */
    const tkp_budget *budget;             /* NULL = everything */
    int32_t effect;                       /* enum tkp_stage_effect */
    int32_t
        kv_begin;   /* KV: layers whose caches are cut, from this one on ... */
    int32_t kv_end; /* ... before this one; both 0 = all */
    int32_t order;  /* enum tkp_stage_order */
} tkp_stage_options;

#define TKP_STAGE_OPTIONS_INIT                                                 \
    {                                                                          \
        (uint32_t)sizeof(tkp_stage_options), 0, 0, -1, 0, 0, NULL, NULL, NULL, \
            NULL, 0, 0, 0, 0                                                   \
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
 * @retval TKP_ERR_PARSE    not YAML
 * @retval TKP_ERR_POLICY   YAML, but no policy
 * @retval TKP_ERR_VERSION  of a schema version this library does not know
 * @retval TKP_ERR_IO       the file cannot be read
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
    const tkp_policy *policy,
    int32_t i,
    tkp_stage_options *options);

enum tkp_policy_flags {
    TKP_POLICY_TEXT_DEPENDENT = 1, /* what is kept depends on the question */
    TKP_POLICY_MERGES = 2,         /* kept rows are changed */
    TKP_POLICY_IN_VISION = 4,      /* acts inside the encoder */
    TKP_POLICY_IN_LLM = 8,         /* acts inside the decoder */
    TKP_POLICY_EVICTS = 16,        /* acts on the KV cache after prefill */
    TKP_POLICY_ADAPTIVE = 32,      /* the data decide how many are kept; without
                                      it the budget does, exactly */
    TKP_POLICY_KEY_BIAS = 64 /* attention has to take a bias of each key */
};

/** What an engine can ask before it runs anything. */
typedef struct tkp_policy_info {
    uint32_t struct_size;
    uint32_t needs;        /* enum tkp_need of all stages together */
    uint32_t flags;        /* enum tkp_policy_flags */
    int32_t last_boundary; /* last decoder boundary that is cut; -1 = none */
    /* Which rows of the CLS token are wanted as `cls_attention` and as
     * `cls_shallow` where they are needed: encoder_layer of tkp_scorer_options;
     * 1 = scaled logits, not probabilities; 2 more: of unit vectors, as
     * TKP_ATTENTION_UNIT says. */
    int32_t cls_layer;
    int32_t cls_logits;
    int32_t shallow_layer;
    int32_t shallow_logits;
} tkp_policy_info;

#define TKP_POLICY_INFO_INIT                                                   \
    {                                                                          \
        (uint32_t)sizeof(tkp_policy_info), 0, 0, 0, 0, 0, 0, 0                 \
    }
TKP_API void tkp_policy_info_init(tkp_policy_info *info);

/**
 * Before the encoder runs: which of its tensors will be wanted, and whether a
 * result may be kept for other questions about the same picture (it may, if
 * TKP_POLICY_TEXT_DEPENDENT is not set and no cut lies inside the decoder).
 * tkp_policy_get_point() tells the points apart.
 */
TKP_API TKP_NODISCARD tkp_status
tkp_policy_query(const tkp_policy *policy, tkp_policy_info *info);

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

/** Depths of two models: whom a policy was made for, and whom it is for now. */
typedef struct tkp_depth {
    int32_t from_layers, layers; /* of the decoder, 1 to 65536 */
    int32_t from_blocks, blocks; /* of the encoder that run; 0 = as they are */
} tkp_depth;

/**
 * A copy for a model of another depth: boundaries b of from_layers become
 * floor(b layers / from_layers), but at least 1 where b is; score layers stay as
 * far from them, ends of `kv` are rounded likewise. Of stages that come to stand
 * at one point the last remains, and those that protect.
 * @retval TKP_ERR_OPTION  a depth is out of range, or a boundary is beyond
 *                         from_layers or from_blocks
 */
TKP_API TKP_NODISCARD tkp_status tkp_policy_with_depth(
    tkp_policy **out,
    const tkp_policy *policy,
    const tkp_depth *depth);

/** A copy in which every random selector draws from this seed. */
TKP_API TKP_NODISCARD tkp_status
tkp_policy_with_seed(tkp_policy **out, const tkp_policy *policy, uint64_t seed);

TKP_END_DECLS

#endif
