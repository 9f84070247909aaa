package io.github.tokenprune;

import io.github.tokenprune.internal.tkp_point;

/**
 * A place in the forward where the batch is cut.
 *
 * @param kind where
 * @param stage number in the policy
 * @param boundary layers, or blocks of the encoder, that run before
 * @param scoreLayer whose q and k are wanted; -1 = none
 * @param needs bits of {@link Needs}
 * @param rowsIn before the cut
 * @param rowsOut after it; the most there may be where the data decide
 * @param queryRows whose queries are wanted
 * @param kvBegin layers whose caches are cut
 * @param kvEnd their end
 */
public record Point(
        Kind kind,
        int stage,
        int boundary,
        int scoreLayer,
        long needs,
        long rowsIn,
        long rowsOut,
        long queryRows,
        int kvBegin,
        int kvEnd) {
    /** Where stages act. */
    public enum Kind {
        /** Before the language model. */
        PROJECTOR(1),
        /** Before a layer of the decoder. */
        LLM(2),
        /** After a block of the encoder. */
        VISION(3),
        /** After prefill, in the caches. */
        KV(4),
        /** Inside a block of the encoder. */
        VISION_MLP(5);

        final int code;

        Kind(int code) {
            this.code = code;
        }
    }

    static Point of(tkp_point p) {
        for (Kind kind : Kind.values()) {
            if (kind.code == p.getKind()) {
                return new Point(
                        kind, p.getStage(), p.getBoundary(), p.getScore_layer(), p.getNeeds(), p.getRows_in(),
                        p.getRows_out(), p.getQuery_rows(), p.getKv_begin(), p.getKv_end());
            }
        }
        return null;
    }
}
