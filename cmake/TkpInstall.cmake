# What `cmake --install` puts where. Nothing below holds an absolute path, so
# the tree can be moved, and DESTDIR works.

include(CMakePackageConfigHelpers)

set(tkp_exports tokenprune tokenprune-static)
if(TARGET tokenprune-mllm)
  list(APPEND tkp_exports tokenprune-mllm tokenprune-mllm-static)
endif()
foreach(target ${tkp_exports})
  string(REPLACE "-" "_" name ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  add_library(tokenprune::${name} ALIAS ${target})
endforeach()

install(TARGETS ${tkp_exports} EXPORT tokenprune-targets
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(module tokenprune-cpu tokenprune-cuda)
  if(TARGET ${module})
    install(TARGETS ${module}
      LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/tokenprune)
  endif()
endforeach()
if(TARGET tokenprune-cli)
  install(TARGETS tokenprune-cli
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_BINARY_DIR}/include/tokenprune/version.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tokenprune)

# What the command works on when it is told nothing else, and its manual page.
if(TARGET tokenprune-cli)
  install(DIRECTORY examples/demo/model examples/demo/images
    DESTINATION ${CMAKE_INSTALL_DATADIR}/tokenprune/demo)
endif()
file(GLOB tkp_man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.1)
if(tkp_man_pages)
  install(FILES ${tkp_man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
if(TARGET tokenprune-cli)
  install(FILES completions/tokenprune.bash RENAME tokenprune
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# pkg-config: paths relative to the .pc file.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
  BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
  OUTPUT_VARIABLE TKP_PC_PREFIX)
foreach(dir LIBDIR INCLUDEDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    set(TKP_PC_${dir} "${CMAKE_INSTALL_${dir}}")
  else()
    set(TKP_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
set(tkp_pc_files tokenprune)
if(TARGET tokenprune-mllm)
  list(APPEND tkp_pc_files tokenprune-mllm)
endif()
foreach(name ${tkp_pc_files})
  configure_file(pkgconfig/${name}.pc.in
    ${PROJECT_BINARY_DIR}/pkgconfig/${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/pkgconfig/${name}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

# CMake package.
set(tkp_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tokenprune)
if(TARGET tokenprune-mllm)
  set(TKP_PACKAGE_HAS_MLLM ON)
else()
  set(TKP_PACKAGE_HAS_MLLM OFF)
endif()
install(EXPORT tokenprune-targets
  NAMESPACE tokenprune:: DESTINATION ${tkp_package_dir})
configure_package_config_file(cmake/tokenprune-config.cmake.in
  ${PROJECT_BINARY_DIR}/cmake/tokenprune-config.cmake
  INSTALL_DESTINATION ${tkp_package_dir})
# Before 1.0 each minor may break.
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/cmake/tokenprune-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/cmake/tokenprune-config.cmake
  ${PROJECT_BINARY_DIR}/cmake/tokenprune-config-version.cmake
  DESTINATION ${tkp_package_dir})

# `cmake --build build --target uninstall` removes what install wrote down.
if(PROJECT_IS_TOP_LEVEL)
  add_custom_target(uninstall
    COMMAND ${CMAKE_COMMAND}
      -DMANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt
      -P ${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake
    VERBATIM)
endif()
