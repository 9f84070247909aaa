# Data sets, metrics and statistics; not without the command.
if(TARGET tokenprune-cli)
  foreach(subject metrics stats readers golden)
    tkp_add_check_test(NAME eval/${subject}
      SOURCES test_eval_${subject}.c eval_testing.c
      LIBS tokenprune-cli-static PkgConfig::MLLM LABELS smoke)
  endforeach()
  tkp_add_fuzzer(NAME eval
    SOURCES ../fuzz/fuzz_eval.c LIBS tokenprune-cli-static PkgConfig::MLLM
    CORPUS ../fuzz/corpus/eval)
endif()
