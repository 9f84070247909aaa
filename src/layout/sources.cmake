target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/batch.c
          ${CMAKE_CURRENT_LIST_DIR}/layout.c)
