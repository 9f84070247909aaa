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
