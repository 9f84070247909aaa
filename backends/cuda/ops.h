#ifndef TKP_BACKENDS_CUDA_OPS_H
#define TKP_BACKENDS_CUDA_OPS_H

#include "cuda/cuda.h"

/* scores */
extern const tkp__cuda_op tkp__cuda_attention_scores;
extern const tkp__cuda_op tkp__cuda_attention_rows_reduce;
extern const tkp__cuda_op tkp__cuda_row_norm;
extern const tkp__cuda_op tkp__cuda_cosine;
extern const tkp__cuda_op tkp__cuda_cosine_pairs;
extern const tkp__cuda_op tkp__cuda_blend;
extern const tkp__cuda_op tkp__cuda_temporal;
extern const tkp__cuda_op tkp__cuda_similarity;
extern const tkp__cuda_op tkp__cuda_curvature;
extern const tkp__cuda_op tkp__cuda_gaussian_scores;
extern const tkp__cuda_op tkp__cuda_crop_variance;
extern const tkp__cuda_op tkp__cuda_relevance;
extern const tkp__cuda_op tkp__cuda_mean_query;
extern const tkp__cuda_op tkp__cuda_value_attention;
extern const tkp__cuda_op tkp__cuda_text_raters;
extern const tkp__cuda_op tkp__cuda_reconstruction;
extern const tkp__cuda_op tkp__cuda_attention_heads;
extern const tkp__cuda_op tkp__cuda_attention_rank;

/* selection */
extern const tkp__cuda_op tkp__cuda_topk;
extern const tkp__cuda_op tkp__cuda_compact;
extern const tkp__cuda_op tkp__cuda_greedy_distance;
extern const tkp__cuda_op tkp__cuda_greedy_cover;
extern const tkp__cuda_op tkp__cuda_greedy_dpp;
extern const tkp__cuda_op tkp__cuda_greedy_tri;
extern const tkp__cuda_op tkp__cuda_sample;
extern const tkp__cuda_op tkp__cuda_pivots;
extern const tkp__cuda_op tkp__cuda_density_peaks;
extern const tkp__cuda_op tkp__cuda_cluster_centres;
extern const tkp__cuda_op tkp__cuda_nms;
extern const tkp__cuda_op tkp__cuda_nominate;
extern const tkp__cuda_op tkp__cuda_neighbours;
extern const tkp__cuda_op tkp__cuda_parity;
extern const tkp__cuda_op tkp__cuda_segments;
extern const tkp__cuda_op tkp__cuda_principal_groups;

/* groups, rows */
extern const tkp__cuda_op tkp__cuda_group_pool;
extern const tkp__cuda_op tkp__cuda_group_broadcast;
extern const tkp__cuda_op tkp__cuda_gather_rows;
extern const tkp__cuda_op tkp__cuda_scatter_rows;
extern const tkp__cuda_op tkp__cuda_merge_rows;
extern const tkp__cuda_op tkp__cuda_combine_rows;
extern const tkp__cuda_op tkp__cuda_nearest;

/* forward */
extern const tkp__cuda_op tkp__cuda_linear;
extern const tkp__cuda_op tkp__cuda_rms_norm;
extern const tkp__cuda_op tkp__cuda_layer_norm;
extern const tkp__cuda_op tkp__cuda_rotary_table;
extern const tkp__cuda_op tkp__cuda_rotary;
extern const tkp__cuda_op tkp__cuda_activation;
extern const tkp__cuda_op tkp__cuda_add;
extern const tkp__cuda_op tkp__cuda_patches;
extern const tkp__cuda_op tkp__cuda_cast;
extern const tkp__cuda_op tkp__cuda_attention;

#endif
