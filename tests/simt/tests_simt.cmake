# The CUDA backend compiled for the CPU, for tests: the module
# lib/simt/libtokenprune-cuda.so, out of the same files as the real one.
include(CheckLanguage)
check_language(CXX)
if(NOT CMAKE_CXX_COMPILER OR TKP_SANITIZE MATCHES thread)
  message(STATUS "simt: left out, needs a C++ compiler and no ThreadSanitizer")
  return()
endif()
enable_language(CXX)
find_package(Boost 1.74 QUIET COMPONENTS context)
if(NOT Boost_FOUND)
  message(STATUS "simt: left out, needs libboost-context-dev")
  return()
endif()

set(simt_dir ${PROJECT_BINARY_DIR}/lib/simt)
set(simt_wrappers ${PROJECT_BINARY_DIR}/simt)
add_library(tokenprune-simt MODULE
  ${CMAKE_CURRENT_LIST_DIR}/simt.cpp ${CMAKE_CURRENT_LIST_DIR}/blas.cpp)
file(GLOB simt_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/backends/cuda/*.cu)
list(FILTER simt_sources EXCLUDE REGEX "/blas.cu$")
foreach(source ${simt_sources})
  cmake_path(GET source STEM stem)
  # The same file in another language, in the same folder of CMake's.
  file(CONFIGURE OUTPUT ${simt_wrappers}/${stem}.cpp
    CONTENT "#include \"${source}\"\n")
  target_sources(tokenprune-simt PRIVATE ${simt_wrappers}/${stem}.cpp)
endforeach()
tkp_target(tokenprune-simt)
target_include_directories(tokenprune-simt BEFORE PRIVATE
  ${CMAKE_CURRENT_LIST_DIR}/include)
target_compile_options(tokenprune-simt PRIVATE -O2 -Wno-unused-function)
set_target_properties(tokenprune-simt PROPERTIES
  CXX_STANDARD 20
  CXX_STANDARD_REQUIRED ON
  CXX_EXTENSIONS OFF
  OUTPUT_NAME tokenprune-cuda
  LIBRARY_OUTPUT_DIRECTORY ${simt_dir})
target_link_libraries(tokenprune-simt PRIVATE
  tkp_util tokenprune Boost::context Threads::Threads m)

# All ops against ref, whoever goes first between barriers.
foreach(order forward mixed)
  tkp_add_command_test(NAME simt/ops_${order}
    COMMAND ops_backend NEEDS tokenprune-simt LABELS ci
    ENV TKP_TEST_BACKEND=cuda TKP_BACKEND_DIR=${simt_dir}
      TKP_SIMT_ORDER=${order} TKP_TEST_LARGEST=200 TKP_TEST_STEP=3)
endforeach()

# The reference forward, held against transformers as on the CPU.
if(TARGET tokenprune-mllm)
  foreach(part parity next qwen video cuts methods generate)
    set(label full)
    if(part MATCHES "video|methods")
      set(label ci) # seconds
    endif()
    tkp_add_command_test(NAME simt/engine_${part}
      COMMAND mllm_engine_${part} NEEDS tokenprune-simt LABELS ${label}
      ENV TKP_TEST_BACKEND=cuda TKP_BACKEND_DIR=${simt_dir}
        TKP_TEST_LARGEST=1000)
  endforeach()
endif()

# What the published code kept, by policies that run on that device.
if(TARGET tokenprune-cli AND TKP_PYTHON)
  foreach(cases published video selections)
    tkp_add_command_test(NAME simt/${cases}
      COMMAND ${TKP_PYTHON} ${PROJECT_SOURCE_DIR}/tests/cli/published.py
        $<TARGET_FILE:tokenprune-cli> ${PROJECT_SOURCE_DIR}/tests/golden/${cases}
      NEEDS tokenprune-simt LABELS ci
      ENV TKP_TEST_BACKENDS=cuda TKP_BACKEND_DIR=${simt_dir})
  endforeach()
endif()
