tkp_add_check_test(
  NAME mllm/image
  SOURCES test_image.c
  LIBS tokenprune-mllm-static
  LABELS smoke)
tkp_add_check_test(
  NAME mllm/image_patches
  SOURCES test_image_patches.c
  LIBS tokenprune-mllm-static PkgConfig::MLLM
  LABELS smoke)
tkp_add_check_test(
  NAME mllm/checkpoint
  SOURCES test_checkpoint.c
  LIBS tokenprune-mllm-static
  LABELS smoke)
