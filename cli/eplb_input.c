#include "cli/eplb_input.h"

#include "cli/command.h"
#include "cli/data.h"
#include "cli/eplb_map.h"
#include "scenarios/profile.h"
#include "traces/json_text.h"
#include "traces/whole_file.h"

#include <errno.h>
#include <string.h>

#define MAX_EXPERT_BYTES 100000000000 /* 100 GB; moves * bytes then stay below 2^63 */

void eep_eplb_flags_clear(EepEplbFlags *flags)
{
    char **strings[] = {&flags->load,         &flags->format,        &flags->layers,
                        &flags->top_k,        &flags->window_tokens, &flags->replicas,
                        &flags->groups,       &flags->nodes,         &flags->gpus,
                        &flags->active_ranks, &flags->from,          &flags->expert_bytes,
                        &flags->budget,       &flags->model};
    for (guint i = 0; i < G_N_ELEMENTS(strings); i++)
        g_clear_pointer(strings[i], g_free);
}

static gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean fail(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error_literal(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, what);
    return FALSE;
}

gboolean eep_eplb_flag_count(const char *flag, const char *text, gint64 min, gint64 max,
                             gint64 *ret_value, GError **error)
{
    char *end;
    errno = 0;
    const gint64 value = g_ascii_strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return fail(error,
                    "%s: %s: a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                    " is allowed",
                    flag, text, min, max);
    *ret_value = value;
    return TRUE;
}

/* One size: a flag, else a field of the load file, else `otherwise` (0: it must be given). */
typedef struct {
    const char *flag, *text, *field;
    gint64 max, otherwise;
    guint *ret_value;
} Size;

static gboolean read_size(const EepEplbInput *input, const json_t *fields, const Size *size,
                          GError **error)
{
    const json_t *field = json_object_get(fields, size->field);
    gint64 value = size->otherwise;
    if (size->text != NULL) {
        if (!eep_eplb_flag_count(size->flag, size->text, 1, size->max, &value, error))
            return FALSE;
    } else if (field != NULL && !json_is_null(field)) {
        value = json_is_integer(field) ? json_integer_value(field) : 0;
        if (value < 1 || value > size->max) {
            g_autofree char *what = eep_json_text_describe(field);
            return fail(error,
                        "%s: %s: %s: a whole number from 1 to %" G_GINT64_FORMAT " is allowed",
                        input->name, size->field, what, size->max);
        }
    } else if (value == 0) {
        return fail(error, "%s: %s is missing: a field of the file or %s is needed", input->name,
                    size->field, size->flag);
    }
    *size->ret_value = (guint)value;
    return TRUE;
}

/* "FILE: num_replicas", or the flag that overrides it. New string. */
static char *where_is(const EepEplbInput *input, const char *text, const char *flag,
                      const char *field)
{
    return text != NULL ? g_strdup(flag) : g_strdup_printf("%s: %s", input->name, field);
}

static gboolean read_sizes(EepEplbInput *input, const EepEplbFlags *flags, const json_t *fields,
                           GError **error)
{
    EepEplbProblem *p = &input->problem;
    const Size sizes[] = {
        {"--replicas", flags->replicas, "num_replicas", EEP_EPLB_MAX_SLOTS, 0, &p->n_replicas},
        {"--groups", flags->groups, "num_groups", EEP_EPLB_MAX_SLOTS, 1, &p->n_groups},
        {"--nodes", flags->nodes, "num_nodes", EEP_EPLB_MAX_SLOTS, 1, &p->n_nodes},
        {"--gpus", flags->gpus, "num_gpus", EEP_EPLB_MAX_SLOTS, 0, &p->n_ranks},
    };
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
        if (!read_size(input, fields, &sizes[i], error))
            return FALSE;
    g_autofree char *replicas = where_is(input, flags->replicas, "--replicas", "num_replicas");
    if (p->n_replicas < p->n_experts)
        return fail(error, "%s: %u slots cannot hold %u experts: at least one slot an expert",
                    replicas, p->n_replicas, p->n_experts);
    if (p->n_replicas % p->n_ranks != 0)
        return fail(error, "%s: %u slots do not divide evenly over %u GPUs", replicas,
                    p->n_replicas, p->n_ranks);
    if ((guint64)p->n_replicas * p->n_layers > EEP_EPLB_MAX_ALL_SLOTS)
        return fail(error, "%s: %u slots in each of %u layers: at most %u slots in all", replicas,
                    p->n_replicas, p->n_layers, EEP_EPLB_MAX_ALL_SLOTS);
    return TRUE;
}

/* Whether each rank serves: "1,1,0,1". */
static gboolean read_active_flag(EepEplbInput *input, const char *text, GError **error)
{
    const guint n_ranks = input->problem.n_ranks;
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    if (g_strv_length(words) != n_ranks)
        return fail(error, "--active-ranks: %u entries: %u, one a GPU, 1 = serves, 0 = dead",
                    g_strv_length(words), n_ranks);
    for (guint rank = 0; rank < n_ranks; rank++) {
        if (strcmp(words[rank], "0") != 0 && strcmp(words[rank], "1") != 0)
            return fail(error, "--active-ranks: entry %u: %s: 1 = serves, 0 = dead", rank,
                        words[rank]);
        input->active[rank] = *words[rank] == '1';
    }
    return TRUE;
}

static gboolean read_active_field(EepEplbInput *input, const json_t *field, GError **error)
{
    const guint n_ranks = input->problem.n_ranks;
    if (json_array_size(field) != n_ranks) {
        g_autofree char *what = eep_json_text_describe(field);
        return fail(error,
                    "%s: active_ranks: %s of %" G_GSIZE_FORMAT
                    " entries: a list of %u, one a GPU, 1 = serves, 0 = dead",
                    input->name, what, json_array_size(field), n_ranks);
    }
    for (guint rank = 0; rank < n_ranks; rank++) {
        const json_t *value = json_array_get(field, rank);
        const gint64 number =
            json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
        if (!(json_is_boolean(value) || json_is_integer(value)) || number < 0 || number > 1) {
            g_autofree char *what = eep_json_text_describe(value);
            return fail(error, "%s: active_ranks[%u]: %s: 1 = serves, 0 = dead", input->name, rank,
                        what);
        }
        input->active[rank] = (guint8)number;
    }
    return TRUE;
}

static gboolean read_active(EepEplbInput *input, const EepEplbFlags *flags, const json_t *fields,
                            GError **error)
{
    EepEplbProblem *p = &input->problem;
    const json_t *field = json_object_get(fields, "active_ranks");
    if (flags->active_ranks == NULL && (field == NULL || json_is_null(field)))
        return TRUE;
    input->active = g_new(guint8, p->n_ranks);
    p->active = input->active;
    if (flags->active_ranks != NULL ? !read_active_flag(input, flags->active_ranks, error)
                                    : !read_active_field(input, field, error))
        return FALSE;
    const guint S = p->n_replicas / p->n_ranks, n_active = eep_eplb_problem_n_active(p);
    if ((guint64)n_active * S >= p->n_experts)
        return TRUE;
    g_autofree char *where = where_is(input, flags->active_ranks, "--active-ranks", "active_ranks");
    return fail(error, "%s: %u ranks of %u slots cannot hold %u experts: at least %u ranks", where,
                n_active, S, p->n_experts, (p->n_experts - 1) / S + 1);
}

static gboolean read_expert_bytes(EepEplbInput *input, const EepEplbFlags *flags,
                                  const json_t *fields, GError **error)
{
    static const EepOption option = {
        "--expert-bytes", EEP_OPTION_BYTES, 0, "0", 1, (double)MAX_EXPERT_BYTES, NULL, NULL, ""};
    const json_t *field = json_object_get(fields, "expert_bytes");
    if (flags->expert_bytes != NULL) {
        /* A bare number is bytes, as it is in the file. */
        char *end;
        const gint64 bytes = g_ascii_strtoll(flags->expert_bytes, &end, 10);
        if (*end == '\0' && bytes >= 1 && bytes <= MAX_EXPERT_BYTES) {
            input->expert_bytes = bytes;
            return TRUE;
        }
        if (eep_option_parse(&option, &input->expert_bytes, flags->expert_bytes, error))
            return TRUE;
        g_prefix_error(error, "--expert-bytes: ");
        return FALSE;
    }
    if (input->has_model) {
        input->expert_bytes = eep_model_expert_bytes(&input->model);
        return TRUE;
    }
    if (field == NULL || json_is_null(field))
        return TRUE;
    if (!json_is_integer(field) || json_integer_value(field) < 1 ||
        json_integer_value(field) > MAX_EXPERT_BYTES) {
        g_autofree char *what = eep_json_text_describe(field);
        return fail(
            error, "%s: expert_bytes: %s: a whole number from 1 to %" G_GINT64_FORMAT " is allowed",
            input->name, what, (gint64)MAX_EXPERT_BYTES);
    }
    input->expert_bytes = json_integer_value(field);
    return TRUE;
}

/* Moves that a budget of bytes pays for. */
static gboolean read_budget(EepEplbInput *input, const char *text, GError **error)
{
    static const EepOption option = {"--budget", EEP_OPTION_BYTES, 0, "0", 0, EEP_HUGE, NULL, NULL,
                                     ""};
    gint64 *max_moves = &input->problem.max_moves, bytes;
    char *end;
    *max_moves = EEP_EPLB_MOVES_AUTO;
    if (text == NULL || strcmp(text, "auto") == 0)
        return TRUE;
    *max_moves = (gint64)input->problem.n_layers * input->problem.n_replicas;
    if (strcmp(text, "none") == 0)
        return TRUE;
    if (input->expert_bytes == 0)
        return fail(error, "--budget: the bytes of an expert are not known: --expert-bytes or "
                           "--model is needed");
    bytes = g_ascii_strtoll(text, &end, 10);
    if ((end == text || *end != '\0' || bytes < 0) &&
        !eep_option_parse(&option, &bytes, text, error)) {
        g_prefix_error(error, "--budget: auto, none or bytes: ");
        return FALSE;
    }
    *max_moves = MIN(*max_moves, bytes / input->expert_bytes);
    return TRUE;
}

static gboolean read_options(const EepEplbFlags *flags, const EepEplbInput *input,
                             EepLoadFileOptions *options, GError **error)
{
    gint64 value = 0;
    if (input->has_model) {
        options->n_layers = (guint)eep_model_n_moe_layers(&input->model);
        options->top_k = (guint)input->model.experts_per_token;
        options->n_experts = (guint)input->model.n_routed_experts;
    }
    const struct {
        const char *flag, *text;
        guint *value;
    } counts[] = {{"--layers", flags->layers, &options->n_layers},
                  {"--top-k", flags->top_k, &options->top_k},
                  {"--window-tokens", flags->window_tokens, &options->window_tokens}};
    for (guint i = 0; i < G_N_ELEMENTS(counts); i++) {
        if (counts[i].text == NULL)
            continue;
        if (!eep_eplb_flag_count(counts[i].flag, counts[i].text, 1, G_MAXINT32, &value, error))
            return FALSE;
        *counts[i].value = (guint)value;
    }
    if (flags->format == NULL)
        return TRUE;
    for (guint i = 0; eep_load_file_format_words[i] != NULL; i++)
        if (strcmp(flags->format, eep_load_file_format_words[i]) == 0) {
            options->format = (EepLoadFileFormat)i;
            return TRUE;
        }
    return fail(error, "--format: %s: auto, json, csv or routes is allowed", flags->format);
}

static gboolean read_load(EepEplbInput *input, const EepEplbFlags *flags, json_t **ret_fields,
                          GError **error)
{
    EepLoadFileOptions options = EEP_LOAD_FILE_OPTIONS_INIT;
    if (flags->load == NULL)
        return fail(error, "--load is missing: a file of expert loads, or - for standard input");
    if (g_strcmp0(flags->from, "-") == 0 && strcmp(flags->load, "-") == 0)
        return fail(error, "--from: standard input is the loads': a file is allowed");
    if (flags->model != NULL) {
        g_autoptr(EepProfile) profile = eep_profile_load(
            &eep_profile_model, flags->model, eep_data_scenario_folders(), &input->model, error);
        if (profile == NULL)
            return FALSE;
        input->has_model = TRUE;
    }
    if (!read_options(flags, input, &options, error))
        return FALSE;
    input->name = eep_whole_file_name(flags->load);
    input->record = eep_load_file_read_fields(flags->load, &options, ret_fields, error);
    return input->record != NULL;
}

/* Loads of the problem: the sum, and the windows where there are several. */
static void set_loads(EepEplbInput *input)
{
    const EepLoadRecord *record = input->record;
    EepEplbProblem *p = &input->problem;
    p->n_layers = record->n_layers;
    p->n_experts = record->n_experts;
    input->weight = g_new(double, (gsize)record->n_layers * record->n_experts);
    eep_load_record_sum(record, 0, record->n_windows, input->weight);
    p->weight = input->weight;
    if (record->n_windows > 1) {
        p->n_windows = record->n_windows;
        p->windows = record->tokens;
    }
}

gboolean eep_eplb_input_read(EepEplbInput *input, const EepEplbFlags *flags, gboolean needs_sizes,
                             GError **error)
{
    *input = (EepEplbInput){0};
    json_t *fields = NULL;
    gboolean good = read_load(input, flags, &fields, error);
    if (good)
        set_loads(input);
    good = good && read_expert_bytes(input, flags, fields, error);
    if (good && needs_sizes)
        good = read_sizes(input, flags, fields, error) &&
               read_active(input, flags, fields, error) && read_budget(input, flags->budget, error);
    json_decref(fields);
    if (!good || flags->from == NULL)
        return good;
    input->old = eep_eplb_map_read(flags->from, &input->problem, error);
    input->problem.old_phy2log = input->old;
    return input->old != NULL;
}

void eep_eplb_input_clear(EepEplbInput *input)
{
    if (input->has_model)
        eep_options_clear(&eep_model_options, &input->model);
    g_free(input->name);
    eep_load_record_free(input->record);
    g_free(input->weight);
    g_free(input->active);
    g_free(input->old);
    *input = (EepEplbInput){0};
}

gboolean eep_eplb_input_place(const EepEplbInput *input, const EepEplbProblem *problem,
                              const EepEplbPolicy *policy, gint32 *ret_phy2log, GError **error)
{
    GError *local = NULL;
    if (eep_eplb_place(policy, problem, ret_phy2log, &local))
        return TRUE;
    /* A map that cannot serve is the policy's fault, everything else that of the input. */
    const gboolean is_input = !g_error_matches(local, EEP_EPLB_ERROR, EEP_EPLB_ERROR_POLICY);
    g_set_error(error, EEP_COMMAND_ERROR,
                is_input ? EEP_COMMAND_ERROR_USAGE : EEP_COMMAND_ERROR_FAILED, "%s: %s",
                input->name, local->message);
    g_error_free(local);
    return FALSE;
}

gboolean eep_eplb_input_needs_windows(const EepEplbInput *input, guint n_windows, GError **error)
{
    if (input->record->n_windows >= n_windows)
        return TRUE;
    return fail(error,
                "%s: %u window%s of load: at least %u, [windows][layers][experts], are needed to "
                "plan on one and look at the next",
                input->name, input->record->n_windows, input->record->n_windows == 1 ? "" : "s",
                n_windows);
}

const EepEplbPolicy *eep_eplb_flag_policy(const char *flag, const char *name, GError **error)
{
    GError *local = NULL;
    const EepEplbPolicy *policy = eep_eplb_policy_find(name, &local);
    if (policy != NULL)
        return policy;
    fail(error, "%s: %s", flag, local->message);
    g_error_free(local);
    return NULL;
}

GPtrArray *eep_eplb_flag_policies(const char *flag, const char *text, GError **error)
{
    g_autoptr(GPtrArray) policies = g_ptr_array_new();
    if (text == NULL) {
        guint n;
        const EepEplbPolicy *const *all = eep_eplb_policy_list(&n);
        for (guint i = 0; i < n; i++)
            g_ptr_array_add(policies, (gpointer)all[i]);
        return g_steal_pointer(&policies);
    }
    g_auto(GStrv) names = g_strsplit(text, ",", -1);
    for (guint i = 0; names[i] != NULL; i++) {
        const EepEplbPolicy *policy = eep_eplb_flag_policy(flag, names[i], error);
        if (policy == NULL)
            return NULL;
        if (!g_ptr_array_find(policies, policy, NULL))
            g_ptr_array_add(policies, (gpointer)policy);
    }
    if (policies->len == 0) {
        fail(error, "%s: names with commas are needed", flag);
        return NULL;
    }
    return g_steal_pointer(&policies);
}
