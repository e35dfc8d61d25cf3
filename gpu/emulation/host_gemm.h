/* EepHostGemm: C = alpha * op(A) op(B) + beta * C on the host, column-major, bf16 in, f32 inside.
 * An element's products are added one after the other, in the order of k, whatever the shape and
 * wherever the element lies: a row of a big problem has the bits that it has alone. */
#ifndef EEP_GPU_EMULATION_HOST_GEMM_H
#define EEP_GPU_EMULATION_HOST_GEMM_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    gboolean a_is_transposed, b_is_transposed, c_is_float; /* C: f32, else bf16 */
    gsize m, n, k;
    gsize lda, ldb, ldc;
    gfloat alpha, beta;
} EepHostGemm;

void eep_host_gemm_run(const EepHostGemm *gemm, const guint16 *a, const guint16 *b, gpointer c);

/* Bytes from a matrix' first element to behind its last; 0 if it has none. */
gsize eep_host_gemm_a_bytes(const EepHostGemm *gemm);
gsize eep_host_gemm_b_bytes(const EepHostGemm *gemm);
gsize eep_host_gemm_c_bytes(const EepHostGemm *gemm);

G_END_DECLS

#endif
