tkp_add_check_test(NAME api/memory
  SOURCES test_memory.c LIBS tokenprune LABELS smoke THREADS)
