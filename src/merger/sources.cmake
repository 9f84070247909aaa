target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/bins.c
          ${CMAKE_CURRENT_LIST_DIR}/merge_anchors.c
          ${CMAKE_CURRENT_LIST_DIR}/merge_chain.c
          ${CMAKE_CURRENT_LIST_DIR}/merge_custom.c
          ${CMAKE_CURRENT_LIST_DIR}/merge_knn.c
          ${CMAKE_CURRENT_LIST_DIR}/merge_fold.c
          ${CMAKE_CURRENT_LIST_DIR}/merge_nearest.c
          ${CMAKE_CURRENT_LIST_DIR}/merge_static.c
          ${CMAKE_CURRENT_LIST_DIR}/merge_window.c
          ${CMAKE_CURRENT_LIST_DIR}/merger.c)
