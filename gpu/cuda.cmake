# eep-worker, with nvcc. The rules that keep the binary checkable: shared cudart, RUNPATH, real
# architectures and one virtual one, embedded PTX as plain text, no driver API, no device-side
# libraries.
include(CheckLanguage)
set(CMAKE_CUDA_ARCHITECTURES 80-real;90-real;100-real;90-virtual)
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
check_language(CUDA)
find_package(CUDAToolkit 12.5 QUIET)
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ENV NCCL_HOME PATH_SUFFIXES include)
find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR} ENV NCCL_HOME PATH_SUFFIXES lib lib64)

if(NOT CMAKE_CUDA_COMPILER OR NOT CUDAToolkit_FOUND OR NOT NCCL_INCLUDE_DIR OR NOT NCCL_LIBRARY)
  if(EEP_CUDA STREQUAL "ON")
    message(FATAL_ERROR "EEP_CUDA=ON needs nvcc (12.5 or later), cuBLAS and NCCL: "
      "compiler '${CMAKE_CUDA_COMPILER}', NCCL header '${NCCL_INCLUDE_DIR}', library '${NCCL_LIBRARY}'; "
      "set CUDACXX and NCCL_HOME, or EEP_CUDA=OFF")
  endif()
  message(STATUS "eep-worker is not built: no CUDA toolkit with NCCL (eep-worker-emulated is)")
  return()
endif()

enable_language(CUDA)
