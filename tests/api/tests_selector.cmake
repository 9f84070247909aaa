# Selectors on many random batches; TKP_TEST_ROUNDS for more of them.
tkp_add_check_test(NAME api/selector_properties
  SOURCES test_selector_properties.c LIBS tokenprune LABELS ci)
if(TARGET api_selector_properties)
  tkp_add_command_test(NAME api/selector_properties_many
    COMMAND $<TARGET_FILE:api_selector_properties>
    ENV TKP_TEST_ROUNDS=100000 TKP_TEST_SEED=2 LABELS full TIMEOUT 900)
endif()

# Chains, by hand.
tkp_add_check_test(NAME api/selector_chain
  SOURCES test_selector_chain.c LIBS tokenprune LABELS smoke)

# Scorers of their own: what is asked for, and what decides.
tkp_add_check_test(NAME api/selector_scorer
  SOURCES test_selector_scorer.c LIBS tokenprune LABELS smoke)
