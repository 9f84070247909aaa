package io.github.tokenprune;

import io.github.tokenprune.internal.Libraries;
import io.github.tokenprune.internal.Native;
import io.github.tokenprune.internal.NativeObject;
import java.util.ArrayList;
import java.util.List;

/** What a process shares: backends, threads, the device. Any number of threads may use it. */
public final class Context extends NativeObject {
    private Context(long handle) {
        super("context", handle, Native::flat_destroy);
    }

    private static long create(String backends, String folder, int threads, int kind, int device) {
        Libraries.load();
        long[] out = {0};
        Native.flat_context_create(out, backends, folder, threads, kind, device);
        return out[0];
    }

    /** Every backend of the CPU that can run here, best first; one thread. */
    public Context() {
        this("", 0);
    }

    /**
     * Chosen backends.
     *
     * @param backends names, best first: "cpu,ref"; empty = all
     * @param threads inside an operation; 0 = 1
     */
    public Context(String backends, int threads) {
        this(create(backends, "", threads, 1, 0));
    }

    /**
     * On a CUDA device.
     *
     * @param device its number
     * @return the context
     */
    public static Context onCuda(int device) {
        return new Context(create("", "", 0, 2, device));
    }

    /**
     * Names of the backends.
     *
     * @return best first
     */
    public List<String> backends() {
        return with(
                () -> {
                    List<String> names = new ArrayList<>();
                    for (int i = 0; i < Native.flat_context_backend_count(handle()); i++) {
                        names.add(Native.flat_context_backend_name(handle(), i));
                    }
                    return names;
                },
                this);
    }

    /**
     * Of the library that is loaded.
     *
     * @return such as "0.1.0"
     */
    public static String version() {
        Libraries.load();
        return Native.flat_version();
    }
}
