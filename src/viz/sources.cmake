target_sources(tokenprune-cli PRIVATE ${CMAKE_CURRENT_LIST_DIR}/chart.c
            ${CMAKE_CURRENT_LIST_DIR}/viz_kept.c)
