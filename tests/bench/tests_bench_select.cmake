# Every preset at its cut; with the OpenMP of bench.c.
if(TARGET tokenprune-cpu)
  tkp_add_bench(NAME tkp_bench_select
    SOURCES bench_select.c bench.c LIBS tokenprune OpenMP::OpenMP_C)
endif()
