target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/apportion.c
          ${CMAKE_CURRENT_LIST_DIR}/budget.c)
