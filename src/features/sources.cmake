target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/basis.c
          ${CMAKE_CURRENT_LIST_DIR}/features.c
          ${CMAKE_CURRENT_LIST_DIR}/frames.c
          ${CMAKE_CURRENT_LIST_DIR}/segments.c
          ${CMAKE_CURRENT_LIST_DIR}/static.c)
