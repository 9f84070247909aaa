package io.github.tokenprune;

import io.github.tokenprune.internal.Native;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/** What was decided; its lists are copies. Later decisions of the sequence take its place. */
public final class Decision {
    private final Sequence sequence;
    private final long number;

    Decision(Sequence sequence, long number) {
        this.sequence = sequence;
        this.number = number;
    }

    /** Shape of a field; null = it is not there. */
    private long[] shape(int field) {
        long[] dtype = {0};
        long[] ndim = {0};
        long[] n0 = {0};
        long[] n1 = {0};
        Native.flat_decision_shape(dtype, ndim, n0, n1, sequence.handle(), number, field);
        return dtype[0] == 0 ? null : ndim[0] == 1 ? new long[] {n0[0]} : new long[] {n0[0], n1[0]};
    }

    private static int count(long[] shape) {
        long n = 1;
        for (long size : shape) {
            n *= size;
        }
        return Math.toIntExact(n);
    }

    private void copy(int field, Tensor t) {
        Native.flat_decision_copy(
                sequence.handle(), sequence.exec().handle(), number, field, t.record(Native.FLAT_OUT_DATA));
        t.alive();
    }

    private int[] ints(int field) {
        return sequence.both(
                () -> {
                    long[] shape = shape(field);
                    if (shape == null) {
                        return null;
                    }
                    IntBuffer found = Tensor.ints(count(shape));
                    copy(field, Tensor.of(found, shape));
                    int[] list = new int[found.capacity()];
                    found.get(list);
                    return list;
                });
    }

    private float[] floats(int field) {
        return sequence.both(
                () -> {
                    long[] shape = shape(field);
                    if (shape == null) {
                        return null;
                    }
                    FloatBuffer found = Tensor.floats(count(shape));
                    copy(field, Tensor.of(found, shape));
                    float[] list = new float[found.capacity()];
                    found.get(list);
                    return list;
                });
    }

    /**
     * The old row of each new one.
     *
     * @return ascending in each sequence
     */
    public int[] indices() {
        return ints(Native.FLAT_DECISION_INDICES);
    }

    /**
     * Where each sequence's new rows begin.
     *
     * @return one more than there are sequences
     */
    public int[] offsets() {
        return ints(Native.FLAT_DECISION_OFFSETS);
    }

    /**
     * Rotary positions of the new rows.
     *
     * @return one list, or three for M-RoPE one behind the other; null inside the encoder
     */
    public int[] positions() {
        return ints(Native.FLAT_DECISION_POSITIONS);
    }

    /**
     * Tokens that each new row stands for.
     *
     * @return one for each row
     */
    public float[] sizes() {
        return floats(Native.FLAT_DECISION_SIZES);
    }

    /**
     * The new row that each old one went to.
     *
     * @return -1 = dropped
     */
    public int[] assignment() {
        return ints(Native.FLAT_DECISION_ASSIGNMENT);
    }

    /**
     * Scores of the candidates.
     *
     * @return null without a scorer
     */
    public float[] scores() {
        return floats(Native.FLAT_DECISION_SCORES);
    }

    /**
     * What attention has to add to the logits of each row's key.
     *
     * @return null = nothing
     */
    public float[] keyBias() {
        return floats(Native.FLAT_DECISION_KEY_BIAS);
    }

    /**
     * Rows [m, D] of an f32 model that replace gathered ones.
     *
     * @return null = none
     */
    public float[] merged() {
        return floats(Native.FLAT_DECISION_MERGED);
    }

    /**
     * New rows that those replace.
     *
     * @return null = none
     */
    public int[] mergedAt() {
        return ints(Native.FLAT_DECISION_MERGED_AT);
    }

    private void gather(Tensor dst, Tensor src, int kv) {
        sequence.both(
                () -> {
                    Native.flat_decision_gather(
                            sequence.handle(), sequence.exec().handle(), number, kv,
                            new Slots().with(Native.FLAT_SOURCE, src).with(Native.FLAT_OUT_ROWS, dst).list());
                    return null;
                });
        Slots.alive(dst, src);
    }

    /**
     * The rows that stay; merged ones take their places.
     *
     * @param dst [rows out, ...]
     * @param src [rows in, ...]
     */
    public void gather(Tensor dst, Tensor src) {
        gather(dst, src, 0);
    }

    /**
     * The same without merged rows, for keys and values of earlier layers.
     *
     * @param dst [rows out, ...]
     * @param src [rows in, ...]
     */
    public void gatherKv(Tensor dst, Tensor src) {
        gather(dst, src, 1);
    }
}
