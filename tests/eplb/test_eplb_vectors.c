/* Placements against the reference vectors: inputs and outputs of DeepSeek's published EPLB with a
 * stable sort. Skips (77) where ../shared/eplb is absent. Usage: eplb_vectors [FOLDER]. */
#include <check.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/placement.h"
#include "core/eplb/policy.h"

#define FOLDER    "../shared/eplb"
#define SKIP_CODE 77

static GPtrArray *files; /* char *, sorted */
static const char *folder = FOLDER;

static guint size_of(const json_t *vector, const char *key)
{
    const json_t *value = json_object_get(vector, key);
    ck_assert_msg(json_is_integer(value), "no integer \"%s\"", key);
    return (guint)json_integer_value(value);
}

static EepEplbProblem problem_from(const json_t *vector, double *weight)
{
    EepEplbProblem problem = {.n_layers = size_of(vector, "num_layers"),
                              .n_experts = size_of(vector, "num_logical_experts"),
                              .n_replicas = size_of(vector, "num_replicas"),
                              .n_groups = size_of(vector, "num_groups"),
                              .n_nodes = size_of(vector, "num_nodes"),
                              .n_ranks = size_of(vector, "num_gpus"),
                              .weight = weight};
    const json_t *rows = json_object_get(vector, "weight");
    for (guint layer = 0; layer < problem.n_layers; layer++)
        for (guint e = 0; e < problem.n_experts; e++)
            *weight++ = json_number_value(json_array_get(json_array_get(rows, layer), e));
    return problem;
}

static json_int_t cell(const json_t *vector, const char *key, guint layer, guint column)
{
    const json_t *row = json_array_get(json_object_get(vector, key), layer);
    const json_t *value = json_array_get(row, column);
    ck_assert_msg(json_is_integer(value), "no integer in \"%s\" at %u, %u", key, layer, column);
    return json_integer_value(value);
}

static void compare_log2phy(const json_t *vector, const EepPlacement *placement, guint layer)
{
    const json_t *row = json_array_get(json_object_get(vector, "log2phy"), layer);
    g_autofree gint32 *slots = g_new(gint32, placement->n_slots);
    for (guint e = 0; e < placement->n_experts; e++) {
        const json_t *cells = json_array_get(row, e);
        const guint n = eep_placement_replicas(placement, layer, e, slots);
        guint listed = 0, found = 0;
        for (size_t i = 0; i < json_array_size(cells); i++) {
            const json_int_t slot = json_integer_value(json_array_get(cells, i));
            listed += slot >= 0;
            for (guint j = 0; j < n; j++)
                found += slots[j] == slot;
        }
        ck_assert_uint_eq(listed, n);
        ck_assert_uint_eq(found, n);
    }
}

static void compare_balancedness(const json_t *vector, const EepPlacement *placement,
                                 const double *weight)
{
    double sum = 0.0, worst = 1.0;
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        const double value = eep_placement_layer_balancedness(
            placement, layer, weight + layer * placement->n_experts, NULL, NULL);
        sum += value;
        worst = MIN(worst, value);
    }
    const double mean = sum / placement->n_layers;
    ck_assert_double_eq_tol(
        mean, json_number_value(json_object_get(vector, "balancedness_mean_over_layers")), 1e-6);
    ck_assert_double_eq_tol(
        worst, json_number_value(json_object_get(vector, "balancedness_worst_layer")), 1e-6);
}

static void compare(const json_t *vector, const char *file, const EepEplbPolicy *policy)
{
    const gsize n = (gsize)size_of(vector, "num_layers") * size_of(vector, "num_logical_experts");
    g_autofree double *weight = g_new(double, n);
    const EepEplbProblem p = problem_from(vector, weight);
    g_autofree gint32 *phy2log = g_new(gint32, (gsize)p.n_layers * p.n_replicas);
    g_autoptr(GError) error = NULL;
    ck_assert_msg(eep_eplb_place(policy, &p, phy2log, &error), "%s: %s", file,
                  error ? error->message : "");

    g_autoptr(EepPlacement) placement =
        eep_placement_new(p.n_layers, p.n_experts, p.n_ranks, p.n_replicas / p.n_ranks);
    for (guint layer = 0; layer < p.n_layers; layer++) {
        const gint32 *row = phy2log + (gsize)layer * p.n_replicas;
        for (guint slot = 0; slot < p.n_replicas; slot++)
            ck_assert_msg(row[slot] == cell(vector, "phy2log", layer, slot),
                          "%s, %s: layer %u, slot %u: %d", policy->name, file, layer, slot,
                          row[slot]);
        eep_placement_set_layer(placement, layer, row);
        for (guint e = 0; e < p.n_experts; e++)
            ck_assert_int_eq(placement->logcnt[layer * p.n_experts + e],
                             cell(vector, "logcnt", layer, e));
        compare_log2phy(vector, placement, layer);
    }
    compare_balancedness(vector, placement, weight);
}

static json_t *load(const char *file)
{
    json_error_t error;
    json_t *vector = json_load_file(file, 0, &error);
    ck_assert_msg(vector != NULL, "%s:%d: %s", file, error.line, error.text);
    return vector;
}

START_TEST(placement_equals_the_published_one)
{
    const char *file = g_ptr_array_index(files, (guint)_i);
    json_t *vector = load(file);
    compare(vector, file, &eep_eplb_policy_deepseek);
    compare(vector, file, &eep_eplb_policy_vllm);
    json_decref(vector);
}
END_TEST

/* "naive" in the vectors is contiguous without redundant slots: only where experts divide over the
 * GPUs. */
START_TEST(naive_balancedness_equals_the_published_one)
{
    json_t *vector = load(g_ptr_array_index(files, (guint)_i));
    const json_t *expected = json_object_get(vector, "balancedness_contiguous_no_replicas");
    if (json_is_number(expected)) {
        const gsize n =
            (gsize)size_of(vector, "num_layers") * size_of(vector, "num_logical_experts");
        g_autofree double *weight = g_new(double, n);
        const EepEplbProblem p = problem_from(vector, weight);
        g_autoptr(EepPlacement) placement =
            eep_placement_new(p.n_layers, p.n_experts, p.n_ranks, p.n_experts / p.n_ranks);
        double sum = 0.0;
        for (guint layer = 0; layer < p.n_layers; layer++)
            sum += eep_placement_layer_balancedness(placement, layer, weight + layer * p.n_experts,
                                                    NULL, NULL);
        ck_assert_double_eq_tol(sum / p.n_layers, json_number_value(expected), 1e-6);
    }
    json_decref(vector);
}
END_TEST

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static guint find_files(void)
{
    files = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(folder, 0, NULL);
    if (!dir)
        return 0;
    for (const char *name = g_dir_read_name(dir); name; name = g_dir_read_name(dir))
        if (g_str_has_suffix(name, ".json"))
            g_ptr_array_add(files, g_build_filename(folder, name, NULL));
    g_dir_close(dir);
    g_ptr_array_sort(files, by_name);
    return files->len;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        folder = argv[1];
    const guint n = find_files();
    if (n == 0) {
        printf("skipped: no reference vectors in %s\n", folder);
        return SKIP_CODE;
    }
    Suite *suite = suite_create("eplb_vectors");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, placement_equals_the_published_one, 0, (int)n);
    tcase_add_loop_test(tcase, naive_balancedness_equals_the_published_one, 0, (int)n);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    g_ptr_array_unref(files);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
