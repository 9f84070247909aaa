# Contexts, execs, plans and backends, seen from outside.

# Backend modules, most of them bad, in a folder of their own.
function(tkp_test_module name)
  add_library(test_module_${name} MODULE ${PROJECT_SOURCE_DIR}/tests/api/module.c)
  target_link_libraries(test_module_${name} PRIVATE tkp_flags tokenprune)
  target_compile_definitions(test_module_${name} PRIVATE ${ARGN})
  set_target_properties(test_module_${name} PROPERTIES
    OUTPUT_NAME tokenprune-${name}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/modules)
endfunction()
tkp_test_module(good MODULE_NAME="good" MODULE_SCORE=10)
tkp_test_module(better MODULE_NAME="better" MODULE_SCORE=20)
tkp_test_module(unable MODULE_NAME="unable" MODULE_SCORE=0)
tkp_test_module(oldabi MODULE_NAME="oldabi" MODULE_ABI=99)
tkp_test_module(noentry MODULE_NAME="noentry" MODULE_NO_ENTRY)
tkp_test_module(misnamed MODULE_NAME="other")
tkp_test_module(cudafake MODULE_NAME="cudafake" MODULE_DEVICE=TKP_DEVICE_CUDA)

tkp_add_check_test(NAME api/context
  SOURCES test_context.c LIBS tokenprune LABELS smoke
  ENV TKP_TEST_MODULES=${PROJECT_BINARY_DIR}/tests/modules)
tkp_add_check_test(NAME api/op
  SOURCES test_op.c LIBS tokenprune Threads::Threads LABELS smoke THREADS)
if(TARGET api_context)
  foreach(name good better unable oldabi noentry misnamed cudafake)
    add_dependencies(api_context test_module_${name})
  endforeach()
endif()
