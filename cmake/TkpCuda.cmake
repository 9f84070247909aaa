# The CUDA backend module, where a compiler for it is found. Sanitizer builds go
# without: nvcc's host code is not compiled with them.

include(CheckLanguage)
if(TKP_WITH_CUDA STREQUAL "AUTO")
  if(TKP_SANITIZE)
    message(STATUS "CUDA: left out of a sanitizer build")
    return()
  endif()
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    message(STATUS "CUDA: left out, no compiler was found")
    return()
  endif()
elseif(NOT TKP_WITH_CUDA)
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES ${TKP_CUDA_ARCHITECTURES})
endif()
enable_language(CUDA)
find_package(CUDAToolkit 12 REQUIRED)
tkp_backend_module(cuda)
set_target_properties(tokenprune-cuda PROPERTIES
  CUDA_VISIBILITY_PRESET hidden
  CUDA_RUNTIME_LIBRARY Static
  LINKER_LANGUAGE CUDA)
# As an option: CMake 3.25 does not know the dialect of nvcc 13.
target_compile_options(tokenprune-cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>)
target_link_libraries(tokenprune-cuda PRIVATE CUDA::cublasLt)
