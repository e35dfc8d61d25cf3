/* EepGemm: products of bf16 matrices on a device, one or many at once: c = a * b^T, rows of all
 * three one after the other in memory, sums in f32.
 *
 * Many at once are an expert each, with numbers of rows of their own. Three ways, tried on a small
 * case when it is made; the first that works and is right is used: cuBLAS's grouped GEMM, cuBLAS's
 * GEMM an expert, a kernel of ours. Not a tuner. The steps' thread, on the stream given to new().
 */
#ifndef EEP_GPU_WORKER_GEMM_H
#define EEP_GPU_WORKER_GEMM_H

#include "gpu/worker/device.h"
#include "gpu/worker/kernels.h"

G_BEGIN_DECLS

typedef enum {
    EEP_GEMM_GROUPED,
    EEP_GEMM_PER_EXPERT,
    EEP_GEMM_KERNEL,
    EEP_GEMM_COUNT,
} EepGemmKind;

extern const char *const eep_gemm_names[EEP_GEMM_COUNT];

typedef struct EepGemm EepGemm;

/* c[rows, n] = a[rows, k] * b[n, k]^T; pitches are elements from row to row. */
typedef struct {
    guint n, k, a_pitch, b_pitch, c_pitch;
} EepGemmShape;

/* A batch's place in memory that the device reads later: a step may use each once between waits. */
#define EEP_GEMM_N_PLACES 2

/* Tries the ways from `first` on, for up to max_groups at once and matrices aligned like `like`. */
EepGemm *eep_gemm_new(EepDevice *device, EepStream stream, EepGemmKind first, guint max_groups,
                      const EepGemmShape *like, GError **error);
void eep_gemm_free(EepGemm *gemm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepGemm, eep_gemm_free)

EepGemmKind eep_gemm_kind(const EepGemm *gemm);

/* One product; may be captured. n_rows may be 0. */
gboolean eep_gemm_one(EepGemm *gemm, const EepGemmShape *shape, const EepGemmGroup *group,
                      GError **error);

/* n_groups <= max_groups, each with rows; first_row is set here. */
gboolean eep_gemm_many(EepGemm *gemm, const EepGemmShape *shape, guint n_groups,
                       EepGemmGroup *groups, guint place, GError **error);

G_END_DECLS

#endif
