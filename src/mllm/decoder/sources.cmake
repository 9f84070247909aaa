target_sources(
    tokenprune-mllm
    PRIVATE
        ${CMAKE_CURRENT_LIST_DIR}/decoder_layer.c
        ${CMAKE_CURRENT_LIST_DIR}/decoder_load.c
        ${CMAKE_CURRENT_LIST_DIR}/decoder_state.c
        ${CMAKE_CURRENT_LIST_DIR}/kv_cache.c
        ${CMAKE_CURRENT_LIST_DIR}/sampler.c)
