target_sources(tokenprune PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/backend.c
  ${CMAKE_CURRENT_LIST_DIR}/budget.c
  ${CMAKE_CURRENT_LIST_DIR}/context.c
  ${CMAKE_CURRENT_LIST_DIR}/device.c
  ${CMAKE_CURRENT_LIST_DIR}/layout.c
  ${CMAKE_CURRENT_LIST_DIR}/memory.c
  ${CMAKE_CURRENT_LIST_DIR}/merger.c
  ${CMAKE_CURRENT_LIST_DIR}/op.c
  ${CMAKE_CURRENT_LIST_DIR}/policy.c
  ${CMAKE_CURRENT_LIST_DIR}/scorer.c
  ${CMAKE_CURRENT_LIST_DIR}/selector.c
  ${CMAKE_CURRENT_LIST_DIR}/sequence.c
  ${CMAKE_CURRENT_LIST_DIR}/status.c
  ${CMAKE_CURRENT_LIST_DIR}/tensor.c
  ${CMAKE_CURRENT_LIST_DIR}/version.c)
