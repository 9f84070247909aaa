tkp_add_check_test(NAME mllm/engine_parity
  SOURCES test_engine_parity.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke)
tkp_add_check_test(NAME mllm/engine_next
  SOURCES test_engine_next.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke)
tkp_add_check_test(NAME mllm/engine_qwen
  SOURCES test_engine_qwen.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke)
tkp_add_check_test(NAME mllm/engine_video
  SOURCES test_engine_video.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke)
tkp_add_check_test(NAME mllm/engine_cuts
  SOURCES test_engine_cuts.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke)
tkp_add_check_test(NAME mllm/engine_pruning
  SOURCES test_engine_pruning.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke)
tkp_add_check_test(NAME mllm/engine_methods
  SOURCES test_engine_methods.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke)
tkp_add_check_test(NAME mllm/engine_generate
  SOURCES test_engine_generate.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke THREADS)
tkp_add_check_test(NAME mllm/engine_inputs
  SOURCES test_engine_inputs.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS smoke)
tkp_add_check_test(NAME mllm/engine_presets
  SOURCES test_engine_presets.c engine_testing.c
  LIBS tokenprune-mllm-static LABELS ci TIMEOUT 400)
