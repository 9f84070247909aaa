target_sources(tkp_yaml PRIVATE ${CMAKE_CURRENT_LIST_DIR}/yaml_tree.c)
