#include "gpu/worker/gemm.h"
#include <cublas_v2.h>

const char *const eep_gemm_names[EEP_GEMM_COUNT] = {
    "cublas_grouped",
    "cublas_per_expert",
    "kernel",
};

#define TEST_GROUPS 2

struct EepGemm {
    EepDevice *device;
    EepStream stream;
    EepGemmKind kind;
    guint max_groups;
    cublasHandle_t handle; /* NULL: cuBLAS does not work */
    gpointer workspace;
    /* What the device reads: pointers of a grouped GEMM, or groups. */
    EepGemmGroup *pinned, *on_device; /* [EEP_GEMM_N_PLACES][max_groups] */
    /* What cublasGemmGroupedBatchedEx wants of every group, [max_groups]. */
    cublasOperation_t *transposed, *plain;
    int *m, *n, *k, *lda, *ldb, *ldc, *sizes;
    float *alpha, *beta;
};

/* -- three ways -- */

/* cuBLAS's matrices are column-major: it sees our rows as columns, so c^T = b * a^T. */
static gboolean run_cublas(EepGemm *gemm, const EepGemmShape *shape, const EepGemmGroup *group,
                           GError **error)
{
    const float one = 1, zero = 0;
    return EEP_CUBLAS(cublasGemmEx(gemm->handle, CUBLAS_OP_T, CUBLAS_OP_N, (int)shape->n,
                                   (int)group->n_rows, (int)shape->k, &one, group->b, CUDA_R_16BF,
                                   (int)shape->b_pitch, group->a, CUDA_R_16BF, (int)shape->a_pitch,
                                   &zero, group->c, CUDA_R_16BF, (int)shape->c_pitch,
                                   CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                      error);
}

static gboolean many_grouped(EepGemm *gemm, const EepGemmShape *shape, guint n_groups,
                             const EepGemmGroup *groups, guint place, GError **error)
{
    gsize offset = (gsize)place * gemm->max_groups;
    const void **pinned = (const void **)(gemm->pinned + offset);
    const void **a = (const void **)(gemm->on_device + offset), **b = a + n_groups;
    void **c = (void **)(b + n_groups);
    for (guint i = 0; i < n_groups; i++) {
        pinned[i] = groups[i].a;
        pinned[n_groups + i] = groups[i].b;
        pinned[2 * n_groups + i] = groups[i].c;
        gemm->m[i] = (int)shape->n;
        gemm->n[i] = (int)groups[i].n_rows;
        gemm->k[i] = (int)shape->k;
        gemm->lda[i] = (int)shape->b_pitch;
        gemm->ldb[i] = (int)shape->a_pitch;
        gemm->ldc[i] = (int)shape->c_pitch;
    }
    return EEP_CUDA(cudaMemcpyAsync((void *)a, pinned, 3 * sizeof(void *) * n_groups,
                                    cudaMemcpyHostToDevice, gemm->stream),
                    error) &&
           EEP_CUBLAS(cublasGemmGroupedBatchedEx(gemm->handle, gemm->transposed, gemm->plain,
                                                 gemm->m, gemm->n, gemm->k, gemm->alpha, b,
                                                 CUDA_R_16BF, gemm->lda, a, CUDA_R_16BF, gemm->ldb,
                                                 gemm->beta, c, CUDA_R_16BF, gemm->ldc,
                                                 (int)n_groups, gemm->sizes, CUBLAS_COMPUTE_32F),
                      error);
}

static gboolean many_per_expert(EepGemm *gemm, const EepGemmShape *shape, guint n_groups,
                                const EepGemmGroup *groups, guint place, GError **error)
{
    for (guint i = 0; i < n_groups; i++)
        if (!run_cublas(gemm, shape, &groups[i], error))
            return FALSE;
    return TRUE;
}

static EepGemmArgs kernel_args(const EepGemmShape *shape, guint n_groups, guint n_rows)
{
    return (EepGemmArgs){
        .n_groups = n_groups,
        .n_rows = n_rows,
        .n = shape->n,
        .k = shape->k,
        .a_pitch = shape->a_pitch,
        .b_pitch = shape->b_pitch,
        .c_pitch = shape->c_pitch,
    };
}

static gboolean many_kernel(EepGemm *gemm, const EepGemmShape *shape, guint n_groups,
                            const EepGemmGroup *groups, guint place, GError **error)
{
    gsize offset = (gsize)place * gemm->max_groups;
    const EepGemmGroup *last = &groups[n_groups - 1];
    EepGemmArgs args = kernel_args(shape, n_groups, last->first_row + last->n_rows);
    args.groups = gemm->on_device + offset;
    memcpy(gemm->pinned + offset, groups, sizeof(EepGemmGroup) * n_groups);
    return EEP_CUDA(cudaMemcpyAsync(gemm->on_device + offset, gemm->pinned + offset,
                                    sizeof(EepGemmGroup) * n_groups, cudaMemcpyHostToDevice,
                                    gemm->stream),
                    error) &&
           EEP_CUDA(eep_kernel_gemm(&args, gemm->stream), error);
}

static gboolean (*const many_ways[EEP_GEMM_COUNT])(EepGemm *, const EepGemmShape *, guint,
                                                   const EepGemmGroup *, guint, GError **) = {
    many_grouped,
    many_per_expert,
    many_kernel,
};

gboolean eep_gemm_many(EepGemm *gemm, const EepGemmShape *shape, guint n_groups,
                       EepGemmGroup *groups, guint place, GError **error)
{
    g_assert(n_groups <= gemm->max_groups && place < EEP_GEMM_N_PLACES);
    guint n_rows = 0;
    for (guint i = 0; i < n_groups; i++) {
        g_assert(groups[i].n_rows > 0);
        groups[i].first_row = n_rows;
        n_rows += groups[i].n_rows;
    }
    return n_groups == 0 || many_ways[gemm->kind](gemm, shape, n_groups, groups, place, error);
}

gboolean eep_gemm_one(EepGemm *gemm, const EepGemmShape *shape, const EepGemmGroup *group,
                      GError **error)
{
    if (group->n_rows == 0)
        return TRUE;
    if (gemm->kind != EEP_GEMM_KERNEL)
        return run_cublas(gemm, shape, group, error);
    EepGemmArgs args = kernel_args(shape, 1, group->n_rows);
    args.only = *group;
    return EEP_CUDA(eep_kernel_gemm(&args, gemm->stream), error);
}

/* -- the self-test -- */

typedef struct {
    EepGemmShape shape;
    guint n_rows[TEST_GROUPS], all_rows;
    gsize a_words, b_words, c_words; /* of 8 bytes: inputs, all groups' weights, outputs */
    EepWeightRule a, b;
    guint64 *memory; /* a, then b, then c */
    guint64 *c;      /* read back, pinned */
} Test;

static gsize words_of(gsize elements)
{
    return (elements + 3) / 4 + EEP_WEIGHT_ALIGN / 8;
}

static float element(const EepWeightRule *rule, gsize index)
{
    return eep_bf16_float((guint16)(eep_weight_word(rule, index / 4) >> (16 * (index % 4))));
}

static gboolean test_is_right(const Test *test, GError **error)
{
    const guint16 *c = (const guint16 *)test->c;
    for (guint row = 0; row < test->all_rows; row++) {
        guint group = row < test->n_rows[0] ? 0 : 1;
        for (guint column = 0; column < test->shape.n; column++) {
            gsize b_row = (gsize)group * test->shape.n + column;
            double want = 0, got = eep_bf16_float(c[(gsize)row * test->shape.c_pitch + column]);
            for (guint i = 0; i < test->shape.k; i++)
                want += (double)element(&test->a, (gsize)row * test->shape.a_pitch + i) *
                        element(&test->b, b_row * test->shape.b_pitch + i);
            if (!(ABS(got - want) <= 0.02 * ABS(want) + 0.02)) {
                g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                            "element (%u, %u) is %g instead of %g", row, column, got, want);
                return FALSE;
            }
        }
    }
    return TRUE;
}

static gboolean test_runs(EepGemm *gemm, const Test *test, GError **error)
{
    guint16 *a = (guint16 *)test->memory, *b = (guint16 *)(test->memory + test->a_words);
    guint16 *c = (guint16 *)(test->memory + test->a_words + test->b_words);
    EepGemmGroup groups[TEST_GROUPS];
    gsize first = 0;
    for (guint i = 0; i < TEST_GROUPS; i++) {
        groups[i] = (EepGemmGroup){
            .a = a + first * test->shape.a_pitch,
            .b = b + (gsize)i * test->shape.n * test->shape.b_pitch,
            .c = c + first * test->shape.c_pitch,
            .n_rows = test->n_rows[i],
        };
        first += test->n_rows[i];
    }
    return EEP_CUDA(eep_kernel_fill((guint64 *)a, test->a_words, test->a, gemm->stream), error) &&
           EEP_CUDA(eep_kernel_fill((guint64 *)b, test->b_words, test->b, gemm->stream), error) &&
           eep_gemm_many(gemm, &test->shape, TEST_GROUPS, groups, 0, error) &&
           EEP_CUDA(
               cudaMemcpyAsync(test->c, c, 8 * test->c_words, cudaMemcpyDeviceToHost, gemm->stream),
               error) &&
           eep_device_wait(gemm->device, gemm->stream, eep_device_patience(gemm->device), NULL,
                           error);
}

/* Picks the first way from `first` on that is right. */
static gboolean pick(EepGemm *gemm, EepGemmKind first, Test *test, GError **error)
{
    for (guint kind = first; kind < EEP_GEMM_COUNT; kind++) {
        g_autoptr(GError) failed = NULL;
        gemm->kind = kind;
        if (kind != EEP_GEMM_KERNEL && !gemm->handle)
            continue;
        if (test_runs(gemm, test, &failed) && test_is_right(test, &failed))
            return TRUE;
        if (kind == EEP_GEMM_KERNEL || failed->code != EEP_DEVICE_ERROR_RETRY) {
            g_propagate_prefixed_error(error, g_steal_pointer(&failed),
                                       "self-test of the GEMM (%s): ", eep_gemm_names[kind]);
            return FALSE;
        }
    }
    g_assert_not_reached();
}

static gboolean self_test(EepGemm *gemm, EepGemmKind first, const EepGemmShape *like,
                          GError **error)
{
    Test test = {
        /* Odd sizes are as odd here. */
        .shape = {16 + like->n % 8, 32 + like->k % 8, 0, 0, 0},
        .n_rows = {1, 5},
        .all_rows = 6,
    };
    test.shape.a_pitch = 40 + like->a_pitch % 8;
    test.shape.b_pitch = test.shape.k;
    test.shape.c_pitch = 24 + like->c_pitch % 8;
    test.a_words = words_of((gsize)test.all_rows * test.shape.a_pitch);
    test.b_words = words_of((gsize)TEST_GROUPS * test.shape.n * test.shape.b_pitch);
    test.c_words = words_of((gsize)test.all_rows * test.shape.c_pitch);
    test.a = (EepWeightRule){eep_hash(1, 0), 4 * test.a_words, 0};
    test.b = (EepWeightRule){eep_hash(1, 1), 4 * test.b_words, -2};
    test.a_words = (test.a_words + 31) / 32 * 32; /* so that b begins on 256 bytes, as weights do */
    test.b_words = (test.b_words + 31) / 32 * 32;
    test.memory =
        eep_device_alloc(gemm->device, 8 * (test.a_words + test.b_words + test.c_words), error);
    gboolean is_right = test.memory &&
                        EEP_CUDA(cudaMallocHost((void **)&test.c, 8 * test.c_words), error) &&
                        pick(gemm, first, &test, error);
    /* After a failed wait the device may still write there: both are left to the process's end.
     * Pinned memory first: its end waits for all that the device has to do, which is nothing yet.
     */
    if (is_right) {
        is_right = EEP_CUDA(cudaFreeHost(test.c), error);
        eep_device_free(gemm->device, test.memory);
    }
    return is_right;
}

/* -- making one -- */

/* What cuBLAS's document recommends (cublasSetWorkspace): with less it has fewer ways to choose
 * from, and what calibrate measures would be another library than users'. */
static gsize workspace_bytes(const EepDevice *device)
{
    const EepDeviceFacts *facts = eep_device_facts(device);
    const guint major = facts->cc_major;
    if (facts->is_emulated)
        return 1 << 20; /* of which it uses nothing */
    return (gsize)(major == 9 || major == 10 ? 32 : major == 12 ? 12 : 4) << 20;
}

/* cuBLAS that cannot be had is no error: the kernel is left. */
static gboolean open_cublas(EepGemm *gemm, GError **error)
{
    g_autoptr(GError) failed = NULL;
    if (EEP_CUBLAS(cublasCreate(&gemm->handle), &failed)) {
        const gsize bytes = workspace_bytes(gemm->device);
        gemm->workspace = eep_device_alloc(gemm->device, bytes, error);
        if (!gemm->workspace)
            return FALSE;
        /* In this order: setting the stream takes the workspace away. */
        if (EEP_CUBLAS(cublasSetStream(gemm->handle, gemm->stream), &failed) &&
            EEP_CUBLAS(cublasSetWorkspace(gemm->handle, gemm->workspace, bytes), &failed))
            return TRUE;
        g_autoptr(GError) ignored = NULL;
        if (!EEP_CUBLAS(cublasDestroy(gemm->handle), &ignored))
            g_debug("%s", ignored->message);
    }
    gemm->handle = NULL;
    if (failed->code == EEP_DEVICE_ERROR_DEVICE) {
        g_propagate_error(error, g_steal_pointer(&failed));
        return FALSE;
    }
    return TRUE;
}

EepGemm *eep_gemm_new(EepDevice *device, EepStream stream, EepGemmKind first, guint max_groups,
                      const EepGemmShape *like, GError **error)
{
    g_autoptr(EepGemm) gemm = g_new0(EepGemm, 1);
    gemm->device = device;
    gemm->stream = stream;
    gemm->max_groups = max_groups = MAX(max_groups, TEST_GROUPS);
    gsize bytes = sizeof(EepGemmGroup) * EEP_GEMM_N_PLACES * max_groups;
    gemm->on_device = eep_device_alloc(device, bytes, error);
    if (!gemm->on_device || !EEP_CUDA(cudaMallocHost((void **)&gemm->pinned, bytes), error))
        return NULL;
    int **const numbers[] = {&gemm->m,   &gemm->n,   &gemm->k,    &gemm->lda,
                             &gemm->ldb, &gemm->ldc, &gemm->sizes};
    for (guint i = 0; i < G_N_ELEMENTS(numbers); i++)
        *numbers[i] = g_new0(int, max_groups);
    gemm->transposed = g_new0(cublasOperation_t, max_groups);
    gemm->plain = g_new0(cublasOperation_t, max_groups);
    gemm->alpha = g_new0(float, max_groups);
    gemm->beta = g_new0(float, max_groups);
    for (guint i = 0; i < max_groups; i++) {
        gemm->transposed[i] = CUBLAS_OP_T;
        gemm->plain[i] = CUBLAS_OP_N;
        gemm->sizes[i] = 1;
        gemm->alpha[i] = 1;
    }
    g_autoptr(GError) failed = NULL;
    if (open_cublas(gemm, &failed) && self_test(gemm, first, like, &failed))
        return g_steal_pointer(&gemm);
    /* Freeing pinned memory waits for the device, however long: left to the process's end. */
    if (g_error_matches(failed, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT))
        eep_device_leave(g_steal_pointer(&gemm));
    g_propagate_error(error, g_steal_pointer(&failed));
    return NULL;
}

void eep_gemm_free(EepGemm *gemm)
{
    if (!gemm)
        return;
    g_autoptr(GError) failed = NULL;
    if (gemm->handle && !EEP_CUBLAS(cublasDestroy(gemm->handle), &failed))
        g_debug("%s", failed->message);
    g_clear_error(&failed);
    if (gemm->pinned && !EEP_CUDA(cudaFreeHost(gemm->pinned), &failed))
        g_debug("%s", failed->message);
    eep_device_free(gemm->device, gemm->workspace);
    eep_device_free(gemm->device, gemm->on_device);
    gpointer const owned[] = {gemm->transposed, gemm->plain, gemm->m,   gemm->n,
                              gemm->k,          gemm->lda,   gemm->ldb, gemm->ldc,
                              gemm->sizes,      gemm->alpha, gemm->beta};
    for (guint i = 0; i < G_N_ELEMENTS(owned); i++)
        g_free(owned[i]);
    g_free(gemm);
}

EepGemmKind eep_gemm_kind(const EepGemm *gemm)
{
    return gemm->kind;
}
