/* eep check: whether a scenario can run, and how much there is to run. */
#include "cli/command.h"
#include "cli/data.h"
#include "cli/elastic_range.h"
#include "cli/human.h"
#include "cli/skew_records.h"
#include "cli/traffic.h"
#include "core/json.h"
#include "core/resize/generation.h"
#include "scenarios/scenario_check.h"
#include "sim/all2all.h"

#include <string.h>

#define D G_GINT64_FORMAT

typedef struct {
    guint64 n_requests, prompt_tokens, output_tokens;
    guint64 n_too_long;  /* longer than max_model_len of every pool */
    guint64 n_never_fit; /* than the KV cache of an engine of every pool */
    guint64 n_skipped;   /* bad rows of a trace */
    EepTime last_arrival;
    const char *format; /* static */
} TrafficSize;

/* Goes through the traffic once, as a run would. */
static gboolean measure_traffic(const EepScenario *scenario, TrafficSize *ret_size, GError **error)
{
    g_autoptr(EepTrace) trace = eep_traffic_open(scenario, error);
    TrafficSize size = {0};
    gint64 longest = 0, largest = 0;
    EepTraceRow row;
    EepTraceStatus status;

    if (trace == NULL)
        return FALSE;
    for (guint i = 0; i < scenario->n_pools; i++) {
        longest = MAX(longest, scenario->pools[i].options.max_model_len);
        largest = MAX(largest, scenario->pools[i].memory.num_gpu_blocks *
                                   scenario->pools[i].memory.block_size);
    }
    while ((status = eep_trace_next(trace, &row, error)) == EEP_TRACE_ROW) {
        gint64 tokens = (gint64)row.prompt_tokens + row.output_tokens;
        size.n_requests++;
        size.prompt_tokens += row.prompt_tokens;
        size.output_tokens += row.output_tokens;
        size.n_too_long += tokens > longest;
        size.n_never_fit += tokens <= longest && tokens > largest;
        size.last_arrival = row.arrival;
    }
    if (status == EEP_TRACE_FAILED)
        return FALSE;
    size.n_skipped = eep_trace_skipped(trace);
    size.format = eep_trace_format_name(trace);
    *ret_size = size;
    return TRUE;
}

static gboolean check_skew(const EepScenario *scenario, GError **error)
{
    g_autoptr(EepSkewRecords) records = NULL;

    if (!eep_scenario_check_files(scenario, error))
        return FALSE;
    records = eep_skew_records_read(scenario, error);
    return records != NULL;
}

/* The last that is known beforehand to happen, were the run not cut. */
static EepTime last_event(const EepScenario *scenario, const TrafficSize *traffic)
{
    EepTime last = traffic->last_arrival;

    for (guint i = 0; i < scenario->n_events; i++)
        last = MAX(last, scenario->events[i].earliest);
    return last;
}

/* The run's length as far as it is known beforehand. */
static EepTime run_length(const EepScenario *scenario, const TrafficSize *traffic)
{
    return scenario->run.end == EEP_RUN_CUT ? scenario->run.duration
                                            : last_event(scenario, traffic);
}

static void add_pool_text(const EepScenario *scenario, const EepScenarioPool *pool, EepText *text)
{
    const EepPoolOptions *options = &pool->options;
    EepElasticRange range = eep_elastic_range(scenario, pool);
    gint64 tp = options->tensor_parallel_size;
    g_autofree char *memory = eep_memory_fit_to_text(&pool->memory);

    eep_command_add_line(
        text, "\nPool      %s: DP %" D " x TP %" D " = %" D " ranks, %s%s%s", pool->name,
        options->data_parallel_size, tp, options->data_parallel_size * tp,
        eep_all2all(options->all2all_backend)->name, range.is_resizable ? ", " : "",
        range.is_resizable ? options->resize.generation : "");
    eep_command_add_line(text,
                         "Experts   %" D " + %" D " redundant = %" D " slots a rank x %" D
                         " ranks, in %" D " layers",
                         scenario->model.n_routed_experts,
                         options->eplb_config.num_redundant_experts, pool->memory.slots_per_rank,
                         options->data_parallel_size * tp,
                         eep_model_n_moe_layers(&scenario->model));
    if (range.is_resizable)
        eep_command_add_line(text,
                             "Elastic   DP %" D "..%" D ": ceil(%" D " * %" D " / (%" D " + %" D
                             ")) = %" D ", at most %" D " by %s",
                             range.least, range.most, scenario->model.n_routed_experts,
                             options->data_parallel_size, scenario->model.n_routed_experts,
                             options->eplb_config.num_redundant_experts, range.least, range.most,
                             range.most_because);
    else
        eep_command_add_line(text, "Elastic   no: enable_elastic_ep is false");
    eep_command_add_line(text, "Memory    of one GPU");
    eep_text_add_string(text, memory);
}

/* "fail rank 11", "link of node 0 x 0.5"; new string. */
static char *fault_text(const EepEventOptions *event)
{
    EepFault fault = eep_event_fault(event);
    const char *kind = eep_fault_names[fault.kind];
    g_autofree char *length = fault.duration == EEP_TIME_NEVER
                                  ? g_strdup("")
                                  : eep_human_seconds((double)fault.duration / 1e9);
    const char *space = *length != '\0' ? " for " : "";

    if (fault.kind >= EEP_FAULT_KIND_PHASE_FAIL)
        return fault.nth == 0
                   ? g_strdup_printf("%s, every %s", kind, eep_breakable_name(fault.phase))
                   : g_strdup_printf("%s, %s number %u from then on", kind,
                                     eep_breakable_name(fault.phase), fault.nth);
    if (fault.kind == EEP_FAULT_KIND_SLOW || fault.kind == EEP_FAULT_KIND_LINK)
        return g_strdup_printf("%s %s %u x %g%s%s", kind, eep_event_targets[fault.target],
                               fault.index, fault.factor, space, length);
    return g_strdup_printf("%s %s %u%s%s", kind, eep_event_targets[fault.target], fault.index,
                           space, length);
}

/* What stands in the way of nobody's noticing the fault: whether somebody is there at this size. */
static char *target_text(const EepEventOptions *event, const EepScenarioPool *pool, gint64 size)
{
    EepFault fault = eep_event_fault(event);
    gint64 n = fault.target == EEP_FAULT_OF_RANK ? size * pool->options.tensor_parallel_size : size;

    if (event->kind > EEP_EVENT_SLOW || fault.target == EEP_FAULT_OF_NODE)
        return g_strdup("");
    return fault.index < n
               ? g_strdup_printf(", of %" D, n)
               : g_strdup_printf(": nobody unless the size has changed, DP %" D " has %" D, size,
                                 n);
}

/* GPUs that the pool holds at this size: with a reserve of all that there are, those. */
static gint64 held_gpus(const EepScenario *scenario, const EepScenarioPool *pool, gint64 size)
{
    const EepPoolOptions *options = &pool->options;
    gboolean takes_all = eep_generation_find(options->resize.generation)->has_reserve &&
                         options->resize.reserve == 0;

    return eep_scenario_gpus(pool,
                             takes_all ? MAX(size, eep_elastic_range(scenario, pool).most) : size);
}

static char *what_text(const EepScenario *scenario, const EepEventOptions *event, gint64 *size)
{
    const EepScenarioPool *pool = &scenario->pools[eep_scenario_find_pool(scenario, event->pool)];
    gint64 spares = pool->options.fault_tolerance.spare_engines, from = *size;

    if (event->kind == EEP_EVENT_CANCEL)
        return g_strdup_printf("cancel %s", event->cancel.resize);
    if (event->kind != EEP_EVENT_SCALE_ELASTIC_EP) {
        g_autofree char *fault = fault_text(event);
        g_autofree char *target = target_text(event, pool, from);
        return g_strconcat(fault, target, NULL);
    }
    *size = event->scale_elastic_ep.new_data_parallel_size;
    g_autofree char *spare = spares > 0 ? g_strdup_printf(" with %" D " spare", spares) : NULL;
    return g_strdup_printf("DP %" D " -> %" D ", %" D " of %" D " GPUs%s", from, *size,
                           held_gpus(scenario, pool, *size),
                           scenario->nodes * scenario->hardware.gpus_per_node,
                           spare != NULL ? spare : "");
}

/* What the loader has not refused can be; sizes as if every resize were done before the next. */
static void add_events_text(const EepScenario *scenario, EepText *text)
{
    g_autofree gint64 *sizes = g_new(gint64, scenario->n_pools);

    for (guint i = 0; i < scenario->n_pools; i++)
        sizes[i] = scenario->pools[i].options.data_parallel_size;
    for (guint i = 0; i < scenario->n_events; i++) {
        const EepEventOptions *event = &scenario->events[i];
        gboolean waits = event->during.resize != NULL;
        EepTime time = waits ? event->during.after : event->at;
        g_autofree char *length = eep_human_seconds((double)time / 1e9);
        g_autofree char *after = time > 0 ? g_strconcat(" + ", length, NULL) : g_strdup("");
        g_autofree char *at =
            waits ? g_strdup_printf("%s of %s%s", event->during.phase, event->during.resize, after)
                  : g_strdup(length);
        g_autofree char *what =
            what_text(scenario, event, &sizes[eep_scenario_find_pool(scenario, event->pool)]);
        eep_command_add_line(text, "%s%s  %s: %s%s%s", i == 0 ? "\nEvents    " : "          ", at,
                             event->pool, what, event->id != NULL ? "  " : "",
                             event->id != NULL ? event->id : "");
    }
    for (guint i = 0; i < scenario->notes->len; i++)
        eep_command_add_line(text, "%s%s", i == 0 ? "\nNote      " : "          ",
                             (const char *)scenario->notes->pdata[i]);
}

static void add_traffic_text(const EepScenario *scenario, const TrafficSize *traffic, EepText *text)
{
    g_autofree char *requests = eep_human_integer((gint64)traffic->n_requests);
    g_autofree char *prompt = eep_human_count((double)traffic->prompt_tokens);
    g_autofree char *output = eep_human_count((double)traffic->output_tokens);
    g_autofree char *length = eep_human_seconds((double)run_length(scenario, traffic) / 1e9);
    double seconds = (double)MAX(traffic->last_arrival, 1) / 1e9;

    eep_command_add_line(text, "\nTraffic   %s, %s requests, %s prompt + %s output tokens",
                         traffic->format, requests, prompt, output);
    eep_command_add_line(text, "          %.3g requests/s, %.0f + %.0f tokens a request",
                         (double)traffic->n_requests / seconds,
                         (double)traffic->prompt_tokens / (double)MAX(traffic->n_requests, 1),
                         (double)traffic->output_tokens / (double)MAX(traffic->n_requests, 1));
    if (traffic->n_too_long > 0)
        eep_command_add_line(text,
                             "          %" G_GUINT64_FORMAT
                             " are longer than max_model_len: rejected, too_long",
                             traffic->n_too_long);
    if (traffic->n_never_fit > 0)
        eep_command_add_line(text,
                             "          %" G_GUINT64_FORMAT
                             " are longer than an engine's KV cache: rejected, never_fits",
                             traffic->n_never_fit);
    if (traffic->n_skipped > 0)
        eep_command_add_line(text, "          %" G_GUINT64_FORMAT " bad rows are left out",
                             traffic->n_skipped);
    eep_command_add_line(
        text, "Size      %s of simulated time%s", length,
        scenario->run.end == EEP_RUN_CUT ? "" : ", and until the last request has ended");
}

static void add_text(const EepScenario *scenario, const TrafficSize *traffic, EepText *text)
{
    eep_command_add_line(text, "%s can run.\n", scenario->name);
    eep_command_add_line(text, "Model     %s", scenario->model.name);
    eep_command_add_line(text, "Hardware  %s, %" D " node%s x %" D " = %" D " GPUs",
                         scenario->hardware.name, scenario->nodes, scenario->nodes == 1 ? "" : "s",
                         scenario->hardware.gpus_per_node,
                         scenario->nodes * scenario->hardware.gpus_per_node);
    for (guint i = 0; i < scenario->n_pools; i++)
        add_pool_text(scenario, &scenario->pools[i], text);
    add_events_text(scenario, text);
    add_traffic_text(scenario, traffic, text);
}

static void add_pool_json(const EepScenario *scenario, const EepScenarioPool *pool, EepJson *json)
{
    const EepPoolOptions *options = &pool->options;
    const EepMemoryFit *fit = &pool->memory;
    EepElasticRange range = eep_elastic_range(scenario, pool);

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "name", pool->name);
    eep_json_add_int(json, "data_parallel_size", options->data_parallel_size);
    eep_json_add_int(json, "tensor_parallel_size", options->tensor_parallel_size);
    eep_json_add_int(json, "slots_per_rank", fit->slots_per_rank);
    eep_json_add_bool(json, "is_resizable", range.is_resizable);
    eep_json_add_int(json, "min_data_parallel_size", range.least);
    eep_json_add_int(json, "max_data_parallel_size", range.most);
    eep_json_begin_object(json, "memory");
    eep_json_add_int(json, "hbm_bytes", fit->hbm_bytes);
    eep_json_add_int(json, "usable_bytes", fit->usable_bytes);
    eep_json_add_int(json, "non_expert_bytes", fit->non_expert_bytes);
    eep_json_add_int(json, "expert_bytes", fit->expert_total_bytes);
    eep_json_add_int(json, "graph_bytes", fit->graph_bytes);
    eep_json_add_int(json, "reserved_bytes", fit->reserved_bytes);
    eep_json_add_int(json, "activation_bytes", fit->activation_bytes);
    eep_json_add_int(json, "kv_bytes", fit->kv_bytes);
    eep_json_add_int(json, "kv_bytes_per_token", fit->kv_bytes_per_token);
    eep_json_add_int(json, "num_gpu_blocks", fit->num_gpu_blocks);
    eep_json_add_int(json, "block_size", fit->block_size);
    eep_json_end_object(json);
    eep_json_end_object(json);
}

static void add_event_json(const EepScenario *scenario, const EepEventOptions *event, gint64 *size,
                           EepJson *json)
{
    const EepScenarioPool *pool = &scenario->pools[eep_scenario_find_pool(scenario, event->pool)];

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "id", event->id);
    eep_json_add_string(json, "kind", eep_event_kinds[event->kind].key);
    if (event->during.resize == NULL) {
        eep_json_add_decimal(json, "at_s", event->at, 9);
    } else {
        eep_json_begin_object(json, "during");
        eep_json_add_string(json, "resize", event->during.resize);
        eep_json_add_string(json, "phase", event->during.phase);
        eep_json_add_decimal(json, "after_s", event->during.after, 9);
        eep_json_end_object(json);
    }
    eep_json_add_string(json, "pool", event->pool);
    if (event->kind == EEP_EVENT_SCALE_ELASTIC_EP) {
        gint64 to = event->scale_elastic_ep.new_data_parallel_size;
        eep_json_add_int(json, "data_parallel_size", *size);
        eep_json_add_int(json, "new_data_parallel_size", to);
        eep_json_add_int(json, "gpus", held_gpus(scenario, pool, to));
        *size = to;
    } else {
        g_autofree char *what = what_text(scenario, event, size);
        eep_json_add_string(json, "what", what);
    }
    eep_json_end_object(json);
}

static void add_events_json(const EepScenario *scenario, EepJson *json)
{
    g_autofree gint64 *sizes = g_new(gint64, scenario->n_pools);

    for (guint i = 0; i < scenario->n_pools; i++)
        sizes[i] = scenario->pools[i].options.data_parallel_size;
    eep_json_begin_array(json, "events");
    for (guint i = 0; i < scenario->n_events; i++)
        add_event_json(scenario, &scenario->events[i],
                       &sizes[eep_scenario_find_pool(scenario, scenario->events[i].pool)], json);
    eep_json_end_array(json);
    eep_json_begin_array(json, "notes");
    for (guint i = 0; i < scenario->notes->len; i++)
        eep_json_add_string(json, NULL, scenario->notes->pdata[i]);
    eep_json_end_array(json);
}

static void add_json(const EepScenario *scenario, const TrafficSize *traffic, EepText *text)
{
    EepJson json;

    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_add_string(&json, "name", scenario->name);
    eep_json_add_string(&json, "model", scenario->model.name);
    eep_json_add_string(&json, "hardware", scenario->hardware.name);
    eep_json_add_int(&json, "nodes", scenario->nodes);
    eep_json_add_int(&json, "gpus", scenario->nodes * scenario->hardware.gpus_per_node);
    eep_json_begin_array(&json, "pools");
    for (guint i = 0; i < scenario->n_pools; i++)
        add_pool_json(scenario, &scenario->pools[i], &json);
    eep_json_end_array(&json);
    add_events_json(scenario, &json);
    eep_json_begin_object(&json, "traffic");
    eep_json_add_string(&json, "format", traffic->format);
    eep_json_add_uint(&json, "requests", traffic->n_requests);
    eep_json_add_uint(&json, "prompt_tokens", traffic->prompt_tokens);
    eep_json_add_uint(&json, "output_tokens", traffic->output_tokens);
    eep_json_add_uint(&json, "too_long", traffic->n_too_long);
    eep_json_add_uint(&json, "never_fits", traffic->n_never_fit);
    eep_json_add_uint(&json, "skipped_rows", traffic->n_skipped);
    eep_json_add_decimal(&json, "last_arrival_s", traffic->last_arrival, 9);
    eep_json_end_object(&json);
    eep_json_add_decimal(&json, "simulated_s", run_length(scenario, traffic), 9);
    eep_json_end_object(&json);
}

int eep_command_check(int argc, char **argv)
{
    gboolean as_json = FALSE;
    g_auto(GStrv) sets = NULL;
    const GOptionEntry entries[] = {
        {"set", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &sets, "override one key", "KEY=VALUE"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    g_auto(EepText) text = {0};
    GError *error = NULL;
    TrafficSize traffic;
    int status;

    if (!eep_command_parse(entries, 1, 1, &argc, &argv, &status))
        return status;
    g_autofree char *path = eep_data_find_scenario(argv[1], &error);
    if (path == NULL)
        return eep_command_fail(error);
    g_autoptr(EepScenario) scenario =
        eep_scenario_load(path, eep_data_scenario_folders(), (const char *const *)sets, -1, &error);
    if (scenario == NULL || !measure_traffic(scenario, &traffic, &error) ||
        !check_skew(scenario, &error) ||
        !eep_scenario_check_length(
            scenario, MIN(run_length(scenario, &traffic), last_event(scenario, &traffic)), &error))
        return eep_command_fail(error);
    if (as_json)
        add_json(scenario, &traffic, &text);
    else
        add_text(scenario, &traffic, &text);
    return eep_command_print(&text);
}
