# Against the transformers that is installed; skipped, and said so, without it.
find_program(TKP_PYTHON NAMES python3
  DOC "Python with PyTorch and transformers, for the live comparison")
if(TARGET tokenprune-cli AND TKP_PYTHON)
  tkp_add_command_test(NAME mllm/live_parity
    COMMAND ${TKP_PYTHON} ${PROJECT_SOURCE_DIR}/tests/mllm/live_parity.py
      $<TARGET_FILE:tokenprune-cli> ${PROJECT_SOURCE_DIR}/examples/demo/model
      ${PROJECT_SOURCE_DIR}/examples/demo/questions.json
    NEEDS tokenprune-cli LABELS full)
endif()
