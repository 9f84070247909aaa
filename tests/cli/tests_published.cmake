# What the published code kept, through the command.
find_program(TKP_PYTHON NAMES python3
  DOC "Python 3, for tests that read what others wrote")
if(TARGET tokenprune-cli AND TKP_PYTHON)
  tkp_add_command_test(NAME cli/published
    COMMAND ${TKP_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/published.py
      $<TARGET_FILE:tokenprune-cli> ${PROJECT_SOURCE_DIR}/tests/golden/published
    NEEDS tokenprune-cli LABELS smoke)
  # The same of cases that tools/golden made, in NumPy.
  tkp_add_command_test(NAME cli/video
    COMMAND ${TKP_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/published.py
      $<TARGET_FILE:tokenprune-cli> ${PROJECT_SOURCE_DIR}/tests/golden/video
    NEEDS tokenprune-cli LABELS smoke)
  # The same with what NumPy says of methods whose code has no stored results.
  tkp_add_command_test(NAME cli/selections
    COMMAND ${TKP_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/published.py
      $<TARGET_FILE:tokenprune-cli> ${PROJECT_SOURCE_DIR}/tests/golden/selections
    NEEDS tokenprune-cli LABELS smoke)
endif()
