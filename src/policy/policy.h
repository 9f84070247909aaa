#ifndef TKP_POLICY_POLICY_H
#define TKP_POLICY_POLICY_H

/*
 * A policy: stages as plain data. YAML builds the same option structs a C
 * caller fills in by hand, and hands them to tkp__policy_add_stage(); it has
 * no power of its own.
 */

#include "merger/merger.h"
#include "scorer/scorer.h"
#include "selector/selector.h"
#include "tokenprune/policy.h"

enum { TKP__POLICY_NAME_BYTES = 64, TKP__POLICY_LINE_BYTES = 256 };

typedef struct tkp__stage {
    int32_t point;
    int32_t boundary;
    int32_t score_layer; /* -1 = no attention wanted */
    int32_t positions;
    int32_t effect;
    int32_t kv_begin, kv_end; /* [0, 0) = all layers */
    int32_t order;
    tkp__scorer_spec scorer;
    tkp__selector_spec selector;
    tkp__merger_spec merger;
    tkp_budget budget;
} tkp__stage;

struct tkp_policy {
    atomic_int references;
    char name[TKP__POLICY_NAME_BYTES];
    char summary[TKP__POLICY_LINE_BYTES]; /* what it does; may be empty */
    char source[TKP__POLICY_LINE_BYTES];  /* paper; may be empty */
    int32_t n_stages;
    tkp__stage *stages[TKP_POLICY_MAX_STAGES];
};

tkp_status tkp__policy_new(tkp_policy **out, const char *name);
void tkp__policy_retain(tkp_policy *policy);
void tkp__policy_release(tkp_policy *policy);
tkp_status
tkp__policy_add_stage(tkp_policy *policy, const tkp_stage_options *options);
/* Options whose pointers lead into the stage. */
void tkp__stage_view(const tkp__stage *stage, tkp_stage_options *options);
static inline bool tkp__point_in_encoder(int32_t point)
{
    return point == TKP_POINT_VISION || point == TKP_POINT_VISION_MLP;
}
/* The first decoder layer of `layers` that runs on what the stage leaves: 0
 * for cuts before the language model, `layers` for one after prefill. */
int32_t tkp__stage_first_layer(const tkp__stage *stage, int32_t layers);
/* enum tkp_need bits of all parts of a stage. */
/* Of the selector's, or of the merger's. */
bool tkp__stage_needs_scores(const tkp__stage *stage);
uint32_t tkp__stage_needs(const tkp__stage *stage);
/* Attention, keys or values of a decoder layer that has run. */
bool tkp__stage_reads_layer(const tkp__stage *stage);

/* Whether the data decide how many are left, or are protected. */
bool tkp__stage_is_adaptive(const tkp__stage *stage);

void tkp__policy_describe(const tkp_policy *policy, tkp_policy_info *info);

tkp_status tkp__policy_with_budget(
    tkp_policy **out,
    const tkp_policy *policy,
    int32_t stage,
    const tkp_budget *budget);
tkp_status tkp__policy_with_depth(
    tkp_policy **out,
    const tkp_policy *policy,
    const tkp_depth *depth);
tkp_status tkp__policy_with_point(
    tkp_policy **out,
    const tkp_policy *policy,
    int32_t stage,
    int32_t point,
    int32_t boundary);
tkp_status tkp__policy_with_seed(
    tkp_policy **out,
    const tkp_policy *policy,
    uint64_t seed);

/* yaml_read.c, yaml_write.c: the only files that know YAML. */
tkp_status tkp__policy_from_file(tkp_policy **out, const char *path);
tkp_status tkp__policy_from_yaml(
    tkp_policy **out,
    const char *text,
    size_t bytes,
    const char *source_name);
size_t
tkp__policy_to_yaml(const tkp_policy *policy, char *text, size_t capacity);

/* presets.c: the built-in policies, as YAML texts. */
typedef struct tkp__preset {
    const char *name;
    const char *summary;
    const char *yaml;
} tkp__preset;
extern const tkp__preset tkp__presets[];
extern const int32_t tkp__preset_count;
tkp_status tkp__policy_preset(tkp_policy **out, const char *name);

#endif
