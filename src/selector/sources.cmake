target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/quota.c
          ${CMAKE_CURRENT_LIST_DIR}/select_chain.c
          ${CMAKE_CURRENT_LIST_DIR}/select_custom.c
          ${CMAKE_CURRENT_LIST_DIR}/select_density.c
          ${CMAKE_CURRENT_LIST_DIR}/select_even.c
          ${CMAKE_CURRENT_LIST_DIR}/select_nms.c
          ${CMAKE_CURRENT_LIST_DIR}/select_pivots.c
          ${CMAKE_CURRENT_LIST_DIR}/select_quota.c
          ${CMAKE_CURRENT_LIST_DIR}/select_random.c
          ${CMAKE_CURRENT_LIST_DIR}/select_rank.c
          ${CMAKE_CURRENT_LIST_DIR}/select_greedy.c
          ${CMAKE_CURRENT_LIST_DIR}/select_threshold.c
          ${CMAKE_CURRENT_LIST_DIR}/select_topk.c
          ${CMAKE_CURRENT_LIST_DIR}/selector.c
          ${CMAKE_CURRENT_LIST_DIR}/selector_spec.c
          ${CMAKE_CURRENT_LIST_DIR}/windows.c)
