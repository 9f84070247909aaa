# Policies as text, and policies at work on synthetic inputs.

tkp_add_check_test(NAME api/policy_yaml
  SOURCES test_policy_yaml.c LIBS tokenprune LABELS smoke)
tkp_add_fuzzer(NAME policy
  SOURCES ../fuzz/fuzz_policy.c LIBS tokenprune-static
  CORPUS ../fuzz/corpus/policy)
tkp_add_check_test(NAME api/pipeline
  SOURCES test_pipeline.c pipeline_testing.c LIBS tokenprune LABELS smoke)
tkp_add_check_test(NAME api/pipeline_cost
  SOURCES test_pipeline_cost.c LIBS tokenprune LABELS smoke)
tkp_add_check_test(NAME api/policy_golden
  SOURCES test_policy_golden.c LIBS tokenprune LABELS smoke)
tkp_add_check_test(NAME api/policy_custom
  SOURCES test_policy_custom.c pipeline_testing.c LIBS tokenprune LABELS smoke)
tkp_add_check_test(NAME api/video
  SOURCES test_video.c pipeline_testing.c LIBS tokenprune LABELS smoke)
