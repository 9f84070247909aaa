target_sources(tkp_util PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/apportion.c
  ${CMAKE_CURRENT_LIST_DIR}/half.c
  ${CMAKE_CURRENT_LIST_DIR}/memory.c
  ${CMAKE_CURRENT_LIST_DIR}/message.c
  ${CMAKE_CURRENT_LIST_DIR}/options.c
  ${CMAKE_CURRENT_LIST_DIR}/text.c
  ${CMAKE_CURRENT_LIST_DIR}/view.c)
