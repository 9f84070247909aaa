package io.github.tokenprune;

/** Element types. */
public enum Dtype {
    /** 32-bit floating point. */
    F32(1, 4),
    /** IEEE half precision. */
    F16(2, 2),
    /** bfloat16. */
    BF16(3, 2),
    /** 32-bit integers. */
    I32(4, 4),
    /** 64-bit integers. */
    I64(5, 8),
    /** Bytes. */
    U8(6, 1);

    private final int code;
    private final int bytes;

    Dtype(int code, int bytes) {
        this.code = code;
        this.bytes = bytes;
    }

    /**
     * The number in C.
     *
     * @return the code
     */
    public int code() {
        return code;
    }

    /**
     * Of one element.
     *
     * @return bytes
     */
    public int bytes() {
        return bytes;
    }
}
