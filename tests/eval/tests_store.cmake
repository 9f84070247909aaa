# The result store, and what it says; not without the command.
if(TARGET tokenprune-cli-static)
  tkp_add_check_test(NAME eval/store
    SOURCES test_store.c
    LIBS tokenprune-cli-static PkgConfig::CLI LABELS smoke)
  tkp_add_check_test(NAME eval/report
    SOURCES test_report.c
    LIBS tokenprune-cli-static PkgConfig::CLI LABELS smoke)
endif()
