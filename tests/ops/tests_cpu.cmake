# What is the CPU module's own. Its table of products is looked at from inside.
if(TARGET tokenprune-cpu)
  tkp_add_check_test(NAME ops/cpu_backend
    SOURCES test_cpu_backend.c
      op_main.c op_compare.c op_device.c op_cases.c op_cases_score.c op_cases_select.c
      op_cases_greedy.c
      op_cases_rows.c op_cases_forward.c
      backends/cpu/cpu_exec.c backends/cpu/cpu_dnnl.c
    LIBS tkp_util tokenprune OneDNN::dnnl OpenMP::OpenMP_C
    LABELS ci ENV TKP_TEST_BACKEND=cpu)
endif()
