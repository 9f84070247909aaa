# The lessons of examples/c are built, and run to their end.
if(TARGET tokenprune)
  add_executable(example_01_prune ${PROJECT_SOURCE_DIR}/examples/c/01_prune.c)
  target_link_libraries(example_01_prune PRIVATE tkp_flags tokenprune)
  target_include_directories(example_01_prune PRIVATE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
  set_target_properties(example_01_prune PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
  add_test(NAME examples/01_prune COMMAND example_01_prune)
  tkp_test_properties(examples/01_prune smoke 60)
  set_tests_properties(examples/01_prune PROPERTIES
    PASS_REGULAR_EXPRESSION "144 of 576 visual tokens stay")
endif()
