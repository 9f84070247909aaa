# The lessons of examples/c are built, and run to their end: each looks at its
# own results and fails if they are not what it says.
set(lessons ${PROJECT_SOURCE_DIR}/examples/c)

# tkp_lesson(<target> <file>): compiled as strictly as the library, on the
# public headers alone.
function(tkp_lesson target source)
  target_sources(${target} PRIVATE ${lessons}/${source})
  target_link_libraries(${target} PRIVATE tkp_flags tokenprune m)
  target_include_directories(${target} PRIVATE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_BINARY_DIR}/include)
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples)
endfunction()

# tkp_lesson_test(<lesson> <argument>)
function(tkp_lesson_test name argument)
  add_test(NAME examples/${name}/${argument}
    COMMAND example_${name} ${argument})
  tkp_test_properties(examples/${name}/${argument} smoke 60)
endfunction()

foreach(name 01_score_and_select 02_policy_from_yaml 03_engine_loop
    04_custom_scorer 05_custom_backend 06_ragged_batch 08_before_the_decoder)
  add_executable(example_${name})
  tkp_lesson(example_${name} ${name}.c)
  set(arguments)
  if(name STREQUAL "05_custom_backend")
    set(arguments $<TARGET_FILE_DIR:example_05_backend_module>)
  endif()
  add_test(NAME examples/${name} COMMAND example_${name} ${arguments})
  tkp_test_properties(examples/${name} smoke 60)
endforeach()

# Lesson 5's program loads a module of its own.
add_library(example_05_backend_module MODULE)
tkp_lesson(example_05_backend_module 05_backend_module.c)
set_target_properties(example_05_backend_module PROPERTIES
  OUTPUT_NAME tokenprune-lesson)
add_dependencies(example_05_custom_backend example_05_backend_module)

# Lesson 3 again, with policies that cut more than once, before the decoder, or
# ask for what it has not got.
foreach(preset pyramiddrop random pooling fastervlm)
  tkp_lesson_test(03_engine_loop ${preset})
endforeach()
set_tests_properties(examples/03_engine_loop/fastervlm PROPERTIES
  PASS_REGULAR_EXPRESSION "fastervlm: this engine cannot")
# And lesson 8, with several tensors of the encoder and with none.
foreach(preset visionzip hired scope prumerge divprune)
  tkp_lesson_test(08_before_the_decoder ${preset})
endforeach()

include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  add_executable(example_07_cpp)
  tkp_lesson(example_07_cpp 07_cpp.cpp)
  set_target_properties(example_07_cpp PROPERTIES
    CXX_STANDARD 11 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  add_test(NAME examples/07_cpp COMMAND example_07_cpp)
  tkp_test_properties(examples/07_cpp smoke 60)
else()
  message(STATUS "examples/07_cpp: left out, there is no C++ compiler")
endif()
