/* io.github.tokenprune.mllm.internal: the reference model, private. Handles are
 * those of io.github.tokenprune.internal. */
%module NativeMllm
%include "java.i"
%include "tokenprune.i"
%include "tokenprune_mllm.i"
