tkp_add_bench(NAME tkp_bench_call SOURCES bench_call.c LIBS tokenprune)
