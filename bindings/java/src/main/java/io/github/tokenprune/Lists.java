package io.github.tokenprune;

import java.nio.IntBuffer;
import java.util.function.BiConsumer;

/** Lists whose length is asked for first. */
final class Lists {
    private Lists() {}

    static int[] ints(BiConsumer<long[], long[]> ask, int slot) {
        long[] out = {0};
        ask.accept(out, new long[0]);
        IntBuffer found = Tensor.ints(Math.toIntExact(out[0]));
        if (found.capacity() > 0) {
            Tensor t = Tensor.of(found, found.capacity());
            ask.accept(out, t.record(slot));
            t.alive();
        }
        int[] list = new int[found.capacity()];
        found.get(list);
        return list;
    }
}
