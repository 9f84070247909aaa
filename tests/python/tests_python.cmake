# The Python package: each file of bindings/python/tests is a test.
if(NOT TARGET tkp_python)
  message(STATUS "python: tests are left out, the package is not built")
  return()
endif()

# tkp_add_python_test(<name> <label>): 77, "skipped", where all of it was.
function(tkp_add_python_test name label)
  tkp_add_command_test(NAME python/${name}
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/bindings/python/tests/run.py
      ${PROJECT_SOURCE_DIR}/bindings/python/tests/test_${name}.py
    NEEDS tkp_python LABELS ${label}
    ENV PYTHONPATH=${PROJECT_BINARY_DIR}/python PYTHONDONTWRITEBYTECODE=1)
endfunction()

tkp_add_python_test(arrays smoke)
tkp_add_python_test(golden ci)
tkp_add_python_test(objects ci)
tkp_add_python_test(device ci)
if(TARGET tkp_python_flat_mllm)
  tkp_add_python_test(mllm ci)
  tkp_add_python_test(readme ci)
endif()
tkp_add_command_test(NAME python/wheel
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/wheel
    ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}
  NEEDS tkp_python LABELS full)

if(TARGET tkp_python_flat_mllm)
  tkp_add_command_test(NAME examples/pytorch
    COMMAND ${Python3_EXECUTABLE} -W ignore
      ${PROJECT_SOURCE_DIR}/bindings/python/tests/run.py
      ${PROJECT_SOURCE_DIR}/examples/pytorch/test_pruned.py
    NEEDS tkp_python LABELS full
    ENV PYTHONPATH=${PROJECT_BINARY_DIR}/python PYTHONDONTWRITEBYTECODE=1)
endif()
