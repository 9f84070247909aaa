target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/budget.c)
