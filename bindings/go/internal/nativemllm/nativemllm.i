/* The reference model, raw: private. Handles are those of package native. */
%module nativemllm
%include "status.i"
%include "tokenprune.i"
%include "tokenprune_mllm.i"
