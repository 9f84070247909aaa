# The Rust crates are Cargo's to build; here are the tests, and how Cargo is
# told of the library in this build. docs/bindings.md.
option(TKP_WITH_RUST "Test the Rust crates (needs Cargo)" ${PROJECT_IS_TOP_LEVEL})
if(NOT TKP_WITH_RUST)
  return()
endif()
if(TKP_SANITIZE)
  message(STATUS "rust: left out, Rust's programs are linked without a sanitizer")
  return()
endif()
find_program(TKP_CARGO cargo)
if(NOT TKP_CARGO)
  message(STATUS "rust: left out, there is no cargo")
  return()
endif()
set(TKP_RUST_FOLDER ${CMAKE_CURRENT_LIST_DIR})
set(TKP_RUST_ENV
  CARGO_TARGET_DIR=${PROJECT_BINARY_DIR}/rust
  CARGO_TERM_COLOR=never
  TOKENPRUNE_LIB_DIR=${PROJECT_BINARY_DIR}/lib
  LD_LIBRARY_PATH=${PROJECT_BINARY_DIR}/lib)
