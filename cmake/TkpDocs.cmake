# HTML of the public headers and the documents, by Doxygen:
#   cmake --build build --target docs    ->  build/docs/html/index.html

find_program(TKP_DOXYGEN doxygen)
mark_as_advanced(TKP_DOXYGEN)
if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()
if(NOT TKP_DOXYGEN)
  message(STATUS "docs: left out, there is no doxygen")
  return()
endif()

set(TKP_DOCS_DIR ${PROJECT_BINARY_DIR}/docs)
# What documents link to beside documents.
file(GLOB TKP_DOCS_FILES CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/docs/*.csv ${PROJECT_SOURCE_DIR}/docs/*.json
  ${PROJECT_SOURCE_DIR}/docs/findings/*.csv
  ${PROJECT_SOURCE_DIR}/examples/c/*.c ${PROJECT_SOURCE_DIR}/examples/c/*.cpp)
# Documents of rooms: bindings and examples.
file(GLOB TKP_DOCS_PAGES CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/bindings/*/README.md
  ${PROJECT_SOURCE_DIR}/bindings/*/*/README.md
  ${PROJECT_SOURCE_DIR}/examples/*/README.md
  ${PROJECT_SOURCE_DIR}/examples/*/*/README.md)
foreach(list TKP_DOCS_FILES TKP_DOCS_PAGES)
  list(TRANSFORM ${list} REPLACE "(.+)" "\"\\1\"")
  list(JOIN ${list} " " ${list})
endforeach()
configure_file(docs/doxygen/Doxyfile.in ${TKP_DOCS_DIR}/Doxyfile @ONLY)
add_custom_target(docs
  COMMAND ${TKP_DOXYGEN} ${TKP_DOCS_DIR}/Doxyfile
  COMMENT "HTML in ${TKP_DOCS_DIR}/html"
  VERBATIM)
