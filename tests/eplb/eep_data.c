#include "tests/eplb/eep_data.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS  "../shared/eplb"
#define RECORDED "../shared/expert-load"
#define LAYERS   26 /* of the recorded model */
#define EXPERTS  64
#define TOP_K    6

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

GPtrArray *data_vectors(void)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(VECTORS, 0, NULL);
    for (const char *name = dir ? g_dir_read_name(dir) : NULL; name; name = g_dir_read_name(dir))
        if (g_str_has_suffix(name, ".json"))
            g_ptr_array_add(names, g_strdup(name));
    if (dir)
        g_dir_close(dir);
    g_ptr_array_sort(names, by_name);
    return names;
}

static guint size_of(const json_t *vector, const char *key)
{
    const json_t *value = json_object_get(vector, key);
    if (!json_is_integer(value))
        g_error("no integer \"%s\"", key);
    return (guint)json_integer_value(value);
}

EepEplbProblem data_vector(const char *name, double **ret_weight)
{
    g_autofree char *path = g_build_filename(VECTORS, name, NULL);
    json_error_t error;
    json_t *vector = json_load_file(path, 0, &error);
    if (!vector)
        g_error("%s:%d: %s", path, error.line, error.text);
    EepEplbProblem p = {.n_layers = size_of(vector, "num_layers"),
                        .n_experts = size_of(vector, "num_logical_experts"),
                        .n_replicas = size_of(vector, "num_replicas"),
                        .n_groups = size_of(vector, "num_groups"),
                        .n_nodes = size_of(vector, "num_nodes"),
                        .n_ranks = size_of(vector, "num_gpus")};
    double *weight = g_new(double, (gsize)p.n_layers *p.n_experts), *next = weight;
    const json_t *rows = json_object_get(vector, "weight");
    for (guint layer = 0; layer < p.n_layers; layer++)
        for (guint e = 0; e < p.n_experts; e++)
            *next++ = json_number_value(json_array_get(json_array_get(rows, layer), e));
    json_decref(vector);
    p.weight = *ret_weight = weight;
    return p;
}

gboolean data_windows(const char *task, guint tokens, DataWindows *ret_windows)
{
    g_autofree char *path = g_strdup_printf(RECORDED "/esft_dsv2lite_%s_routes.u8", task);
    g_autofree char *bytes = NULL;
    gsize length = 0;
    if (!g_file_get_contents(path, &bytes, &length, NULL))
        return FALSE;
    const guint n = (guint)(length / (LAYERS * TOP_K) / tokens);
    double *counts = g_new0(double, (gsize)n *LAYERS *EXPERTS);
    const guint8 *route = (const guint8 *)bytes;
    for (guint token = 0; token < n * tokens; token++)
        for (guint layer = 0; layer < LAYERS; layer++)
            for (guint k = 0; k < TOP_K; k++)
                counts[((gsize)(token / tokens) * LAYERS + layer) * EXPERTS + *route++] += 1.0;
    *ret_windows = (DataWindows){n, LAYERS, EXPERTS, counts};
    return TRUE;
}

DataWindows data_join(const DataWindows *first, const DataWindows *second)
{
    DataWindows all = *first;
    const gsize a = (gsize)first->n_windows * LAYERS * EXPERTS;
    const gsize b = (gsize)second->n_windows * LAYERS * EXPERTS;
    all.n_windows += second->n_windows;
    all.tokens = g_new(double, a + b);
    memcpy(all.tokens, first->tokens, a * sizeof(double));
    memcpy(all.tokens + a, second->tokens, b * sizeof(double));
    return all;
}

double *data_sum(const DataWindows *windows, guint from, guint to)
{
    const gsize cells = (gsize)windows->n_layers * windows->n_experts;
    double *sum = g_new0(double, cells);
    for (guint t = from; t < to; t++)
        for (gsize i = 0; i < cells; i++)
            sum[i] += data_at(windows, t)[i];
    return sum;
}

void data_draw(EepRng *rng, guint n_experts, double *ret_weight)
{
    const guint kind = (guint)eep_rng_below(rng, 6);
    const double slope = 0.3 + 1.2 * eep_rng_uniform(rng);
    for (guint e = 0; e < n_experts; e++) {
        double value = 0.0;
        if (kind == 0)
            value = floor(1e5 * pow(e + 1.0, -slope)) + (double)eep_rng_below(rng, 40);
        else if (kind == 1)
            value = exp(slope * eep_rng_normal(rng));
        else if (kind == 2)
            value = e == 0 ? 1e4 : eep_rng_uniform(rng);
        else if (kind == 3)
            value = (double)(1 + eep_rng_below(rng, 3));
        else if (kind == 4)
            value = eep_rng_below(rng, 2) ? 0.0 : (double)eep_rng_below(rng, 1000);
        else
            value = e < 3 ? 500.0 : 0.0;
        ret_weight[e] = value;
    }
    for (guint e = n_experts - 1; e > 0; e--) {
        const guint other = (guint)eep_rng_below(rng, e + 1);
        const double swap = ret_weight[e];
        ret_weight[e] = ret_weight[other];
        ret_weight[other] = swap;
    }
}
