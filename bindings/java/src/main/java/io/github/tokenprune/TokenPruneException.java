package io.github.tokenprune;

import java.nio.charset.StandardCharsets;

/** A failed call: a status for the program, and a line that names field, value met and wanted. */
public class TokenPruneException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** What kind of failure it was. */
    private final Status status;

    /**
     * Made by the library, and by what is checked in Java.
     *
     * @param status what kind
     * @param message the line
     */
    public TokenPruneException(Status status, String message) {
        super(message);
        this.status = status;
    }

    /**
     * What kind of failure it was.
     *
     * @return the status
     */
    public Status status() {
        return status;
    }

    /** Called by the native layer. */
    static TokenPruneException of(int code, byte[] message) {
        return new TokenPruneException(Status.of(code), new String(message, StandardCharsets.UTF_8));
    }
}
