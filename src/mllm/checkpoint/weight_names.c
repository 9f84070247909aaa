/*
 * Published spellings of weight names (models.md 2.1): the hub keeps the names
 * of transformers before 4.52, files saved since may have the new ones, and
 * CLIP's inner module disappeared in 5.6. First match wins.
 */

#include "mllm/checkpoint/weight_names.h"

#include <stdio.h>

static const struct {
    const char *stored;
    const char *internal;
} prefixes[] = {
    {"model.vision_tower.vision_tower.vision_model.", "vit."},
    {"model.vision_tower.vision_model.", "vit."},
    {"vision_tower.vision_model.", "vit."},
    {"model.vision_tower.", "vit."},
    {"vision_tower.", "vit."},
    {"vision_model.", "vit."},
    {"model.visual.merger.mlp.", "proj."},
    {"visual.merger.mlp.", "proj."},
    {"model.visual.", "vit."},
    {"visual.", "vit."},
    {"model.multi_modal_projector.linear_1.", "proj.0."},
    {"model.multi_modal_projector.linear_2.", "proj.2."},
    {"multi_modal_projector.linear_1.", "proj.0."},
    {"multi_modal_projector.linear_2.", "proj.2."},
    {"model.mm_projector.", "proj."},
    {"mm_projector.", "proj."},
    {"model.image_newline", "newline"},
    {"image_newline", "newline"},
    {"language_model.model.", "lm."},
    {"language_model.lm_head.", "head."},
    {"model.language_model.", "lm."},
    {"lm_head.", "head."},
    {"model.", "lm."},
};

static const char *const ignored_prefixes[] = {
    "text_model.", "text_projection.", "visual_projection.", "logit_scale"};
static const char *const ignored_suffixes[] = {".position_ids", ".inv_freq"};

static bool begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool ends(const char *text, const char *suffix)
{
    const size_t a = strlen(text);
    const size_t b = strlen(suffix);
    return a >= b && strcmp(text + a - b, suffix) == 0;
}

static bool ignored(const char *name)
{
    for (size_t i = 0; i < sizeof(ignored_prefixes) / sizeof(char *); i++)
        if (begins(name, ignored_prefixes[i]))
            return true;
    for (size_t i = 0; i < sizeof(ignored_suffixes) / sizeof(char *); i++)
        if (ends(name, ignored_suffixes[i]))
            return true;
    return false;
}

enum tkp__weight_name_kind
tkp__weight_name_map(char out[TKP__WEIGHT_NAME_BYTES], const char *stored)
{
    if (ignored(stored))
        return TKP__WEIGHT_NAME_IGNORED;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (!begins(stored, prefixes[i].stored))
            continue;
        const int length = snprintf(
            out, TKP__WEIGHT_NAME_BYTES, "%s%s", prefixes[i].internal,
            stored + strlen(prefixes[i].stored));
        return length < TKP__WEIGHT_NAME_BYTES ? TKP__WEIGHT_NAME_MAPPED
                                               : TKP__WEIGHT_NAME_UNKNOWN;
    }
    return TKP__WEIGHT_NAME_UNKNOWN;
}
