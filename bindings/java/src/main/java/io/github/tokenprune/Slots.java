package io.github.tokenprune;

import java.util.Arrays;

/** The tensors of one call. */
final class Slots {
    private long[] list = new long[0];

    Slots with(int slot, Tensor tensor) {
        if (tensor != null) {
            long[] record = tensor.record(slot);
            int at = list.length;
            list = Arrays.copyOf(list, at + record.length);
            System.arraycopy(record, 0, list, at, record.length);
        }
        return this;
    }

    long[] list() {
        return list;
    }

    /** Buffers that C was given addresses of are held until here. */
    static void alive(Tensor... tensors) {
        for (Tensor t : tensors) {
            if (t != null) {
                t.alive();
            }
        }
    }
}
