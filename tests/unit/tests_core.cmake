tkp_add_check_test(NAME unit/core
  SOURCES test_core.c LIBS tokenprune-static LABELS smoke)
