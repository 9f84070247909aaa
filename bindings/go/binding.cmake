# The Go module, complete in build/go: the files beside this one, what SWIG makes
# of bindings/swig, and its sources. docs/bindings.md.
option(TKP_WITH_GO "Build the Go module (needs SWIG and Go)" ${PROJECT_IS_TOP_LEVEL})
if(NOT TKP_WITH_GO)
  return()
endif()
if(TKP_SANITIZE)
  message(STATUS "go: left out, Go's programs are linked without a sanitizer")
  return()
endif()
find_program(TKP_SWIG NAMES swig4.1 swig4.0 swig)
find_program(TKP_GO go)
if(NOT TKP_SWIG OR NOT TKP_GO)
  message(STATUS "go: left out, SWIG 4 or Go is not there")
  return()
endif()

set(TKP_GO_MODULE ${PROJECT_BINARY_DIR}/go)
set(tkp_swig ${PROJECT_SOURCE_DIR}/bindings/swig)
set(tkp_go_source ${CMAKE_CURRENT_LIST_DIR})
set(tkp_go_outputs)

# tkp_go_copy(<file> <to>): a file of the module.
function(tkp_go_copy file to)
  set(out ${TKP_GO_MODULE}/${to})
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -E copy ${file} ${out}
    DEPENDS ${file} VERBATIM)
  set(tkp_go_outputs ${tkp_go_outputs} ${out} PARENT_SCOPE)
endfunction()

# tkp_go_native(<name> <source>...): the package internal/<name>.
function(tkp_go_native name)
  set(folder internal/${name})
  set(out ${TKP_GO_MODULE}/${folder})
  file(GLOB interface CONFIGURE_DEPENDS
    ${tkp_swig}/*.i ${tkp_swig}/*.h ${tkp_go_source}/*.i
    ${PROJECT_SOURCE_DIR}/include/tokenprune/*.h)
  add_custom_command(
    OUTPUT ${out}/${name}.go ${out}/${name}_wrap.c
    COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
    COMMAND ${TKP_SWIG} -go -cgo -intgosize 64 -Wall -Werror
      -I${tkp_go_source} -I${tkp_swig} -I${PROJECT_SOURCE_DIR}/include
      -outdir ${out} -o ${out}/${name}_wrap.c
      ${tkp_go_source}/${folder}/${name}.i
    DEPENDS ${interface} ${tkp_go_source}/${folder}/${name}.i
    VERBATIM)
  set(outputs ${tkp_go_outputs} ${out}/${name}.go ${out}/${name}_wrap.c)
  file(GLOB headers ${tkp_swig}/*.h)
  set(tkp_go_outputs ${outputs})
  tkp_go_copy(${tkp_go_source}/${folder}/cgo.go ${folder}/cgo.go)
  foreach(file ${headers} ${ARGN})
    cmake_path(GET file FILENAME base)
    tkp_go_copy(${file} ${folder}/${base})
  endforeach()
  set(tkp_go_outputs ${tkp_go_outputs} PARENT_SCOPE)
endfunction()

set(tkp_go_flat
  ${tkp_swig}/flat.c ${tkp_swig}/flat_object.c ${tkp_swig}/flat_parts.c
  ${tkp_swig}/flat_sequence.c)
file(GLOB tkp_go_files CONFIGURE_DEPENDS RELATIVE ${tkp_go_source}
  ${tkp_go_source}/*.go ${tkp_go_source}/go.mod)
# Two packages of one program have the flat calls: those of the second go by
# other names.
function(tkp_go_names out)
  set(words)
  foreach(header flat.h flat_object.h flat_mllm.h)
    file(READ ${tkp_swig}/${header} text)
    string(REGEX MATCHALL "flat_[a-z0-9_]+" found "${text}")
    list(APPEND words ${found})
  endforeach()
  list(REMOVE_DUPLICATES words)
  list(SORT words)
  set(lines)
  foreach(word ${words})
    string(APPEND lines "#define ${word} mllm_${word}\n")
  endforeach()
  file(CONFIGURE OUTPUT ${out} CONTENT "${lines}" @ONLY)
endfunction()

if(TARGET tokenprune-mllm)
  tkp_go_names(${TKP_GO_MODULE}/internal/nativemllm/names.h)
  file(GLOB more CONFIGURE_DEPENDS RELATIVE ${tkp_go_source} ${tkp_go_source}/mllm/*.go)
  list(APPEND tkp_go_files ${more})
  tkp_go_native(nativemllm ${tkp_go_flat} ${tkp_swig}/flat_mllm.c)
endif()
foreach(file ${tkp_go_files})
  tkp_go_copy(${tkp_go_source}/${file} ${file})
endforeach()
tkp_go_native(native ${tkp_go_flat})
add_custom_target(tkp_go ALL DEPENDS ${tkp_go_outputs})
