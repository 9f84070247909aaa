# The binary interface: headers, symbols, and programs outside of the tree.

# Each public header alone, as old and as strict as we promise.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}/include
  ${PROJECT_SOURCE_DIR}/include/*.h)
list(APPEND headers tokenprune/version.h)
tkp_add_command_test(NAME abi/headers LABELS ci
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/headers
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include ${headers})
set_property(TEST abi/headers APPEND PROPERTY
  ENVIRONMENT CC=${CMAKE_C_COMPILER})

# Headers, linker maps and what the libraries export name the same symbols.
# (Sanitizers add symbols of their own.)
if(NOT TKP_SANITIZE)
  tkp_add_command_test(NAME abi/symbols LABELS smoke
    COMMAND ${PROJECT_SOURCE_DIR}/scripts/symbols check
      ${PROJECT_BINARY_DIR}/lib)
endif()

# Sizes and offsets of every public struct against the list of the release.
tkp_add_command_test(NAME abi/layout LABELS ci
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/layout
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
set_property(TEST abi/layout APPEND PROPERTY ENVIRONMENT CC=${CMAKE_C_COMPILER})

# Signatures and types of every public function, by libabigail; skipped where
# abidiff is missing.
if(TARGET tokenprune-mllm AND NOT TKP_SANITIZE)
  tkp_add_command_test(NAME abi/abidiff LABELS full
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/abidiff
      ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
  set_property(TEST abi/abidiff APPEND PROPERTY
    ENVIRONMENT CC=${CMAKE_C_COMPILER})
endif()

# A program built with the first headers runs with the library of today, and
# gets what the same program built with today's headers gets.
foreach(age old new)
  add_executable(abi_${age} ${CMAKE_CURRENT_LIST_DIR}/old/program.c)
  target_link_libraries(abi_${age} PRIVATE tkp_flags)
  # TKP_..._INIT of the first headers leaves out fields that are zero.
  target_compile_options(abi_${age} PRIVATE -Wno-missing-field-initializers)
  set_target_properties(abi_${age} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  # Files, not targets: those would bring today's headers along.
  foreach(library tokenprune-mllm tokenprune)
    if(TARGET ${library})
      target_link_libraries(abi_${age} PRIVATE $<TARGET_FILE:${library}>)
      add_dependencies(abi_${age} ${library})
    endif()
  endforeach()
  if(TARGET tokenprune-mllm)
    target_compile_definitions(abi_${age} PRIVATE WITH_MLLM)
  endif()
endforeach()
target_include_directories(abi_old PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/old/include)
target_include_directories(abi_new PRIVATE
  ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
tkp_add_command_test(NAME abi/old LABELS smoke
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/old/run
    $<TARGET_FILE:abi_old> $<TARGET_FILE:abi_new>
    ${PROJECT_SOURCE_DIR}/examples/demo/model
    ${PROJECT_SOURCE_DIR}/examples/demo/images/scene_00.png)

# A backend module of the first day, the one of lesson 5, serves the lesson's
# program of today.
add_library(abi_old_module MODULE
  ${PROJECT_SOURCE_DIR}/examples/c/05_backend_module.c)
target_link_libraries(abi_old_module PRIVATE
  tkp_flags $<TARGET_FILE:tokenprune> m)
add_dependencies(abi_old_module tokenprune)
target_include_directories(abi_old_module PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/old/include)
set_target_properties(abi_old_module PROPERTIES
  OUTPUT_NAME tokenprune-lesson
  LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/old_modules)
tkp_add_command_test(NAME abi/old_module LABELS smoke
  COMMAND example_05_custom_backend
    $<TARGET_FILE_DIR:abi_old_module>)

# An installed tree, moved, used by programs that know nothing of this one.
# (A sanitized library cannot be linked without the same flags.)
if(NOT TKP_SANITIZE)
  tkp_add_command_test(NAME abi/consumer LABELS ci
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/consumer/run
      ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR} ${CMAKE_INSTALL_LIBDIR}
      ${CMAKE_INSTALL_INCLUDEDIR})
  set_property(TEST abi/consumer APPEND PROPERTY
    ENVIRONMENT CC=${CMAKE_C_COMPILER})
  set_tests_properties(abi/consumer PROPERTIES RESOURCE_LOCK install)
endif()
if(NOT TKP_SANITIZE)
  tkp_add_command_test(NAME abi/init LABELS ci
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/init
      ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include
      ${PROJECT_BINARY_DIR}/lib)
  set_property(TEST abi/init APPEND PROPERTY
    ENVIRONMENT CC=${CMAKE_C_COMPILER})
endif()
