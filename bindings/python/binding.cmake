# The Python package, ready to be imported from build/python; docs/bindings.md.
option(TKP_WITH_PYTHON "Build the Python package (needs SWIG and Python's headers)"
  ${PROJECT_IS_TOP_LEVEL})
if(NOT TKP_WITH_PYTHON)
  return()
endif()
if(TKP_SANITIZE)
  message(STATUS "python: left out, a sanitizer is not for modules of another program")
  return()
endif()
find_program(TKP_SWIG NAMES swig4.1 swig4.0 swig)
find_package(Python3 3.9 QUIET COMPONENTS Interpreter Development.Module)
if(NOT TKP_SWIG OR NOT Python3_Development.Module_FOUND)
  message(STATUS "python: left out, SWIG 4 or Python's headers are not there")
  return()
endif()

set(tkp_python_out ${PROJECT_BINARY_DIR}/python/tokenprune)
set(tkp_swig ${PROJECT_SOURCE_DIR}/bindings/swig)
set(tkp_python_src ${CMAKE_CURRENT_LIST_DIR}/src)

# tkp_python_module(<name> <library> <source>...): _<name>.so and <name>.py of
# <name>.i.
function(tkp_python_module name library)
  set(wrap ${PROJECT_BINARY_DIR}/python/${name}_wrap.c)
  file(GLOB interface CONFIGURE_DEPENDS
    ${tkp_swig}/*.i ${tkp_swig}/*.h ${tkp_python_src}/*.i
    ${PROJECT_SOURCE_DIR}/include/tokenprune/*.h)
  add_custom_command(
    OUTPUT ${wrap} ${tkp_python_out}/${name}.py
    COMMAND ${CMAKE_COMMAND} -E make_directory ${tkp_python_out}
    COMMAND ${TKP_SWIG} -python -DSWIGWORDSIZE64 -Wall -Werror
      -I${tkp_swig} -I${tkp_python_src} -I${PROJECT_SOURCE_DIR}/include
      -outdir ${tkp_python_out} -o ${wrap} ${tkp_python_src}/${name}.i
    DEPENDS ${interface}
    VERBATIM)
  Python3_add_library(tkp_python_${name} MODULE WITH_SOABI ${wrap} ${ARGN})
  tkp_target(tkp_python_${name})
  target_include_directories(tkp_python_${name} PRIVATE ${tkp_swig} ${tkp_python_src})
  target_link_libraries(tkp_python_${name} PRIVATE ${library})
  # What SWIG writes is not held to our warnings.
  set_source_files_properties(${wrap} PROPERTIES COMPILE_OPTIONS "-w")
  set_target_properties(tkp_python_${name} PROPERTIES
    OUTPUT_NAME _${name}
    LIBRARY_OUTPUT_DIRECTORY ${tkp_python_out})
endfunction()

tkp_python_module(flat tokenprune
  ${tkp_swig}/flat.c ${tkp_swig}/flat_object.c ${tkp_swig}/flat_parts.c
  ${tkp_swig}/flat_sequence.c ${tkp_python_src}/arrays.c
  ${tkp_python_src}/array_type.c ${tkp_python_src}/callbacks.c
  ${tkp_python_src}/object_type.c)
if(TARGET tokenprune-mllm)
  tkp_python_module(flat_mllm tokenprune-mllm
    ${tkp_swig}/flat_mllm.c ${tkp_swig}/flat_object.c
    ${tkp_python_src}/answers.c ${tkp_python_src}/arrays.c
    ${tkp_python_src}/callbacks.c ${tkp_python_src}/object_type.c)
endif()

# The rest of the package beside them.
file(GLOB tkp_python_files CONFIGURE_DEPENDS
  ${CMAKE_CURRENT_LIST_DIR}/tokenprune/*.py
  ${CMAKE_CURRENT_LIST_DIR}/tokenprune/*.pyi
  ${CMAKE_CURRENT_LIST_DIR}/tokenprune/py.typed)
add_custom_command(
  OUTPUT ${PROJECT_BINARY_DIR}/python/copied
  COMMAND ${CMAKE_COMMAND} -E copy_if_different ${tkp_python_files} ${tkp_python_out}
  COMMAND ${CMAKE_COMMAND} -E touch ${PROJECT_BINARY_DIR}/python/copied
  DEPENDS ${tkp_python_files}
  VERBATIM)
add_custom_target(tkp_python ALL DEPENDS ${PROJECT_BINARY_DIR}/python/copied)
add_dependencies(tkp_python tkp_python_flat)
if(TARGET tkp_python_flat_mllm)
  add_dependencies(tkp_python tkp_python_flat_mllm)
endif()
