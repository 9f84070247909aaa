# Runs on the files of Debian packages before they are packed: what Debian wants
# and an install by hand has no use for.

if(NOT CPACK_GENERATOR STREQUAL "DEB")
  return()
endif()
file(GLOB packages LIST_DIRECTORIES true ${CPACK_TEMPORARY_DIRECTORY}/*)
foreach(package ${packages})
  if(NOT IS_DIRECTORY ${package}/usr)
    continue()
  endif()
  get_filename_component(component ${package} NAME)
  string(TOUPPER ${component} upper)
  set(doc ${package}/usr/share/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME})

  # Each package says under which terms it comes, and what has changed.
  file(WRITE ${doc}/copyright
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
    "Upstream-Name: libtokenprune\n\n"
    "Files: *\n"
    "Copyright: 2026 the authors of libtokenprune\n"
    "License: Apache-2.0\n"
    " On Debian systems the text of this license is in\n"
    " /usr/share/common-licenses/Apache-2.0\n")
  # $SOURCE_DATE_EPOCH, if it is set, makes it the same each time.
  string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(WRITE ${doc}/changelog.Debian
    "tokenprune (${CPACK_PACKAGE_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}) "
    "unstable; urgency=medium\n\n"
    "  * Changes are listed in CHANGELOG.md of libtokenprune-dev.\n\n"
    " -- ${CPACK_DEBIAN_PACKAGE_MAINTAINER}  ${now}\n")
  execute_process(COMMAND gzip -9n ${doc}/changelog.Debian
    COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB pages ${package}/usr/share/man/*/*.[0-9])
  if(pages)
    execute_process(COMMAND gzip -9n ${pages} COMMAND_ERROR_IS_FATAL ANY)
  endif()

  # The loader knows Debian's folders.
  file(GLOB_RECURSE binaries
    ${package}/usr/bin/* ${package}/usr/lib/*.so ${package}/usr/lib/*.so.*)
  foreach(binary ${binaries})
    if(NOT IS_SYMLINK ${binary})
      file(RPATH_REMOVE FILE ${binary})
    endif()
  endforeach()
endforeach()
