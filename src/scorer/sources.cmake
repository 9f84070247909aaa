target_sources(
  tokenprune
  PRIVATE ${CMAKE_CURRENT_LIST_DIR}/raters.c
          ${CMAKE_CURRENT_LIST_DIR}/leaf.c
          ${CMAKE_CURRENT_LIST_DIR}/score_attention.c
          ${CMAKE_CURRENT_LIST_DIR}/score_custom.c
          ${CMAKE_CURRENT_LIST_DIR}/score_features.c
          ${CMAKE_CURRENT_LIST_DIR}/score_given.c
          ${CMAKE_CURRENT_LIST_DIR}/score_reconstruction.c
          ${CMAKE_CURRENT_LIST_DIR}/score_mean_query.c
          ${CMAKE_CURRENT_LIST_DIR}/score_relevance.c
          ${CMAKE_CURRENT_LIST_DIR}/score_frames.c
          ${CMAKE_CURRENT_LIST_DIR}/score_variance.c
          ${CMAKE_CURRENT_LIST_DIR}/score_overview.c
          ${CMAKE_CURRENT_LIST_DIR}/score_temporal.c
          ${CMAKE_CURRENT_LIST_DIR}/scorer.c
          ${CMAKE_CURRENT_LIST_DIR}/scorer_spec.c)
