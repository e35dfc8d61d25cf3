/* The emulated cuBLAS against scalar loops, and what it refuses. */
#include "tests/emulation/emulation_kit.h"
#include <cublas_v2.h>

static const float one = 1.0f, zero = 0.0f;

static guint16 to_bf16(gfloat value)
{
    guint32 bits;
    memcpy(&bits, &value, 4);
    guint32 lower = bits & 0xffff;
    bits >>= 16;
    if (lower > 0x8000 || (lower == 0x8000 && (bits & 1) != 0))
        bits++;
    return (guint16)bits;
}

static gfloat from_bf16(guint16 value)
{
    guint32 bits = (guint32)value << 16;
    gfloat wide;
    memcpy(&wide, &bits, 4);
    return wide;
}

typedef struct {
    int m, n, k;
    cublasOperation_t transa, transb;
    float alpha, beta;
    gboolean is_float;
    int pad; /* more in each leading dimension than needed */
} Shape;

static int rows_a(const Shape *shape)
{
    return shape->transa == CUBLAS_OP_N ? shape->m : shape->k;
}

static int rows_b(const Shape *shape)
{
    return shape->transb == CUBLAS_OP_N ? shape->k : shape->n;
}

static guint16 *drawn_matrix(gsize n, guint64 seed)
{
    guint16 *values = g_new(guint16, n);
    for (gsize i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        values[i] = to_bf16((gfloat)((gint64)(seed >> 40) - (1 << 23)) * 0x1p-22f);
    }
    return values;
}

/* One element, in the one order of k. */
static gfloat element(const Shape *shape, const guint16 *a, const guint16 *b, int i, int j,
                      gfloat old)
{
    int lda = rows_a(shape) + shape->pad, ldb = rows_b(shape) + shape->pad;
    volatile gfloat sum = 0.0f; /* no contraction, whatever the compiler is told */
    for (int k = 0; k < shape->k; k++) {
        volatile gfloat product =
            from_bf16(shape->transa == CUBLAS_OP_N ? a[k * lda + i] : a[i * lda + k]) *
            from_bf16(shape->transb == CUBLAS_OP_N ? b[j * ldb + k] : b[k * ldb + j]);
        sum += product;
    }
    volatile gfloat value = shape->alpha * sum, kept = shape->beta * old;
    return shape->beta != 0.0f ? value + kept : value;
}

static const Shape shapes[] = {
    {1, 1, 1, CUBLAS_OP_N, CUBLAS_OP_N, 1, 0, TRUE, 0},
    {8, 4, 16, CUBLAS_OP_T, CUBLAS_OP_N, 1, 0, FALSE, 0},
    {37, 29, 65, CUBLAS_OP_T, CUBLAS_OP_N, 1, 0, TRUE, 3},
    {37, 29, 65, CUBLAS_OP_N, CUBLAS_OP_N, 0.5f, 0, FALSE, 0},
    {16, 33, 7, CUBLAS_OP_N, CUBLAS_OP_T, 1, 2, TRUE, 5},
    {9, 5, 128, CUBLAS_OP_T, CUBLAS_OP_T, -1, 1, FALSE, 1},
    {64, 1, 100, CUBLAS_OP_T, CUBLAS_OP_N, 1, 0, FALSE, 0},
    {5, 6, 0, CUBLAS_OP_N, CUBLAS_OP_N, 1, 0, TRUE, 0},
    {0, 6, 3, CUBLAS_OP_N, CUBLAS_OP_N, 1, 0, TRUE, 1},
};

static cublasHandle_t make_handle(cudaStream_t stream)
{
    cublasHandle_t handle = NULL;
    ck_assert_int_eq(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    ck_assert_int_eq(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
    return handle;
}

static cublasStatus_t gemm(cublasHandle_t handle, const Shape *shape, const void *a, const void *b,
                           void *c)
{
    return cublasGemmEx(handle, shape->transa, shape->transb, shape->m, shape->n, shape->k,
                        &shape->alpha, a, CUDA_R_16BF, MAX(rows_a(shape) + shape->pad, 1), b,
                        CUDA_R_16BF, MAX(rows_b(shape) + shape->pad, 1), &shape->beta, c,
                        shape->is_float ? CUDA_R_32F : CUDA_R_16BF, MAX(shape->m + shape->pad, 1),
                        CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}

START_TEST(products_are_those_of_a_loop)
{
    const Shape *shape = &shapes[_i];
    cudaStream_t stream = kit_stream();
    cublasHandle_t handle = make_handle(stream);
    gsize n_matrix = 140 * 140, width = shape->is_float ? 4 : 2;
    g_autofree guint16 *a = drawn_matrix(n_matrix, 1), *b = drawn_matrix(n_matrix, 2);
    g_autofree guint16 *before = drawn_matrix(2 * n_matrix, 3),
                       *after = g_new(guint16, 2 * n_matrix);
    for (gsize i = 0; shape->is_float && i < n_matrix; i++) { /* tame floats */
        gfloat value = from_bf16(before[i]);
        memcpy((guint8 *)after + i * 4, &value, 4);
    }
    if (shape->is_float)
        memcpy(before, after, n_matrix * 4);
    gpointer da = kit_upload(a, n_matrix * 2, stream), db = kit_upload(b, n_matrix * 2, stream);
    gpointer dc = kit_upload(before, n_matrix * width, stream);
    ck_assert_int_eq(gemm(handle, shape, da, db, dc), CUBLAS_STATUS_SUCCESS);
    kit_download(after, dc, n_matrix * width, stream);
    gsize ldc = (gsize)(shape->m + shape->pad);
    for (gsize at = 0; at < n_matrix; at++) {
        int i = ldc > 0 ? (int)(at % ldc) : 0, j = ldc > 0 ? (int)(at / ldc) : 0;
        gboolean is_inside = i < shape->m && j < shape->n;
        if (shape->is_float) {
            gfloat old, new;
            memcpy(&old, (guint8 *)before + at * 4, 4);
            memcpy(&new, (guint8 *)after + at * 4, 4);
            ck_assert_float_eq(new, is_inside ? element(shape, a, b, i, j, old) : old);
        } else {
            guint16 wanted =
                is_inside ? to_bf16(element(shape, a, b, i, j, from_bf16(before[at]))) : before[at];
            ck_assert_uint_eq(after[at], wanted);
        }
    }
    ck_assert_int_eq(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}
END_TEST

START_TEST(bits_do_not_depend_on_the_shape)
{
    cudaStream_t stream = kit_stream();
    cublasHandle_t handle = make_handle(stream);
    enum { M = 50, K = 200, N = 31 };
    g_autofree guint16 *a = drawn_matrix(M * K, 4), *b = drawn_matrix(N * K, 5);
    guint16 *da = kit_upload(a, M * K * 2, stream), *db = kit_upload(b, N * K * 2, stream);
    gfloat all[N][M], alone[M], *dc = kit_device(sizeof(all));
    Shape shape = {M, N, K, CUBLAS_OP_T, CUBLAS_OP_N, 1, 0, TRUE, 0};
    ck_assert_int_eq(gemm(handle, &shape, da, db, dc), CUBLAS_STATUS_SUCCESS);
    kit_download(all, dc, sizeof(all), stream);
    shape.n = 1;
    for (guint j = 0; j < N; j++) {
        ck_assert_int_eq(gemm(handle, &shape, da, db + j * K, dc), CUBLAS_STATUS_SUCCESS);
        kit_download(alone, dc, sizeof(alone), stream);
        ck_assert_mem_eq(alone, all[j], sizeof(alone));
    }
    ck_assert_int_eq(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}
END_TEST

/* -- grouped -- */

enum { N_GROUPS = 3, N_PROBLEMS = 4, K = 24, N_OUT = 12 };

typedef struct {
    cublasHandle_t handle;
    cudaStream_t stream;
    guint16 *a, *b, *da, *db;
    gfloat *dc;
    const void **as, **bs; /* device */
    void **cs;
} Grouped;

/* Problems of 5, 0 and twice 3 rows of tokens; one weight matrix each. */
static const int group_n[N_GROUPS] = {5, 0, 3}, group_sizes[N_GROUPS] = {1, 1, 2};
static const int first_rows[N_PROBLEMS] = {0, 5, 5, 8};

static Grouped grouped_new(void)
{
    Grouped grouped = {.stream = kit_stream()};
    grouped.handle = make_handle(grouped.stream);
    grouped.a = drawn_matrix(N_PROBLEMS * N_OUT * K, 6);
    grouped.b = drawn_matrix(11 * K, 7);
    grouped.da = kit_upload(grouped.a, N_PROBLEMS * N_OUT * K * 2, grouped.stream);
    grouped.db = kit_upload(grouped.b, 11 * K * 2, grouped.stream);
    grouped.dc = kit_device(11 * N_OUT * 4);
    gpointer pointers[3][N_PROBLEMS];
    for (guint i = 0; i < N_PROBLEMS; i++) {
        pointers[0][i] = grouped.da + i * N_OUT * K;
        pointers[1][i] = grouped.db + first_rows[i] * K;
        pointers[2][i] = grouped.dc + first_rows[i] * N_OUT;
    }
    grouped.as = kit_upload(pointers[0], sizeof(pointers[0]), grouped.stream);
    grouped.bs = kit_upload(pointers[1], sizeof(pointers[1]), grouped.stream);
    grouped.cs = kit_upload(pointers[2], sizeof(pointers[2]), grouped.stream);
    return grouped;
}

static void grouped_clear(Grouped *grouped)
{
    ck_assert_int_eq(cublasDestroy(grouped->handle), CUBLAS_STATUS_SUCCESS);
    g_free(grouped->a);
    g_free(grouped->b);
}

static cublasStatus_t run_grouped(const Grouped *grouped, const void **as)
{
    const cublasOperation_t transa[] = {CUBLAS_OP_T, CUBLAS_OP_T, CUBLAS_OP_T};
    const cublasOperation_t transb[] = {CUBLAS_OP_N, CUBLAS_OP_N, CUBLAS_OP_N};
    const int m[] = {N_OUT, N_OUT, N_OUT}, k[] = {K, K, K};
    const float alphas[] = {1, 1, 1}, betas[] = {0, 0, 0};
    return cublasGemmGroupedBatchedEx(grouped->handle, transa, transb, m, group_n, k, alphas, as,
                                      CUDA_R_16BF, k, grouped->bs, CUDA_R_16BF, k, betas,
                                      grouped->cs, CUDA_R_32F, m, N_GROUPS, group_sizes,
                                      CUBLAS_COMPUTE_32F);
}

START_TEST(groups_are_those_problems)
{
    static const int group_of[N_PROBLEMS] = {0, 1, 2, 2};
    Grouped grouped = grouped_new();
    gfloat out[11][N_OUT];
    ck_assert_int_eq(run_grouped(&grouped, grouped.as), CUBLAS_STATUS_SUCCESS);
    kit_download(out, grouped.dc, sizeof(out), grouped.stream);
    for (guint problem = 0; problem < N_PROBLEMS; problem++) {
        Shape shape = {N_OUT, group_n[group_of[problem]], K, CUBLAS_OP_T, CUBLAS_OP_N, 1, 0, TRUE,
                       0};
        const guint16 *a = grouped.a + problem * N_OUT * K;
        const guint16 *b = grouped.b + first_rows[problem] * K;
        for (int j = 0; j < shape.n; j++)
            for (int i = 0; i < N_OUT; i++)
                ck_assert_float_eq(out[first_rows[problem] + j][i],
                                   element(&shape, a, b, i, j, 0.0f));
    }
    grouped_clear(&grouped);
}
END_TEST

START_TEST(pointers_must_be_the_devices)
{
    Grouped grouped = grouped_new();
    const void *on_host[N_PROBLEMS];
    kit_catch_reports();
    memcpy(on_host, (const void *[]){grouped.da, grouped.da, grouped.da, grouped.da},
           sizeof(on_host));
    ck_assert_int_eq(run_grouped(&grouped, on_host), CUBLAS_STATUS_INVALID_VALUE);
    ck_assert(kit_reported("arrays of pointers must lie in device memory"));
    ck_assert_int_eq(run_grouped(&grouped, grouped.as), CUBLAS_STATUS_SUCCESS);
    kit_ok(kit_wait(grouped.stream));
    /* On the device, but pointing at the host: that shows when it runs. */
    const void *stray[N_PROBLEMS] = {grouped.a, grouped.a, grouped.a, grouped.a};
    const void **as = kit_upload(stray, sizeof(stray), grouped.stream);
    ck_assert_int_eq(run_grouped(&grouped, as), CUBLAS_STATUS_SUCCESS);
    ck_assert_int_eq(kit_wait(grouped.stream), cudaErrorIllegalAddress);
    ck_assert_int_eq(run_grouped(&grouped, grouped.as), CUBLAS_STATUS_EXECUTION_FAILED);
    grouped_clear(&grouped);
}
END_TEST

START_TEST(what_is_not_emulated_is_refused)
{
    cudaStream_t stream = kit_stream();
    cublasHandle_t handle = make_handle(stream);
    guint16 *memory = kit_device(4096);
    Shape shape = {4, 4, 4, CUBLAS_OP_N, CUBLAS_OP_N, 1, 0, FALSE, 0};
    ck_assert_int_eq(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, memory,
                                  CUDA_R_32F, 4, memory, CUDA_R_16BF, 4, &zero, memory, CUDA_R_16BF,
                                  4, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                     CUBLAS_STATUS_NOT_SUPPORTED);
    ck_assert_int_eq(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, memory,
                                  CUDA_R_16BF, 3, memory, CUDA_R_16BF, 4, &zero, memory,
                                  CUDA_R_16BF, 4, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
                     CUBLAS_STATUS_INVALID_VALUE);
    shape.m = -1;
    ck_assert_int_eq(gemm(handle, &shape, memory, memory, memory), CUBLAS_STATUS_INVALID_VALUE);
    shape.m = 4;
    ck_assert_int_eq(gemm(NULL, &shape, memory, memory, memory), CUBLAS_STATUS_NOT_INITIALIZED);
    ck_assert_int_eq(cublasSetWorkspace(handle, memory, 4096), CUBLAS_STATUS_SUCCESS);
    ck_assert_int_eq(cublasSetWorkspace(handle, memory, 4097), CUBLAS_STATUS_INVALID_VALUE);
    ck_assert_int_eq(cublasSetWorkspace(handle, memory + 1, 8), CUBLAS_STATUS_INVALID_VALUE);
    ck_assert_int_eq(cublasSetStream(handle, NULL), CUBLAS_STATUS_SUCCESS);
    ck_assert_int_eq(gemm(handle, &shape, memory, memory, memory), CUBLAS_STATUS_INVALID_VALUE);
    ck_assert_int_eq(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
    /* Over the end: as a kernel's, it shows on the stream. */
    shape.n = 1000;
    ck_assert_int_eq(gemm(handle, &shape, memory, memory, memory), CUBLAS_STATUS_SUCCESS);
    ck_assert_int_eq(kit_wait(stream), cudaErrorIllegalAddress);
    cublasHandle_t another;
    ck_assert_int_eq(cublasCreate(&another), CUBLAS_STATUS_NOT_INITIALIZED);
    ck_assert_int_eq(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulated cuBLAS");
    TCase *tcase = tcase_create("gemm");
    tcase_add_loop_test(tcase, products_are_those_of_a_loop, 0, G_N_ELEMENTS(shapes));
    tcase_add_test(tcase, bits_do_not_depend_on_the_shape);
    tcase_add_test(tcase, groups_are_those_problems);
    tcase_add_test(tcase, pointers_must_be_the_devices);
    tcase_add_test(tcase, what_is_not_emulated_is_refused);
    suite_add_tcase(suite, tcase);
    return kit_run(suite);
}
