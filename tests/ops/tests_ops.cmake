set(tkp_op_harness
  op_main.c op_compare.c op_device.c op_cases.c op_cases_score.c op_cases_select.c
  op_cases_greedy.c
  op_cases_rows.c op_cases_forward.c)

# Small cases, golden vectors, refusals: on ref.
foreach(subject score rows forward golden checks greedy)
  tkp_add_check_test(NAME ops/${subject}
    SOURCES test_ops_${subject}.c ${tkp_op_harness}
    LIBS tokenprune LABELS smoke)
endforeach()
# Looks at the generator, which is an internal.
tkp_add_check_test(NAME ops/select
  SOURCES test_ops_select.c ${tkp_op_harness}
  LIBS tokenprune-static LABELS smoke)

# Every backend that is there against ref; skipped where there is none.
tkp_add_check_test(NAME ops/backend
  SOURCES test_ops_backend.c ${tkp_op_harness} LIBS tokenprune LABELS ci)
# The harness itself, and that ref repeats itself bit for bit.
tkp_add_command_test(NAME ops/backend_ref
  COMMAND ops_backend NEEDS tokenprune
  LABELS ci ENV TKP_TEST_BACKEND=ref TKP_TEST_STEP=7)

# The same programs on the CPU module; what it leaves to ref runs on ref.
foreach(subject score rows forward golden checks select greedy)
  tkp_add_command_test(NAME ops/${subject}_cpu
    COMMAND ops_${subject} NEEDS tokenprune-cpu
    LABELS ci ENV TKP_TEST_BACKEND=cpu)
endforeach()
