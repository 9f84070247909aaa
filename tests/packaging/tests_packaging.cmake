tkp_add_command_test(NAME packaging/man LABELS smoke
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/man ${PROJECT_SOURCE_DIR})
tkp_add_command_test(NAME packaging/subproject LABELS full
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/subproject
    ${CMAKE_COMMAND} ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})

# What leaves the build folder: Debian packages, and the sources as a tarball.
# Both use the build folder's list of what was installed, as abi/consumer does.
if(PROJECT_IS_TOP_LEVEL AND NOT TKP_SANITIZE)
  tkp_add_command_test(NAME packaging/source LABELS ci
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/source
      ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR})
  tkp_add_command_test(NAME packaging/deb LABELS ci
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/deb
      ${CMAKE_COMMAND} ${PROJECT_BINARY_DIR} ${CMAKE_INSTALL_LIBDIR}
    NEEDS tokenprune-cli tokenprune-cpu)
  foreach(test packaging/source packaging/deb)
    if(TEST ${test})
      set_property(TEST ${test} APPEND PROPERTY
        ENVIRONMENT CC=${CMAKE_C_COMPILER})
      set_tests_properties(${test} PROPERTIES RESOURCE_LOCK install)
    endif()
  endforeach()
endif()
