#ifndef REF_REF_HEAD_MEAN_H
#define REF_REF_HEAD_MEAN_H

#include "ref/ref.h"

typedef struct tkp__ref_head_mean {
    const tkp_tensor *args; /* the first nine of ATTENTION_SCORES */
    uint32_t flags;         /* enum tkp_attention_flags */
    float scale;            /* 0 = 1 / sqrt(C) */
    double *logits;         /* scratch, as many as there may be keys */
    double *lse;            /* [H], of the row at hand */
} tkp__ref_head_mean;

/* Keys of the longest sequence the view can hold. */
int64_t tkp__ref_head_mean_keys(const tkp_tensor *args);
tkp_status tkp__ref_head_mean_check(const tkp_tensor *args);
/* Turns to query row q of sequence b; how many keys it sees. */
int64_t
tkp__ref_head_mean_row(const tkp__ref_head_mean *m, int64_t b, int64_t q);
/* Of one head: a probability, or a logit. */
double tkp__ref_head_mean_one(
    const tkp__ref_head_mean *m,
    int64_t b,
    int64_t q,
    int64_t h,
    int64_t j);
/* a[q, j]: the mean over heads of probabilities, or of logits. */
double tkp__ref_head_mean_at(
    const tkp__ref_head_mean *m,
    int64_t b,
    int64_t q,
    int64_t j);

#endif
