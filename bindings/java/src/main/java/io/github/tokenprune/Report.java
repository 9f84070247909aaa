package io.github.tokenprune;

/**
 * What a batch cost.
 *
 * @param stages cuts that really ran
 * @param layerTokens that each layer of the decoder processed
 * @param layerVisual visual ones among them
 * @param visualBefore candidates in the layout
 * @param visualAfter after the last cut
 * @param equivIn mean over layers of the visual tokens processed
 * @param equivOut mean over layers of those that leave the layer
 * @param macs multiply-accumulates of the decoder's prefill
 * @param macsUnpruned without pruning
 * @param kvBytes of keys and values after prefill
 * @param kvBytesUnpruned without pruning
 */
public record Report(
        int stages,
        long[] layerTokens,
        long[] layerVisual,
        long visualBefore,
        long visualAfter,
        double equivIn,
        double equivOut,
        double macs,
        double macsUnpruned,
        long kvBytes,
        long kvBytesUnpruned) {}
