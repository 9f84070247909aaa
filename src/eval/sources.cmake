target_sources(
    tokenprune-cli
    PRIVATE ${CMAKE_CURRENT_LIST_DIR}/box_parse.c
            ${CMAKE_CURRENT_LIST_DIR}/item.c
            ${CMAKE_CURRENT_LIST_DIR}/metric.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_box.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_choice.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_exact.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_mme.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_vqa.c
            ${CMAKE_CURRENT_LIST_DIR}/metric_yesno.c
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
            ${CMAKE_CURRENT_LIST_DIR}/report_charts.c
            ${CMAKE_CURRENT_LIST_DIR}/report_figures.c
            ${CMAKE_CURRENT_LIST_DIR}/report_load.c
            ${CMAKE_CURRENT_LIST_DIR}/report_tables.c)
