package io.github.tokenprune;

import io.github.tokenprune.internal.Native;
import io.github.tokenprune.internal.NativeObject;
import io.github.tokenprune.internal.tkp_model_desc;
import java.nio.FloatBuffer;

/** Gives each visual token a number. */
public final class Scorer extends NativeObject {
    private final int candidates;

    private Scorer(long handle, int candidates) {
        super("scorer", handle, Native::flat_destroy);
        this.candidates = candidates;
    }

    /**
     * Said as in a policy file.
     *
     * @param context where
     * @param layout of the batch
     * @param model its shapes
     * @param scorer such as "{kind: norm, norm: l2}"
     * @return the scorer
     */
    public static Scorer of(Context context, Layout layout, ModelShape model, String scorer) {
        tkp_model_desc d = model.raw();
        try {
            long[] out = {0};
            return with(
                    () -> {
                        Native.flat_scorer_create(out, context.handle(), scorer, layout.handle(), d);
                        return new Scorer(out[0], layout.candidates());
                    },
                    context, layout);
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
     * @param layout of the batch
     * @param model its shapes
     * @return the scorer
     */
    public static Scorer of(Policy policy, int stage, Context context, Layout layout, ModelShape model) {
        tkp_model_desc d = model.raw();
        try {
            long[] out = {0};
            return with(
                    () -> {
                        Native.flat_scorer_create_of(
                                out, context.handle(), policy.handle(), stage, layout.handle(), d);
                        return new Scorer(out[0], layout.candidates());
                    },
                    policy, context, layout);
        } finally {
            d.delete();
        }
    }

    /**
     * What it must be given.
     *
     * @return bits of {@link Needs}
     */
    public long needs() {
        return with(() -> Native.flat_needs(handle()), this);
    }

    /**
     * Rows of the packed batch whose queries it wants.
     *
     * @return ascending by sequence
     */
    public int[] queryRows() {
        return with(() -> Lists.ints((out, room) -> Native.flat_scorer_query_rows(out, handle(), room), Native.FLAT_OUT_ROWS), this);
    }

    /**
     * Scores of all candidates.
     *
     * @param exec to work with
     * @param inputs what it needs
     * @param scores [N] f32, where the context works
     */
    public void run(Exec exec, Inputs inputs, Tensor scores) {
        exec.alone(
                () -> {
                    Native.flat_scorer_run(
                            handle(), exec.handle(), inputs.slots().with(Native.FLAT_OUT_SCORES, scores).list());
                    return null;
                },
                this);
        inputs.alive();
        Slots.alive(scores);
    }

    /**
     * Scores of all candidates, on the host.
     *
     * @param exec to work with
     * @param inputs what it needs
     * @return a new buffer
     */
    public FloatBuffer run(Exec exec, Inputs inputs) {
        FloatBuffer scores = Tensor.floats(candidates);
        run(exec, inputs, Tensor.of(scores, candidates));
        return scores;
    }
}
