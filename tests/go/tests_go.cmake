# The Go module, against the library in this build installed into a folder.
if(NOT TARGET tkp_go)
  message(STATUS "go: tests are left out, the module is not built")
  return()
endif()
tkp_add_command_test(NAME go/tests
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/module ${TKP_GO} ${PROJECT_BINARY_DIR}
    test ./...
  NEEDS tkp_go LABELS ci TIMEOUT 900
  ENV OMP_WAIT_POLICY=passive)
tkp_add_command_test(NAME go/race
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/module ${TKP_GO} ${PROJECT_BINARY_DIR}
    test -race -run "Goroutines|Closed" .
  NEEDS tkp_go LABELS full TIMEOUT 900
  ENV OMP_WAIT_POLICY=passive)
tkp_add_command_test(NAME go/style
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/style ${TKP_GO} ${PROJECT_SOURCE_DIR}/bindings/go
    ${PROJECT_BINARY_DIR}
  NEEDS tkp_go LABELS full)
set_property(TEST go/tests go/race go/style PROPERTY RESOURCE_LOCK go)
