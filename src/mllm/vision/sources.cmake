target_sources(
    tokenprune-mllm
    PRIVATE
        ${CMAKE_CURRENT_LIST_DIR}/clip_forward.c
        ${CMAKE_CURRENT_LIST_DIR}/clip_load.c
        ${CMAKE_CURRENT_LIST_DIR}/clip_rows.c
        ${CMAKE_CURRENT_LIST_DIR}/vit_forward.c
        ${CMAKE_CURRENT_LIST_DIR}/vit_load.c)
