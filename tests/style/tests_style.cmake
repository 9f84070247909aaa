# Form of the sources; each is skipped where its tool is missing.
foreach(subject format shell)
  tkp_add_command_test(NAME style/${subject}
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/${subject} LABELS full)
endforeach()
tkp_add_command_test(NAME style/compiled_once LABELS ci
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/compiled_once
    ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR})
