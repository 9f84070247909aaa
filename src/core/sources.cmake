target_sources(tokenprune PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/backend_choice.c
  ${CMAKE_CURRENT_LIST_DIR}/backend_list.c
  ${CMAKE_CURRENT_LIST_DIR}/context.c
  ${CMAKE_CURRENT_LIST_DIR}/device_memory.c
  ${CMAKE_CURRENT_LIST_DIR}/environment.c
  ${CMAKE_CURRENT_LIST_DIR}/exec.c
  ${CMAKE_CURRENT_LIST_DIR}/ledger.c
  ${CMAKE_CURRENT_LIST_DIR}/log.c
  ${CMAKE_CURRENT_LIST_DIR}/module.c
  ${CMAKE_CURRENT_LIST_DIR}/names.c
  ${CMAKE_CURRENT_LIST_DIR}/op.c
  ${CMAKE_CURRENT_LIST_DIR}/op_check.c
  ${CMAKE_CURRENT_LIST_DIR}/op_check_forward.c
  ${CMAKE_CURRENT_LIST_DIR}/op_check_rows.c
  ${CMAKE_CURRENT_LIST_DIR}/op_check_score.c
  ${CMAKE_CURRENT_LIST_DIR}/op_check_select.c
  ${CMAKE_CURRENT_LIST_DIR}/registry.c)
