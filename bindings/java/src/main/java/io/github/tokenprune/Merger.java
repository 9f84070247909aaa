package io.github.tokenprune;

import io.github.tokenprune.internal.Native;
import io.github.tokenprune.internal.NativeObject;
import io.github.tokenprune.internal.tkp_model_desc;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/** Says where the content of dropped tokens goes. */
public final class Merger extends NativeObject {
    private final int candidates;

    private Merger(long handle, int candidates) {
        super("merger", handle, Native::flat_destroy);
        this.candidates = candidates;
    }

    /**
     * What became of the tokens.
     *
     * @param sizes tokens that each kept one stands for
     * @param went for each candidate the entry of what was kept that it went to; -1 = none
     */
    public record Merged(float[] sizes, int[] went) {}

    /**
     * Said as in a policy file.
     *
     * @param context where
     * @param selector made by its own text
     * @param model its shapes
     * @param merger such as "nearest"
     * @return the merger
     */
    public static Merger of(Context context, Selector selector, ModelShape model, String merger) {
        tkp_model_desc d = model.raw();
        try {
            long[] out = {0};
            return with(
                    () -> {
                        Native.flat_merger_create(
                                out, context.handle(), merger, selector.handle(), selector.text, selector.budget, d);
                        return new Merger(out[0], selector.candidates);
                    },
                    context, selector);
        } finally {
            d.delete();
        }
    }

    /**
     * That of a stage.
     *
     * @param policy with the stage
     * @param stage its number
     * @param context where
     * @param selector of the stage
     * @param model its shapes
     * @return the merger
     */
    public static Merger of(Policy policy, int stage, Context context, Selector selector, ModelShape model) {
        tkp_model_desc d = model.raw();
        try {
            long[] out = {0};
            return with(
                    () -> {
                        Native.flat_merger_create_of(
                                out, context.handle(), policy.handle(), stage, selector.handle(), d);
                        return new Merger(out[0], selector.candidates);
                    },
                    policy, context, selector);
        } finally {
            d.delete();
        }
    }

    /**
     * New rows of the kept tokens.
     *
     * @param exec to work with
     * @param inputs hidden rows among them
     * @param kept numbers of candidates, as a selector gave them
     * @param rows [K, D], written to
     * @return what became of the tokens
     */
    public Merged run(Exec exec, Inputs inputs, int[] kept, Tensor rows) {
        for (int k : kept) { // C trusts them
            if (k < 0 || k >= candidates) {
                throw new TokenPruneException(
                        Status.ARGUMENT, "kept: has candidate " + k + ", wanted 0 to " + (candidates - 1));
            }
        }
        IntBuffer list = Tensor.ints(kept.length).put(kept).flip();
        FloatBuffer sizes = Tensor.floats(kept.length);
        IntBuffer went = Tensor.ints(candidates);
        Tensor k = Tensor.of(list, kept.length);
        Tensor s = Tensor.of(sizes, kept.length);
        Tensor w = Tensor.of(went, candidates);
        exec.alone(
                () -> {
                    Native.flat_merger_run(
                            handle(), exec.handle(),
                            inputs.slots().with(Native.FLAT_KEPT, k).with(Native.FLAT_OUT_ROWS, rows)
                                    .with(Native.FLAT_OUT_SIZES, s).with(Native.FLAT_OUT_ASSIGNMENT, w).list());
                    return null;
                },
                this);
        inputs.alive();
        Slots.alive(k, s, w, rows);
        float[] outSizes = new float[kept.length];
        int[] outWent = new int[candidates];
        sizes.get(outSizes);
        went.get(outWent);
        return new Merged(outSizes, outWent);
    }
}
