# The Java package, by JUnit 4 of Debian (junit4).
if(NOT TARGET tkp_java)
  message(STATUS "java: tests are left out, the package is not built")
  return()
endif()
find_file(TKP_JUNIT junit4.jar PATHS /usr/share/java NO_DEFAULT_PATH)
find_file(TKP_HAMCREST hamcrest-all.jar NAMES hamcrest-all.jar hamcrest-core.jar
  PATHS /usr/share/java NO_DEFAULT_PATH)
if(NOT TKP_JUNIT OR NOT TKP_HAMCREST)
  message(STATUS "java: tests are left out, there is no junit4.jar")
  return()
endif()
file(GLOB java_tests CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/bindings/java/src/test/java/io/github/tokenprune/*.java)
set(java_suites io.github.tokenprune.GoldenTest io.github.tokenprune.ObjectsTest)
if(TARGET tkp_java_nativemllm)
  list(APPEND java_suites io.github.tokenprune.MllmTest)
else()
  list(FILTER java_tests EXCLUDE REGEX "/MllmTest.java$")
endif()
set(java_classes ${TKP_JAVA_FOLDER}/test-classes)
add_custom_command(
  OUTPUT ${java_classes}/built
  COMMAND ${Java_JAVAC_EXECUTABLE} --release 17 -Xlint:all -Werror
    -cp ${TKP_JAR}:${TKP_JUNIT} -d ${java_classes} ${java_tests}
  COMMAND ${CMAKE_COMMAND} -E touch ${java_classes}/built
  DEPENDS ${java_tests} ${TKP_JAR}
  VERBATIM)
add_custom_target(tkp_java_tests ALL DEPENDS ${java_classes}/built)
add_dependencies(tkp_java_tests tkp_java)

set(java_run ${Java_JAVA_EXECUTABLE} -Xcheck:jni -Xmx512m
  -Djava.library.path=${TKP_JAVA_FOLDER}
  -cp ${TKP_JAR}:${java_classes}:${TKP_JUNIT}:${TKP_HAMCREST})
tkp_add_command_test(NAME java/tests
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/quiet ${java_run} org.junit.runner.JUnitCore
    ${java_suites}
  NEEDS tkp_java_tests LABELS ci
  ENV OMP_WAIT_POLICY=passive)
tkp_add_command_test(NAME java/doc
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/doc ${Java_JAVADOC_EXECUTABLE}
    ${PROJECT_SOURCE_DIR}/bindings/java/src/main/java ${TKP_JAR} ${TKP_JAVA_FOLDER}/doc
  NEEDS tkp_java LABELS full)
tkp_add_command_test(NAME java/maven
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/maven ${TKP_JAR}
    ${PROJECT_SOURCE_DIR}/bindings/java/pom.xml ${TKP_JAVA_FOLDER}/maven
  NEEDS tkp_java LABELS full)
tkp_add_command_test(NAME java/readme
  COMMAND ${CMAKE_CURRENT_LIST_DIR}/readme ${PROJECT_SOURCE_DIR}/bindings/java
    ${Java_JAVAC_EXECUTABLE} ${Java_JAVA_EXECUTABLE} ${TKP_JAR} ${TKP_JAVA_FOLDER}
  NEEDS tkp_java LABELS ci ENV OMP_WAIT_POLICY=passive)
