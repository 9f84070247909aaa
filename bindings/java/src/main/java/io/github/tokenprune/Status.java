package io.github.tokenprune;

/** What kind of failure it was: the codes of {@code tkp_status}. */
public enum Status {
    /** Out of range, or not allowed here. */
    ARGUMENT(10),
    /** Dimensions or strides disagree. */
    SHAPE(11),
    /** An element type that is not accepted. */
    DTYPE(12),
    /** An option holds an impossible value. */
    OPTION(13),
    /** The workspace is missing or too small. */
    WORKSPACE(14),
    /** An output overlaps an input. */
    ALIAS(15),
    /** Calls in the wrong order. */
    STATE(16),
    /** Legal, but not available; the message says why. */
    UNSUPPORTED(20),
    /** The backend asked for is not there. */
    NO_BACKEND(21),
    /** A caller, file or module of another version. */
    VERSION(22),
    /** Out of memory. */
    MEMORY(30),
    /** A file cannot be read or written. */
    IO(31),
    /** A callback asked to stop. */
    CANCELLED(32),
    /** The device failed. */
    DEVICE(40),
    /** A bug of the library's. */
    INTERNAL(41),
    /** Data hold values that nothing can be made of (NaN). */
    DATA(42),
    /** A policy's text is not well formed. */
    PARSE(50),
    /** It is well formed, the policy is not. */
    POLICY(51),
    /** A model or image file is damaged. */
    FORMAT(52);

    private final int code;

    Status(int code) {
        this.code = code;
    }

    /**
     * The number in C.
     *
     * @return the code
     */
    public int code() {
        return code;
    }

    static Status of(int code) {
        for (Status s : values()) {
            if (s.code == code) {
                return s;
            }
        }
        return INTERNAL;
    }
}
