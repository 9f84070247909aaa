package io.github.tokenprune;

import io.github.tokenprune.internal.Libraries;
import io.github.tokenprune.internal.Native;
import java.lang.ref.Reference;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.util.Arrays;

/**
 * A view of a direct buffer, from its position on, or of memory on a device. Nothing is copied;
 * the view keeps the buffer alive.
 */
public final class Tensor {
    static final int MOST = 6;
    static final int RECORD = 6 + 2 * MOST;

    private final Object keeps;
    private final long[] record = new long[RECORD];

    private Tensor(Object keeps, long address, Dtype dtype, int device, int number, long[] shape, long[] strides) {
        this.keeps = keeps;
        record[1] = address;
        record[2] = dtype.code();
        record[3] = device;
        record[4] = number;
        record[5] = shape.length;
        System.arraycopy(shape, 0, record, 6, shape.length);
        System.arraycopy(strides, 0, record, 6 + MOST, strides.length);
    }

    private static TokenPruneException wrong(String message) {
        return new TokenPruneException(Status.SHAPE, "tensor: " + message);
    }

    private static long[] rowMajor(long[] shape) {
        long[] strides = new long[shape.length];
        long n = 1;
        for (int i = shape.length - 1; i >= 0; i--) {
            strides[i] = n;
            if (shape[i] < 0) {
                throw wrong(Arrays.toString(shape) + " has a size below 0");
            }
            try {
                n = Math.multiplyExact(n, Math.max(shape[i], 1));
            } catch (ArithmeticException e) {
                throw wrong(Arrays.toString(shape) + " is too large");
            }
        }
        return strides;
    }

    /** Elements that a view touches. */
    private static long extent(long[] shape, long[] strides) {
        if (shape.length != strides.length || shape.length > MOST) {
            throw wrong(shape.length + " dimensions and " + strides.length + " strides, wanted as many, at most " + MOST);
        }
        long last = 0;
        boolean empty = false;
        try {
            for (int i = 0; i < shape.length; i++) {
                if (shape[i] < 0 || strides[i] < 0) {
                    throw wrong("dimension " + i + " is " + shape[i] + " with stride " + strides[i] + ", wanted 0 or more");
                }
                empty |= shape[i] == 0;
                last = Math.addExact(last, Math.multiplyExact(Math.max(shape[i] - 1, 0), strides[i]));
            }
            return empty ? 0 : Math.addExact(last, 1);
        } catch (ArithmeticException e) {
            throw wrong(Arrays.toString(shape) + " is too large");
        }
    }

    private static Tensor of(Buffer buffer, boolean native_, Dtype dtype, long[] shape, long[] strides) {
        Libraries.load();
        if (!buffer.isDirect()) {
            throw new TokenPruneException(Status.ARGUMENT, "tensor: the buffer is not direct: ByteBuffer.allocateDirect()");
        }
        if (!native_) {
            throw new TokenPruneException(
                    Status.ARGUMENT, "tensor: the buffer is not in native order: order(ByteOrder.nativeOrder())");
        }
        long wanted = extent(shape, strides);
        if (wanted > buffer.remaining()) {
            throw wrong(Arrays.toString(shape) + " touches " + wanted + " elements, the buffer has " + buffer.remaining());
        }
        int bytes = dtype == Dtype.U8 || buffer instanceof ByteBuffer ? 1 : dtype.bytes();
        long address = Native.flat_address(buffer) + (long) buffer.position() * bytes;
        return new Tensor(buffer, address, dtype, 1, 0, shape, strides);
    }

    /**
     * A row-major view of f32.
     *
     * @param data direct, in native order
     * @param shape sizes, outermost first
     * @return the view
     */
    public static Tensor of(FloatBuffer data, long... shape) {
        return of(data, data.order() == ByteOrder.nativeOrder(), Dtype.F32, shape, rowMajor(shape));
    }

    /**
     * A view of f32 with gaps.
     *
     * @param data direct, in native order
     * @param shape sizes
     * @param strides in elements
     * @return the view
     */
    public static Tensor strided(FloatBuffer data, long[] shape, long[] strides) {
        return of(data, data.order() == ByteOrder.nativeOrder(), Dtype.F32, shape, strides);
    }

    /**
     * A row-major view of i32.
     *
     * @param data direct, in native order
     * @param shape sizes
     * @return the view
     */
    public static Tensor of(IntBuffer data, long... shape) {
        return of(data, data.order() == ByteOrder.nativeOrder(), Dtype.I32, shape, rowMajor(shape));
    }

    /**
     * A row-major view of i64.
     *
     * @param data direct, in native order
     * @param shape sizes
     * @return the view
     */
    public static Tensor of(LongBuffer data, long... shape) {
        return of(data, data.order() == ByteOrder.nativeOrder(), Dtype.I64, shape, rowMajor(shape));
    }

    /**
     * A row-major view of bytes that hold elements of a type: how f16 and bf16 are given.
     *
     * @param data direct
     * @param dtype of the elements
     * @param shape sizes
     * @return the view
     */
    public static Tensor of(ByteBuffer data, Dtype dtype, long... shape) {
        long[] strides = rowMajor(shape);
        if (extent(shape, strides) > data.remaining() / dtype.bytes()) {
            throw wrong(Arrays.toString(shape) + " does not fit into " + data.remaining() + " bytes");
        }
        Libraries.load();
        if (!data.isDirect()) {
            throw new TokenPruneException(Status.ARGUMENT, "tensor: the buffer is not direct: ByteBuffer.allocateDirect()");
        }
        return new Tensor(data, Native.flat_address(data) + data.position(), dtype, 1, 0, shape, strides);
    }

    /**
     * A view of memory on a CUDA device, which the caller keeps.
     *
     * @param address on the device
     * @param dtype of the elements
     * @param device its number
     * @param shape sizes
     * @param strides in elements
     * @return the view
     */
    public static Tensor onCuda(long address, Dtype dtype, int device, long[] shape, long[] strides) {
        extent(shape, strides);
        return new Tensor(null, address, dtype, 2, device, shape, strides);
    }

    /**
     * A direct buffer in native order.
     *
     * @param elements its length
     * @return zeros
     */
    public static FloatBuffer floats(int elements) {
        return ByteBuffer.allocateDirect(Math.multiplyExact(elements, 4)).order(ByteOrder.nativeOrder()).asFloatBuffer();
    }

    /**
     * A direct buffer in native order.
     *
     * @param elements its length
     * @return zeros
     */
    public static IntBuffer ints(int elements) {
        return ByteBuffer.allocateDirect(Math.multiplyExact(elements, 4)).order(ByteOrder.nativeOrder()).asIntBuffer();
    }

    /**
     * Sizes, outermost first.
     *
     * @return a copy
     */
    public long[] shape() {
        return Arrays.copyOfRange(record, 6, 6 + (int) record[5]);
    }

    /**
     * Where C sees the first element.
     *
     * @return the address
     */
    public long address() {
        return record[1];
    }

    /** Held until a call is over. */
    void alive() {
        Reference.reachabilityFence(keeps);
    }

    /**
     * What native layers are told.
     *
     * @param slot what it is for
     * @return the record
     */
    public long[] record(int slot) {
        long[] r = record.clone();
        r[0] = slot;
        return r;
    }
}
