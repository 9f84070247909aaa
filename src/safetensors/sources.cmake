target_sources(tkp_safetensors PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/safetensors_dtype.c
  ${CMAKE_CURRENT_LIST_DIR}/safetensors_read.c
  ${CMAKE_CURRENT_LIST_DIR}/safetensors_write.c)
