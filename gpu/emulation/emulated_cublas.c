#include "gpu/emulation/emulated_runtime.h"
#include "gpu/emulation/host_gemm.h"
#include <cublas_v2.h>

struct cublasContext {
    cudaStream_t stream;
    int device;
};

static const struct {
    cublasStatus_t status;
    const char *name, *text;
} names[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "out of memory"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE", "invalid value"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH", "not for this architecture"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR", "memory mapping failed"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "execution failed"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "internal error"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "not supported"},
};

const char *cublasGetStatusName(cublasStatus_t status)
{
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (names[i].status == status)
            return names[i].name;
    return "unknown status";
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (names[i].status == status)
            return names[i].text;
    return "unknown status";
}

/* -- handles -- */

static cublasStatus_t enter(cublasHandle_t handle, const char *call)
{
    if (handle == NULL)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    if (eep_emulated_health(handle->device) != cudaSuccess)
        return CUBLAS_STATUS_EXECUTION_FAILED;
    return (cublasStatus_t)eep_emulated_fails(call, CUBLAS_STATUS_EXECUTION_FAILED);
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *handle)
{
    int device;
    if (cudaGetDevice(&device) != cudaSuccess || eep_emulated_health(device) != cudaSuccess)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    cublasStatus_t status =
        (cublasStatus_t)eep_emulated_fails("cublasCreate", CUBLAS_STATUS_ALLOC_FAILED);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    *handle = g_new0(struct cublasContext, 1);
    (*handle)->device = device;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle)
{
    if (handle == NULL)
        return CUBLAS_STATUS_NOT_INITIALIZED;
    g_free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasGetVersion_v2(cublasHandle_t handle, int *version)
{
    *version = CUBLAS_VERSION;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream)
{
    cublasStatus_t status = enter(handle, "cublasSetStream");
    if (status == CUBLAS_STATUS_SUCCESS)
        handle->stream = stream;
    return status;
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void *workspace, size_t bytes)
{
    cublasStatus_t status = enter(handle, "cublasSetWorkspace");
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if ((gsize)workspace % 256 != 0 ||
        eep_emulated_check_memory(handle->device, workspace, bytes, "cublasSetWorkspace") !=
            cudaSuccess)
        return CUBLAS_STATUS_INVALID_VALUE;
    return CUBLAS_STATUS_SUCCESS;
}

/* -- GEMM -- */

/* `count` problems of one shape; the pointers to the matrices lie in memory that is read when the
 * operation runs, or here. */
typedef struct {
    EepHostGemm shape;
    guint count;
} Group;

typedef struct {
    int device;
    guint n_groups, n_problems;
    Group *groups;
    const void *const *a, *const *b;
    void *const *c;
    const void *single_a, *single_b; /* a, b and c point at these: one problem */
    void *single_c;
} Gemms;

static void gemms_free(gpointer data)
{
    Gemms *gemms = data;
    g_free(gemms->groups);
    g_free(gemms);
}

/* FALSE: the device is broken by it. */
static gboolean run_problem(const Gemms *gemms, const EepHostGemm *shape, guint problem)
{
    const void *a = gemms->a[problem], *b = gemms->b[problem];
    void *c = gemms->c[problem];
    const struct {
        const void *start;
        gsize n_bytes;
        const char *user;
    } matrices[] = {
        {a, eep_host_gemm_a_bytes(shape), "cuBLAS GEMM, A"},
        {b, eep_host_gemm_b_bytes(shape), "cuBLAS GEMM, B"},
        {c, eep_host_gemm_c_bytes(shape), "cuBLAS GEMM, C"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(matrices); i++) {
        if (matrices[i].n_bytes == 0 ||
            eep_emulated_check_memory(gemms->device, matrices[i].start, matrices[i].n_bytes,
                                      matrices[i].user) == cudaSuccess)
            continue;
        eep_emulated_fault(gemms->device, cudaErrorIllegalAddress,
                           "GEMM, problem %u: m %" G_GSIZE_FORMAT ", n %" G_GSIZE_FORMAT
                           ", k %" G_GSIZE_FORMAT,
                           problem, shape->m, shape->n, shape->k);
        return FALSE;
    }
    eep_host_gemm_run(shape, a, b, c);
    return TRUE;
}

static void run_gemms(gpointer data)
{
    const Gemms *gemms = data;
    gsize n_bytes = gemms->n_problems * sizeof(gpointer);
    const void *const arrays[] = {gemms->a, gemms->b, gemms->c};
    for (guint i = 0; gemms->a != &gemms->single_a && i < G_N_ELEMENTS(arrays); i++) {
        if (eep_emulated_check_memory(gemms->device, arrays[i], n_bytes,
                                      "cublasGemmGroupedBatchedEx, an array of pointers") ==
            cudaSuccess)
            continue;
        eep_emulated_fault(gemms->device, cudaErrorIllegalAddress, "GEMM, array of pointers");
        return;
    }
    guint problem = 0;
    for (guint i = 0; i < gemms->n_groups; i++)
        for (guint j = 0; j < gemms->groups[i].count; j++)
            if (!run_problem(gemms, &gemms->groups[i].shape, problem++))
                return;
}

static cublasStatus_t check_types(cudaDataType a, cudaDataType b, cudaDataType c,
                                  cublasComputeType_t compute)
{
    return a == CUDA_R_16BF && b == CUDA_R_16BF && (c == CUDA_R_16BF || c == CUDA_R_32F) &&
                   compute == CUBLAS_COMPUTE_32F
               ? CUBLAS_STATUS_SUCCESS
               : CUBLAS_STATUS_NOT_SUPPORTED;
}

static cublasStatus_t make_shape(EepHostGemm *ret_shape, cublasOperation_t transa,
                                 cublasOperation_t transb, const int sizes[3], const int lds[3])
{
    int m = sizes[0], n = sizes[1], k = sizes[2];
    if ((guint)transa > CUBLAS_OP_T || (guint)transb > CUBLAS_OP_T)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (m < 0 || n < 0 || k < 0 || lds[0] < MAX(1, transa == CUBLAS_OP_N ? m : k) ||
        lds[1] < MAX(1, transb == CUBLAS_OP_N ? k : n) || lds[2] < MAX(1, m))
        return CUBLAS_STATUS_INVALID_VALUE;
    *ret_shape = (EepHostGemm){
        .a_is_transposed = transa == CUBLAS_OP_T,
        .b_is_transposed = transb == CUBLAS_OP_T,
        .m = (gsize)m,
        .n = (gsize)n,
        .k = (gsize)k,
        .lda = (gsize)lds[0],
        .ldb = (gsize)lds[1],
        .ldc = (gsize)lds[2],
    };
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t give(cublasHandle_t handle, Gemms *gemms)
{
    cudaError_t status =
        eep_emulated_enqueue(handle->stream, "cuBLAS GEMM", run_gemms, gemms, gemms_free);
    if (status == cudaSuccess)
        return CUBLAS_STATUS_SUCCESS;
    return status == cudaErrorInvalidResourceHandle ? CUBLAS_STATUS_INVALID_VALUE
                                                    : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa,
                            cublasOperation_t transb, int m, int n, int k, const void *alpha,
                            const void *A, cudaDataType Atype, int lda, const void *B,
                            cudaDataType Btype, int ldb, const void *beta, void *C,
                            cudaDataType Ctype, int ldc, cublasComputeType_t computeType,
                            cublasGemmAlgo_t algo)
{
    EepHostGemm shape;
    cublasStatus_t status = enter(handle, "cublasGemmEx");
    if (status == CUBLAS_STATUS_SUCCESS)
        status = check_types(Atype, Btype, Ctype, computeType);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = make_shape(&shape, transa, transb, (const int[]){m, n, k},
                            (const int[]){lda, ldb, ldc});
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    shape.alpha = *(const float *)alpha;
    shape.beta = *(const float *)beta;
    shape.c_is_float = Ctype == CUDA_R_32F;
    Gemms *gemms = g_new0(Gemms, 1);
    *gemms = (Gemms){
        .device = handle->device,
        .n_groups = 1,
        .n_problems = 1,
        .groups = g_new(Group, 1),
        .single_a = A,
        .single_b = B,
        .single_c = C,
    };
    gemms->a = &gemms->single_a;
    gemms->b = &gemms->single_b;
    gemms->c = &gemms->single_c;
    gemms->groups[0] = (Group){shape, 1};
    return give(handle, gemms);
}

/* The pointers are read by the device: what lies on the host would be an illegal address there. */
static gboolean is_on_device(const void *array)
{
    if (eep_emulated_owner(array) >= 0)
        return TRUE;
    eep_emulated_report("cublasGemmGroupedBatchedEx: arrays of pointers must lie in device memory, "
                        "%p does not",
                        array);
    return FALSE;
}

cublasStatus_t cublasGemmGroupedBatchedEx(
    cublasHandle_t handle, const cublasOperation_t transa_array[],
    const cublasOperation_t transb_array[], const int m_array[], const int n_array[],
    const int k_array[], const void *alpha_array, const void *const Aarray[], cudaDataType_t Atype,
    const int lda_array[], const void *const Barray[], cudaDataType_t Btype, const int ldb_array[],
    const void *beta_array, void *const Carray[], cudaDataType_t Ctype, const int ldc_array[],
    int group_count, const int group_size[], cublasComputeType_t computeType)
{
    const float *alphas = alpha_array, *betas = beta_array;
    cublasStatus_t status = enter(handle, "cublasGemmGroupedBatchedEx");
    if (status == CUBLAS_STATUS_SUCCESS)
        status = check_types(Atype, Btype, Ctype, computeType);
    if (status == CUBLAS_STATUS_SUCCESS && group_count < 0)
        status = CUBLAS_STATUS_INVALID_VALUE;
    if (status != CUBLAS_STATUS_SUCCESS || group_count == 0)
        return status;
    if (!is_on_device(Aarray) || !is_on_device(Barray) || !is_on_device(Carray))
        return CUBLAS_STATUS_INVALID_VALUE;
    Gemms *gemms = g_new0(Gemms, 1);
    gemms->device = handle->device;
    gemms->n_groups = (guint)group_count;
    gemms->groups = g_new0(Group, gemms->n_groups);
    gemms->a = Aarray;
    gemms->b = Barray;
    gemms->c = Carray;
    for (int i = 0; i < group_count && status == CUBLAS_STATUS_SUCCESS; i++) {
        EepHostGemm *shape = &gemms->groups[i].shape;
        status = make_shape(shape, transa_array[i], transb_array[i],
                            (const int[]){m_array[i], n_array[i], k_array[i]},
                            (const int[]){lda_array[i], ldb_array[i], ldc_array[i]});
        shape->alpha = alphas[i];
        shape->beta = betas[i];
        shape->c_is_float = Ctype == CUDA_R_32F;
        if (group_size[i] < 0)
            status = CUBLAS_STATUS_INVALID_VALUE;
        gemms->groups[i].count = (guint)MAX(group_size[i], 0);
        gemms->n_problems += gemms->groups[i].count;
    }
    if (status == CUBLAS_STATUS_SUCCESS)
        return give(handle, gemms);
    gemms_free(gemms);
    return status;
}
