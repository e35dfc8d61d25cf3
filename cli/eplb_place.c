/* eep eplb place: from the loads of a file to a map of experts. */
#include "cli/eplb_commands.h"
#include "cli/eplb_input.h"
#include "cli/eplb_map.h"
#include "cli/eplb_picture.h"
#include "core/eplb/score.h"
#include "core/json.h"

#include <string.h>

#define MAX_LOG2PHY (1 << 26) /* entries: some 200 MB of text */

typedef struct {
    EepEplbFlags flags;
    char *policy, *csv, *out, *plot;
} Options;

typedef struct {
    const EepEplbProblem *problem;
    gint32 *phy2log;         /* [L][R] */
    gint32 *count;           /* [L][E], replicas of each expert */
    guint width;             /* the highest of these */
    double *bound, *hottest; /* [L] */
    EepEplbScore score;
    double solve_ms;
} Placed;

static void placed_clear(Placed *placed)
{
    g_free(placed->phy2log);
    g_free(placed->count);
    g_free(placed->bound);
    g_free(placed->hottest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Placed, placed_clear)

static gboolean place(const EepEplbInput *input, const EepEplbPolicy *policy, Placed *placed,
                      GError **error)
{
    const EepEplbProblem *p = placed->problem;
    placed->phy2log = g_new(gint32, (gsize)p->n_layers * p->n_replicas);
    placed->count = g_new0(gint32, (gsize)p->n_layers * p->n_experts);
    placed->bound = g_new(double, p->n_layers);
    placed->hottest = g_new(double, p->n_layers);
    const gint64 begin_us = g_get_monotonic_time();
    if (!eep_eplb_input_place(input, p, policy, placed->phy2log, error))
        return FALSE;
    placed->solve_ms = (double)(g_get_monotonic_time() - begin_us) / 1e3;
    for (guint layer = 0; layer < p->n_layers; layer++)
        for (guint slot = 0; slot < p->n_replicas; slot++) {
            const gint32 expert = placed->phy2log[(gsize)layer * p->n_replicas + slot];
            if (expert >= 0)
                placed->count[(gsize)layer * p->n_experts + (guint)expert]++;
        }
    for (gsize i = 0; i < (gsize)p->n_layers * p->n_experts; i++)
        placed->width = MAX(placed->width, (guint)placed->count[i]);
    if ((guint64)p->n_layers * p->n_experts * placed->width > MAX_LOG2PHY) {
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "%s: one expert of %u got %u of %u slots: log2phy, which is padded to that, "
                    "would have more than %d entries",
                    input->name, p->n_experts, placed->width, p->n_replicas, MAX_LOG2PHY);
        return FALSE;
    }
    eep_eplb_score(p, p->weight, placed->phy2log, placed->hottest, &placed->score);
    eep_eplb_map_lower_bound(p, placed->phy2log, placed->bound);
    return TRUE;
}

static void add_matrix(EepJson *json, const char *key, const gint32 *value, guint n_rows,
                       guint n_columns)
{
    eep_json_begin_array(json, key);
    for (guint row = 0; row < n_rows; row++) {
        eep_json_begin_array(json, NULL);
        for (guint column = 0; column < n_columns; column++)
            eep_json_add_int(json, NULL, *value++);
        eep_json_end_array(json);
    }
    eep_json_end_array(json);
}

/* Slots of each expert in their order, padded with -1 to the largest count of all layers. */
static void add_log2phy(EepJson *json, const Placed *placed)
{
    const EepEplbProblem *p = placed->problem;
    const gint32 width = (gint32)placed->width;
    g_autofree gint32 *start = g_new(gint32, p->n_experts + 1);
    g_autofree gint32 *slots = g_new(gint32, p->n_replicas);
    eep_json_begin_array(json, "log2phy");
    for (guint layer = 0; layer < p->n_layers; layer++) {
        const gint32 *map = placed->phy2log + (gsize)layer * p->n_replicas;
        const gint32 *count = placed->count + (gsize)layer * p->n_experts;
        start[0] = 0;
        for (guint e = 0; e < p->n_experts; e++)
            start[e + 1] = start[e] + count[e];
        for (guint slot = 0; slot < p->n_replicas; slot++)
            if (map[slot] >= 0)
                slots[start[map[slot]]++] = (gint32)slot;
        eep_json_begin_array(json, NULL);
        for (guint e = 0; e < p->n_experts; e++) {
            eep_json_begin_array(json, NULL);
            for (gint32 i = 0; i < width; i++) /* start[e] is now behind the expert's slots */
                eep_json_add_int(json, NULL, i < count[e] ? slots[start[e] - count[e] + i] : -1);
            eep_json_end_array(json);
        }
        eep_json_end_array(json);
    }
    eep_json_end_array(json);
}

static void add_layers(EepJson *json, const char *key, const double *value, guint n_layers)
{
    eep_json_begin_array(json, key);
    for (guint layer = 0; layer < n_layers; layer++)
        eep_json_add_double(json, NULL, value[layer], 0);
    eep_json_end_array(json);
}

static void add_json(EepText *text, const EepEplbInput *input, const Placed *placed)
{
    const EepEplbProblem *p = placed->problem;
    EepJson json;
    eep_json_init(&json, text, EEP_JSON_COMPACT);
    eep_json_begin_object(&json, NULL);
    add_matrix(&json, "phy2log", placed->phy2log, p->n_layers, p->n_replicas);
    add_log2phy(&json, placed);
    add_matrix(&json, "logcnt", placed->count, p->n_layers, p->n_experts);
    eep_json_add_double(&json, "balancedness", placed->score.balancedness, 0);
    eep_json_add_double(&json, "balancedness_vllm", placed->score.balancedness_vllm, 0);
    add_layers(&json, "lower_bound", placed->bound, p->n_layers);
    add_layers(&json, "hottest", placed->hottest, p->n_layers);
    eep_json_add_double(&json, "solve_ms", placed->solve_ms, 0);
    if (p->old_phy2log != NULL) {
        const guint64 moved = eep_eplb_count_moves(p, p->old_phy2log, placed->phy2log, NULL);
        eep_json_add_uint(&json, "experts_moved", moved);
        if (input->expert_bytes > 0)
            eep_json_add_uint(&json, "bytes_moved", moved * (guint64)input->expert_bytes);
        else
            eep_json_add_null(&json, "bytes_moved");
    }
    eep_json_end_object(&json);
}

static void add_csv(EepText *text, const Placed *placed)
{
    const EepEplbProblem *p = placed->problem;
    const guint S = p->n_replicas / p->n_ranks;
    const gint32 *expert = placed->phy2log;
    eep_text_add_string(text, "layer,slot,rank,expert\n");
    for (guint layer = 0; layer < p->n_layers; layer++)
        for (guint slot = 0; slot < p->n_replicas; slot++) {
            const gint64 values[] = {layer, slot, slot / S, *expert++};
            for (guint i = 0; i < G_N_ELEMENTS(values); i++) {
                eep_text_add_int(text, values[i]);
                eep_text_add_char(text, i + 1 < G_N_ELEMENTS(values) ? ',' : '\n');
            }
        }
}

/* Before: the present map, or where vLLM starts. */
static gboolean draw(const char *folder, const EepEplbInput *input, const char *policy,
                     const Placed *placed, GError **error)
{
    const EepEplbProblem *p = placed->problem;
    g_autofree gint32 *naive = NULL;
    g_autofree char *base = g_path_get_basename(input->name);
    g_autofree char *title = g_strdup_printf("%s | %s | %u experts, %u slots on %u ranks", base,
                                             policy, p->n_experts, p->n_replicas, p->n_ranks);
    if (p->old_phy2log == NULL) {
        naive = g_new(gint32, (gsize)p->n_layers * p->n_replicas);
        if (!eep_eplb_policy_naive.place(p, naive, error))
            return FALSE;
    }
    return eep_eplb_picture_maps(folder, title, p, naive != NULL ? "naive" : "present map",
                                 naive != NULL ? naive : p->old_phy2log, placed->phy2log,
                                 placed->bound, error);
}

static gboolean run(gconstpointer data, EepText *text, GError **error)
{
    const Options *options = data;
    g_auto(EepEplbInput) input = {0};
    const char *name = options->policy != NULL ? options->policy : "default";
    if (!eep_eplb_input_read(&input, &options->flags, TRUE, error))
        return FALSE;
    const EepEplbPolicy *policy = eep_eplb_flag_policy("--policy", name, error);
    if (policy == NULL)
        return FALSE;
    g_auto(Placed) placed = {.problem = &input.problem};
    if (!place(&input, policy, &placed, error))
        return FALSE;
    add_json(text, &input, &placed);
    if (options->csv != NULL) {
        g_auto(EepText) csv = {0};
        add_csv(&csv, &placed);
        if (!eep_eplb_write_file(options->csv, &csv, error))
            return FALSE;
    }
    return options->plot == NULL || draw(options->plot, &input, policy->name, &placed, error);
}

int eep_command_eplb_place(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        EEP_EPLB_LOAD_ENTRIES(options.flags),
        EEP_EPLB_SIZE_ENTRIES(options.flags),
        {"policy", 0, 0, G_OPTION_ARG_STRING, &options.policy, "eep list policies (default: vllm)",
         "NAME"},
        {"active-ranks", 0, 0, G_OPTION_ARG_STRING, &options.flags.active_ranks,
         "1 or 0 a GPU, with commas; 0 = dead", "LIST"},
        {"from", 0, 0, G_OPTION_ARG_FILENAME, &options.flags.from,
         "the present map (JSON): moves are counted", "OLDMAP"},
        {"csv", 0, 0, G_OPTION_ARG_FILENAME, &options.csv, "write layer,slot,rank,expert", "FILE"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &options.out, "write the JSON there, not to stdout",
         "FILE"},
        {"plot", 0, 0, G_OPTION_ARG_FILENAME, &options.plot,
         "draw expert_rank, layer_imbalance there", "DIR"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &(gboolean){FALSE}, "print JSON, as it does anyway",
         NULL},
        G_OPTION_ENTRY_NULL};
    int status = eep_eplb_command(entries, argc, argv, run, &options, &options.out);

    char *strings[] = {options.policy, options.csv, options.out, options.plot};
    for (guint i = 0; i < G_N_ELEMENTS(strings); i++)
        g_free(strings[i]);
    eep_eplb_flags_clear(&options.flags);
    return status;
}
