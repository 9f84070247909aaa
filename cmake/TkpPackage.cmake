# Packages. In the build folder:
#
#   cpack -G DEB                          Debian packages, one a component
#   cpack --config CPackSourceConfig.cmake    the sources as a tarball
#
# Packages for others are best built with -DCMAKE_INSTALL_PREFIX=/usr, which
# gives Debian's folders, and -DTKP_BUILD_TESTS=OFF.

if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()

set(TKP_PACKAGER "libtokenprune developers <developers@tokenprune.invalid>" CACHE STRING
  "Who makes the packages: name and address")

set(CPACK_PACKAGE_NAME tokenprune)
set(CPACK_PACKAGE_CONTACT "${TKP_PACKAGER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)

# --- Debian -------------------------------------------------------------------

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${TKP_PACKAGER}")
# What the binaries are linked with, by dpkg-shlibdeps; ours among themselves
# are named below.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS
  ${PROJECT_BINARY_DIR}/lib ${CUDAToolkit_LIBRARY_DIR})
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/deb_stage.cmake)
set(CPACK_COMPONENTS_ALL)
set(tkp_deb_version ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})

# tkp_deb(<component> <package> <section> <text>
#   [OURS component...]   packages of ours of the same version that it needs
#   [DEPENDS text...] [RECOMMENDS text...]
#   [SONAME name]         it is a shared library: who links with it gets a
#                         dependency on it, and the loader's cache is renewed)
macro(tkp_deb component package section text)
  cmake_parse_arguments(deb "" "SONAME" "OURS;DEPENDS;RECOMMENDS" ${ARGN})
  string(TOUPPER ${component} upper)
  list(APPEND CPACK_COMPONENTS_ALL ${component})
  set(tkp_deb_name_${component} ${package})
  foreach(other ${deb_OURS})
    list(APPEND deb_DEPENDS
      "${tkp_deb_name_${other}} (= ${tkp_deb_version})")
  endforeach()
  list(JOIN deb_DEPENDS ", " CPACK_DEBIAN_${upper}_PACKAGE_DEPENDS)
  list(JOIN deb_RECOMMENDS ", " CPACK_DEBIAN_${upper}_PACKAGE_RECOMMENDS)
  set(CPACK_DEBIAN_${upper}_PACKAGE_NAME ${package})
  set(CPACK_DEBIAN_${upper}_PACKAGE_SECTION ${section})
  set(CPACK_DEBIAN_${upper}_DESCRIPTION "${text}")
  if(deb_SONAME)
    set(control ${PROJECT_BINARY_DIR}/debian/${component})
    file(WRITE ${control}/shlibs
      "${deb_SONAME} ${TKP_ABI} ${package} (>= ${PROJECT_VERSION})\n")
    file(WRITE ${control}/triggers "activate-noawait ldconfig\n")
    set(CPACK_DEBIAN_${upper}_PACKAGE_CONTROL_EXTRA
      ${control}/shlibs ${control}/triggers)
  endif()
endmacro()

tkp_deb(lib libtokenprune${TKP_ABI} libs
  "This is the library: policies of a scorer, a selector and a merger that say\nwhich visual tokens a model goes on with. It needs no attention matrix."
  RECOMMENDS libtokenprune-cpu SONAME libtokenprune)
set(tkp_dev_ours lib)
set(tkp_dev_needs libyaml-dev)
foreach(module ${tkp_modules})
  string(REPLACE "tokenprune-" "" name ${module})
  tkp_deb(${module} lib${module} libs
    "This is its ${name} backend, found by the library when a program starts."
    OURS lib)
endforeach()
if(TARGET tokenprune-mllm)
  tkp_deb(mllm libtokenprune-mllm${TKP_ABI} libs
    "This is its reference model: LLaVA and Qwen2-VL from directories of Hugging\nFace, pruned at every point."
    OURS lib RECOMMENDS libtokenprune-cpu SONAME libtokenprune-mllm)
  list(APPEND tkp_dev_ours mllm)
  list(APPEND tkp_dev_needs libjansson-dev libjpeg-dev libpng-dev libwebp-dev
    libpcre2-dev libutf8proc-dev)
endif()
tkp_deb(dev libtokenprune-dev libdevel
  "This is what programs are built with: headers, archives, files for pkg-config\nand CMake, documents and lessons."
  OURS ${tkp_dev_ours} DEPENDS ${tkp_dev_needs})
if(TARGET tokenprune-cli)
  tkp_deb(bin tokenprune science
    "This is the command, which runs, compares and shows methods; it brings a small\nmodel to try them on."
    OURS lib mllm RECOMMENDS libtokenprune-cpu)
endif()

# --- sources --------------------------------------------------------------------

set(CPACK_SOURCE_GENERATOR TGZ)
set(CPACK_SOURCE_PACKAGE_FILE_NAME tokenprune-${PROJECT_VERSION})
string(REGEX REPLACE "([][+.*()^$?|])" "\\\\\\1" tkp_root ${PROJECT_SOURCE_DIR})
set(CPACK_SOURCE_IGNORE_FILES
  "^${tkp_root}/build[^/]*/" "^${tkp_root}/out/" "^${tkp_root}/shared/"
  "^${tkp_root}/\\.git(/|$)" "~$"
  # What languages leave behind in the tree.
  "/__pycache__/" "\\.pyc$" "\\.egg-info/" "/\\.pytest_cache/"
  "^${tkp_root}/(bindings|examples)/.*/(target|build|dist)/"
  "\\.(o|a|so|class|jar|whl)$")
set(CPACK_VERBATIM_VARIABLES ON)

include(CPack)
