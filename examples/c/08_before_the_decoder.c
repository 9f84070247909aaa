/*
 * Lesson 8: methods that cut before the decoder, and look at the encoder for it.
 * By the time of the cut the encoder has run: the policy is asked beforehand, so
 * that the engine keeps what will be wanted, and nothing else.
 *
 *     cc 08_before_the_decoder.c $(pkg-config --cflags --libs tokenprune) \
 *         -lm -o 08_before_the_decoder && ./08_before_the_decoder visionzip
 */
#include "lesson.h"

#include <math.h>

enum {
    SIDE = 12,
    TOKENS = SIDE * SIDE, /* of one picture */
    WIDTH = 32,           /* of the encoder's rows, and of its keys */
    HEADS = 4,
    BLOCKS = 12,   /* of the encoder */
    FEATURES = 11, /* the block whose rows the decoder gets */
    HIDDEN = 48,   /* of the decoder's rows */
    FIRST = 6,     /* the picture's first row in the prompt */
    LENGTH = FIRST + TOKENS + 20
};

/* What is kept of the encoder; NULL where nobody asks for it. */
typedef struct kept {
    float *cls, *shallow; /* [HEADS, TOKENS] what the CLS token looks at */
    float *rows;          /* [TOKENS, WIDTH] of block FEATURES */
    float *keys;          /* [TOKENS, WIDTH] of the same block */
} kept;

/* --- an encoder that computes next to nothing ----------------------------------- */

/* The CLS token's row in a block: probabilities, or the logits before. */
static void look(float *out, const float *rows, int32_t block, int logits)
{
    for (int32_t h = 0; h < HEADS; h++) {
        double sum = 0.0;
        float *head = out + h * TOKENS;
        for (int32_t t = 0; t < TOKENS; t++) {
            head[t] = 4.0f * rows[t * WIDTH + (block + h) % WIDTH];
            sum += exp((double)head[t]);
        }
        for (int32_t t = 0; t < TOKENS && !logits; t++)
            head[t] = (float)(exp((double)head[t]) / sum);
    }
}

/* Blocks are counted from 1; -1 is the last, 0 the usual one: that of the features,
 * and for a shallow row a quarter of the way up. */
static int32_t block_of(int32_t layer, int32_t usual)
{
    return layer == 0 ? usual : layer == -1 ? BLOCKS : layer;
}

/* Runs the blocks, and keeps on the way what `info` says. */
static void encode(kept *k, float *rows, const tkp_policy_info *info)
{
    const int32_t cls_block = block_of(info->cls_layer, FEATURES);
    const int32_t shallow_block = block_of(info->shallow_layer, BLOCKS / 4);
    *k = (kept){NULL, NULL, NULL, NULL};
    if (info->needs & TKP_NEED_CLS_ATTENTION)
        k->cls = memory(sizeof(float) * HEADS * TOKENS);
    if (info->needs & TKP_NEED_CLS_SHALLOW)
        k->shallow = memory(sizeof(float) * HEADS * TOKENS);
    if (info->needs & TKP_NEED_VISION)
        k->rows = memory(sizeof(float) * TOKENS * WIDTH);
    if (info->needs & TKP_NEED_VISION_KEYS)
        k->keys = memory(sizeof(float) * TOKENS * WIDTH);
    for (int32_t block = 1; block <= BLOCKS; block++) {
        if (k->cls && block == cls_block)
            look(k->cls, rows, block, info->cls_logits);
        if (k->shallow && block == shallow_block)
            look(k->shallow, rows, block, info->shallow_logits);
        for (int32_t i = 0; i < TOKENS * WIDTH; i++) {
            if (k->keys && block == FEATURES)
                k->keys[i] = rows[i / WIDTH * WIDTH + (i + 5) % WIDTH];
            rows[i] += 0.05f * rows[(i + WIDTH) % (TOKENS * WIDTH)];
            if (k->rows && block == FEATURES)
                k->rows[i] = rows[i];
        }
    }
}

/* --- the engine ------------------------------------------------------------------- */

/* The tensors that are there, and cuts before the decoder alone. */
static int fits(const tkp_policy *policy, const tkp_policy_info *info)
{
    const uint32_t have = TKP_NEED_HIDDEN | TKP_NEED_VISION |
                          TKP_NEED_VISION_KEYS | TKP_NEED_CLS_ATTENTION |
                          TKP_NEED_CLS_SHALLOW;
    if ((info->needs & ~have) || (info->flags & TKP_POLICY_KEY_BIAS))
        return 0;
    for (int32_t i = 0; i < tkp_policy_stage_count(policy); i++) {
        tkp_point point = TKP_POINT_INIT;
        check(tkp_policy_get_point(policy, i, &point));
        if (point.kind != TKP_POINT_PROJECTOR)
            return 0;
    }
    return 1;
}

/* A tensor for the library, or none. */
static const tkp_tensor *
view(tkp_tensor *out, float *data, int64_t rows, int64_t columns)
{
    tkp_tensor_make_2d(out, data, TKP_DTYPE_F32, rows, columns);
    return data ? out : NULL;
}

static void run(const tkp_policy_info *info, tkp_policy *policy)
{
    tkp_context *context;
    tkp_exec *exec;
    tkp_sequence *sequence;
    check(tkp_context_create(&context, NULL));
    check(tkp_exec_create(&exec, context, NULL));
    check(tkp_sequence_create(&sequence, context));

    float *rows = numbers(TOKENS * WIDTH, 21);
    kept k;
    encode(&k, rows, info);

    tkp_layout *layout;
    tkp_sequence_desc prompt = TKP_SEQUENCE_DESC_INIT;
    prompt.length = LENGTH;
    tkp_image_desc image = TKP_IMAGE_DESC_INIT;
    image.start = FIRST;
    image.rows = image.cols = SIDE;
    check(tkp_layout_create(&layout));
    check(tkp_layout_add_sequence(layout, &prompt, NULL));
    check(tkp_layout_add_image(layout, &image, NULL));
    tkp_model_desc model = TKP_MODEL_DESC_INIT;
    model.dtype = TKP_DTYPE_F32;
    model.layers = 8;
    model.heads = HEADS;
    model.hidden = HIDDEN;
    model.intermediate = 3 * HIDDEN;
    model.vision_hidden = WIDTH; /* widths of what comes from the encoder */
    model.vision_key_dim = WIDTH;
    check(tkp_sequence_begin(sequence, exec, policy, layout, &model));
    tkp_requirements needed = TKP_REQUIREMENTS_INIT;
    check(tkp_sequence_query(sequence, &needed));
    void *workspace = memory(needed.workspace_bytes);
    check(tkp_exec_set_workspace(exec, workspace, needed.workspace_bytes));

    /* Rows of the prompt, as they would enter the decoder. */
    int64_t length = LENGTH;
    float *hidden_data = numbers(LENGTH * HIDDEN, 22);
    float *next = memory(sizeof(float) * LENGTH * HIDDEN);
    tkp_point point = TKP_POINT_INIT;
    check(tkp_sequence_next(sequence, &point));
    while (point.kind) {
        tkp_tensor hidden, cls, shallow, vision, keys, out;
        tkp_inputs inputs = TKP_INPUTS_INIT;
        inputs.hidden = view(&hidden, hidden_data, length, HIDDEN);
        /* Of all tokens of the picture, also at a second cut: entries of those
         * that are gone are passed over. */
        inputs.cls_attention = view(&cls, k.cls, HEADS, TOKENS);
        inputs.cls_shallow = view(&shallow, k.shallow, HEADS, TOKENS);
        inputs.vision = view(&vision, k.rows, TOKENS, WIDTH);
        inputs.vision_keys = view(&keys, k.keys, TOKENS, WIDTH);
        tkp_decision decision = TKP_DECISION_INIT;
        check(tkp_sequence_prune(sequence, exec, &inputs, &decision));
        /* Where the data decide, point.rows_out is the most there may be. */
        expect(decision.rows_out <= point.rows_out, "no more than was said");
        tkp_tensor_make_2d(
            &out, next, TKP_DTYPE_F32, decision.rows_out, HIDDEN);
        check(tkp_gather_rows(sequence, exec, &out, &hidden, &decision));
        length = decision.rows_out;
        float *swap = hidden_data;
        hidden_data = next;
        next = swap;
        check(tkp_sequence_next(sequence, &point));
    }
    tkp_report report = TKP_REPORT_INIT;
    check(tkp_sequence_report(sequence, &report));
    expect(
        length == LENGTH - TOKENS + report.visual_after,
        "the rows that are there are those of the report");
    printf(
        "%s: kept of the encoder:%s%s%s%s; %lld of %d tokens stay\n",
        tkp_policy_name(policy), k.cls ? " cls" : "",
        k.shallow ? " shallow" : "", k.rows ? " rows" : "",
        k.keys ? " keys" : "", (long long)report.visual_after, TOKENS);

    free(k.cls);
    free(k.shallow);
    free(k.rows);
    free(k.keys);
    free(rows);
    free(hidden_data);
    free(next);
    free(workspace);
    tkp_sequence_destroy(sequence);
    tkp_layout_destroy(layout);
    tkp_exec_destroy(exec);
    tkp_context_destroy(context);
}

int main(int argc, char **argv)
{
    tkp_policy *policy;
    check(tkp_policy_load_preset(&policy, argc > 1 ? argv[1] : "fastervlm"));
    tkp_policy_info info = TKP_POLICY_INFO_INIT;
    check(tkp_policy_query(policy, &info));
    if (fits(policy, &info))
        run(&info, policy);
    else
        printf("%s: this engine cannot\n", tkp_policy_name(policy));
    tkp_policy_destroy(policy);
    return 0;
}
