#include "layer_reference.h"
#include "gpu/worker/route.h"
#include <math.h>

static guint64 mix(guint64 z)
{
    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static guint64 stream(guint64 key, guint64 i)
{
    return mix(key + (i + 1) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));
}

static guint64 key_of(guint64 seed, guint matrix, guint64 layer, guint64 expert)
{
    return stream(stream(stream(seed, matrix), layer), expert);
}

/* +-1.m * 2^e with 7 bits of m, from the 16 bits of the element's word. */
static float value(guint64 key, guint64 index, int exponent)
{
    guint bits = (guint)(stream(key, index / 4) >> (16 * (index % 4))) & 0xffff;
    float magnitude = ldexpf(1.0f + (float)(bits & 127) / 128.0f, exponent - (int)(bits >> 7 & 3));
    return bits & 0x8000 ? -magnitude : magnitude;
}

static int exponent_for(guint n)
{
    int bits = (int)floor(log2(n));
    return -((bits + 1) / 2);
}

float reference_weight(const EepWireModel *shape, guint layer, guint expert, guint which, guint row,
                       guint column)
{
    guint h = shape->hidden, n = shape->intermediate;
    if (which == 2)
        return value(key_of(shape->seed, 1, layer, expert), (guint64)row * n + column,
                     exponent_for(n));
    return value(key_of(shape->seed, 0, layer, expert), (guint64)(which * n + row) * h + column,
                 exponent_for(h));
}

/* To the nearest of 8 significant bits, ties to even. */
static float rounded(float x)
{
    int exponent;
    float fraction = frexpf(x, &exponent);
    return x == 0 ? 0 : ldexpf(rintf(ldexpf(fraction, 8)), exponent - 8);
}

static guint64 token_key(const ReferenceStep *step, guint matrix, guint layer, guint row)
{
    gboolean is_probe = row < 4;
    guint64 key = key_of(step->shape->seed, matrix, layer, is_probe ? 0xffffffffu : step->rank);
    return stream(stream(key, is_probe ? 0 : step->step), row);
}

/* x over its root mean square. */
static void normalise(float *x, guint n)
{
    guint64 squares = 0;
    for (guint i = 0; i < n; i++)
        squares += (guint64)(x[i] * x[i] * 1048576.0f);
    float mean = (float)squares / 1048576.0f / (float)n;
    float scale = 1.0f / sqrtf(mean + 1e-6f);
    for (guint i = 0; i < n; i++)
        x[i] = rounded(x[i] * scale);
}

static void attend(const ReferenceStep *step, guint layer, float *x)
{
    const EepWireModel *shape = step->shape;
    guint h = shape->hidden;
    guint64 layer_bytes = shape->non_expert_bytes / shape->n_layers / 256 * 256;
    guint n = (guint)MIN(h, layer_bytes / (2 * h));
    guint64 key = key_of(shape->seed, 2, layer, 0);
    g_autofree float *sums = g_new0(float, h);
    for (guint i = 0; i < n; i++) {
        for (guint j = 0; j < h; j++)
            sums[i] += x[j] * value(key, (guint64)i * h + j, exponent_for(h));
        sums[i] = rounded(sums[i]);
    }
    for (guint i = 0; i < h; i++)
        x[i] += sums[i];
    normalise(x, h);
}

static void choose(const ReferenceStep *step, guint layer, guint row, guint *ret_experts)
{
    const EepWireModel *shape = step->shape;
    guint64 token = token_key(step, 4, layer, row);
    g_autofree gboolean *is_taken = g_new0(gboolean, shape->n_experts);
    for (guint k = 0; k < shape->top_k; k++) {
        gint32 best_key = 0;
        guint best = G_MAXUINT;
        for (guint e = 0; e < shape->n_experts; e++) {
            gint32 weight =
                row < 4 || !step->popularity ? 0 : eep_route_log2(step->popularity[e]);
            gint32 key = eep_route_key(weight, stream(token, e));
            if (!is_taken[e] && (best == G_MAXUINT || key > best_key)) {
                best = e;
                best_key = key;
            }
        }
        is_taken[best] = TRUE;
        ret_experts[k] = best;
    }
}

static void run_expert(const EepWireModel *shape, guint layer, guint expert, const float *x,
                       float *ret_y)
{
    guint h = shape->hidden, n = shape->intermediate;
    g_autofree float *act = g_new(float, n);
    for (guint i = 0; i < n; i++) {
        float gate = 0, up = 0;
        for (guint j = 0; j < h; j++) {
            gate += x[j] * reference_weight(shape, layer, expert, 0, i, j);
            up += x[j] * reference_weight(shape, layer, expert, 1, i, j);
        }
        act[i] = rounded(eep_swiglu(rounded(gate), rounded(up)));
    }
    for (guint i = 0; i < h; i++) {
        float sum = 0;
        for (guint j = 0; j < n; j++)
            sum += act[j] * reference_weight(shape, layer, expert, 2, i, j);
        ret_y[i] = rounded(sum);
    }
}

static void forward_row(const ReferenceStep *step, guint row, float *x, guint64 *load,
                        guint64 *n_dropped)
{
    const EepWireModel *shape = step->shape;
    guint h = shape->hidden;
    g_autofree guint *experts = g_new(guint, shape->top_k);
    g_autofree float *y = g_new(float, h);
    for (guint layer = 0; layer < shape->n_layers; layer++) {
        attend(step, layer, x);
        g_autofree float *in = g_memdup2(x, sizeof(float) * h);
        choose(step, layer, row, experts);
        for (guint k = 0; k < shape->top_k; k++) {
            guint64 random = stream(token_key(step, 4, layer, row), shape->n_experts + k) >> 56;
            float gate = (float)(256 + random) / (float)(384 * shape->top_k);
            gsize at = (gsize)layer * shape->n_experts + experts[k];
            load[at] += row >= 4;
            if (step->is_missing && step->is_missing[at]) {
                ++*n_dropped;
                continue;
            }
            run_expert(shape, layer, experts[k], in, y);
            for (guint i = 0; i < h; i++)
                x[i] += gate * y[i];
        }
        normalise(x, h);
    }
}

void reference_forward(const ReferenceStep *step, guint n_rows, guint16 *ret_rows,
                       guint64 *ret_load, guint64 *ret_n_dropped)
{
    const EepWireModel *shape = step->shape;
    guint h = shape->hidden;
    memset(ret_load, 0, sizeof(guint64) * shape->n_layers * shape->n_experts);
    *ret_n_dropped = 0;
    g_autofree float *x = g_new(float, h);
    for (guint row = 0; row < n_rows; row++) {
        for (guint i = 0; i < h; i++)
            x[i] = value(token_key(step, 3, 0, row), i, 0);
        forward_row(step, row, x, ret_load, ret_n_dropped);
        for (guint i = 0; i < h; i++)
            ret_rows[(gsize)row * h + i] = (guint16)(eep_float_bits(x[i]) >> 16);
    }
}
