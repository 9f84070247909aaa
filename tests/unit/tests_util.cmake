tkp_add_check_test(NAME unit/util
  SOURCES test_util.c LIBS tokenprune-static LABELS smoke)
