/*
 * All kinds that have kernels here, by the themes of tokenprune/sys/op.h.
 */

#include "cuda/ops.h"

const tkp__cuda_op *const tkp__cuda_ops[] = {
    /* scores */
    &tkp__cuda_attention_scores,
    &tkp__cuda_attention_rows_reduce,
    &tkp__cuda_row_norm,
    &tkp__cuda_cosine,
    &tkp__cuda_cosine_pairs,
    &tkp__cuda_blend,
    &tkp__cuda_temporal,
    &tkp__cuda_similarity,
    &tkp__cuda_curvature,
    &tkp__cuda_gaussian_scores,
    &tkp__cuda_crop_variance,
    &tkp__cuda_relevance,
    &tkp__cuda_mean_query,
    &tkp__cuda_value_attention,
    &tkp__cuda_text_raters,
    &tkp__cuda_reconstruction,
    &tkp__cuda_attention_heads,
    &tkp__cuda_attention_rank,
    /* selection */
    &tkp__cuda_topk,
    &tkp__cuda_compact,
    &tkp__cuda_greedy_distance,
    &tkp__cuda_greedy_cover,
    &tkp__cuda_greedy_dpp,
    &tkp__cuda_greedy_tri,
    &tkp__cuda_sample,
    &tkp__cuda_pivots,
    &tkp__cuda_density_peaks,
    &tkp__cuda_cluster_centres,
    &tkp__cuda_nms,
    &tkp__cuda_nominate,
    &tkp__cuda_neighbours,
    &tkp__cuda_parity,
    &tkp__cuda_segments,
    &tkp__cuda_principal_groups,
    /* groups, rows */
    &tkp__cuda_group_pool,
    &tkp__cuda_group_broadcast,
    &tkp__cuda_gather_rows,
    &tkp__cuda_scatter_rows,
    &tkp__cuda_merge_rows,
    &tkp__cuda_combine_rows,
    &tkp__cuda_nearest,
    /* forward */
    &tkp__cuda_linear,
    &tkp__cuda_rms_norm,
    &tkp__cuda_layer_norm,
    &tkp__cuda_rotary_table,
    &tkp__cuda_rotary,
    &tkp__cuda_activation,
    &tkp__cuda_add,
    &tkp__cuda_patches,
    &tkp__cuda_cast,
    &tkp__cuda_attention,
    nullptr,
};
