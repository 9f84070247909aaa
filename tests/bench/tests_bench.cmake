# Every op alone, beside the floors of the machine.
set(bench_libs tokenprune)
set(bench_sources bench_ops.c bench.c bench_cases.c)
if(TARGET tokenprune-cpu)
  # The bare oneDNN product goes through the module's own thin layer.
  list(APPEND bench_sources backends/cpu/cpu_dnnl.c)
  list(APPEND bench_libs tkp_util OneDNN::dnnl OpenMP::OpenMP_C)
  tkp_add_bench(NAME tkp_bench_ops SOURCES ${bench_sources} LIBS ${bench_libs})
  if(TARGET tkp_bench_ops)
    target_compile_definitions(tkp_bench_ops PRIVATE TKP_BENCH_ONEDNN=1)
    execute_process(
      COMMAND git describe --always --dirty
      WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
      OUTPUT_VARIABLE bench_commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(bench_commit)
      target_compile_definitions(tkp_bench_ops PRIVATE
        TKP_BENCH_COMMIT="${bench_commit}")
    endif()
  endif()
endif()
