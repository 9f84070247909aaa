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
 *   end. Rows may be strided; the last dimension has unit stride unless said
 *   otherwise. Outputs are row-major and overlap no input unless said.
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
    /* selection */
    TKP_OP_TOPK = 20,
    TKP_OP_SAMPLE = 21,
    TKP_OP_COMPACT = 22,
    /* groups, rows */
    TKP_OP_GROUP_POOL = 40,
    TKP_OP_GROUP_BROADCAST = 41,
    TKP_OP_GATHER_ROWS = 42,
    TKP_OP_SCATTER_ROWS = 43,
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
    TKP_ROW_REDUCE_DEFAULT = 0, /* LAST where a scorer asks for one row */
    TKP_ROW_REDUCE_LAST = 1,    /* only the last of the query rows given */
    TKP_ROW_REDUCE_MEAN = 2,    /* over all rows given */
    TKP_ROW_REDUCE_MEAN_VISIBLE = 3, /* over the rows that can see the key */
    TKP_ROW_REDUCE_SUM = 4,
    TKP_ROW_REDUCE_MAX = 5
};

enum tkp_attention_flags {
    TKP_ATTENTION_CAUSAL = 1,       /* a row sees keys 0 .. its position */
    TKP_ATTENTION_EMULATE_HALF = 2, /* round probabilities and their head mean
                                       to the dtype of q, as eager code does */
    TKP_ATTENTION_LOGITS = 4        /* mean of scaled logits, no softmax */
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
 * BLEND: weighted sum of normalised terms, a sequence at a time.
 *   dst = sum_t weight[t] * f_t(terms[t]),  f = normalise, then 1 - z if
 *   complement
 *   0 terms [T, N] f32   1 offsets [B + 1] i32   2 dst [N] f32
 * Min-max and softmax of a constant term are 0 and 1/n. NaN stays NaN.
 */
#define TKP_BLEND_MAX_TERMS 8
enum tkp_normalise {
    TKP_NORMALISE_NONE = 0,
    TKP_NORMALISE_MIN_MAX = 1,
    TKP_NORMALISE_SOFTMAX = 2,
    TKP_NORMALISE_RANK = 3, /* (n - 1 - rank) / (n - 1); best rank is 0 */
    TKP_NORMALISE_SUM = 4   /* divide by the sum; 0 if the sum is 0 */
};
typedef struct tkp_op_blend {
    uint32_t struct_size;
    int32_t terms; /* 1..TKP_BLEND_MAX_TERMS */
    float weight[TKP_BLEND_MAX_TERMS];
    int32_t normalise[TKP_BLEND_MAX_TERMS];  /* enum tkp_normalise */
    int32_t complement[TKP_BLEND_MAX_TERMS]; /* 0 or 1 */
} tkp_op_blend;

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
 */
typedef struct tkp_op_compact {
    uint32_t struct_size;
    int32_t reserved;
    int64_t rows; /* R; at run time: dst size + N - K */
} tkp_op_compact;

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

/* ------------------------------------------------------------------------
 * Forward
 * --------------------------------------------------------------------- */

/*
 * LINEAR: dst = x w^T (+ bias), rounded to dst's dtype, then (+ residual),
 * rounded again.
 *   0 x [M, K] f32 | bf16    1 w [N, K] float, constant while the plan lives
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
 *   0 x [M, D] float   1 w [D] float   2 b [D] float   3 dst [M, D]
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
 *   5 dst [Lq, H, C]            6 lse [Lq, H] f32 or none
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
 *   0 a [M, N] float   1 b [M, N] dtype of a or none   2 dst [M, N], may be a
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
 * PATCHES: flatten non-overlapping patches, row-major, elements (c, y, x).
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

typedef struct tkp_op_desc {
    uint32_t struct_size;
    int32_t kind;           /* enum tkp_op_kind */
    const tkp_tensor *args; /* [n_args] largest shapes, dtypes, device; data
                               NULL, except constant weights, which may be
                               given (LINEAR) */
    const void *params;     /* the kind's struct, or NULL where it has none */
    int32_t n_args;
    int32_t reserved;
} tkp_op_desc;

#define TKP_OP_DESC_INIT                                                       \
    {                                                                          \
        (uint32_t)sizeof(tkp_op_desc), 0, NULL, NULL, 0, 0                     \
    }

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
 * Run in the exec's workspace. Checks ranks, dtypes and that no size exceeds
 * the plan's.
 */
TKP_API TKP_NODISCARD tkp_status tkp_op_run(
    const tkp_op *op, tkp_exec *exec, const tkp_tensor *args, int32_t n_args);

TKP_API void tkp_op_destroy(tkp_op *op);

TKP_END_DECLS

#endif
