target_sources(tokenprune PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/policy.c
  ${CMAKE_CURRENT_LIST_DIR}/policy_change.c
  ${CMAKE_CURRENT_LIST_DIR}/presets.c
  ${CMAKE_CURRENT_LIST_DIR}/schema.c
  ${CMAKE_CURRENT_LIST_DIR}/yaml_read.c
  ${CMAKE_CURRENT_LIST_DIR}/yaml_write.c)
