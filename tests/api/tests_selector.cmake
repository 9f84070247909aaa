# Selectors on many random batches; TKP_TEST_ROUNDS for more of them.
tkp_add_check_test(NAME api/selector_properties
  SOURCES test_selector_properties.c LIBS tokenprune LABELS ci)
