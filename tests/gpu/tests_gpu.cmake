# `ctest -L gpu`: the CUDA module on a device. Skipped, with the reason, where
# there is none; the same code on the CPU is tests/simt.
if(NOT TARGET tokenprune-cuda)
  return()
endif()

tkp_add_command_test(NAME gpu/ops
  COMMAND ops_backend NEEDS tokenprune-cuda LABELS full
  ENV TKP_TEST_BACKEND=cuda)
set(gpu_tests gpu/ops)
if(TARGET tokenprune-cli AND TKP_PYTHON)
  foreach(cases published video selections)
    tkp_add_command_test(NAME gpu/${cases}
      COMMAND ${TKP_PYTHON} ${PROJECT_SOURCE_DIR}/tests/cli/published.py
        $<TARGET_FILE:tokenprune-cli> ${PROJECT_SOURCE_DIR}/tests/golden/${cases}
      NEEDS tokenprune-cuda LABELS full
      ENV TKP_TEST_BACKENDS=cuda TKP_TEST_MAY_SKIP=1)
    list(APPEND gpu_tests gpu/${cases})
  endforeach()
endif()
# The reference forward, held against transformers as on the CPU.
if(TARGET tokenprune-mllm)
  tkp_test_program(gpu_on_device on_device.c tokenprune)
  foreach(part parity next qwen video cuts methods generate)
    tkp_add_command_test(NAME gpu/engine_${part}
      COMMAND gpu_on_device $<TARGET_FILE:mllm_engine_${part}>
      NEEDS tokenprune-cuda LABELS full
      ENV TKP_TEST_BACKEND=cuda)
    list(APPEND gpu_tests gpu/engine_${part})
  endforeach()
endif()
find_program(TKP_COMPUTE_SANITIZER compute-sanitizer
  HINTS ${CUDAToolkit_BIN_DIR})
if(TKP_COMPUTE_SANITIZER)
  foreach(tool memcheck racecheck)
    tkp_add_command_test(NAME gpu/${tool}
      COMMAND ${CMAKE_CURRENT_LIST_DIR}/sanitized ${TKP_COMPUTE_SANITIZER}
        ${tool} $<TARGET_FILE:ops_backend>
      NEEDS tokenprune-cuda LABELS full
      ENV TKP_TEST_BACKEND=cuda TKP_TEST_LARGEST=320 TKP_TEST_STEP=9
        CK_FORK=no)
    list(APPEND gpu_tests gpu/${tool})
  endforeach()
endif()
foreach(test ${gpu_tests})
  set_property(TEST ${test} APPEND PROPERTY LABELS gpu)
  set_property(TEST ${test} PROPERTY RESOURCE_LOCK gpu)
endforeach()
