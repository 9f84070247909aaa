# The flat calls that bindings are made of, without a binding: sanitizers see
# them here, for they cannot be loaded into another language's program.
set(flat_sources
  bindings/swig/flat.c bindings/swig/flat_object.c bindings/swig/flat_parts.c
  bindings/swig/flat_sequence.c)
set(flat_libs tokenprune)
if(TARGET tokenprune-mllm)
  list(APPEND flat_sources bindings/swig/flat_mllm.c)
  list(APPEND flat_libs tokenprune-mllm)
endif()
tkp_add_check_test(NAME bindings/flat SOURCES test_flat.c ${flat_sources}
  LIBS ${flat_libs} LABELS smoke THREADS)
if(TARGET bindings_flat)
  target_include_directories(bindings_flat PRIVATE ${PROJECT_SOURCE_DIR}/bindings/swig)
  if(TARGET tokenprune-mllm)
    target_compile_definitions(bindings_flat PRIVATE FLAT_WITH_MLLM=1)
  endif()
endif()
