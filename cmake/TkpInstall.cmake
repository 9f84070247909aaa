# What `cmake --install` puts where. Nothing below holds an absolute path, so
# the tree can be moved, and DESTDIR works. Components are the Debian packages
# (TkpPackage.cmake): lib, mllm, dev, bin, and one a backend module.

include(CMakePackageConfigHelpers)

set(tkp_exports tokenprune tokenprune-static)
if(TARGET tokenprune-mllm)
  list(APPEND tkp_exports tokenprune-mllm tokenprune-mllm-static)
endif()
foreach(target ${tkp_exports})
  string(REPLACE "-" "_" name ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  add_library(tokenprune::${name} ALIAS ${target})
  set(component lib)
  if(target MATCHES "mllm")
    set(component mllm)
  endif()
  install(TARGETS ${target} EXPORT tokenprune-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
      COMPONENT ${component} NAMELINK_COMPONENT dev
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT dev)
endforeach()

# Backend modules, as tkp_backend_module() made them.
get_property(tkp_modules GLOBAL PROPERTY tkp_backend_modules)
foreach(module ${tkp_modules})
  install(TARGETS ${module}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/tokenprune
      COMPONENT ${module})
endforeach()

# The command, what it works on when it is told nothing else, its manual page.
if(TARGET tokenprune-cli)
  install(TARGETS tokenprune-cli
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT bin)
  install(DIRECTORY examples/demo/model examples/demo/images
    DESTINATION ${CMAKE_INSTALL_DATADIR}/tokenprune/demo COMPONENT bin)
  file(GLOB tkp_man_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.1)
  install(FILES ${tkp_man_pages}
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT bin)
  install(FILES completions/tokenprune.bash RENAME tokenprune
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    COMPONENT bin)
endif()

# Headers; that of the model only with its library.
set(tkp_header_filter)
if(NOT TARGET tokenprune-mllm)
  set(tkp_header_filter PATTERN mllm.h EXCLUDE)
endif()
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT dev FILES_MATCHING PATTERN "*.h" ${tkp_header_filter})
install(FILES ${PROJECT_BINARY_DIR}/include/tokenprune/version.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tokenprune COMPONENT dev)
install(FILES docs/man/libtokenprune.3
  DESTINATION ${CMAKE_INSTALL_MANDIR}/man3 COMPONENT dev)
install(FILES LICENSE README.md CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT dev)
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR}
  COMPONENT dev PATTERN man EXCLUDE PATTERN doxygen EXCLUDE)
# If it was made: --target docs.
install(DIRECTORY ${PROJECT_BINARY_DIR}/docs/html
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT dev OPTIONAL)
install(DIRECTORY examples/c DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples
  COMPONENT dev)

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
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
endforeach()

# CMake package.
set(tkp_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tokenprune)
if(TARGET tokenprune-mllm)
  set(TKP_PACKAGE_HAS_MLLM TRUE)
else()
  set(TKP_PACKAGE_HAS_MLLM FALSE)
endif()
install(EXPORT tokenprune-targets
  NAMESPACE tokenprune:: DESTINATION ${tkp_package_dir} COMPONENT dev)
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
  DESTINATION ${tkp_package_dir} COMPONENT dev)

# `cmake --build build --target uninstall` removes what install wrote down.
if(PROJECT_IS_TOP_LEVEL)
  add_custom_target(uninstall
    COMMAND ${CMAKE_COMMAND}
      -DMANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt
      -P ${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake
    VERBATIM)
endif()
