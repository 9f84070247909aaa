set(tkp_op_harness
  op_main.c op_compare.c op_cases.c op_cases_score.c op_cases_select.c
  op_cases_rows.c op_cases_forward.c)

# Every backend that is there against ref; skipped where there is none.
tkp_add_check_test(NAME ops/backend
  SOURCES test_ops_backend.c ${tkp_op_harness} LIBS tokenprune LABELS ci)
# The harness itself, and that ref repeats itself bit for bit.
tkp_add_check_test(NAME ops/backend_ref
  SOURCES test_ops_backend.c ${tkp_op_harness} LIBS tokenprune LABELS ci
  ENV TKP_TEST_BACKEND=ref)
