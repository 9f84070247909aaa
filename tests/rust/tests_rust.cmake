# The Rust crates: `cargo test` against the library in this build, offline.
if(NOT TKP_RUST_FOLDER)
  message(STATUS "rust: tests are left out")
  return()
endif()
set(manifest --manifest-path ${TKP_RUST_FOLDER}/Cargo.toml)
set(cargo_options --offline --locked ${manifest})
set(features)
if(TARGET tokenprune-mllm)
  set(features --features tokenprune/mllm,tokenprune-sys/mllm)
endif()

tkp_add_command_test(NAME rust/tests
  COMMAND ${TKP_CARGO} test ${cargo_options} ${features}
  NEEDS tokenprune LABELS ci
  ENV ${TKP_RUST_ENV} OMP_WAIT_POLICY=passive)
# With the library that pkg-config finds, as a user does.
tkp_add_command_test(NAME rust/pkg_config
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/pkg_config ${TKP_CARGO} ${TKP_RUST_FOLDER}
    ${PROJECT_BINARY_DIR}
  NEEDS tokenprune LABELS full
  ENV CARGO_TERM_COLOR=never)
# Tools that come with Rust, but not everywhere.
foreach(tool fmt clippy)
  tkp_add_command_test(NAME rust/${tool}
    COMMAND ${CMAKE_CURRENT_LIST_DIR}/${tool} ${TKP_CARGO} ${TKP_RUST_FOLDER}
    NEEDS tokenprune LABELS full
    ENV ${TKP_RUST_ENV})
endforeach()
tkp_add_command_test(NAME rust/generated
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/generated ${PROJECT_SOURCE_DIR}
    ${PROJECT_BINARY_DIR}
  NEEDS tokenprune LABELS full)
set_property(TEST rust/tests rust/clippy PROPERTY RESOURCE_LOCK cargo)
