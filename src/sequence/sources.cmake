target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/begin.c
          ${CMAKE_CURRENT_LIST_DIR}/cost.c
          ${CMAKE_CURRENT_LIST_DIR}/encoder.c
  ${CMAKE_CURRENT_LIST_DIR}/prune.c)
