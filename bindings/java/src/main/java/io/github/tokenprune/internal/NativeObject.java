package io.github.tokenprune.internal;

import io.github.tokenprune.Status;
import io.github.tokenprune.TokenPruneException;
import java.lang.ref.Cleaner;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.LongConsumer;
import java.util.function.Supplier;

/**
 * Something of C's. Calls hold it open; closing what is in use is refused, closing twice is
 * harmless, and a Cleaner is the safety net.
 */
public abstract class NativeObject implements AutoCloseable {
    private static final Cleaner CLEANER = Cleaner.create();

    /** What the Cleaner may still reach. */
    private static final class Handle implements Runnable {
        long value;
        final LongConsumer destroy;

        Handle(long value, LongConsumer destroy) {
            this.value = value;
            this.destroy = destroy;
        }

        @Override
        public void run() {
            if (value != 0) {
                destroy.accept(value);
                value = 0;
            }
        }
    }

    private final String what;
    private final Handle handle;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    private final Cleaner.Cleanable cleanable;

    protected NativeObject(String what, long value, LongConsumer destroy) {
        this.what = what;
        this.handle = new Handle(value, destroy);
        this.cleanable = CLEANER.register(this, handle);
    }

    /** The number that C knows it by; while it is held open. */
    public final long handle() {
        return handle.value;
    }

    private TokenPruneException inUse() {
        return new TokenPruneException(Status.STATE, what + ": another call works with it");
    }

    private void enter() {
        if (!lock.readLock().tryLock()) {
            throw inUse();
        }
        if (handle.value == 0) {
            lock.readLock().unlock();
            throw new IllegalStateException(what + ": is closed");
        }
    }

    private void enterAlone() {
        if (lock.isWriteLockedByCurrentThread() || !lock.writeLock().tryLock()) {
            throw inUse();
        }
        if (handle.value == 0) {
            lock.writeLock().unlock();
            throw new IllegalStateException(what + ": is closed");
        }
    }

    /** A call during which all of these stay open. */
    public static <T> T with(Supplier<T> call, NativeObject... objects) {
        int open = 0;
        try {
            for (NativeObject o : objects) {
                o.enter();
                open++;
            }
            return call.get();
        } finally {
            for (int i = 0; i < open; i++) {
                objects[i].lock.readLock().unlock();
            }
        }
    }

    /** A call that has this object for itself. */
    public final <T> T alone(Supplier<T> call, NativeObject... others) {
        enterAlone();
        try {
            return with(call, others);
        } finally {
            lock.writeLock().unlock();
        }
    }

    /** Gives the memory back now. Again is harmless. */
    @Override
    public final void close() {
        if (lock.isWriteLockedByCurrentThread() || !lock.writeLock().tryLock()) {
            throw inUse();
        }
        try {
            cleanable.clean();
        } finally {
            lock.writeLock().unlock();
        }
    }
}
