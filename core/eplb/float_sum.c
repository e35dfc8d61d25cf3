#include "core/eplb/float_sum.h"

#define N_LEVELS    4
#define N_ROWS      4   /* vectors that torch adds side by side */
#define N_LANES     8   /* float32 in an AVX2 vector; torch has no wider sum */
#define NUMPY_BLOCK 128 /* PW_BLOCKSIZE */

static guint ceil_log2(guint n)
{
    guint power = 0;
    while (power < 32 && ((guint64)1 << power) < n)
        power++;
    return power;
}

/* Level 0 takes 2^power values, then passes its sum to level 1, and so on upwards. */
float eep_float_sum_torch_outer(const float *values, gsize stride, guint n)
{
    float level[N_LEVELS] = {0};
    const guint power = MAX(4, ceil_log2(n) / N_LEVELS);
    const guint64 step = (guint64)1 << power;
    guint64 i = 0;
    while (i + step <= n) {
        for (const guint64 end = i + step; i < end; i++)
            level[0] += values[i * stride];
        for (guint j = 1; j < N_LEVELS; j++) {
            level[j] += level[j - 1];
            level[j - 1] = 0.0F;
            if ((i & ((step - 1) << (j * power))) != 0)
                break;
        }
    }
    for (; i < n; i++)
        level[0] += values[i * stride];
    for (guint j = 1; j < N_LEVELS; j++)
        level[0] += level[j];
    return level[0];
}

/* N_ROWS sums side by side; what does not fill them goes to the first. */
static float sum_rows(const float *values, gsize stride, guint n)
{
    float row[N_ROWS];
    for (guint k = 0; k < N_ROWS; k++)
        row[k] = eep_float_sum_torch_outer(values + k * stride, N_ROWS * stride, n / N_ROWS);
    for (guint i = n / N_ROWS * N_ROWS; i < n; i++)
        row[0] += values[i * stride];
    for (guint k = 1; k < N_ROWS; k++)
        row[0] += row[k];
    return row[0];
}

float eep_float_sum_torch(const float *values, guint n)
{
    if (n < N_LANES)
        return sum_rows(values, 1, n);
    float sum = 0.0F;
    for (guint i = n / N_LANES * N_LANES; i < n; i++)
        sum += values[i];
    for (guint lane = 0; lane < N_LANES; lane++)
        sum += sum_rows(values + lane, N_LANES, n / N_LANES);
    return sum;
}

float eep_float_sum_numpy(const float *values, guint n)
{
    if (n > NUMPY_BLOCK) {
        const guint half = n / 2 / N_LANES * N_LANES;
        return eep_float_sum_numpy(values, half) + eep_float_sum_numpy(values + half, n - half);
    }
    float sum = 0.0F;
    guint i = 0;
    if (n >= N_LANES) {
        float part[N_LANES];
        for (; i < N_LANES; i++)
            part[i] = values[i];
        for (; i < n / N_LANES * N_LANES; i++)
            part[i % N_LANES] += values[i];
        sum = ((part[0] + part[1]) + (part[2] + part[3])) +
              ((part[4] + part[5]) + (part[6] + part[7]));
    }
    for (; i < n; i++)
        sum += values[i];
    return sum;
}
