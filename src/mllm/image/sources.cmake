target_sources(
    tokenprune-mllm
    PRIVATE ${CMAKE_CURRENT_LIST_DIR}/image_exif.c
            ${CMAKE_CURRENT_LIST_DIR}/image_geometry.c
            ${CMAKE_CURRENT_LIST_DIR}/image_jpeg.c
            ${CMAKE_CURRENT_LIST_DIR}/image_load.c
            ${CMAKE_CURRENT_LIST_DIR}/image_patches.c
            ${CMAKE_CURRENT_LIST_DIR}/image_png.c
            ${CMAKE_CURRENT_LIST_DIR}/image_preprocess.c
            ${CMAKE_CURRENT_LIST_DIR}/image_resize.c
            ${CMAKE_CURRENT_LIST_DIR}/image_save.c
            ${CMAKE_CURRENT_LIST_DIR}/image_tiles.c
            ${CMAKE_CURRENT_LIST_DIR}/image_webp.c
            ${CMAKE_CURRENT_LIST_DIR}/video_sample.c)
