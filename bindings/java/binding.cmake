# The Java package: build/java/tokenprune.jar and the JNI library beside it.
# docs/bindings.md.
option(TKP_WITH_JAVA "Build the Java package (needs SWIG and a JDK)" ${PROJECT_IS_TOP_LEVEL})
if(NOT TKP_WITH_JAVA)
  return()
endif()
if(TKP_SANITIZE)
  message(STATUS "java: left out, a sanitizer is not for modules of another program")
  return()
endif()
find_program(TKP_SWIG NAMES swig4.1 swig4.0 swig)
find_package(Java 17 QUIET COMPONENTS Development)
find_package(JNI QUIET)
if(NOT TKP_SWIG OR NOT Java_Development_FOUND OR NOT JNI_INCLUDE_DIRS)
  message(STATUS "java: left out, SWIG 4 or a JDK (17 or later) is not there")
  return()
endif()

set(TKP_JAVA_FOLDER ${PROJECT_BINARY_DIR}/java)
set(tkp_swig ${PROJECT_SOURCE_DIR}/bindings/swig)
set(tkp_java_source ${CMAKE_CURRENT_LIST_DIR}/src/main)
file(GLOB tkp_java_interface CONFIGURE_DEPENDS
  ${tkp_swig}/*.i ${tkp_swig}/*.h ${tkp_java_source}/swig/*.i
  ${PROJECT_SOURCE_DIR}/include/tokenprune/*.h)
set(tkp_java_flat
  ${tkp_swig}/flat.c ${tkp_swig}/flat_object.c ${tkp_swig}/flat_parts.c
  ${tkp_swig}/flat_sequence.c)
set(tkp_java_wraps)

# tkp_java_native(<name> <package> <library> <source>...): the JNI library of
# <name>.i, with the flat calls in it; only what Java looks for is visible.
function(tkp_java_native name package library)
  string(REPLACE "." "/" folder ${package})
  set(out ${TKP_JAVA_FOLDER}/generated/${folder})
  set(wrap ${TKP_JAVA_FOLDER}/${name}_wrap.c)
  add_custom_command(
    OUTPUT ${wrap}
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${out}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
    COMMAND ${TKP_SWIG} -java -package ${package} -Wall -Werror
      -I${tkp_java_source}/swig -I${tkp_swig} -I${PROJECT_SOURCE_DIR}/include
      -outdir ${out} -o ${wrap} ${tkp_java_source}/swig/${name}.i
    DEPENDS ${tkp_java_interface}
    VERBATIM)
  set(target tkp_java_${name})
  add_library(${target} MODULE ${wrap} ${tkp_java_flat} ${ARGN})
  tkp_target(${target})
  target_include_directories(${target} PRIVATE ${tkp_swig} ${JNI_INCLUDE_DIRS})
  target_link_libraries(${target} PRIVATE ${library})
  # What SWIG writes is not held to our warnings.
  set_source_files_properties(${wrap} PROPERTIES COMPILE_OPTIONS "-w")
  set(map ${PROJECT_SOURCE_DIR}/bindings/java/jni.map)
  target_link_options(${target} PRIVATE -Wl,--version-script=${map})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${library}-java
    LIBRARY_OUTPUT_DIRECTORY ${TKP_JAVA_FOLDER}
    LINK_DEPENDS ${map})
  set(tkp_java_wraps ${tkp_java_wraps} ${wrap} PARENT_SCOPE)
endfunction()

tkp_java_native(native io.github.tokenprune.internal tokenprune)
set(tkp_java_rooms ${tkp_java_source}/java)
if(TARGET tokenprune-mllm)
  tkp_java_native(nativemllm io.github.tokenprune.mllm.internal tokenprune-mllm
    ${tkp_swig}/flat_mllm.c)
  list(APPEND tkp_java_rooms ${CMAKE_CURRENT_LIST_DIR}/src/mllm/java)
endif()

set(tkp_java_files)
foreach(room ${tkp_java_rooms})
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${room}/*.java)
  list(APPEND tkp_java_files ${files})
endforeach()
set(TKP_JAR ${TKP_JAVA_FOLDER}/tokenprune.jar)
add_custom_command(
  OUTPUT ${TKP_JAR}
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${TKP_JAVA_FOLDER}/classes
  COMMAND ${CMAKE_COMMAND} -DJAVAC=${Java_JAVAC_EXECUTABLE} -DJAR=${Java_JAR_EXECUTABLE}
    "-DSOURCES=${tkp_java_rooms}" -DGENERATED=${TKP_JAVA_FOLDER}/generated
    -DCLASSES=${TKP_JAVA_FOLDER}/classes -DOUT=${TKP_JAR}
    -P ${CMAKE_CURRENT_LIST_DIR}/jar.cmake
  DEPENDS ${tkp_java_files} ${tkp_java_wraps} ${CMAKE_CURRENT_LIST_DIR}/jar.cmake
  VERBATIM)
add_custom_target(tkp_java ALL DEPENDS ${TKP_JAR})
add_dependencies(tkp_java tkp_java_native)
if(TARGET tkp_java_nativemllm)
  add_dependencies(tkp_java tkp_java_nativemllm)
endif()
