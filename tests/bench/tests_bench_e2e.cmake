# A whole model, with and without pruning.
tkp_add_bench(NAME tkp_bench_e2e
  SOURCES bench_e2e.c LIBS tokenprune-mllm-static)
