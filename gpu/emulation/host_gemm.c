#include "gpu/emulation/host_gemm.h"

#include <string.h>

/* A tile of C that fits the registers of every x86-64 and ARM; rows are one vector. */
#define TILE_ROWS    8
#define TILE_COLUMNS 4
typedef gfloat Rows __attribute__((vector_size(TILE_ROWS * sizeof(gfloat))));

static gfloat widen(guint16 value)
{
    guint32 bits = (guint32)value << 16;
    gfloat wide;
    memcpy(&wide, &bits, sizeof(wide));
    return wide;
}

/* To nearest, ties to even, as cuBLAS rounds. */
static guint16 narrow(gfloat value)
{
    guint32 bits;
    memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (guint16)(bits >> 16 | 0x40); /* stays not a number */
    return (guint16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* `width` lines of `n_k` elements, interleaved: element k of line i is packed[k * width + i]; lines
 * from n_lines on are zero. An element lies at first[i * line_step + k * k_step]. */
static void pack(gfloat *packed, gsize width, gsize n_lines, gsize n_k, const guint16 *first,
                 gsize line_step, gsize k_step)
{
    for (gsize i = 0; i < width; i++)
        for (gsize k = 0; k < n_k; k++)
            packed[k * width + i] = i < n_lines ? widen(first[i * line_step + k * k_step]) : 0.0f;
}

static void run_tile(Rows sums[TILE_COLUMNS], const gfloat *a, const gfloat *b, gsize n_k)
{
    Rows sum0 = {0}, sum1 = {0}, sum2 = {0}, sum3 = {0};
    for (gsize k = 0; k < n_k; k++) {
        Rows rows;
        memcpy(&rows, a + k * TILE_ROWS, sizeof(rows));
        const gfloat *columns = b + k * TILE_COLUMNS;
        sum0 += rows * columns[0];
        sum1 += rows * columns[1];
        sum2 += rows * columns[2];
        sum3 += rows * columns[3];
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

static void store(const EepHostGemm *gemm, gpointer c, gsize at, gfloat sum)
{
    gfloat *wide = c;
    guint16 *small = c;
    gfloat value = gemm->alpha * sum;
    if (gemm->beta != 0.0f)
        value += gemm->beta * (gemm->c_is_float ? wide[at] : widen(small[at]));
    if (gemm->c_is_float)
        wide[at] = value;
    else
        small[at] = narrow(value);
}

void eep_host_gemm_run(const EepHostGemm *gemm, const guint16 *a, const guint16 *b, gpointer c)
{
    gsize a_line = gemm->a_is_transposed ? gemm->lda : 1,
          a_k = gemm->a_is_transposed ? 1 : gemm->lda;
    gsize b_line = gemm->b_is_transposed ? 1 : gemm->ldb,
          b_k = gemm->b_is_transposed ? gemm->ldb : 1;
    gsize n_tiles = (gemm->n + TILE_COLUMNS - 1) / TILE_COLUMNS;
    gsize tile_floats = gemm->k * TILE_COLUMNS;
    g_autofree gfloat *columns = g_new(gfloat, MAX(n_tiles * tile_floats, 1));
    g_autofree gfloat *rows = g_new(gfloat, MAX(gemm->k * TILE_ROWS, 1));
    for (gsize tile = 0; tile < n_tiles; tile++) {
        gsize first = tile * TILE_COLUMNS;
        pack(columns + tile * tile_floats, TILE_COLUMNS, MIN(gemm->n - first, TILE_COLUMNS),
             gemm->k, b + first * b_line, b_line, b_k);
    }
    for (gsize row = 0; row < gemm->m; row += TILE_ROWS) {
        gsize n_rows = MIN(gemm->m - row, TILE_ROWS);
        pack(rows, TILE_ROWS, n_rows, gemm->k, a + row * a_line, a_line, a_k);
        for (gsize column = 0; column < gemm->n; column += TILE_COLUMNS) {
            Rows sums[TILE_COLUMNS];
            run_tile(sums, rows, columns + column * gemm->k, gemm->k);
            for (gsize j = 0; j < MIN(gemm->n - column, TILE_COLUMNS); j++)
                for (gsize i = 0; i < n_rows; i++)
                    store(gemm, c, (column + j) * gemm->ldc + row + i, sums[j][i]);
        }
    }
}

static gsize span(gsize n_rows, gsize n_columns, gsize ld, gsize width)
{
    return n_rows == 0 || n_columns == 0 ? 0 : ((n_columns - 1) * ld + n_rows) * width;
}

gsize eep_host_gemm_a_bytes(const EepHostGemm *gemm)
{
    return gemm->a_is_transposed ? span(gemm->k, gemm->m, gemm->lda, sizeof(guint16))
                                 : span(gemm->m, gemm->k, gemm->lda, sizeof(guint16));
}

gsize eep_host_gemm_b_bytes(const EepHostGemm *gemm)
{
    return gemm->b_is_transposed ? span(gemm->n, gemm->k, gemm->ldb, sizeof(guint16))
                                 : span(gemm->k, gemm->n, gemm->ldb, sizeof(guint16));
}

gsize eep_host_gemm_c_bytes(const EepHostGemm *gemm)
{
    return span(gemm->m, gemm->n, gemm->ldc, gemm->c_is_float ? sizeof(gfloat) : sizeof(guint16));
}
