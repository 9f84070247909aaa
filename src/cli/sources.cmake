target_sources(
    tokenprune-cli
    PRIVATE ${CMAKE_CURRENT_LIST_DIR}/cli_context.c
            ${CMAKE_CURRENT_LIST_DIR}/cli_error.c
            ${CMAKE_CURRENT_LIST_DIR}/cli_interrupt.c
            ${CMAKE_CURRENT_LIST_DIR}/cli_json.c
            ${CMAKE_CURRENT_LIST_DIR}/cli_options.c
            ${CMAKE_CURRENT_LIST_DIR}/cli_policy.c
            ${CMAKE_CURRENT_LIST_DIR}/cmd_data.c
            ${CMAKE_CURRENT_LIST_DIR}/cmd_doctor.c
            ${CMAKE_CURRENT_LIST_DIR}/cmd_eval.c
            ${CMAKE_CURRENT_LIST_DIR}/cmd_policy.c
            ${CMAKE_CURRENT_LIST_DIR}/cmd_report.c
            ${CMAKE_CURRENT_LIST_DIR}/cmd_run.c
            ${CMAKE_CURRENT_LIST_DIR}/cmd_score.c
            ${CMAKE_CURRENT_LIST_DIR}/cmd_select.c
            ${CMAKE_CURRENT_LIST_DIR}/commands.c
            ${CMAKE_CURRENT_LIST_DIR}/doctor_selftest.c
            ${CMAKE_CURRENT_LIST_DIR}/main.c
            ${CMAKE_CURRENT_LIST_DIR}/policy_list.c
            ${CMAKE_CURRENT_LIST_DIR}/run_answer.c
            ${CMAKE_CURRENT_LIST_DIR}/run_json.c
            ${CMAKE_CURRENT_LIST_DIR}/run_table.c
            ${CMAKE_CURRENT_LIST_DIR}/select_device.c
  ${CMAKE_CURRENT_LIST_DIR}/select_file.c
            ${CMAKE_CURRENT_LIST_DIR}/select_inputs.c
            ${CMAKE_CURRENT_LIST_DIR}/select_output.c
            ${CMAKE_CURRENT_LIST_DIR}/select_stage.c
            ${CMAKE_CURRENT_LIST_DIR}/study_ask.c
            ${CMAKE_CURRENT_LIST_DIR}/study_conditions.c
            ${CMAKE_CURRENT_LIST_DIR}/study_data.c
            ${CMAKE_CURRENT_LIST_DIR}/study_files.c
            ${CMAKE_CURRENT_LIST_DIR}/study_model.c
            ${CMAKE_CURRENT_LIST_DIR}/study_progress.c
            ${CMAKE_CURRENT_LIST_DIR}/study_run.c)

# Where the demo model is installed, seen from the program.
file(RELATIVE_PATH tkp_datadir
  ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_DATADIR})
target_compile_definitions(
    tokenprune-cli PRIVATE TKP_DATADIR="${tkp_datadir}")
