package io.github.tokenprune;

import io.github.tokenprune.internal.Native;
import io.github.tokenprune.internal.NativeObject;

/**
 * What one thread at a time, or one CUDA stream, works with. It has the memory for intermediate
 * results, which grows to what calls need.
 */
public final class Exec extends NativeObject {
    private Exec(long handle) {
        super("exec", handle, Native::flat_destroy);
    }

    private static long create(Context context, long stream) {
        long[] out = {0};
        with(
                () -> {
                    Native.flat_exec_create(out, context.handle(), stream);
                    return null;
                },
                context);
        return out[0];
    }

    /**
     * On the CPU, or on the device's default stream.
     *
     * @param context where
     */
    public Exec(Context context) {
        this(create(context, 0));
    }

    /**
     * On a CUDA stream.
     *
     * @param context where
     * @param stream a cudaStream_t that outlives the exec
     */
    public Exec(Context context, long stream) {
        this(create(context, stream));
    }

    /**
     * Makes room beforehand, so that no later call allocates.
     *
     * @param bytes of workspace
     */
    public void reserve(long bytes) {
        alone(
                () -> {
                    Native.flat_exec_reserve(handle(), bytes);
                    return null;
                });
    }
}
