# eep-worker, with nvcc. What keeps the shipped binary checkable: shared cudart and RUNPATH, so that
# libraries can be put in its place; real architectures and one virtual one, whose PTX is embedded as
# plain text; no driver API and no device-side library; no status that nobody looks at.
include(CheckLanguage)
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real;90-real;100-real;90-virtual)
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
check_language(CUDA)
find_package(CUDAToolkit 12.5 QUIET)
find_path(NCCL_INCLUDE_DIR nccl.h
  HINTS ENV NCCL_HOME PATHS ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include NO_CACHE)
find_library(NCCL_LIBRARY nccl
  HINTS ENV NCCL_HOME PATHS ${CUDAToolkit_LIBRARY_DIR} PATH_SUFFIXES lib lib64 NO_CACHE)

set(missing)
foreach(part CMAKE_CUDA_COMPILER CUDAToolkit_FOUND NCCL_INCLUDE_DIR NCCL_LIBRARY)
  if(NOT ${part})
    list(APPEND missing ${part})
  endif()
endforeach()
if(missing AND EEP_CUDA STREQUAL "ON")
  message(FATAL_ERROR "EEP_CUDA=ON, but missing: ${missing}. eep-worker needs the CUDA toolkit 12.5 or "
    "later and NCCL 2.28 or later: set CUDACXX and NCCL_HOME, or EEP_CUDA=OFF")
endif()
if(missing)
  message(STATUS "eep-worker is not built (eep-worker-emulated is): missing ${missing}")
  return()
endif()
enable_language(CUDA)

# A status that is dropped is an error: all calls are declared again, as such that must be looked at.
set(must_check ${CMAKE_CURRENT_BINARY_DIR}/must_check.h)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/status_calls.c
  "#include <cuda_runtime_api.h>\n#include <cublas_v2.h>\n#include <nccl.h>\n")
add_custom_command(OUTPUT ${must_check}
  COMMAND sh -c "{ cat '${CMAKE_CURRENT_BINARY_DIR}/status_calls.c'; \
'${CMAKE_C_COMPILER}' -E -P -I'${NCCL_INCLUDE_DIR}' -I'${CUDAToolkit_INCLUDE_DIRS}' \
'${CMAKE_CURRENT_BINARY_DIR}/status_calls.c' | awk -f '${CMAKE_CURRENT_SOURCE_DIR}/must_check.awk'; \
} > '${must_check}'"
  DEPENDS must_check.awk VERBATIM)
add_custom_target(must_check DEPENDS ${must_check})

add_library(eep_worker_cuda STATIC ${worker_sources} ${kernel_sources})
add_dependencies(eep_worker_cuda must_check)
# SYSTEM: not every header of NCCL stands our warnings.
target_include_directories(eep_worker_cuda SYSTEM BEFORE PUBLIC ${NCCL_INCLUDE_DIR})
target_link_libraries(eep_worker_cuda PUBLIC eep_gpu CUDA::cudart CUDA::cublas ${NCCL_LIBRARY})
target_compile_options(eep_worker_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:C>:-include ${must_check}>
  $<$<COMPILE_LANGUAGE:CUDA>:-std=c++17 -compress-mode=none -Werror=all-warnings -Wdefault-stream-launch
  -Wmissing-launch-bounds -Xptxas=-Werror,-warn-spills,-warn-lmem-usage,-warn-double-usage>)

add_executable(eep-worker ${worker_main})
target_link_libraries(eep-worker PRIVATE eep_worker_cuda)
target_link_options(eep-worker PRIVATE -Wl,--enable-new-dtags)
install(TARGETS eep-worker RUNTIME)
