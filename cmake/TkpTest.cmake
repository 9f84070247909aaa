# Tests and benchmarks. Each folder under tests/ brings tests_<subject>.cmake
# files, which are taken in below; there is no list to keep.

# Sets: smoke (seconds, each commit) is part of ci (minutes) is part of full.
function(tkp_test_properties name label timeout)
  if(label STREQUAL "smoke")
    set(labels smoke ci full)
  elseif(label STREQUAL "ci")
    set(labels ci full)
  else()
    set(labels full)
  endif()
  set(env
    TKP_BACKEND_DIR=${TKP_MODULE_DIR}
    TKP_TEST_DATA=${PROJECT_SOURCE_DIR}/tests/golden
    TKP_SOURCE_DIR=${PROJECT_SOURCE_DIR}
    TKP_BINARY_DIR=${PROJECT_BINARY_DIR}
    CK_DEFAULT_TIMEOUT=${timeout}
    OMP_WAIT_POLICY=passive)
  if(TKP_SANITIZE)
    math(EXPR timeout "3 * ${timeout}")
    # intercept_tls_get_addr=0: LeakSanitizer crashes walking over the thread
    # storage of modules that were loaded while the program ran.
    # detect_stack_use_after_return=0: GCC 12 aligns its false stacks to 32
    # bytes, where vectors want 64 (GCC bug 110027).
    string(CONCAT asan allocator_may_return_null=1
      :intercept_tls_get_addr=0:detect_stack_use_after_return=0)
    list(APPEND env
      ASAN_OPTIONS=${asan}
      UBSAN_OPTIONS=print_stacktrace=1
      LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp
      TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp)
  endif()
  set_tests_properties(${name} PROPERTIES
    LABELS "${labels}"
    TIMEOUT ${timeout}
    SKIP_RETURN_CODE 77
    ENVIRONMENT "${env};${ARGN}")
endfunction()

# False, with a line that says so, where a library of the list is not built.
function(tkp_test_has_libs out name)
  set(${out} TRUE PARENT_SCOPE)
  foreach(lib ${ARGN})
    if(lib MATCHES "^(tokenprune|tkp_)" AND NOT TARGET ${lib})
      message(STATUS "${name}: left out, ${lib} is not built")
      set(${out} FALSE PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

# A program out of sources given relative to the calling file or to the root.
function(tkp_test_program target sources libs)
  add_executable(${target})
  foreach(source ${sources})
    if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/${source})
      set(source ${CMAKE_CURRENT_LIST_DIR}/${source})
    elseif(NOT IS_ABSOLUTE ${source})
      set(source ${PROJECT_SOURCE_DIR}/${source})
    endif()
    target_sources(${target} PRIVATE ${source})
  endforeach()
  # It calls into libtokenprune, so it comes before.
  if("tkp_util" IN_LIST libs)
    list(REMOVE_ITEM libs tkp_util)
    list(PREPEND libs tkp_util)
  endif()
  target_link_libraries(${target} PRIVATE tkp_flags ${libs} m)
  target_include_directories(${target} PRIVATE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include
    ${PROJECT_SOURCE_DIR}/tests)
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  # Internals are for those that link an archive; all others live on include/.
  if("${libs}" MATCHES "-static|tkp_util")
    target_include_directories(${target} PRIVATE
      ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/backends)
    # One copy of the library in the process: a module that is loaded finds
    # tkp_sys_* in the program, not in a libtokenprune of its own.
    set_target_properties(${target} PROPERTIES ENABLE_EXPORTS ON)
  endif()
endfunction()

# tkp_add_check_test(NAME name SOURCES file... [LIBS lib...]
#                    [LABELS smoke|ci|full] [ENV X=1...] [ARGS arg...]
#                    [TIMEOUT seconds] [THREADS])
# A Check program. Link tokenprune for tests of the contract,
# tokenprune-static for tests of internals. THREADS: it starts threads of its
# own, so ./check runs it under ThreadSanitizer too.
function(tkp_add_check_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg
    "THREADS" "NAME;TIMEOUT" "SOURCES;LIBS;LABELS;ENV;ARGS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_NAME OR NOT arg_SOURCES)
    message(FATAL_ERROR
      "tkp_add_check_test(${ARGV}): not understood: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  tkp_test_has_libs(found ${arg_NAME} ${arg_LIBS})
  if(NOT found)
    return()
  endif()
  string(REPLACE "/" "_" target "${arg_NAME}")
  tkp_test_program(${target} "${arg_SOURCES}" "${arg_LIBS};PkgConfig::CHECK")
  add_test(NAME ${arg_NAME}
    COMMAND ${target} ${arg_ARGS}
    WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(arg_THREADS AND TKP_SANITIZE MATCHES thread)
    # Not with the cpu module: ThreadSanitizer does not see how OpenMP's
    # threads wait for each other.
    list(APPEND arg_ENV TKP_DISABLE=cpu)
  endif()
  tkp_test_properties(${arg_NAME} "${arg_LABELS}" ${arg_TIMEOUT} ${arg_ENV})
  if(arg_THREADS)
    set_property(TEST ${arg_NAME} APPEND PROPERTY LABELS threads)
    add_dependencies(tkp_thread_tests ${target})
  endif()
endfunction()

# tkp_add_command_test(NAME name COMMAND command arg... [NEEDS target...]
#                      [LABELS smoke|ci|full] [ENV X=1...] [TIMEOUT seconds])
# Any program; 77 is "skipped".
function(tkp_add_command_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg
    "" "NAME;TIMEOUT" "COMMAND;NEEDS;LABELS;ENV")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  tkp_test_has_libs(found ${arg_NAME} ${arg_NEEDS})
  if(NOT found)
    return()
  endif()
  add_test(NAME ${arg_NAME}
    COMMAND ${arg_COMMAND}
    WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  tkp_test_properties(${arg_NAME} "${arg_LABELS}" ${arg_TIMEOUT} ${arg_ENV})
endfunction()

# tkp_add_fuzzer(NAME name SOURCES file... LIBS lib... CORPUS folder)
# A LLVMFuzzerTestOneInput. With TKP_BUILD_FUZZERS it becomes a libFuzzer
# program bin/fuzz_<name>; always, a test replays the corpus through it.
function(tkp_add_fuzzer)
  cmake_parse_arguments(PARSE_ARGV 0 arg
    "" "NAME;CORPUS;TIMEOUT;LABELS" "SOURCES;LIBS")
  tkp_test_has_libs(found fuzz/${arg_NAME} ${arg_LIBS})
  if(NOT found)
    return()
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS ci)
  endif()
  cmake_path(ABSOLUTE_PATH arg_CORPUS
    BASE_DIRECTORY ${CMAKE_CURRENT_LIST_DIR} OUTPUT_VARIABLE corpus)
  tkp_test_program(fuzz_replay_${arg_NAME}
    "${arg_SOURCES};tests/fuzz/replay.c" "${arg_LIBS}")
  add_test(NAME fuzz/${arg_NAME}
    COMMAND fuzz_replay_${arg_NAME} ${corpus}
    WORKING_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  tkp_test_properties(fuzz/${arg_NAME} ${arg_LABELS} ${arg_TIMEOUT})
  if(TKP_BUILD_FUZZERS)
    tkp_test_program(fuzz_${arg_NAME} "${arg_SOURCES}" "${arg_LIBS}")
    target_link_options(fuzz_${arg_NAME} PRIVATE -fsanitize=fuzzer)
    set_target_properties(fuzz_${arg_NAME} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  endif()
endfunction()

# tkp_add_bench(NAME name SOURCES file... LIBS lib...): a program bin/<name>.
function(tkp_add_bench)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;LIBS")
  if(NOT TKP_BUILD_BENCH)
    return()
  endif()
  tkp_test_has_libs(found ${arg_NAME} ${arg_LIBS})
  if(NOT found)
    return()
  endif()
  tkp_test_program(${arg_NAME} "${arg_SOURCES}" "${arg_LIBS}")
  set_target_properties(${arg_NAME} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()

if(TKP_BUILD_FUZZERS)
  if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "TKP_BUILD_FUZZERS needs clang: set CC=clang")
  endif()
  # Coverage for what is fuzzed; the driver is linked in by each fuzzer.
  target_compile_options(tkp_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(tkp_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

if(TKP_BUILD_TESTS)
  enable_testing()
  add_custom_target(tkp_thread_tests) # all that are marked THREADS
  pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)
  file(GLOB tkp_test_files CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/tests/*/tests_*.cmake)
elseif(TKP_BUILD_BENCH)
  file(GLOB tkp_test_files CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/tests/bench/tests_*.cmake)
endif()
foreach(file ${tkp_test_files})
  include(${file})
endforeach()
