package io.github.tokenprune.internal;

import java.nio.charset.StandardCharsets;

/** Texts on their way to C and back, as UTF-8. */
public final class Texts {
    private Texts() {}

    public static byte[] bytes(String text) {
        if (text == null) {
            return null;
        }
        if (text.indexOf('\0') >= 0) {
            throw new IllegalArgumentException("a text with NUL in it");
        }
        return text.getBytes(StandardCharsets.UTF_8);
    }

    public static String of(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }
}
