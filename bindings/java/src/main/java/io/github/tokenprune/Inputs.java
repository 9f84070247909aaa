package io.github.tokenprune;

import io.github.tokenprune.internal.Native;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What is handed over at a pruning point; what a stage does not need may be left out. R rows of the
 * packed batch, N candidates, B sequences, Q query rows, H query heads, G key heads, C channels,
 * D hidden size.
 */
public final class Inputs {
    private final Map<Integer, Tensor> given = new LinkedHashMap<>();

    /** None of them. */
    public Inputs() {}

    Slots slots() {
        Slots slots = new Slots();
        given.forEach(slots::with);
        return slots;
    }

    void alive() {
        given.values().forEach(t -> Slots.alive(t));
    }

    private Inputs put(int slot, Tensor t) {
        given.put(slot, t);
        return this;
    }

    /**
     * Queries after rotary, [Q, H, C]; or of all rows.
     *
     * @param t the view
     * @return this
     */
    public Inputs q(Tensor t) {
        return put(Native.FLAT_Q, t);
    }

    /**
     * Keys, [R, G, C], [B, L, G, C] or pages.
     *
     * @param t the view
     * @return this
     */
    public Inputs k(Tensor t) {
        return put(Native.FLAT_K, t);
    }

    /**
     * Log-sum-exp of the queries, [Q, H] f32.
     *
     * @param t the view
     * @return this
     */
    public Inputs lse(Tensor t) {
        return put(Native.FLAT_LSE, t);
    }

    /**
     * Pages of each sequence, [B, T] i32.
     *
     * @param t the view
     * @return this
     */
    public Inputs blockTable(Tensor t) {
        return put(Native.FLAT_BLOCK_TABLE, t);
    }

    /**
     * Finished probabilities, [Q, H, L].
     *
     * @param t the view
     * @return this
     */
    public Inputs attentionRows(Tensor t) {
        return put(Native.FLAT_ATTENTION_ROWS, t);
    }

    /**
     * The full tensor, [B, L, H, L].
     *
     * @param t the view
     * @return this
     */
    public Inputs attention(Tensor t) {
        return put(Native.FLAT_ATTENTION, t);
    }

    /**
     * Hidden rows, [R, D].
     *
     * @param t the view
     * @return this
     */
    public Inputs hidden(Tensor t) {
        return put(Native.FLAT_HIDDEN, t);
    }

    /**
     * Of the final norm, [D].
     *
     * @param t the view
     * @return this
     */
    public Inputs normWeight(Tensor t) {
        return put(Native.FLAT_NORM_WEIGHT, t);
    }

    /**
     * The CLS row of the encoder, [N] or [heads, N].
     *
     * @param t the view
     * @return this
     */
    public Inputs clsAttention(Tensor t) {
        return put(Native.FLAT_CLS_ATTENTION, t);
    }

    /**
     * The caller's own, [N].
     *
     * @param t the view
     * @return this
     */
    public Inputs scores(Tensor t) {
        return put(Native.FLAT_SCORES, t);
    }

    /**
     * Rows of the question's words, [m, D].
     *
     * @param t the view
     * @return this
     */
    public Inputs text(Tensor t) {
        return put(Native.FLAT_TEXT, t);
    }

    /**
     * Where those begin, [B + 1] i32 on the host.
     *
     * @param t the view
     * @return this
     */
    public Inputs textOffsets(Tensor t) {
        return put(Native.FLAT_TEXT_OFFSETS, t);
    }

    /**
     * Values of the score layer, as k.
     *
     * @param t the view
     * @return this
     */
    public Inputs values(Tensor t) {
        return put(Native.FLAT_VALUES, t);
    }

    /**
     * Rows of the encoder, [N, Dv].
     *
     * @param t the view
     * @return this
     */
    public Inputs vision(Tensor t) {
        return put(Native.FLAT_VISION, t);
    }

    /**
     * Its keys, [N, Dk].
     *
     * @param t the view
     * @return this
     */
    public Inputs visionKeys(Tensor t) {
        return put(Native.FLAT_VISION_KEYS, t);
    }

    /**
     * The CLS row of an early block.
     *
     * @param t the view
     * @return this
     */
    public Inputs clsShallow(Tensor t) {
        return put(Native.FLAT_CLS_SHALLOW, t);
    }

    /**
     * Patches in the shared space, [N, Dc].
     *
     * @param t the view
     * @return this
     */
    public Inputs clip(Tensor t) {
        return put(Native.FLAT_CLIP, t);
    }

    /**
     * Prompts there, [m, Dc].
     *
     * @param t the view
     * @return this
     */
    public Inputs clipText(Tensor t) {
        return put(Native.FLAT_CLIP_TEXT, t);
    }

    /**
     * Where those begin, [B + 1] i32.
     *
     * @param t the view
     * @return this
     */
    public Inputs clipTextOffsets(Tensor t) {
        return put(Native.FLAT_CLIP_TEXT_OFFSETS, t);
    }

    /**
     * Tokens of text there, [l, Dc].
     *
     * @param t the view
     * @return this
     */
    public Inputs clipTokens(Tensor t) {
        return put(Native.FLAT_CLIP_TOKENS, t);
    }

    /**
     * Where those begin, [B + 1] i32.
     *
     * @param t the view
     * @return this
     */
    public Inputs clipTokenOffsets(Tensor t) {
        return put(Native.FLAT_CLIP_TOKEN_OFFSETS, t);
    }

    /**
     * What entered the decoder, [R0, D].
     *
     * @param t the view
     * @return this
     */
    public Inputs embeddings(Tensor t) {
        return put(Native.FLAT_EMBEDDINGS, t);
    }

    /**
     * Pivots in their order, [P] i32 on the host.
     *
     * @param t the view
     * @return this
     */
    public Inputs pivotOrder(Tensor t) {
        return put(Native.FLAT_PIVOT_ORDER, t);
    }

    /**
     * Mergers: parts that chose each token, [K] i32.
     *
     * @param t the view
     * @return this
     */
    public Inputs roles(Tensor t) {
        return put(Native.FLAT_ROLES, t);
    }

    /**
     * Mergers: what each part could have chosen, [N] i32.
     *
     * @param t the view
     * @return this
     */
    public Inputs pools(Tensor t) {
        return put(Native.FLAT_POOLS, t);
    }

    /**
     * Mergers that weigh rows, [N] f32.
     *
     * @param t the view
     * @return this
     */
    public Inputs tokenScores(Tensor t) {
        return put(Native.FLAT_TOKEN_SCORES, t);
    }

    /**
     * Queries before rotary, [R, H, C].
     *
     * @param t the view
     * @return this
     */
    public Inputs plainQ(Tensor t) {
        return put(Native.FLAT_PLAIN_Q, t);
    }

    /**
     * Keys before rotary, [R, G, C].
     *
     * @param t the view
     * @return this
     */
    public Inputs plainK(Tensor t) {
        return put(Native.FLAT_PLAIN_K, t);
    }

    /**
     * Values of the encoder's last block, heads side by side, [N, Dw].
     *
     * @param t the view
     * @return this
     */
    public Inputs visionValues(Tensor t) {
        return put(Native.FLAT_VISION_VALUES, t);
    }
}
