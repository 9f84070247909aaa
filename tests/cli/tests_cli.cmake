# The command, as a user runs it; not without the command.
if(TARGET tokenprune-cli)
  tkp_add_check_test(NAME cli/run
    SOURCES test_cli_run.c cli_testing.c tests/mllm/engine_testing.c
    LIBS tokenprune-mllm-static PkgConfig::MLLM LABELS smoke)
  tkp_add_check_test(NAME cli/select
    SOURCES test_cli_select.c cli_testing.c
    LIBS tokenprune-mllm-static PkgConfig::MLLM LABELS smoke)
  tkp_add_check_test(NAME cli/other
    SOURCES test_cli_other.c cli_testing.c
    LIBS tokenprune-mllm-static PkgConfig::MLLM LABELS smoke)
  tkp_add_check_test(NAME cli/score
    SOURCES test_cli_score.c cli_testing.c
    LIBS tokenprune-mllm-static PkgConfig::MLLM LABELS smoke)
  tkp_add_check_test(NAME cli/eval
    SOURCES test_cli_eval.c cli_testing.c
    LIBS tokenprune-mllm-static PkgConfig::MLLM PkgConfig::CLI LABELS ci
    ENV TKP_DEMO_MODEL=${PROJECT_SOURCE_DIR}/examples/demo/model)
  foreach(name run select other score eval)
    add_dependencies(cli_${name} tokenprune-cli)
    if(TARGET tokenprune-cpu)
      add_dependencies(cli_${name} tokenprune-cpu)
    endif()
  endforeach()
  tkp_add_fuzzer(NAME select
    SOURCES ../fuzz/fuzz_select.c LIBS tokenprune-cli-static PkgConfig::MLLM
    CORPUS ../fuzz/corpus/select)
endif()
