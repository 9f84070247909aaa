package io.github.tokenprune.internal;

/** Loads the native half, from java.library.path. */
public final class Libraries {
    static {
        System.loadLibrary("tokenprune-java");
    }

    private Libraries() {}

    /** Has it loaded. */
    public static void load() {}
}
