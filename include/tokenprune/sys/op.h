#ifndef TOKENPRUNE_SYS_OP_H
#define TOKENPRUNE_SYS_OP_H

/*
 * The op table, for people who extend the library or build an engine on it.
 *
 * An op is one numeric operation. Its plan is made once, for dtypes, a device
 * and largest shapes; it is immutable and may run in many threads, each with
 * its own exec. A run takes any shapes up to those of the plan, allocates
 * nothing and reads nothing back from the device. Every kind has a reference
 * kernel in the backend "ref", which is its definition.
 *
 * Conventions for all kinds:
 * - Arguments come in the order listed here. One that may be left out is a
 *   view with dtype TKP_DTYPE_NONE; whether it is there is part of the plan.
 * - Letters: B sequences, R rows of the packed batch (all tokens), N candidate
 *   tokens, K kept tokens, D channels, H query heads, G key/value heads (G
 *   divides H; query head h uses key head h / (H / G)), C channels of a head,
 *   Q query rows.
 * - "float" = f32 | f16 | bf16. Sums run in f32 or wider; one rounding at the
 *   end. Unless said otherwise, an input of two or more dimensions may have
 *   gaps between its rows (the stride of dimension 0 is free, 0 included) but
 *   none inside a row, and one of one dimension has unit stride. Outputs
 *   are row-major and overlap no input unless said. Strides are not part of
 *   the plan: each run brings its own. No dimension exceeds INT32_MAX.
 * - Ragged data are packed: offsets[B + 1] i32, offsets[0] = 0, sequence b
 *   has entries offsets[b] .. offsets[b + 1].
 * - Offset and index arguments are trusted as far as memory safety allows: the
 *   CPU kernels check them against the shapes and answer TKP_ERR_ARGUMENT.
 */

#include "tokenprune/context.h"

TKP_BEGIN_DECLS

enum tkp_op_kind {
    /* scores */
    TKP_OP_ATTENTION_SCORES = 1,
    TKP_OP_ATTENTION_ROWS_REDUCE = 2,
    TKP_OP_ROW_NORM = 3,
    TKP_OP_COSINE = 4,
    TKP_OP_COSINE_PAIRS = 5,
    TKP_OP_BLEND = 6,
    TKP_OP_RECONSTRUCTION = 7,
    TKP_OP_TEXT_RATERS = 8,
    TKP_OP_ATTENTION_HEADS = 9,
    TKP_OP_TEMPORAL = 10,
    TKP_OP_CROP_VARIANCE = 13,
    TKP_OP_GAUSSIAN_SCORES = 11,
    TKP_OP_SMOOTH_GRID = 12,
    TKP_OP_SIMILARITY = 14,
    TKP_OP_ROTARY_COORDINATES = 15,
    TKP_OP_RELEVANCE = 17,
    TKP_OP_ATTENTION_RANK = 18,
    TKP_OP_MEAN_QUERY = 19,
    TKP_OP_VALUE_ATTENTION = 46,
    /* selection */
    TKP_OP_TOPK = 20,
    TKP_OP_SAMPLE = 21,
    TKP_OP_COMPACT = 22,
    TKP_OP_CLUSTER_CENTRES = 23,
    TKP_OP_GREEDY_DISTANCE = 24,
    TKP_OP_GREEDY_COVER = 25,
    TKP_OP_GREEDY_DPP = 26,
    TKP_OP_GREEDY_TRI = 27,
    TKP_OP_NOMINATE = 28,
    TKP_OP_DENSITY_PEAKS = 29,
    TKP_OP_PARITY = 30,
    TKP_OP_PIVOTS = 31,
    TKP_OP_NMS = 32,
    TKP_OP_NEIGHBOURS = 35,
    TKP_OP_PRINCIPAL_GROUPS = 33,
    TKP_OP_QUOTA = 34,
    /* groups, rows */
    TKP_OP_GROUP_POOL = 40,
    TKP_OP_GROUP_BROADCAST = 41,
    TKP_OP_GATHER_ROWS = 42,
    TKP_OP_SCATTER_ROWS = 43,
    TKP_OP_NEAREST = 44,
    TKP_OP_MERGE_ROWS = 45,
    TKP_OP_COMBINE_ROWS = 39,
    TKP_OP_OVERVIEW = 52,
    TKP_OP_CURVATURE = 54,
    TKP_OP_RECONCILE = 55,
    TKP_OP_SEGMENTS = 56,
    TKP_OP_STATIC_WINDOWS = 57,
    /* forward */
    TKP_OP_LINEAR = 60,
    TKP_OP_RMS_NORM = 61,
    TKP_OP_LAYER_NORM = 62,
    TKP_OP_ROTARY_TABLE = 63,
    TKP_OP_ROTARY = 64,
    TKP_OP_ATTENTION = 65,
    TKP_OP_ACTIVATION = 66,
    TKP_OP_ADD = 67,
    TKP_OP_PATCHES = 68,
    TKP_OP_CAST = 69,

    TKP_OP_USER_FIRST = 1000 /* kinds of user-supplied backends */
};

/** Lower-case name of a kind ("attention_scores"); NULL if unknown. */
TKP_API const char *tkp_op_kind_string(int32_t kind);

#define TKP_OP_MAX_ARGS 12

/* ------------------------------------------------------------------------
 * Scores
 * --------------------------------------------------------------------- */

enum tkp_row_reduce {
    TKP_ROW_REDUCE_DEFAULT = 0,      /* LAST where a scorer asks for one row */
    TKP_ROW_REDUCE_LAST = 1,         /* only the last of the query rows given */
    TKP_ROW_REDUCE_MEAN = 2,         /* over all rows given */
    TKP_ROW_REDUCE_MEAN_VISIBLE = 3, /* over the rows that can see the key */
    TKP_ROW_REDUCE_SUM = 4,
    TKP_ROW_REDUCE_MAX = 5
};

enum tkp_attention_flags {
    TKP_ATTENTION_CAUSAL = 1,       /* a row sees keys 0 .. its position */
    TKP_ATTENTION_EMULATE_HALF = 2, /* round probabilities and their head mean
                                       to the dtype of q, as eager code does */
    TKP_ATTENTION_LOGITS = 4,       /* mean of scaled logits, no softmax */
    TKP_ATTENTION_UNIT = 8 /* no op's: of what an engine gives. Queries and keys
                              with the heads side by side, D wide and divided by
                              their lengths; logits are q . k / sqrt(D) */
};

/*
 * ATTENTION_SCORES: softmax probabilities of a few query rows, meaned over the
 * heads, reduced over the rows, at the candidate keys; no attention matrix.
 *   p[h, q, j] = exp(scale q_h . k_j - lse[h, q]),  j over all visible keys
 * Arguments:
 *   0 q            [Q, H, C] float, packed; after rotary
 *   1 k            [R, G, C] packed, or [B, L, G, C] one block a sequence, or,
 *                  with block_table, pages [P, S, G, C]; same dtype as q; all
 *                  strides but the last free
 *   2 lse          [Q, H] f32, natural log-sum-exp of the scaled logits over
 *                  all visible keys; or none: it is computed
 *   3 block_table  [B, T] i32 page of each S keys; or none
 *   4 q_offsets    [B + 1] i32
 *   5 q_positions  [Q] i32 key index the row itself has in its sequence
 *   6 k_offsets    [B + 1] i32 keys of each sequence
 *   7 offsets      [B + 1] i32 candidates of each sequence
 *   8 candidates   [N] i32 key index within the sequence
 *   9 dst          [N] f32
 * A candidate that no row sees scores 0.
 */
typedef struct tkp_op_attention_scores {
    uint32_t struct_size;
    uint32_t flags;     /* enum tkp_attention_flags */
    int32_t row_reduce; /* enum tkp_row_reduce; 0 = LAST */
    float scale;        /* 0 = 1 / sqrt(C) */
} tkp_op_attention_scores;

/*
 * ATTENTION_RANK: how many directions the same rows span at the candidates: the
 * singular values, of the matrix of head means in f32, above `tolerance` times
 * the largest.
 *   0 to 8 as ATTENTION_SCORES     9 dst [B] i32
 * Without rows or candidates it is 0; what is not finite is TKP_ERR_DATA.
 */
typedef struct tkp_op_attention_rank {
    uint32_t struct_size;
    uint32_t flags;  /* enum tkp_attention_flags, without LOGITS */
    float scale;     /* 0 = 1 / sqrt(C) */
    float tolerance; /* 0 = max(rows, candidates) 2^-23, of each sequence */
} tkp_op_attention_rank;

/*
 * ATTENTION_HEADS: ATTENTION_SCORES of those heads alone that attend most to the
 * candidates, each probability divided by what distance alone makes of it.
 *   c[h, q, j] = p[h, q, j] / max(G[q, j], G(0) / 64)
 *   G[q, j]    = (2 / sqrt(C)) mean over r of sum over i < C / 2 of
 *                cos((positions[r, q] - positions[r, j]) theta^(-2 i / C))
 *   heads      = of each sequence, those of the largest sum of c over its rows
 *                and candidates; of equal ones the lower number
 *   0 to 8 as ATTENTION_SCORES
 *   9 positions    [P, M] i32 rotary positions of the packed batch, in which key
 *                  j of sequence b is k_offsets[b] + j; or none, with theta = 0
 *  10 dst          [N] f32
 */
typedef struct tkp_op_attention_heads {
    uint32_t struct_size;
    uint32_t flags;     /* TKP_ATTENTION_CAUSAL or 0 */
    int32_t row_reduce; /* enum tkp_row_reduce, but MAX; 0 = LAST */
    float scale;        /* 0 = 1 / sqrt(C) */
    int32_t heads;      /* how many; 0 = all, as are more than there are */
    int32_t reserved;
    double theta; /* base of the rotary angles; 0 = probabilities as they are */
} tkp_op_attention_heads;

/*
 * ATTENTION_ROWS_REDUCE: the same from finished probabilities.
 *   0 probs        [Q, H, L] float (packed rows; H may be 1), or [B, L, H, L]
 *                  the full tensor (rows picked by q_positions); all strides
 *                  free
 *   1 q_offsets    [B + 1] i32
 *   2 q_positions  [Q] i32
 *   3 offsets      [B + 1] i32
 *   4 candidates   [N] i32
 *   5 dst          [N] f32
 * Params: tkp_op_attention_scores (scale unused).
 */

/*
 * ROW_NORM: dst[i] = norm of row rows[i].
 *   0 x [R, D] float   1 rows [N] i32 or none (0..R)   2 dst [N] f32
 */
enum tkp_norm { TKP_NORM_L1 = 1, TKP_NORM_L2 = 2 };
typedef struct tkp_op_row_norm {
    uint32_t struct_size;
    int32_t norm; /* enum tkp_norm; 0 = L1 */
} tkp_op_row_norm;

/*
 * COSINE: similarity of rows to one reference a sequence; 0 if a norm is 0.
 *   0 x [R, D] float   1 rows [N] i32   2 offsets [B + 1] i32
 *   3 reference [B, D] float            4 dst [N] f32
 * No params.
 */

/*
 * COSINE_PAIRS: similarity of each row to the other rows of its sequence,
 * O(N^2 D) time, O(N) memory beyond normalised rows.
 *   0 x [R, D] float   1 rows [N] i32   2 offsets [B + 1] i32   3 dst [N] f32
 * A sequence with one row scores 0.
 */
typedef struct tkp_op_cosine_pairs {
    uint32_t struct_size;
    int32_t reduce; /* TKP_ROW_REDUCE_MAX (= 0) or _MEAN, over the others */
} tkp_op_cosine_pairs;

/*
 * BLEND: weighted sum, largest or product of normalised terms, a sequence at a
 * time.
 *   dst = sum_t weight[t] * f_t(terms[t]),  f = normalise, then 1 - z if
 *   complement; MAX: the largest of the weighted terms; PRODUCT: their product
 *   0 terms [T, N] f32   1 offsets [B + 1] i32   2 dst [N] f32
 * Min-max and softmax of a constant term are 0 and 1/n. NaN stays NaN.
 */
#define TKP_BLEND_MAX_TERMS 8
enum tkp_normalise {
    TKP_NORMALISE_NONE = 0,
    TKP_NORMALISE_MIN_MAX = 1,
    TKP_NORMALISE_SOFTMAX = 2,
    TKP_NORMALISE_RANK = 3, /* (n - 1 - rank) / (n - 1); best rank is 0 */
    TKP_NORMALISE_SUM = 4,  /* divide by the sum; 0 if the sum is 0 */
    TKP_NORMALISE_L2 = 5    /* divide by the L2 norm, at least 1e-12 */
};
enum tkp_blend_combine {
    TKP_BLEND_SUM = 0,
    TKP_BLEND_MAX = 1,
    TKP_BLEND_PRODUCT = 2
};
typedef struct tkp_op_blend {
    uint32_t struct_size;
    int32_t terms; /* 1..TKP_BLEND_MAX_TERMS */
    float weight[TKP_BLEND_MAX_TERMS];
    int32_t normalise[TKP_BLEND_MAX_TERMS];  /* enum tkp_normalise */
    int32_t complement[TKP_BLEND_MAX_TERMS]; /* 0 or 1 */
    int32_t combine;                         /* enum tkp_blend_combine */
} tkp_op_blend;

enum tkp_overview_map {
    TKP_OVERVIEW_BILINEAR = 0, /* resized to the grid of the parts */
    TKP_OVERVIEW_SUM = 1,      /* sum over what a part shows */
    TKP_OVERVIEW_SHARE = 2 /* its share of 1 - alpha; the whole has alpha, or
                                  1 where there are no parts */
};

/*
 * OVERVIEW: what a picture that is seen as a whole says of its parts. BILINEAR:
 * half-pixel centres, borders repeat, cells without a candidate left out. SUM:
 * of h x w cells in H x W parts (u, v) is in part (min(u / max(h / H, 1), H -
 * 1), the same of columns).
 *   0 scores [N] f32
 *   1 cells [C] i32 candidate of each cell of the wholes; -1 = none
 *   2 pictures [I, 5] i32 first cell, rows, columns; rows and columns of what
 *     it is brought to (the parts', or how many parts)
 *   3 places [N, 3] i32 picture, row, column; row and column -1: the whole
 *     itself (SUM: of all; BILINEAR: the score); picture -1: the score
 *   4 dst [N] f32
 */
typedef struct tkp_op_overview {
    uint32_t struct_size;
    int32_t map; /* enum tkp_overview_map */
    float alpha; /* SHARE: 0 to 1 */
    int32_t reserved;
} tkp_op_overview;

enum tkp_similarity_kernel {
    TKP_SIMILARITY_COSINE = 0,
    TKP_SIMILARITY_SOFTMAX = 1 /* over the group's members, by temperature,
                                  divided by the group's rows of text */
};

/*
 * SIMILARITY: each row of text with the candidates of its groups.
 *   0 x [R, D] float              1 rows [N] i32
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 y [T, D] float              5 y_range [M, 2] i32 first row and end of
 *   each group; groups may share rows
 *   6 dst [T, N] f32; 0 where row and candidate have no group in common
 * A cosine is 0 where a norm is 0.
 */
typedef struct tkp_op_similarity {
    uint32_t struct_size;
    int32_t kernel;    /* enum tkp_similarity_kernel */
    float temperature; /* of SOFTMAX */
} tkp_op_similarity;

/*
 * RELEVANCE: what candidates have to do with text, 0 to 1 within a sequence.
 * From likeness P to prompts and Q to tokens of text, s = -1, or 1 if like:
 *   u_j = s mean_t P_tj;   v_j = sum_l a_l s Q_lj over the floor(share L) tokens
 *   (at least one) of lowest entropy H of softmax_j(sharpness s Q_lj), a =
 *   softmax(-H / temperature);   min-max of mix u + (1 - mix) v (u alone
 *   without tokens), epsilon added to the numerator; all equal: 1
 *   0 prompts [T, N] f32   1 prompt_range [B, 2] i32 rows of each sequence
 *   2 tokens [L, N] f32 or none   3 token_range [B, 2] i32; there if tokens is
 *   4 offsets [B + 1] i32  5 dst [N] f32
 * Several prompts: tokens in as many equal parts, each with a filter of its
 * own, and their mean; one part where that does not go.
 */
typedef struct tkp_op_relevance {
    uint32_t struct_size;
    int32_t like;
    float mix;       /* 0 to 1 */
    float share;     /* 0 to 1 */
    float sharpness; /* above 0 where there are tokens, as temperature */
    float temperature;
    float epsilon;
    int32_t reserved;
} tkp_op_relevance;

/*
 * SMOOTH_GRID: each value meaned with its eight neighbours by a Gaussian, then
 * raised to a power. Borders reflect; neighbours that are not there are left
 * out.
 *   0 src [N] f32   1 offsets [I + 1] i32 of images   2 grid [I, 3] i32 frames,
 *   rows, columns   3 cells [N] i32 (frame rows + row) columns + column
 *   4 dst [N] f32
 */
typedef struct tkp_op_smooth_grid {
    uint32_t struct_size;
    int32_t cells; /* most of an image */
    float sigma;
    float power; /* 0 = 1 */
} tkp_op_smooth_grid;

/*
 * RECONSTRUCTION: what a few candidates, the basis of a group, cannot say of
 * its members: the length of what ridge least squares leave.
 *   W = (B B^T + ridge I)^-1 B X^T;   dst_j = |x_j - sum_c W_cj B_c|
 *   0 x [R, D] float              1 rows [N] i32 row of x of each candidate
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 basis [T] i32 candidates    5 basis_offsets [M + 1] i32
 *   6 dst [N] f32; 0 for candidates of no group
 * A group without a basis has the norms. An error that is not finite is
 * TKP_ERR_DATA. O(N b D + b^3) time for a basis of b.
 */
typedef struct tkp_op_reconstruction {
    uint32_t struct_size;
    float ridge;     /* 0 = 1e-5 */
    int32_t largest; /* basis of a group in any run; 0 = all there may be */
    int32_t reserved;
} tkp_op_reconstruction;

/*
 * CROP_VARIANCE: how unevenly a token is like the others of its crop. s_ij the
 * cosines of a crop of n (0 where a norm is 0), s_ii = 0, m_i their sum over
 * n - 1:
 *   v_i = sum_j (s_ij - m_i)^2 / (n - 1), 0 for n = 1
 *   dst = v; with attention t + gain mean|t| / (mean v + 1e-6) v,
 *   t = 1000 attention, means over the crop
 *   0 x [R, D] float              1 rows [N] i32 row of x of each candidate
 *   2 offsets [M + 1] i32 where crops begin, all N candidates
 *   3 attention [N] f32; may be left out
 *   4 dst [N] f32
 * A norm or attention that is not finite is TKP_ERR_DATA. O(N n D) time.
 */
typedef struct tkp_op_crop_variance {
    uint32_t struct_size;
    float gain;   /* 0 = 0.09 */
    int32_t bare; /* 1: the attention of a crop of one counts once, not 1000
                     times (HoloV's code) */
    int32_t reserved;
} tkp_op_crop_variance;

/*
 * TEMPORAL: how much a token differs from the one at its place in the frame
 * before: 1 - cosine (0 where a norm is 0); `first` where there is none. With a
 * threshold: 0 where the cosine reaches it, else 1.
 *   0 x [R, D] float          1 rows [N] i32 row of x of each candidate
 *   2 before [N] i32 the candidate that it follows, or -1
 *   3 dst [N] f32
 * What is not finite is TKP_ERR_DATA.
 */
typedef struct tkp_op_temporal {
    uint32_t struct_size;
    float first;     /* 0 = 255, above all that 1 - cosine may be */
    float threshold; /* 0 = none; to 1 */
} tkp_op_temporal;

enum tkp_centre {
    TKP_CENTRE_BOTH = 0, /* the sum of the next two */
    TKP_CENTRE_VIDEO = 1,
    TKP_CENTRE_FRAME = 2
};

/*
 * GAUSSIAN_SCORES: how near a token is to the mean of its video and of its
 * frame: sum over k = -3 .. 1 of exp(-|y - mean|^2 / (2 2^k)), y the row over
 * its length (0 stays 0), in those channels alone that vary least over the
 * video; of equal ones the first.
 *   0 x [R, D] float          1 rows [N] i32 row of x of each candidate
 *   2 offsets [B + 1] i32 candidates of each video
 *   3 frame_offsets [F + 1] i32 candidates of each frame; none in two videos
 *   4 dst [N] f32
 * What is not finite is TKP_ERR_DATA.
 */
typedef struct tkp_op_gaussian_scores {
    uint32_t struct_size;
    int32_t centre;   /* enum tkp_centre */
    int32_t channels; /* how many; 0 = half of them, rounded down */
    int32_t reserved;
} tkp_op_gaussian_scores;

/*
 * TEXT_RATERS: the words that visual tokens are most like: their share of a
 * softmax over the words of a product with each visual token, meaned over these;
 * raters are those above the mean, or all where none is.
 *   0 x [R, D] float          1 rows [N] i32 visual   2 offsets [B + 1] i32
 *   3 text [T] i32 rows       4 text_offsets [B + 1] i32
 *   5 share [T] f32           6 raters [T] i32, 1 or 0
 */

/*
 * MEAN_QUERY: attention that candidates get from the mean query of their unit:
 * a softmax over the unit of the scaled products of that mean with their keys,
 * meaned over the heads.
 *   0 q [R, H, C] float       1 k [R, G, C] dtype of q; all strides but the last
 *   free                      2 rows [N] i32 row of each candidate
 *   3 offsets [B + 1] i32 candidates of each unit   4 dst [N] f32
 * A product that is not finite is TKP_ERR_DATA. O(N H C) time.
 */
typedef struct tkp_op_mean_query {
    uint32_t struct_size;
    float scale; /* 0 = 1 / sqrt(C) */
} tkp_op_mean_query;

/*
 * VALUE_ATTENTION: how like the values of candidates are to those of text: a
 * softmax over the sequence's candidates of scaled products with a row of text,
 * meaned over the heads, then over the rows of text and the seeds, which are those
 * candidates that are highest without them.
 *   0 v [R, G, C] float; all strides but the last free
 *   1 text [T] i32 rows           2 text_offsets [B + 1] i32
 *   3 rows [N] i32 row of each candidate   4 offsets [B + 1] i32
 *   5 seeds [B] i32, 0 to the candidates   6 dst [N] f32; 0 without text
 * Of equal ones the lower candidate is a seed. A product that is not finite is
 * TKP_ERR_DATA. O((T + seeds) N G C) time.
 */
typedef struct tkp_op_value_attention {
    uint32_t struct_size;
    float scale; /* 0 = 1 / sqrt(C) */
} tkp_op_value_attention;

/*
 * ROTARY_COORDINATES: the mean cosine (or sine) of the rotary angles of a row, over
 * pairs of channels and over the rows of positions, each of which turns all pairs.
 * Angles in the arithmetic of ROTARY_TABLE.
 *   0 positions [P, R] i32   1 rows [N] i32   2 dst [N] f32
 */
typedef struct tkp_op_rotary_coordinates {
    uint32_t struct_size;
    int32_t channels; /* C of a head, even */
    int32_t sine;     /* 1 = sine */
    int32_t reserved;
    double theta;
} tkp_op_rotary_coordinates;

/*
 * CURVATURE: how sharply a path turns at each of its points: 1 - cosine of the
 * steps to it and from it, between rows over their lengths; 1 at both ends, and
 * where a step has no length.
 *   0 x [F, D] float   1 offsets [B + 1] i32 points of each path   2 dst [F] f32
 * What is not finite is TKP_ERR_DATA. No params.
 */

/*
 * SEGMENTS: a path is cut where its points turn unlike: after point t where the
 * cosine of t and t + 1 (0 where a norm is 0) is below the threshold; then, while
 * the path has fewer than `least` segments and more than one point in some, where
 * it is least, of equal ones the first.
 *   0 x [F, D] float   1 offsets [B + 1] i32 points of each path
 *   2 dst [F] i32 segment of each point, numbered from 0 through all paths
 * What is not finite is TKP_ERR_DATA.
 */
typedef struct tkp_op_segments {
    uint32_t struct_size;
    float threshold; /* -1 to 1 */
    int32_t least;   /* 0 = 1 */
    int32_t reserved;
} tkp_op_segments;

/*
 * STATIC_WINDOWS: windows [s, e] of frames in which most tokens only repeat: a
 * cell is static if its tokens of frames s + 1 to e each go on the one before;
 * the sum of static cells times (e - s) is largest. Of equally good divisions
 * the one whose last window is shortest, and so on backwards.
 *   0 starts [N] f32 0 where a token goes on (TEMPORAL with a threshold)
 *   1 before [N] i32 the candidate that it follows, an earlier one, or -1; one
 *     that is not of the frame before is none
 *   2 frame_offsets [F + 1] i32 candidates of each frame
 *   3 offsets [B + 1] i32 frames of each video
 *   4 window [F] i32 of each frame, numbered from 0 through all videos
 *   5 head [N] i32 the candidate of a static token's cell in the first frame of
 *     its window; -1: it is not static, as in windows of one frame
 */
typedef struct tkp_op_static_windows {
    uint32_t struct_size;
    int32_t longest; /* frames of a window; 0 = 1024 */
} tkp_op_static_windows;

/* ------------------------------------------------------------------------
 * Selection. A group is a list of candidates among which a number is kept:
 * all of a sequence, an image, a window, a crop.
 * --------------------------------------------------------------------- */

enum tkp_order {
    TKP_ORDER_HIGHEST = 0, /* score descending, then index ascending */
    TKP_ORDER_LOWEST = 1   /* score ascending, then index ascending */
};

/*
 * TOPK: per group, the keep[g] best members by a strict total order.
 *   0 scores         [N] f32
 *   1 group_offsets  [M + 1] i32
 *   2 members        [>= group_offsets[M]] i32 index into scores; none = 0..N
 *   3 keep           [M] i32, 0 <= keep[g] <= size of the group
 *   4 out_offsets    [M + 1] i32 prefix sums of keep
 *   5 dst            [K] i32 index into scores, ascending in each group
 * NaN ranks below everything in both orders; -0 equals +0. A group that keeps
 * something and holds only NaN is TKP_ERR_DATA.
 */
typedef struct tkp_op_topk {
    uint32_t struct_size;
    int32_t order;           /* enum tkp_order */
    int32_t sorted_by_score; /* 1: best first instead of ascending index */
    int32_t reserved;
} tkp_op_topk;

/*
 * NOMINATE: rows of text name members of their groups, each row as many; what
 * nobody names comes by score. Of a group that keeps k, with r rows:
 *   each row    floor(k / r) members, those of lowest likeness (or highest); some
 *               may be named by several
 *   by score    the best of the others, until there are k
 * Of equal ones that which is listed first; NaN comes after everything.
 *   0 likeness [T, N] f32         1 range [M, 2] i32 first row of each group and
 *   end; groups may share rows    2 scores [N] f32
 *   3 group_offsets [M + 1] i32   4 members [..] i32; none = 0..N
 *   5 keep [M] i32                6 out_offsets [M + 1] i32 prefix sums of keep
 *   7 dst [K] i32 ascending in each group
 */
typedef struct tkp_op_nominate {
    uint32_t struct_size;
    int32_t order; /* enum tkp_order, of the likeness */
} tkp_op_nominate;

/*
 * SAMPLE: per group, a uniform subset of keep[g] members without replacement:
 * partial Fisher-Yates over the group's list, drawing from Philox4x32-10 with
 * key = (low, high) of seed and counter = (draw, group's index in its
 * sequence, sequence id, salt). Draw i of a group of n: the 128-bit output's
 * first 64 bits u (first word low), j = i + high64(u * (n - i)); swap i, j.
 *   0 group_offsets [M + 1] i32   1 members [..] i32 or none
 *   2 keep [M] i32                3 out_offsets [M + 1] i32
 *   4 stream [M, 2] i32 (sequence id, group index in its sequence)
 *   5 dst [K] i32 members, ascending in each group
 */
typedef struct tkp_op_sample {
    uint32_t struct_size;
    uint32_t salt; /* boundary of the stage, so that stages differ */
    uint64_t seed;
} tkp_op_sample;

/*
 * COMPACT: the rows that stay. Rows that are no candidates always stay.
 *   0 candidates [N] i32 row of each candidate (unique)
 *   1 selected   [K] i32 index into candidates (unique, any order)
 *   2 dst        [R - N + K] i32 rows, ascending
 * In a description the three sizes are each the largest of any run.
 */
typedef struct tkp_op_compact {
    uint32_t struct_size;
    int32_t reserved;
    int64_t rows; /* R; at run time: dst size + N - K */
} tkp_op_compact;

/*
 * Greedy kinds: per group, keep[g] members one after the other, each the best
 * given those before it; equal ones: the lower member. They share
 *   0 x             [R, D] float  1 rows [N] i32 row of x of each candidate
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 keep [M] i32                5 out_offsets [M + 1] i32
 * and write candidates in the order in which they were chosen. S_ij is the
 * cosine of candidates i and j, 0 where a norm is 0; S_jj is 1, or 0 there. A
 * number that is not finite, in a row or a weight of a member, is TKP_ERR_DATA.
 * `largest` in the params is the most members of a group in any run; 0 = all
 * entries there may be. It bounds the workspace.
 */

enum tkp_greedy_distance_rule {
    TKP_GREEDY_MAX_MIN = 0, /* the distance to the nearest chosen one */
    TKP_GREEDY_MMR = 1 /* lambda w_j - (1 - lambda) max over chosen i of S_ij;
                          the maximum over none is 0 */
};
enum tkp_greedy_measure {
    TKP_GREEDY_COSINE = 0,   /* 1 - S_ij */
    TKP_GREEDY_EUCLIDEAN = 1 /* |x_i - x_j|^2 */
};
/* Who comes first. */
enum tkp_greedy_start {
    TKP_GREEDY_START_DEFAULT = 0, /* NEAREST; WEIGHT where the rule is MMR */
    TKP_GREEDY_START_NEAREST = 1, /* farthest from its nearest other */
    TKP_GREEDY_START_WEIGHT = 2,  /* the largest weight */
    TKP_GREEDY_START_NORM = 3     /* the longest row */
};

/*
 * GREEDY_DISTANCE: farthest-point selection, and maximal marginal relevance.
 *   6 weights [N] f32 or none   7 dst [K] i32
 * O(K N D) time; the start by NEAREST O(N^2 D).
 */
typedef struct tkp_op_greedy_distance {
    uint32_t struct_size;
    int32_t rule;     /* enum tkp_greedy_distance_rule */
    int32_t measure;  /* enum tkp_greedy_measure; COSINE where rule is MMR */
    int32_t start;    /* enum tkp_greedy_start */
    int32_t weighted; /* MAX_MIN: 1 = the distance times the weight */
    float lambda;     /* MMR: 0 to 1 */
    int32_t largest;
    int32_t reserved;
} tkp_op_greedy_distance;

enum tkp_greedy_kernel {
    TKP_GREEDY_KERNEL_COSINE = 0, /* S_ij */
    TKP_GREEDY_KERNEL_HALF = 1,   /* (S_ij + 1) / 2 */
    TKP_GREEDY_KERNEL_SOFTMAX = 2 /* exp(S_ij / t) / sum_j exp(S_ij / t) / n */
};

/*
 * GREEDY_COVER: coverage of all members by those chosen (facility location).
 *   T = scale * kernel(S) of a group's n members, and below it the group's
 *   extra rows; c = 0; gain_j = sum_i demand_i max(0, T_ij - c_i), times
 *   factor_j^power (or plus it); the largest is chosen, c = max(c, T_.j)
 *   6 demand [N] f32 or none (1)    7 factor [N] f32 or none
 *   8 extra [T, N] f32 or none: more rows to be covered, demand 1, one column
 *     a candidate                   9 extra_range [M, 2] i32 first row and end
 *     of each group; there if extra is
 *   10 dst [K] i32
 * Demands and, unless added, factors below 0 are TKP_ERR_DATA.
 */
typedef struct tkp_op_greedy_cover {
    uint32_t struct_size;
    int32_t kernel;    /* enum tkp_greedy_kernel */
    float temperature; /* t of SOFTMAX */
    float scale;       /* 0 = 1 */
    float power;       /* of the factor; 0 = 1 */
    int32_t add;       /* 1: plus the factor */
    int32_t largest;
    int32_t reserved;
} tkp_op_greedy_cover;

enum tkp_greedy_dpp_kernel {
    TKP_GREEDY_DPP_PRODUCT = 0, /* w_i S_ij w_j */
    TKP_GREEDY_DPP_EXP = 1,     /* w = exp(theta / (2 (1 - theta)) w) first */
    TKP_GREEDY_DPP_MIX = 2      /* (1 - theta) S_ij + theta w_i S_ij w_j */
};

/*
 * GREEDY_DPP: greedy maximum of the determinant of a kernel matrix L.
 *   d_j = L_jj; the largest j is chosen, e_i = (L_ji - sum over rows c chosen
 *   before of c_j c_i) / sqrt(d_j), a new row c; d_i -= e_i^2
 * Where no d_j is above 1e-6 times the largest L_jj, the rest is filled by
 * weight, largest first.
 *   6 weights [N] f32 or none (1)   7 dst [K] i32
 * O(K N D + K^2 N) time, O(K N) memory.
 */
typedef struct tkp_op_greedy_dpp {
    uint32_t struct_size;
    int32_t kernel; /* enum tkp_greedy_dpp_kernel */
    float theta;    /* EXP: 0 to below 1; MIX: 0 to 1 */
    int32_t largest;
} tkp_op_greedy_dpp;

/*
 * GREEDY_TRI: importance, diversity and coverage at once. m_i = max over
 * chosen l of S_il; over those not chosen yet:
 *   d_j = 1 - m_j       c_j = sum over i not chosen of max(0, S_ij - m_i)
 *   f(w)_j + alpha f(d)_j + lambda f(c)_j, the largest is chosen
 * f divides by the mean of those not chosen, or takes min-max. A mean or span
 * that is 0, of d and c up to 1e-6, makes the term 0. The first one has the
 * largest weight.
 *   6 weights [N] f32   7 dst [K] i32
 */
typedef struct tkp_op_greedy_tri {
    uint32_t struct_size;
    float alpha;
    float lambda;
    int32_t min_max; /* 1: f is min-max */
    int32_t largest;
    int32_t reserved;
} tkp_op_greedy_tri;

/*
 * PARITY: duplicates go. A group's members in the order of their weights, the
 * largest first; while more than keep[g] are left: A the even places of the
 * list, B the odd ones, v_a the largest cosine of a to a member of B; the u =
 * min(step, left - keep[g], size of A) of A of largest v go. The new list is
 * what is left of A, largest v first, then B. Of equal weights the lower
 * candidate comes first, of equal v who stands before.
 *   6 weights [N] f32   7 dst [K] i32
 * O(N^2 D) time and 8 N^2 bytes for the largest group, then about N^3 / 12 step
 * comparisons.
 */
typedef struct tkp_op_parity {
    uint32_t struct_size;
    int32_t step; /* 0 = 8 */
    int32_t largest;
    int32_t reserved;
} tkp_op_parity;

/*
 * PIVOTS: per group, the pivots that are members, and then for pivot after
 * pivot the members that are least like it (DART).
 *   0 x              [R, D] float
 *   1 rows           [T] i32 row of x of each entry: candidates, and whatever
 *                    else may be a pivot
 *   2 group_offsets  [M + 1] i32
 *   3 members        [>= group_offsets[M]] i32 entries; none = 0..T
 *   4 keep           [M] i32, 0 <= keep[g] <= size of the group
 *   5 out_offsets    [M + 1] i32 prefix sums of keep
 *   6 pivot_offsets  [M + 1] i32
 *   7 pivots         [>= pivot_offsets[M]] i32 entries, in the order they are
 *                    visited
 *   8 dst            [K] i32 entries, in the order they are chosen
 * Members among the pivots come first, at most keep[g]. Each pivot then takes
 * per_pivot members that nobody has, of least cosine, of equal ones the lower
 * entry; the last pivot takes what is left of keep[g]. A group that keeps more
 * than its pivots needs one pivot (TKP_ERR_ARGUMENT). NaN: TKP_ERR_DATA.
 */
typedef struct tkp_op_pivots {
    uint32_t struct_size;
    int32_t per_pivot; /* 0 = keep[g] / pivots of the group */
} tkp_op_pivots;

/*
 * DENSITY_PEAKS: how dense it is around a token, and how far to where it is
 * denser. Of a group's n members, D_ij = |x_i - x_j| / sqrt(D):
 *   density_i = exp(-mean of the c smallest D_ij^2), rounded to f32
 *   delta_i   = min D_ij over denser j; the densest: the largest D of the group
 *   score_i   = density_i delta_i
 *   0 x [R, D] float         1 rows [N] i32 row of x of each candidate
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 neighbours [M] i32 c of each group, from 1 to its size (0 if that is 0); where a token
 *     is none of its own, one less at most is taken
 *   5 density [N] f32        6 score [N] f32; candidates of no group: 0
 * Of equal densities the earlier member is denser. A distance that is not
 * finite is TKP_ERR_DATA. O(N^2 D) time, O(N) memory.
 */
typedef struct tkp_op_density_peaks {
    uint32_t struct_size;
    int32_t others; /* 0: a token is among its neighbours; 1: it is not */
} tkp_op_density_peaks;

/*
 * CLUSTER_CENTRES: members that stand for all within a distance of them, D_ij =
 * 1 - cosine: in order of density, densest first, who is farther than that from
 * every centre so far is one.
 *   density_i = sum over members j of exp(-(D_ij / 2)^2), rounded to f32
 *   0 x [R, D] float              1 rows [N] i32 row of x of each candidate
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 density [N] f32, 0 for candidates of no group
 *   5 centre [N] i32 1 or 0; -1: of no group
 * Of equal densities the lower candidate is denser; a cosine is 0 where a norm
 * is 0. A row that is not finite is TKP_ERR_DATA. O(N^2 D) time.
 */
typedef struct tkp_op_cluster_centres {
    uint32_t struct_size;
    float distance; /* 0 to 2 */
} tkp_op_cluster_centres;

/*
 * PRINCIPAL_GROUPS: the principal component of its group that is strongest in
 * each member. Y [n, D] = s(x), each row less its mean over the channels; v_c
 * the unit eigenvectors of Y Y^T of the q largest eigenvalues, largest first.
 *   component_j = arg max over c of |v_cj|    strength_j = that maximum
 *   0 x [R, D] float              1 rows [N] i32 row of x of each candidate
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 components [M] i32 q of each group, 1 to its size (0 if that is 0)
 *   5 component [N] i32, -1 for candidates of no group   6 strength [N] f32
 * Of equal ones the lower component; one whose eigenvalue is at or below 1e-12
 * times the largest has strength 0. A row that is not finite is TKP_ERR_DATA.
 * O(n^2 (n + D)) time, O(n (n + D)) memory.
 */
typedef struct tkp_op_principal_groups {
    uint32_t struct_size;
    int32_t logistic; /* 1: s = 1 / (1 + exp(-x)); 0: x itself */
    int32_t largest;  /* members of a group in any run; 0 = all there may be */
    int32_t largest_components; /* q of a group in any run; 0 = its size */
} tkp_op_principal_groups;

/*
 * NMS: members of a group that are left when the best silence what is like
 * them. In order of score, best first (of equal ones the lower candidate): who
 * is not silenced survives, and silences members of the same part with
 * S_ij > factor mean; mean is that of S_ij over all pairs of the group.
 *   0 x [R, D] float              1 rows [N] i32 row of x of each candidate
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 parts [N] i32 0..N-1, or none: one part   5 scores [N] f32
 *   6 factor [M] f32              7 survives [N] i32 1 or 0; -1: of no group
 *   8 mean [M] f32; 0 where a group has one member
 * A cosine S_ij is 0 where a norm is 0. A row or a score of a member that is not
 * finite is TKP_ERR_DATA. No params.
 */

enum tkp_quota_rule {
    TKP_QUOTA_LARGEST_REMAINDER =
        0,               /* in proportion to w, as tkp_apportion() */
    TKP_QUOTA_SPILL = 1, /* floor(rest w), at most the group; what is left all
                            goes to the largest fraction until it is full, then
                            to the next (V-CAST's code) */
    TKP_QUOTA_HEAVIEST = 3, /* floor(rest w); of what is left one each to the
                               heaviest; what exceeds a group is shared out by
                               largest remainder (HoloV) */
    TKP_QUOTA_TILT = 4,     /* in proportion to n (1 + w - mean of w), as
                           tkp_apportion(); truncated: see `truncate`
                           (GlobalCom2) */
    TKP_QUOTA_SOFT = 2 /* about n base (1 + w - mean of w), at most n: the sum
                            is not keep; see RECONCILE (VidCom2) */
};

/*
 * QUOTA: how many members each group keeps out of what its set keeps, by the
 * weights of its members: v their mean, times -1 if `lowest`; over the groups of
 * a set w = softmax(v / temperature), or without one v / sum of v (equal shares
 * where that is 0).
 *   0 weights [N] f32              1 group_offsets [M + 1] i32
 *   2 members [..] i32 index into weights; none = 0..N
 *   3 set_offsets [B + 1] i32 groups of each set, all of them
 *   4 keep [B] i32, 0 to the members of the set
 *   5 quota [M] i32
 * `least` tokens of each group (as many as there are; fewer, alike for all, where
 * keep does not suffice) come first, the rest by the rule. SOFT: round half to
 * even in f32, at least `least`. TILT truncated: floor(n min(1, base (1 + w -
 * mean of w))) in double precision, base read as a decimal number of seven
 * places, 1e-8 added to the sum of the softmax; LARGEST_REMAINDER truncated:
 * max(least, floor(keep w)), keep = round(base members) where base is not 0; none
 * above its size: not keep either. Equal ones: the lower group. Weights that are not finite, or below 0 without a temperature, are TKP_ERR_DATA.
 */
typedef struct tkp_op_quota {
    uint32_t struct_size;
    int32_t rule;   /* enum tkp_quota_rule */
    int32_t reduce; /* 0 = MEAN, or SUM or MAX of enum tkp_row_reduce */
    int32_t lowest; /* 1: the lower the weight, the more */
    int32_t least;
    float temperature; /* 0 = no softmax */
    float base;        /* SOFT, truncated: 0 to 1; 0 = keep / members of the
                          set */
    int32_t truncate;  /* 1 = TILT as GlobalCom2's code counts,
                          LARGEST_REMAINDER as EADP's */
} tkp_op_quota;

/*
 * RECONCILE: exactly keep[b] members of each set: first those that are among the
 * quota[g] best of their group, best first, then the others, best first.
 *   0 scores [N] f32               1 group_offsets [M + 1] i32
 *   2 members [..] i32 index into scores; none = 0..N
 *   3 quota [M] i32, 0 or more     4 set_offsets [B + 1] i32, as in QUOTA
 *   5 keep [B] i32                 6 out_offsets [B + 1] i32 prefix sums of keep
 *   7 dst [K] i32 index into scores, ascending in each set
 * NaN as in TOPK. Quotas that sum up to keep are kept to the letter.
 */
typedef struct tkp_op_reconcile {
    uint32_t struct_size;
    int32_t order; /* enum tkp_order */
} tkp_op_reconcile;

/* ------------------------------------------------------------------------
 * Groups and rows
 * --------------------------------------------------------------------- */

enum tkp_pool { TKP_POOL_AVERAGE = 1, TKP_POOL_MAX = 2 };

/*
 * GROUP_POOL: one row for each group of rows, channel by channel.
 *   0 x [R, D] float              1 group_offsets [M + 1] i32
 *   2 members [..] i32 row index  3 weights [R] f32 or none (average only)
 *   4 dst [M, D] float
 * An empty group gives zeros.
 */
typedef struct tkp_op_group_pool {
    uint32_t struct_size;
    int32_t pool; /* enum tkp_pool; 0 = average */
} tkp_op_group_pool;

/*
 * GROUP_BROADCAST: dst[member] = value[group]; other entries are untouched.
 *   0 value [M] f32   1 group_offsets [M + 1] i32   2 members [..] i32
 *   3 dst [N] f32
 */

/*
 * GATHER_ROWS: dst[i] = src[index[i]], any dtype, any ndim >= 1 (rows are the
 * first dimension; the others are contiguous).
 *   0 src [R, ...]   1 index [n] i32   2 dst [n, ...]
 * On the CPU dst may be src itself when index is ascending.
 *
 * SCATTER_ROWS: dst[index[i]] = src[i], converted to dst's dtype.
 *   0 src [n, D]   1 index [n] i32   2 dst [R, D]
 */

/*
 * NEAREST: for each member of a group, the kept one it is most like.
 *   0 x [R, D] float         1 rows [N] i32 row of x of each candidate
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 kept [K] i32 candidates, each once   5 kept_offsets [M + 1] i32
 *   6 dst [N] i32 entry of `kept`; -1: of no group, or of one without any
 *   7 likeness [N] f32 or none: the cosine (0 where a norm is 0), or minus the
 *     Euclidean distance; 0 where dst is -1
 * A kept candidate is its own. Of equal ones the lower entry. A likeness that
 * is not finite is TKP_ERR_DATA. O(N K D) time.
 */
typedef struct tkp_op_nearest {
    uint32_t struct_size;
    int32_t measure; /* enum tkp_greedy_measure */
} tkp_op_nearest;

enum tkp_merge_rule {
    TKP_MERGE_MEAN = 0,  /* (c w_k x_k + sum w_i x_i) / (c w_k + sum w_i) */
    TKP_MERGE_ADD = 1,   /* x_k + mean */
    TKP_MERGE_BLEND = 2, /* beta x_k + (1 - beta) mean */
    TKP_MERGE_BLEND_COUNT =
        3,            /* the same with max(beta, 1 / (1 + n)) for beta, n
                                 how many join */
    TKP_MERGE_SUM = 4 /* x_k + sum w_i x_i; of mergers that weigh rows */
};

/*
 * MERGE_ROWS: a new row for each kept candidate k, from its own and those i
 * that join it. mean = sum w_i x_i / sum w_i, in the order of candidates.
 * Where nobody joins, or the weights sum to 0, the row is x_k.
 *   0 x [R, D] float         1 rows [N] i32 row of x of each candidate
 *   2 kept [K] i32 candidates, each once
 *   3 assignment [N] i32 entry of `kept` that a candidate joins, -1 = none;
 *     that of kept candidates is not read
 *   4 weights [N] f32 or none (1)  5 dst [K, D] float
 *   6 sizes [K] f32 or none: 1 + how many join
 */
typedef struct tkp_op_merge_rows {
    uint32_t struct_size;
    int32_t rule; /* enum tkp_merge_rule */
    float anchor; /* MEAN: c; 0 = 1 */
    float beta;   /* BLEND, BLEND_COUNT: 0 to 1 */
} tkp_op_merge_rows;

/*
 * NEIGHBOURS: the T members of its group that each anchor is most like, best
 * first, of equal ones the lower candidate. An anchor is none of its own.
 *   0 x [R, D] float         1 rows [N] i32 row of x of each candidate
 *   2 group_offsets [M + 1] i32   3 members [..] i32 candidates; none = 0..N
 *   4 anchors [K] i32 candidates  5 anchor_offsets [M + 1] i32
 *   6 dst [K, T] i32; -1 where there are fewer
 * A likeness that is no number is TKP_ERR_DATA. Params: tkp_op_nearest. O(K N D)
 * time.
 *
 * COMBINE_ROWS: dst_k = own_k x_kept(k) + sum over entries e of list k of
 * weight_e x_entry(e).
 *   0 x [R, D] float         1 rows [N] i32 row of x of each candidate
 *   2 kept [K] i32 candidates     3 own [K] f32
 *   4 list_offsets [K + 1] i32    5 list [..] i32 candidates
 *   6 weights [..] f32 of its entries   7 dst [K, D] float
 * No params.
 */

/* ------------------------------------------------------------------------
 * Forward
 * --------------------------------------------------------------------- */

/*
 * LINEAR: dst = x w^T (+ bias), rounded to dst's dtype, then (+ residual),
 * rounded again.
 *   0 x [M, K] f32 | bf16    1 w [N, K] float, constant while the plan lives;
 *   a run gives the same sizes, and the same data if the plan was given them
 *   2 bias [N] float or none 3 residual [M, N] dtype of dst or none (may be
 *   dst itself)              4 dst [M, N] f32 | dtype of x
 */
typedef struct tkp_op_linear {
    uint32_t struct_size;
    int32_t pack; /* enum tkp_pack */
} tkp_op_linear;
enum tkp_pack {
    TKP_PACK_AUTO = 0,
    TKP_PACK_NEVER = 1, /* use the weights where they lie (mmap) */
    TKP_PACK_ALWAYS = 2 /* the plan may hold a reordered copy */
};

/*
 * RMS_NORM: dst = round(x * rsqrt(mean(x^2) + eps)) * w
 *   0 x [M, D] float   1 w [D] float   2 dst [M, D] dtype of x
 * LAYER_NORM: dst = (x - mean) * rsqrt(var + eps) * w + b
 *   0 x [M, D] float   1 w [D] float   2 b [D] float   3 dst [M, D] dtype of x
 */
typedef struct tkp_op_norm {
    uint32_t struct_size;
    float eps;
} tkp_op_norm;

/*
 * ROTARY_TABLE: cosines and sines of positions, in the f32 arithmetic of the
 * published models: e = 2i / C; inv = 1 / (float)pow(theta, e); angle =
 * (float)position * inv; cosf, sinf.
 *   0 positions [P, M] i32, P = 1, or 3 (temporal, height, width)
 *   1 cos [M, C / 2] f32   2 sin [M, C / 2] f32
 */
typedef struct tkp_op_rotary_table {
    uint32_t struct_size;
    int32_t section[3]; /* pairs that follow row 0, 1, 2; all 0 when P = 1 */
    double theta;
} tkp_op_rotary_table;

/*
 * ROTARY: halves convention. dst[c] = x[c] cos - x[c + C/2] sin, dst[c + C/2]
 * = x[c + C/2] cos + x[c] sin. cos and sin are rounded to the dtype of x, and
 * so is each product and sum.
 *   0 x [M, H, C] float   1 cos [M, C / 2] f32   2 sin [M, C / 2] f32
 *   3 dst [M, H, C] dtype of x, may be x itself
 * No params.
 */

/*
 * ATTENTION: exact attention in tiles, never L x L.
 *   0 q [Lq, H, C] f32 | bf16   1 k [Lk, G, C]   2 v [Lk, G, C] (same dtype;
 *   all strides but the last free)
 *   3 q_offsets [B + 1] i32     4 k_offsets [B + 1] i32
 *   5 dst [Lq, H, C] dtype of q 6 lse [Lq, H] f32 or none
 *   7 bias [Lk] f32 or none: added to the scaled logits of each key, of all
 *     heads and rows (log size: proportional attention); -infinity hides it
 * Causal: query i of nq sees keys 0 .. nk - nq + i (bottom-right aligned).
 */
typedef struct tkp_op_attention {
    uint32_t struct_size;
    uint32_t flags; /* TKP_ATTENTION_CAUSAL or 0 */
    float scale;    /* 0 = 1 / sqrt(C) */
    int32_t reserved;
} tkp_op_attention;

/*
 * ACTIVATION: dst = f(a), or f(a) * b when b is there (gated MLP).
 *   0 a [M, N] float   1 b [M, N] dtype of a or none
 *   2 dst [M, N] dtype of a, may be a
 */
enum tkp_activation {
    TKP_ACTIVATION_SILU = 1,
    TKP_ACTIVATION_GELU = 2,      /* exact, by erf */
    TKP_ACTIVATION_QUICK_GELU = 3 /* x sigmoid(1.702 x) */
};
typedef struct tkp_op_activation {
    uint32_t struct_size;
    int32_t function; /* enum tkp_activation */
} tkp_op_activation;

/*
 * ADD: dst[i] = a[i] + b[i mod Mb].
 *   0 a [M, D] float   1 b [Mb, D] float   2 dst [M, D] dtype of a, may be a
 *
 * PATCHES: flatten non-overlapping patches, row-major, elements (c, y, x);
 * pixels that do not fill a patch at the far edges are left out.
 *   0 pixels [V, 3, S, T] f32   1 dst [V * (S / p) * (T / p), 3 p p] float
 *
 * CAST: dst = x in dst's dtype, round to nearest even.
 *   0 x [..] float   1 dst [..] float
 */
typedef struct tkp_op_patches {
    uint32_t struct_size;
    int32_t patch; /* p */
} tkp_op_patches;

/* ------------------------------------------------------------------------
 * Plans
 * --------------------------------------------------------------------- */

typedef struct tkp_op tkp_op;

enum tkp_op_flag {
    /** On a device, arguments that lie on the host may be handed over at run:
     * tables (whole numbers; f32 of one dimension, one column or few rows) are
     * brought there as part of run, which waits for those that the op writes.
     * A kind that has no kernel there, and nothing but tables, runs on the
     * host. No difference on the CPU. */
    TKP_OP_HOST_TABLES = 1
};

typedef struct tkp_op_desc {
    uint32_t struct_size;
    int32_t kind;           /* enum tkp_op_kind */
    const tkp_tensor *args; /* [n_args] largest shapes, dtypes, device; data
                               NULL, except constant weights, which may be
                               given (LINEAR) */
    const void *params;     /* the kind's struct, or NULL where it has none */
    int32_t n_args;
    int32_t reserved;
    uint32_t flags; /* enum tkp_op_flag */
    int32_t reserved2;
} tkp_op_desc;

#define TKP_OP_DESC_INIT                                                       \
    {                                                                          \
        (uint32_t)sizeof(tkp_op_desc), 0, NULL, NULL, 0, 0, 0, 0               \
    }

/** The bytes of the INIT macro, for languages without macros. */
TKP_API void tkp_op_desc_init(tkp_op_desc *desc);

/**
 * Check the description and plan it on the first backend that supports it.
 *
 * @retval TKP_ERR_SHAPE, TKP_ERR_DTYPE, TKP_ERR_OPTION  the description is
 *         wrong; the message names the argument
 * @retval TKP_ERR_UNSUPPORTED  no backend has it; the message has each reason
 */
TKP_API TKP_NODISCARD tkp_status
tkp_op_create(tkp_op **out, tkp_context *context, const tkp_op_desc *desc);

/** Workspace, backend and kernel of the plan. */
TKP_API TKP_NODISCARD tkp_status
tkp_op_query(const tkp_op *op, tkp_requirements *requirements);

/**
 * Run in the exec's workspace. Checks ranks, dtypes, that no size exceeds the
 * plan's, and that sizes, strides and overlaps are what the kind wants.
 *
 * @retval TKP_ERR_ARGUMENT, TKP_ERR_SHAPE, TKP_ERR_DTYPE, TKP_ERR_ALIAS,
 *         TKP_ERR_WORKSPACE  nothing was written; the message names it
 * Allocates: nothing.
 */
TKP_API TKP_NODISCARD tkp_status tkp_op_run(
    const tkp_op *op,
    tkp_exec *exec,
    const tkp_tensor *args,
    int32_t n_args);

TKP_API void tkp_op_destroy(tkp_op *op);

TKP_END_DECLS

#endif
