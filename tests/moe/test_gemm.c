/* The GEMMs: all ways give the same bits as a sum in the order of k, and the self-test finds a way
 * that does not work, or works and is wrong. The linker puts this file's functions before cuBLAS's
 * (--wrap). */
#include <check.h>

#include "gpu/worker/gemm.h"
#include "tests/moe/device_fixture.h"
#include "tests/run_suite.h"
#include <cublas_v2.h>

typedef enum { WORKS, REFUSES, DOES_NOTHING } Mood;

static Mood create_mood, one_mood, grouped_mood;
static guint n_grouped, n_one;

/* TRUE: *ret_status is the answer. */
static gboolean is_moody(Mood mood, cublasStatus_t *ret_status)
{
    *ret_status = mood == REFUSES ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
    return mood != WORKS;
}

cublasStatus_t __real_cublasCreate_v2(cublasHandle_t *handle);
cublasStatus_t __wrap_cublasCreate_v2(cublasHandle_t *handle);
cublasStatus_t __wrap_cublasCreate_v2(cublasHandle_t *handle)
{
    cublasStatus_t status;
    return is_moody(create_mood, &status) ? status : __real_cublasCreate_v2(handle);
}

#define GROUPED_PARAMETERS                                                                         \
    cublasHandle_t handle, const cublasOperation_t *ta, const cublasOperation_t *tb, const int *m, \
        const int *n, const int *k, const void *alpha, const void *const *a, cudaDataType_t at,    \
        const int *lda, const void *const *b, cudaDataType_t bt, const int *ldb, const void *beta, \
        void *const *c, cudaDataType_t ct, const int *ldc, int n_groups, const int *sizes,         \
        cublasComputeType_t compute
cublasStatus_t __real_cublasGemmGroupedBatchedEx(GROUPED_PARAMETERS);
cublasStatus_t __wrap_cublasGemmGroupedBatchedEx(GROUPED_PARAMETERS);
cublasStatus_t __wrap_cublasGemmGroupedBatchedEx(GROUPED_PARAMETERS)
{
    cublasStatus_t status;
    n_grouped++;
    return is_moody(grouped_mood, &status)
               ? status
               : __real_cublasGemmGroupedBatchedEx(handle, ta, tb, m, n, k, alpha, a, at, lda, b,
                                                   bt, ldb, beta, c, ct, ldc, n_groups, sizes,
                                                   compute);
}

#define ONE_PARAMETERS                                                                             \
    cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,        \
        const void *alpha, const void *a, cudaDataType_t at, int lda, const void *b,               \
        cudaDataType_t bt, int ldb, const void *beta, void *c, cudaDataType_t ct, int ldc,         \
        cublasComputeType_t compute, cublasGemmAlgo_t algo
cublasStatus_t __real_cublasGemmEx(ONE_PARAMETERS);
cublasStatus_t __wrap_cublasGemmEx(ONE_PARAMETERS);
cublasStatus_t __wrap_cublasGemmEx(ONE_PARAMETERS)
{
    cublasStatus_t status;
    n_one++;
    return is_moody(one_mood, &status)
               ? status
               : __real_cublasGemmEx(handle, ta, tb, m, n, k, alpha, a, at, lda, b, bt, ldb, beta,
                                     c, ct, ldc, compute, algo);
}

static const EepGemmShape like = {24, 37, 40, 37, 48};

static EepGemm *make(EepGemmKind first)
{
    g_autoptr(GError) error = NULL;
    EepGemm *gemm = eep_gemm_new(device, stream, first, 8, &like, &error);
    ck_assert_msg(gemm != NULL, "%s", error ? error->message : "");
    return gemm;
}

#define N_GROUPS 4
#define N_ROWS   40
static const guint n_rows[N_GROUPS] = {1, 8, 30, 1};

/* One batch; the result and what it should be. */
static void run_batch(EepGemm *gemm, gboolean is_many, guint16 *ret_c, guint16 *ret_want)
{
    g_autoptr(GError) error = NULL;
    EepWeightRule a_rule = {eep_hash(4, 0), N_ROWS * like.a_pitch, 0};
    EepWeightRule b_rule = {eep_hash(4, 1), N_GROUPS * like.n * like.b_pitch, -2};
    gsize a_words = N_ROWS * like.a_pitch / 4 + 1, b_words = b_rule.n_elements / 4 + 1;
    guint16 *a = eep_device_alloc(device, 8 * a_words, &error);
    guint16 *b = eep_device_alloc(device, 8 * b_words, &error);
    guint16 *c = eep_device_alloc(device, 2 * N_ROWS * like.c_pitch, &error);
    EepGemmGroup groups[N_GROUPS];
    guint first = 0;
    ck_assert(EEP_CUDA(eep_kernel_fill((guint64 *)a, a_words, a_rule, stream), &error));
    ck_assert(EEP_CUDA(eep_kernel_fill((guint64 *)b, b_words, b_rule, stream), &error));
    for (guint i = 0; i < N_GROUPS; i++) {
        groups[i] = (EepGemmGroup){a + first * like.a_pitch, b + i * like.n * like.b_pitch,
                                   c + first * like.c_pitch, n_rows[i], 0};
        for (guint row = first; row < first + n_rows[i]; row++) {
            for (guint column = 0; column < like.n; column++) {
                float sum = 0;
                for (guint k = 0; k < like.k; k++) {
                    guint64 in_a = (guint64)row * like.a_pitch + k;
                    guint64 in_b = ((guint64)i * like.n + column) * like.b_pitch + k;
                    guint64 a_word = eep_weight_word(&a_rule, in_a / 4);
                    guint64 b_word = eep_weight_word(&b_rule, in_b / 4);
                    sum += eep_bf16_float((guint16)(a_word >> (16 * (in_a % 4)))) *
                           eep_bf16_float((guint16)(b_word >> (16 * (in_b % 4))));
                }
                ret_want[row * like.c_pitch + column] = eep_float_bf16(sum);
            }
        }
        first += n_rows[i];
        if (!is_many)
            ck_assert(eep_gemm_one(gemm, &like, &groups[i], &error));
    }
    if (is_many)
        ck_assert(eep_gemm_many(gemm, &like, N_GROUPS, groups, 1, &error));
    ck_assert(EEP_CUDA(
        cudaMemcpyAsync(ret_c, c, 2 * N_ROWS * like.c_pitch, cudaMemcpyDeviceToHost, stream),
        &error));
    ck_assert(eep_device_wait(device, stream, WAIT_NS, NULL, &error));
}

static void expect_right(EepGemm *gemm)
{
    for (guint is_many = 0; is_many < 2; is_many++) {
        guint16 got[N_ROWS * 48] = {0}, want[N_ROWS * 48] = {0};
        run_batch(gemm, is_many, got, want);
        ck_assert_mem_eq(got, want, sizeof(want));
    }
}

START_TEST(every_way_gives_the_same)
{
    g_autoptr(EepGemm) gemm = make(_i);
    ck_assert_int_eq(eep_gemm_kind(gemm), _i);
    n_one = n_grouped = 0;
    expect_right(gemm);
    ck_assert_uint_eq(n_grouped, _i == EEP_GEMM_GROUPED ? 1 : 0);
    ck_assert_uint_eq(n_one, _i == EEP_GEMM_GROUPED      ? N_GROUPS
                             : _i == EEP_GEMM_PER_EXPERT ? 2 * N_GROUPS
                                                         : 0);
    ck_assert(eep_gemm_many(gemm, &like, 0, NULL, 0, NULL));
    ck_assert(eep_gemm_one(gemm, &like, &(EepGemmGroup){0}, NULL));
}
END_TEST

static const struct {
    Mood create, one, grouped;
    EepGemmKind want;
} moods[] = {
    {WORKS, WORKS, REFUSES, EEP_GEMM_PER_EXPERT},
    {WORKS, WORKS, DOES_NOTHING, EEP_GEMM_PER_EXPERT},
    {WORKS, REFUSES, REFUSES, EEP_GEMM_KERNEL},
    {WORKS, DOES_NOTHING, DOES_NOTHING, EEP_GEMM_KERNEL},
    {REFUSES, WORKS, WORKS, EEP_GEMM_KERNEL},
};

START_TEST(self_test_falls_back)
{
    create_mood = moods[_i].create;
    one_mood = moods[_i].one;
    grouped_mood = moods[_i].grouped;
    g_autoptr(EepGemm) gemm = make(EEP_GEMM_GROUPED);
    ck_assert_int_eq(eep_gemm_kind(gemm), moods[_i].want);
    expect_right(gemm);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gemm");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, every_way_gives_the_same, 0, EEP_GEMM_COUNT);
    tcase_add_loop_test(tcase, self_test_falls_back, 0, G_N_ELEMENTS(moods));
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK);
}
