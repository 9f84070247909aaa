# How our own targets are compiled, and the rooms they are made of.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(TKP_MODULE_DIR ${PROJECT_BINARY_DIR}/lib/tokenprune)

# ccache if it is there; the base folder lets two checkouts share results.
find_program(TKP_CCACHE ccache)
mark_as_advanced(TKP_CCACHE)
if(TKP_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER
    ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}
    CCACHE_NOHASHDIR=1 ${TKP_CCACHE})
endif()
set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_C_COMPILER_LAUNCHER})
set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_C_COMPILER_LAUNCHER})

# On every target of ours, tests included.
add_library(tkp_flags INTERFACE)
target_compile_definitions(tkp_flags INTERFACE _GNU_SOURCE)
target_compile_options(tkp_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wshadow;-Wpointer-arith;-Wundef>
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes;-Wmissing-prototypes>
  $<$<AND:$<BOOL:${TKP_WERROR}>,$<COMPILE_LANGUAGE:C,CXX>>:-Werror>
  # Results do not depend on the compiler's taste: no contraction into fused
  # multiply-add but where a kernel asks for it, no fast-math anywhere.
  $<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off;-fno-math-errno>
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall>
  $<$<AND:$<BOOL:${TKP_WERROR}>,$<COMPILE_LANGUAGE:CUDA>>:-Werror=all-warnings>)
if(TKP_SANITIZE)
  target_compile_options(tkp_flags INTERFACE
    $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${TKP_SANITIZE}>
    $<$<COMPILE_LANGUAGE:C,CXX>:-fno-omit-frame-pointer>
    # False alarms: the checks in between hide what is known.
    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(tkp_flags INTERFACE -fsanitize=${TKP_SANITIZE})
  if(TKP_SANITIZE MATCHES undefined)
    target_compile_options(tkp_flags INTERFACE
      $<$<COMPILE_LANGUAGE:C,CXX>:-fno-sanitize-recover=undefined>)
  endif()
endif()

# tkp_target(<target>): flags and include folders of one of our targets.
function(tkp_target target)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:tkp_flags>)
  target_include_directories(${target}
    PUBLIC
      $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
      $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
      $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/backends)
endfunction()

# tkp_versioned(<shared library> <map>): SONAME and linker map.
function(tkp_versioned target map)
  set_target_properties(${target} PROPERTIES
    VERSION ${PROJECT_VERSION}
    SOVERSION ${TKP_ABI}
    INSTALL_RPATH "$ORIGIN"
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/${map})
  target_link_options(${target} PRIVATE
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/${map})
  if(NOT TKP_SANITIZE)
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
endfunction()

# tkp_static(<archive> <target>): the archive made of <target>'s objects,
# which are compiled once.
function(tkp_static target shared)
  get_target_property(name ${shared} OUTPUT_NAME)
  if(NOT name)
    set(name ${shared})
  endif()
  if(NOT target STREQUAL "tokenprune-cli-static")
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${name})
  endif()
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:tkp_flags>)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# tkp_backend_module(<name>): libtokenprune-<name>.so out of backends/<name>.
function(tkp_backend_module name)
  set(target tokenprune-${name})
  add_library(${target} MODULE)
  tkp_target(${target})
  set_target_properties(${target} PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY ${TKP_MODULE_DIR}
    INSTALL_RPATH "$ORIGIN/.."
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/backends/module.map)
  target_link_options(${target} PRIVATE
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/backends/module.map)
  target_link_libraries(${target} PRIVATE
    tkp_util tokenprune Threads::Threads m)
  tkp_rooms(backends/${name})
  set_property(GLOBAL APPEND PROPERTY tkp_backend_modules ${target})
endfunction()

# tkp_rooms(<folder>...): take in the sources.cmake of each room. A room names
# its own files, so that adding one touches nothing outside of the room:
#   target_sources(tokenprune PRIVATE ${CMAKE_CURRENT_LIST_DIR}/topk.c)
macro(tkp_rooms)
  foreach(tkp_room ${ARGN})
    include(${PROJECT_SOURCE_DIR}/${tkp_room}/sources.cmake OPTIONAL)
  endforeach()
endmacro()

# tkp_isa_source(<target> <file> <flag>...): compile one file for an
# instruction set, for example
#   tkp_isa_source(tokenprune-cpu cpu_topk_avx2.c -mavx2 -mfma -mf16c)
# Adds the file if the compiler knows the flags, and then defines
# TKP_HAVE_<FILE> (upper case, without .c) for the whole target.
include(CheckCCompilerFlag)
function(tkp_isa_source target file)
  cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY ${CMAKE_CURRENT_LIST_DIR})
  cmake_path(GET file STEM stem)
  list(JOIN ARGN " " flags)
  string(MAKE_C_IDENTIFIER "tkp_flag_${flags}" known)
  set(CMAKE_REQUIRED_FLAGS "")
  check_c_compiler_flag("${flags}" ${known})
  if(NOT ${known})
    message(STATUS "${stem}: left out, the compiler does not know ${flags}")
    return()
  endif()
  string(TOUPPER "TKP_HAVE_${stem}" have)
  target_compile_definitions(${target} PRIVATE ${have}=1)
  get_target_property(sources ${target} SOURCES)
  if(NOT file IN_LIST sources)
    target_sources(${target} PRIVATE ${file})
  endif()
  set_property(SOURCE ${file} APPEND PROPERTY COMPILE_OPTIONS ${ARGN})
endfunction()
