target_sources(tokenprune-mllm PRIVATE ${CMAKE_CURRENT_LIST_DIR}/projector.c)
