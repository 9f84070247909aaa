target_sources(
    tokenprune-cli
    PRIVATE ${CMAKE_CURRENT_LIST_DIR}/answers.c
            ${CMAKE_CURRENT_LIST_DIR}/box_parse.c
            ${CMAKE_CURRENT_LIST_DIR}/card.c
            ${CMAKE_CURRENT_LIST_DIR}/chat.c
            ${CMAKE_CURRENT_LIST_DIR}/data.c
            ${CMAKE_CURRENT_LIST_DIR}/data_item.c
            ${CMAKE_CURRENT_LIST_DIR}/expr.c
            ${CMAKE_CURRENT_LIST_DIR}/expr_functions.c
            ${CMAKE_CURRENT_LIST_DIR}/item.c
            ${CMAKE_CURRENT_LIST_DIR}/metric.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_box.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_choice.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_exact.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_mme.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_vqa.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_yesno.c
            ${CMAKE_CURRENT_LIST_DIR}/reader.c
            ${CMAKE_CURRENT_LIST_DIR}/reader_json.c
            ${CMAKE_CURRENT_LIST_DIR}/reader_tsv.c
            ${CMAKE_CURRENT_LIST_DIR}/stats.c
            ${CMAKE_CURRENT_LIST_DIR}/table.c
            ${CMAKE_CURRENT_LIST_DIR}/vqa_text.c
            ${CMAKE_CURRENT_LIST_DIR}/words.c)

# The store of results.
target_sources(
    tokenprune-cli
    PRIVATE ${CMAKE_CURRENT_LIST_DIR}/store.c
            ${CMAKE_CURRENT_LIST_DIR}/store_cells.c
            ${CMAKE_CURRENT_LIST_DIR}/store_read.c
            ${CMAKE_CURRENT_LIST_DIR}/store_write.c)

# Questions that go together.
target_sources(
    tokenprune-cli
    PRIVATE ${CMAKE_CURRENT_LIST_DIR}/questions.c
            ${CMAKE_CURRENT_LIST_DIR}/set.c)

# What a store says.
target_sources(
    tokenprune-cli
    PRIVATE ${CMAKE_CURRENT_LIST_DIR}/grid.c
            ${CMAKE_CURRENT_LIST_DIR}/report_answers.c
            ${CMAKE_CURRENT_LIST_DIR}/report_charts.c
            ${CMAKE_CURRENT_LIST_DIR}/report_figures.c
            ${CMAKE_CURRENT_LIST_DIR}/report_load.c
            ${CMAKE_CURRENT_LIST_DIR}/report_tables.c)

# The cards are part of the program.
file(GLOB tkp_cards CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/cards/*.yaml)
set(tkp_cards_source ${PROJECT_BINARY_DIR}/eval_cards.c)
add_custom_command(
  OUTPUT ${tkp_cards_source}
  COMMAND ${CMAKE_COMMAND} "-DCARDS=${tkp_cards}" -DOUT=${tkp_cards_source}
    -P ${CMAKE_CURRENT_LIST_DIR}/embed_cards.cmake
  DEPENDS ${tkp_cards} ${CMAKE_CURRENT_LIST_DIR}/embed_cards.cmake
  VERBATIM)
target_sources(tokenprune-cli PRIVATE ${tkp_cards_source})
