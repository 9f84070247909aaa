package io.github.tokenprune;

import io.github.tokenprune.internal.Libraries;
import io.github.tokenprune.internal.Native;
import io.github.tokenprune.internal.NativeObject;
import java.nio.ByteBuffer;

/**
 * What a batch looks like before pruning. It may be filled until something uses it; then changes
 * are {@link Status#STATE}.
 */
public final class Layout extends NativeObject {
    /** An empty batch. */
    public Layout() {
        super("layout", create(), Native::flat_destroy);
    }

    private static long create() {
        Libraries.load();
        long[] out = {0};
        Native.flat_layout_create(out);
        return out[0];
    }

    /** A grid of visual tokens; fields may be left 0. */
    public static final class Image {
        final long start;
        final int rows;
        final int cols;
        int frames;
        int rowStride;
        final int[] tile = new int[4];
        byte[] valid;
        byte[] keep;

        /**
         * A grid.
         *
         * @param start row of the sequence
         * @param rows of tokens
         * @param cols of tokens
         */
        public Image(long start, int rows, int cols) {
            this.start = start;
            this.rows = rows;
            this.cols = cols;
        }

        /**
         * Grids one after the other in time.
         *
         * @param n how many
         * @return this
         */
        public Image frames(int n) {
            frames = n;
            return this;
        }

        /**
         * Tokens from one row of the grid to the next.
         *
         * @param n cols + 1 where rows end in a newline token
         * @return this
         */
        public Image rowStride(int n) {
            rowStride = n;
            return this;
        }

        /**
         * Tiles side by side.
         *
         * @param height cells of one
         * @param width cells of one
         * @param top rows that the first lack
         * @param left columns likewise
         * @return this
         */
        public Image tiles(int height, int width, int top, int left) {
            tile[0] = height;
            tile[1] = width;
            tile[2] = top;
            tile[3] = left;
            return this;
        }

        /**
         * Cells that are tokens.
         *
         * @param cells a byte each, 0 = padding
         * @return this
         */
        public Image valid(byte[] cells) {
            valid = cells;
            return this;
        }

        /**
         * Cells that always stay.
         *
         * @param cells a byte each, 1 = kept
         * @return this
         */
        public Image keep(byte[] cells) {
            keep = cells;
            return this;
        }
    }

    private static Tensor mask(byte[] cells) {
        return cells == null ? null : Tensor.of(ByteBuffer.allocateDirect(cells.length).put(cells).flip(), Dtype.U8, cells.length);
    }

    /**
     * A sequence.
     *
     * @param length tokens, text and visual
     * @param textBegin text that guides the pruning; both 0 = behind the last image
     * @param textEnd its end
     * @param id names it to the random generator
     * @return its number
     */
    public int addSequence(long length, long textBegin, long textEnd, int id) {
        long[] out = {0};
        return alone(
                () -> {
                    Native.flat_layout_add_sequence(
                            out, handle(), Integer.toUnsignedLong(id), length, textBegin, textEnd);
                    return (int) out[0];
                });
    }

    /**
     * An image of a sequence.
     *
     * @param sequence its number
     * @param i the grid
     * @return its number
     */
    public int addImage(int sequence, Image i) {
        Tensor valid = mask(i.valid);
        Tensor keep = mask(i.keep);
        long[] out = {0};
        int number = alone(
                () -> {
                    Native.flat_layout_add_image(
                            out, handle(), sequence, i.start, i.frames, i.rows, i.cols, i.rowStride,
                            i.tile[0], i.tile[1], i.tile[2], i.tile[3],
                            new Slots().with(Native.FLAT_VALID, valid).with(Native.FLAT_KEEP, keep).list());
                    return (int) out[0];
                });
        Slots.alive(valid, keep);
        return number;
    }

    /**
     * Rotary positions of all rows.
     *
     * @param positions [1, rows] or, for M-RoPE, [3, rows] i32
     */
    public void setPositions(Tensor positions) {
        alone(
                () -> {
                    Native.flat_layout_set_positions(
                            handle(), new Slots().with(Native.FLAT_POSITIONS, positions).list());
                    return null;
                });
        Slots.alive(positions);
    }

    /**
     * In the batch.
     *
     * @return how many
     */
    public int sequences() {
        return with(() -> Native.flat_layout_sequences(handle()), this);
    }

    /**
     * Of all sequences.
     *
     * @return how many
     */
    public int images() {
        return with(() -> Native.flat_layout_images(handle()), this);
    }

    /**
     * Of the packed batch.
     *
     * @return how many
     */
    public long rows() {
        return with(() -> Native.flat_layout_rows(handle()), this);
    }

    /**
     * Candidates of a sequence.
     *
     * @param sequence its number
     * @return how many; -1 outside
     */
    public long visualTokens(int sequence) {
        return with(() -> Native.flat_layout_visual_tokens(handle(), sequence), this);
    }

    int candidates() {
        long n = 0;
        for (int b = sequences() - 1; b >= 0; b--) {
            n += visualTokens(b);
        }
        return Math.toIntExact(n);
    }
}
