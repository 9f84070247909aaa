target_sources(tokenprune PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/policy.c
  ${CMAKE_CURRENT_LIST_DIR}/policy_change.c)
