# Form of the sources; each is skipped where its tool is missing.
foreach(subject format shell)
  tkp_add_command_test(NAME style/${subject}
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/${subject} LABELS full)
endforeach()
# Code in documents is code of the examples.
find_program(TKP_PYTHON NAMES python3)
if(TKP_PYTHON)
  tkp_add_command_test(NAME style/snippets LABELS smoke
    COMMAND ${TKP_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/snippets
      ${PROJECT_SOURCE_DIR} README.md docs/guide.md)
  if(TARGET docs)
    tkp_add_command_test(NAME style/doxygen LABELS full
      COMMAND ${CMAKE_CURRENT_LIST_DIR}/doxygen ${TKP_DOXYGEN}
        ${TKP_DOCS_DIR}/Doxyfile ${TKP_PYTHON} ${PROJECT_SOURCE_DIR})
  endif()
else()
  message(STATUS "style/snippets, style/doxygen: left out, there is no python3")
endif()
tkp_add_command_test(NAME style/compiled_once LABELS ci
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/compiled_once
    ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
