package io.github.tokenprune;

import io.github.tokenprune.internal.Native;
import io.github.tokenprune.internal.NativeObject;
import io.github.tokenprune.internal.tkp_model_desc;
import java.nio.IntBuffer;
import java.util.Arrays;

/** Chooses which visual tokens stay. */
public final class Selector extends NativeObject {
    final String text;
    final String budget;
    final int candidates;
    private final int sequences;

    private Selector(long handle, String text, String budget, Layout layout) {
        super("selector", handle, Native::flat_destroy);
        this.text = text;
        this.budget = budget;
        this.sequences = layout.sequences();
        this.candidates = layout.candidates();
    }

    /**
     * What was kept.
     *
     * @param indices numbers of candidates, ascending in each sequence
     * @param offsets where each sequence's begin
     */
    public record Selection(int[] indices, int[] offsets) {}

    /**
     * Said as in a policy file.
     *
     * @param context where
     * @param layout of the batch
     * @param selector such as "topk"
     * @param budget such as "{ratio: 1/4}"
     * @param model wanted by kinds that look at more than scores; null = none
     * @return the selector
     */
    public static Selector of(Context context, Layout layout, String selector, String budget, ModelShape model) {
        tkp_model_desc d = model == null ? null : model.raw();
        try {
            long[] out = {0};
            return with(
                    () -> {
                        Native.flat_selector_create(out, context.handle(), selector, budget, layout.handle(), d);
                        return new Selector(out[0], selector, budget, layout);
                    },
                    context, layout);
        } finally {
            if (d != null) {
                d.delete();
            }
        }
    }

    /**
     * That of a stage, with its budget.
     *
     * @param policy with the stage
     * @param stage its number
     * @param context where
     * @param layout of the batch
     * @param model its shapes
     * @return the selector
     */
    public static Selector of(Policy policy, int stage, Context context, Layout layout, ModelShape model) {
        tkp_model_desc d = model.raw();
        try {
            long[] out = {0};
            return with(
                    () -> {
                        Native.flat_selector_create_of(
                                out, context.handle(), policy.handle(), stage, layout.handle(), d);
                        return new Selector(out[0], "", "", layout);
                    },
                    policy, context, layout);
        } finally {
            d.delete();
        }
    }

    /**
     * What it must be given beside scores.
     *
     * @return bits of {@link Needs}
     */
    public long needs() {
        return with(() -> Native.flat_needs(handle()), this);
    }

    /**
     * Tokens kept of a sequence, or the most there may be.
     *
     * @param sequence its number
     * @return how many; -1 outside
     */
    public long count(int sequence) {
        return with(() -> Native.flat_selector_count(handle(), sequence), this);
    }

    /**
     * Chooses.
     *
     * @param exec to work with
     * @param inputs scores among them, where the kind takes them
     * @return what was kept
     */
    public Selection run(Exec exec, Inputs inputs) {
        long most = 0;
        for (int b = 0; b < sequences; b++) {
            most += Math.max(count(b), 0);
        }
        IntBuffer kept = Tensor.ints(Math.toIntExact(most));
        IntBuffer begins = Tensor.ints(sequences + 1);
        Tensor to = Tensor.of(kept, kept.capacity());
        Tensor at = Tensor.of(begins, begins.capacity());
        exec.alone(
                () -> {
                    Native.flat_selector_run(
                            handle(), exec.handle(),
                            inputs.slots().with(Native.FLAT_OUT_INDICES, to).with(Native.FLAT_OUT_OFFSETS, at).list());
                    return null;
                },
                this);
        inputs.alive();
        Slots.alive(to, at);
        int[] indices = new int[kept.capacity()];
        int[] offsets = new int[begins.capacity()];
        kept.get(indices);
        begins.get(offsets);
        return new Selection(Arrays.copyOf(indices, offsets[sequences]), offsets);
    }
}
