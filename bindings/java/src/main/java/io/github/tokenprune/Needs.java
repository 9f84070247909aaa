package io.github.tokenprune;

/** Bits of what a stage wants to be given. */
public final class Needs {
    private Needs() {}

    /** q and k, or finished rows. */
    public static final long ATTENTION = 1;
    /** Hidden rows. */
    public static final long HIDDEN = 2;
    /** The CLS row of the encoder. */
    public static final long CLS_ATTENTION = 4;
    /** The weight of the final norm. */
    public static final long NORM_WEIGHT = 8;
    /** The caller's scores. */
    public static final long SCORES = 16;
    /** Rows of the question's words. */
    public static final long TEXT = 32;
    /** Values of the score layer. */
    public static final long VALUES = 64;
    /** Rows of the encoder. */
    public static final long VISION = 128;
    /** Keys of the encoder. */
    public static final long VISION_KEYS = 256;
    /** Patches in the shared space. */
    public static final long CLIP = 512;
    /** Prompts there. */
    public static final long CLIP_TEXT = 1024;
    /** Tokens of text there. */
    public static final long CLIP_TOKENS = 2048;
    /** What entered the decoder. */
    public static final long EMBEDDINGS = 4096;
    /** The CLS row of an early block. */
    public static final long CLS_SHALLOW = 8192;
    /** k alone. */
    public static final long KEYS = 16384;
    /** q and k before rotary. */
    public static final long PLAIN_ATTENTION = 32768;
    /** Values of the encoder. */
    public static final long VISION_VALUES = 65536;
}
