package io.github.tokenprune;

/**
 * What an engine can ask before it runs anything.
 *
 * @param needs bits of {@link Needs}, of all stages
 * @param textDependent what is kept depends on the question
 * @param merges kept rows are changed
 * @param inVision it acts inside the encoder
 * @param inLlm it acts inside the decoder
 * @param evicts it acts on the KV cache
 * @param adaptive the data decide how many are kept
 * @param keyBias attention has to take a bias of each key
 * @param lastBoundary the last layer that is cut before; -1 = none
 */
public record PolicyInfo(
        long needs,
        boolean textDependent,
        boolean merges,
        boolean inVision,
        boolean inLlm,
        boolean evicts,
        boolean adaptive,
        boolean keyBias,
        int lastBoundary) {}
