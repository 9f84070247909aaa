target_sources(tokenprune-cpu PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/cpu.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_attention.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_blend.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_check.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_combine_rows.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_cosine.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_decode.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_density_peaks.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_cluster_centres.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_head_scores.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_dnnl.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_elementwise.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_exec.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_frames.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_greedy.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_greedy_cover.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_greedy_distance.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_greedy_dpp.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_greedy_tri.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_isa.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_isa_base.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_linear.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_merge_rows.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_nearest.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_norm.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_pairs.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_parity.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_order.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_pivots.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_pool.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_reconstruction.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_rotary.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_rows.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_rows_reduce.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_scores.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_scores_heads.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_similarity.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_text_raters.c
  ${CMAKE_CURRENT_LIST_DIR}/cpu_topk.c)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|i.86")
  set(cpu_avx2 -mavx2 -mfma -mf16c)
  set(cpu_avx512 ${cpu_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
  tkp_isa_source(tokenprune-cpu cpu_isa_avx2.c ${cpu_avx2})
  tkp_isa_source(tokenprune-cpu cpu_isa_avx512.c ${cpu_avx512})
  tkp_isa_source(
    tokenprune-cpu cpu_isa_avx512_bf16.c ${cpu_avx512} -mavx512bf16)
endif()
