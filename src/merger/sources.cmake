target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/bins.c
          ${CMAKE_CURRENT_LIST_DIR}/merge.c)
