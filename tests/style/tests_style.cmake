# Form of the sources; each is skipped where its tool is missing.
foreach(subject format shell)
  tkp_add_command_test(NAME style/${subject}
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/${subject} LABELS full)
endforeach()
