# Data sets, metrics and statistics; not without the command.
if(TARGET tokenprune-cli)
  tkp_add_check_test(NAME eval/metrics
    SOURCES test_eval_metrics.c eval_testing.c
    LIBS tokenprune-cli-static PkgConfig::MLLM LABELS smoke)
  tkp_add_check_test(NAME eval/stats
    SOURCES test_eval_stats.c eval_testing.c
    LIBS tokenprune-cli-static PkgConfig::MLLM LABELS smoke)
endif()
