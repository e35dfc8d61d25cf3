/* The cuBLAS calls that the worker uses, as the emulation declares them. Names and values are
 * NVIDIA's (cuBLAS 13.1), the text is ours; docs/emulation.md has what is modelled.
 *
 * GEMM takes bf16, sums in f32 in the order of k whatever the shape, and gives bf16 or f32. All
 * else is CUBLAS_STATUS_NOT_SUPPORTED. A dropped status does not compile. */
#ifndef EEP_GPU_EMULATION_CUBLAS_V2_H
#define EEP_GPU_EMULATION_CUBLAS_V2_H

#include <cuda_runtime_api.h>

#define CUBLAS_VERSION 130100

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_NOT_INITIALIZED = 1,
    CUBLAS_STATUS_ALLOC_FAILED = 3,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_ARCH_MISMATCH = 8,
    CUBLAS_STATUS_MAPPING_ERROR = 11,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_INTERNAL_ERROR = 14,
    CUBLAS_STATUS_NOT_SUPPORTED = 15,
} cublasStatus_t;

typedef enum {
    CUBLAS_OP_N = 0,
    CUBLAS_OP_T = 1,
} cublasOperation_t;

typedef enum {
    CUDA_R_32F = 0,
    CUDA_R_16BF = 14,
} cudaDataType_t;
typedef cudaDataType_t cudaDataType;

typedef enum {
    CUBLAS_COMPUTE_32F = 68,
} cublasComputeType_t;

typedef enum {
    CUBLAS_GEMM_DEFAULT = -1,
} cublasGemmAlgo_t;

typedef struct cublasContext *cublasHandle_t;

#define EEP_CUBLAS_STATUS __attribute__((warn_unused_result)) cublasStatus_t

EEP_CUBLAS_STATUS cublasCreate_v2(cublasHandle_t *handle);
EEP_CUBLAS_STATUS cublasDestroy_v2(cublasHandle_t handle);
EEP_CUBLAS_STATUS cublasGetVersion_v2(cublasHandle_t handle, int *version);
EEP_CUBLAS_STATUS cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream);
EEP_CUBLAS_STATUS cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes);
const char *cublasGetStatusName(cublasStatus_t status);
const char *cublasGetStatusString(cublasStatus_t status);

#define cublasCreate       cublasCreate_v2
#define cublasDestroy      cublasDestroy_v2
#define cublasGetVersion   cublasGetVersion_v2
#define cublasSetStream    cublasSetStream_v2
#define cublasSetWorkspace cublasSetWorkspace_v2

/* Matrices are column-major; alpha and beta are floats on the host. */
EEP_CUBLAS_STATUS cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa,
                               cublasOperation_t transb, int m, int n, int k, const void *alpha,
                               const void *A, cudaDataType Atype, int lda, const void *B,
                               cudaDataType Btype, int ldb, const void *beta, void *C,
                               cudaDataType Ctype, int ldc, cublasComputeType_t computeType,
                               cublasGemmAlgo_t algo);

/* One entry a group in every array but Aarray, Barray and Carray, which lie in device memory, have
 * an entry a problem and are read when the operation runs. */
EEP_CUBLAS_STATUS cublasGemmGroupedBatchedEx(
    cublasHandle_t handle, const cublasOperation_t transa_array[],
    const cublasOperation_t transb_array[], const int m_array[], const int n_array[],
    const int k_array[], const void *alpha_array, const void *const Aarray[], cudaDataType_t Atype,
    const int lda_array[], const void *const Barray[], cudaDataType_t Btype, const int ldb_array[],
    const void *beta_array, void *const Carray[], cudaDataType_t Ctype, const int ldc_array[],
    int group_count, const int group_size[], cublasComputeType_t computeType);

#ifdef __cplusplus
}
#endif

#endif
