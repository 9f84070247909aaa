target_sources(
    tokenprune-mllm
    PRIVATE ${CMAKE_CURRENT_LIST_DIR}/checkpoint_json.c
            ${CMAKE_CURRENT_LIST_DIR}/config_generation.c
            ${CMAKE_CURRENT_LIST_DIR}/config_image.c
            ${CMAKE_CURRENT_LIST_DIR}/config_patches.c
            ${CMAKE_CURRENT_LIST_DIR}/config_text.c
            ${CMAKE_CURRENT_LIST_DIR}/config_vision.c
            ${CMAKE_CURRENT_LIST_DIR}/config_vit.c
            ${CMAKE_CURRENT_LIST_DIR}/model_config.c
            ${CMAKE_CURRENT_LIST_DIR}/weight_names.c
            ${CMAKE_CURRENT_LIST_DIR}/weight_shards.c
            ${CMAKE_CURRENT_LIST_DIR}/weight_slots.c
            ${CMAKE_CURRENT_LIST_DIR}/weights.c)
