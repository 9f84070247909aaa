package io.github.tokenprune;

import io.github.tokenprune.internal.Native;
import io.github.tokenprune.internal.NativeObject;
import io.github.tokenprune.internal.tkp_model_desc;
import io.github.tokenprune.internal.tkp_point;
import io.github.tokenprune.internal.tkp_report;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.util.function.Supplier;

/**
 * Runs a policy against one batch: the one object an engine has to learn. The engine pulls. One
 * thread at a time.
 */
public final class Sequence extends NativeObject {
    private final Exec exec;

    /**
     * For batches of a context.
     *
     * @param context where
     * @param exec to work with; outlives the sequence
     */
    public Sequence(Context context, Exec exec) {
        super("sequence", create(context), Native::flat_destroy);
        this.exec = exec;
    }

    private static long create(Context context) {
        long[] out = {0};
        return with(
                () -> {
                    Native.flat_sequence_create(out, context.handle());
                    return out[0];
                },
                context);
    }

    /** A call that has sequence and exec for itself. */
    <T> T both(Supplier<T> call, NativeObject... others) {
        return alone(() -> exec.alone(call, others));
    }

    Exec exec() {
        return exec;
    }

    /**
     * Starts a batch; what was running is forgotten. Budgets are resolved here, so one that does
     * not fit fails before anything is computed.
     *
     * @param policy to run
     * @param layout of the batch
     * @param model its shapes
     */
    public void begin(Policy policy, Layout layout, ModelShape model) {
        tkp_model_desc d = model.raw();
        try {
            both(
                    () -> {
                        Native.flat_sequence_begin(handle(), exec.handle(), policy.handle(), layout.handle(), d);
                        return null;
                    },
                    policy, layout);
        } finally {
            d.delete();
        }
    }

    /**
     * The next place that really cuts.
     *
     * @return null behind the last
     */
    public Point next() {
        tkp_point raw = new tkp_point();
        try {
            return alone(
                    () -> {
                        Native.flat_sequence_next(handle(), raw);
                        return Point.of(raw);
                    });
        } finally {
            raw.delete();
        }
    }

    /**
     * Rows of the packed batch whose queries the point wants.
     *
     * @return ascending by sequence
     */
    public int[] queryRows() {
        return alone(() -> Lists.ints((out, room) -> Native.flat_sequence_query_rows(out, handle(), room), Native.FLAT_OUT_ROWS));
    }

    /**
     * Decides at the point that {@link #next} gave.
     *
     * @param inputs what the point needs
     * @return good until the next one
     */
    public Decision prune(Inputs inputs) {
        long[] out = {0};
        both(
                () -> {
                    Native.flat_sequence_prune(out, handle(), exec.handle(), inputs.slots().list());
                    return null;
                });
        inputs.alive();
        return new Decision(this, out[0]);
    }

    /**
     * Rows of the layout that are still there.
     *
     * @return ascending in each sequence
     */
    public int[] rows() {
        return alone(() -> Lists.ints((out, room) -> Native.flat_sequence_rows(out, handle(), room), Native.FLAT_OUT_ROWS));
    }

    /**
     * Cells of an image that are still there.
     *
     * @param image its number
     * @return ascending
     */
    public int[] keptCells(int image) {
        return both(
                () -> Lists.ints(
                        (out, room) -> Native.flat_sequence_kept_cells(out, handle(), exec.handle(), image, room),
                        Native.FLAT_OUT_ROWS));
    }

    /**
     * Rotary position of the first generated token.
     *
     * @param sequence its number
     * @param layer of the decoder
     * @return -1 outside
     */
    public int nextPosition(int sequence, int layer) {
        return alone(() -> Native.flat_sequence_next_position(handle(), sequence, layer));
    }

    /**
     * What it costs; layers after the last cut count as it left them.
     *
     * @return the report
     */
    public Report report() {
        tkp_report raw = new tkp_report();
        try {
            return alone(
                    () -> {
                        Native.flat_sequence_report(handle(), raw, new long[0]);
                        LongBuffer tokens = longs(raw.getLayers());
                        LongBuffer visual = longs(raw.getLayers());
                        Tensor t = Tensor.of(tokens, tokens.capacity());
                        Tensor v = Tensor.of(visual, visual.capacity());
                        Native.flat_sequence_report(
                                handle(), raw,
                                new Slots().with(Native.FLAT_OUT_LAYER_TOKENS, t).with(Native.FLAT_OUT_LAYER_VISUAL, v).list());
                        Slots.alive(t, v);
                        long[] all = new long[tokens.capacity()];
                        long[] seen = new long[visual.capacity()];
                        tokens.get(all);
                        visual.get(seen);
                        return new Report(
                                raw.getStages(), all, seen, raw.getVisual_before(), raw.getVisual_after(),
                                raw.getEquiv_in(), raw.getEquiv_out(), raw.getMacs(), raw.getMacs_unpruned(),
                                raw.getKv_bytes(), raw.getKv_bytes_unpruned());
                    });
        } finally {
            raw.delete();
        }
    }

    private static LongBuffer longs(int n) {
        return ByteBuffer.allocateDirect(8 * n).order(ByteOrder.nativeOrder()).asLongBuffer();
    }
}
