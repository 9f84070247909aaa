# The demo model still answers as its card says; skipped where the card
# (scores.json) or NumPy is missing.
if(TARGET tokenprune-mllm)
  find_program(TKP_PYTHON NAMES python3
    DOC "Python with PyTorch and transformers, for the live comparison")
  if(TKP_PYTHON AND EXISTS ${PROJECT_SOURCE_DIR}/examples/demo/model)
    tkp_test_program(demo_answers answers.c "tokenprune-mllm;PkgConfig::JANSSON")
    tkp_add_command_test(NAME demo/rescore LABELS full
      COMMAND ${TKP_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/rescore.py
        $<TARGET_FILE:demo_answers> ${PROJECT_SOURCE_DIR}/examples/demo/model
        ${PROJECT_SOURCE_DIR}/tools/demo_model)
  endif()
endif()
