tkp_add_check_test(NAME mllm/tokenizer
  SOURCES test_tokenizer.c LIBS tokenprune-mllm-static PkgConfig::MLLM
  LABELS ci)
tkp_add_check_test(NAME mllm/tokenizer_files
  SOURCES test_tokenizer_files.c LIBS tokenprune-mllm-static PkgConfig::MLLM
  LABELS smoke)
tkp_add_check_test(NAME mllm/prompt
  SOURCES test_prompt.c LIBS tokenprune-mllm-static PkgConfig::MLLM
  LABELS smoke)
tkp_add_check_test(NAME mllm/sampler
  SOURCES test_sampler.c LIBS tokenprune-mllm-static PkgConfig::MLLM
  LABELS smoke)
tkp_add_fuzzer(NAME tokenizer
  SOURCES ../fuzz/fuzz_tokenizer.c LIBS tokenprune-mllm-static PkgConfig::MLLM
  CORPUS ../fuzz/corpus/tokenizer)
