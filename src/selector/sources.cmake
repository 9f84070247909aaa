target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/quota.c
          ${CMAKE_CURRENT_LIST_DIR}/select.c
          ${CMAKE_CURRENT_LIST_DIR}/selector_spec.c
          ${CMAKE_CURRENT_LIST_DIR}/windows.c)
