#ifndef TKP_MLLM_ENGINE_H
#define TKP_MLLM_ENGINE_H

/* One batch on its way through the model. */

#include "mllm/request.h"

/* What the forward before the decoder leaves behind, if the policy asks. */
typedef struct tkp__kept_inputs {
    uint32_t needs;       /* enum tkp_need of the whole policy */
    tkp__vision_wants of; /* which blocks of the encoder */
    /* Of the encoder: [patches, ..], of which tkp__engine_pack() leaves N. */
    tkp__buffer vision;     /* [N, Dv] */
    tkp__buffer keys;       /* [N, Dk] */
    tkp__buffer cls;        /* [N, 1] f32 */
    tkp__buffer shallow;    /* [N, 1] f32 */
    tkp__buffer embeddings; /* [R, D] */
    tkp__buffer text;       /* [m, D] */
    int32_t *text_rows;     /* [m] packed rows of the questions' words */
    int32_t *text_offsets;  /* [B + 1] */
    int64_t text_count;     /* m */
} tkp__kept_inputs;

/* What a score layer leaves behind for its point. */
typedef struct tkp__kept_attention {
    int32_t *rows;       /* [Q] the query rows */
    tkp__buffer q;       /* [Q, H C] */
    tkp__buffer lse;     /* [Q, H] f32 */
    tkp__buffer all_lse; /* [R, H] f32 */
    tkp__buffer k, v;    /* [R, G C], where the cache has gaps */
    tkp__buffer plain_q; /* [R, H C] before they are rotated; where asked for */
    tkp__buffer plain_k; /* [R, G C] */
    tkp_tensor k_view;   /* [R, G, C] */
    tkp_tensor v_view;   /* [R, G, C], if the point wants values */
    int64_t capacity;    /* query rows there is room for */
} tkp__kept_attention;

/* Which rows of the prompts are where; only for policies that cut after
 * prefill. (evict.c) */
typedef struct tkp__history {
    int64_t rows;     /* R */
    int32_t *now;     /* [R] the first row of each that is still there */
    int32_t *scratch; /* [R] */
    int32_t *place;   /* [R] scratch */
    int32_t *begin;   /* [B + 1] */
    int32_t *layers;  /* [layers, R] what each layer saw */
} tkp__history;

tkp_status tkp__history_create(
    tkp__history *history,
    int32_t layers,
    int32_t sequences,
    int64_t rows);
void tkp__history_release(tkp__history *history);
/* Without create(), these do nothing. */
void tkp__history_note_layer(
    tkp__history *history,
    int32_t layer,
    int64_t rows);
void tkp__history_note_cut(tkp__history *history, const tkp_decision *decision);
/* Those that enter the decoder, where cuts inside the encoder left some out. */
void tkp__history_note_rows(
    tkp__history *history,
    const int32_t *rows,
    int64_t count);

typedef struct tkp__engine {
    const tkp_mllm *model;
    const tkp__prompt *prompt; /* [sequences] the caller's */
    int32_t sequences;         /* B */
    int64_t rows;              /* R of the whole prompts */
    int64_t visual_tokens;     /* N of the whole batch, without newlines */
    int64_t patches;           /* rows of the projector: padding, too */
    int64_t seen;      /* that it gives: as many, but for cuts of the encoder */
    int32_t *survivor; /* [patches] which; if some went, visual tokens */
    int64_t *block_patches; /* [blocks] that left each block of the encoder */
    int32_t blocks;
    tkp__forward f;
    tkp__workspace *workspace;
    tkp_layout *layout;
    tkp_policy *policy; /* the caller's, or `none` */
    tkp_policy *none;
    tkp_sequence *sequence;
    tkp_point point;
    tkp__decoder_state decoder;
    tkp__kept_inputs inputs;
    tkp__kept_attention kept;
    tkp__history history;
    tkp__buffer key_bias; /* [R, 1] f32 on the host, once a cut says so */
    tkp__buffer logits;   /* [B, V] f32 on the host, if the forward is not */
    tkp__buffer visual;   /* [seen, D] projector rows until they are placed */
    int32_t *lists;
    int32_t *positions;       /* [P, R] of the rows as they are */
    int32_t *index;           /* [R] scratch */
    int32_t *from;            /* [R] scratch */
    int32_t *count;           /* [B] scratch */
    const tkp_tensor *scores; /* [N] the caller's, or NULL */
    tkp__buffer score_copy;   /* [N, 1] f32 where the forward runs, if that is
                                 elsewhere */
    tkp_tensor score_view;    /* of it */
    bool evicts, biases;
    double vision_seconds, prefill_seconds, pruning_seconds;
} tkp__engine;

/* Everything is planned, and every budget resolved, before anything runs.
 * `extra` tokens a sequence may be decoded. `forward` says who listens; its exec
 * is made here. */
tkp_status tkp__engine_create(
    tkp__engine *engine,
    const tkp_mllm *model,
    const tkp__prompt *prompts,
    int32_t count,
    tkp_policy *policy,
    int64_t extra,
    const tkp_tensor *scores,
    const tkp__forward *forward);
void tkp__engine_release(tkp__engine *engine);

/* The next cut; memory for what its layer has to leave behind. */
tkp_status tkp__engine_next_point(tkp__engine *engine);

/* visual = projector(vision(pictures)), and every cut inside. (look.c) */
tkp_status tkp__engine_look(tkp__engine *engine);

/* From pixels and ids to logits [B, V] of the last rows. */
tkp_status tkp__engine_prefill(tkp__engine *engine, tkp_tensor *logits);

/* visual = projector(vision(pictures)) of a model that takes any size.
 * (look_frames.c) */
tkp_status tkp__engine_look_at_frames(tkp__engine *engine);

/* What the policy wants of the encoder, for projector rows from `at` on; `keys`
 * are the rows for its keys. */
tkp__vision_wants tkp__engine_wants(
    const tkp__engine *engine,
    int64_t at,
    const tkp_tensor *keys);

/* Positions [P, R] of the whole prompts. (positions.c) */
void tkp__engine_list_positions(tkp__engine *engine);

/* Where the encoder's patches stand in the prompts: projector rows go into x,
 * newlines behind the rows of tiles, and what stages look at is put in the
 * order of the visual tokens. (pack.c) */
tkp_status tkp__engine_pack(tkp__engine *engine, const tkp_tensor *x);

/* Take what the decision dropped out of every cache. */
tkp_status tkp__engine_evict(tkp__engine *engine, const tkp_decision *decision);

/* One more token of each active sequence: ids [B], active [B] 0 or 1. `step`
 * counts from 0. logits [active ones, V]. */
tkp_status tkp__engine_decode(
    tkp__engine *engine,
    const int32_t *ids,
    const int32_t *active,
    int32_t step,
    tkp_tensor *logits);

double tkp__engine_now(void);

#endif
