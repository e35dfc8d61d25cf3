#include "cli/generation_cell.h"

#include "cli/data.h"
#include "cli/simulation.h"
#include "cli/traffic.h"
#include "core/metrics.h"

#include <string.h>

/* When the resize is asked for, when the clients stop, and how long after its end the run goes on,
 * so that the first tokens after it are seen. */
#define AT    "1min"
#define UNTIL (20 * 60 * EEP_NS_PER_S)
#define AFTER (2 * EEP_NS_PER_S)

/* Light: by the length of a request alone, one is in flight. Heavy: half of what nixl_ep completes
 * when there is always work, 18 and 3.4 requests per second and engine. */
const EepGenerationSetting eep_generation_settings[EEP_GENERATION_N_SETTINGS] = {
    {"resize-v2-lite", 8, 64, "0.7/s", "9/s", 9.0},
    {"resize-v3-gb200", 24, 128, "0.24/s", "1.7/s", 1.7},
};

const EepGenerationStep eep_generation_steps[EEP_GENERATION_N_STEPS] = {
    {"4-5", 0, 4, 5}, {"5-4", 0, 5, 4},     {"4-8", 0, 4, 8},
    {"8-4", 0, 8, 4}, {"16-24", 1, 16, 24}, {"24-16", 1, 24, 16},
};

const char *const eep_generation_traffics[EEP_GENERATION_N_TRAFFICS] = {"no", "light", "heavy"};

const EepAll2allBackend eep_generation_backends[EEP_GENERATION_N_BACKENDS] = {
    EEP_ALL2ALL_NIXL_EP, EEP_ALL2ALL_ALLGATHER_REDUCESCATTER};

gboolean eep_generation_allows(const EepGeneration *generation, const EepAll2all *backend)
{
    if (!generation->needs_elastic)
        return TRUE;
    return backend->is_elastic && (generation->needs != EEP_NEEDS_MASK || backend->can_mask) &&
           (generation->needs != EEP_NEEDS_REUSE || backend->keeps_graphs);
}

const char *eep_generation_cell_name(const EepGenerationCell *cell)
{
    if (cell->refit)
        return "restart refit";
    return strcmp(cell->generation->name, "eep") == 0 ? "eep *" : cell->generation->name;
}

static void add_traffic(GStrvBuilder *sets, const EepGenerationCell *cell)
{
    const EepGenerationSetting *setting = &eep_generation_settings[cell->step->setting];
    double heavy = setting->heavy_rate * MIN(cell->step->from, cell->step->to);
    g_autofree char *heavy_rate = g_strdup_printf("traffic.synthetic.rate=%.1f/s", heavy);
    g_autofree char *light_rate = g_strdup_printf("traffic.synthetic.rate=%s", setting->light);

    /* A deployment that nobody has ever asked anything knows no load: one request, long before. */
    g_strv_builder_add_many(
        sets,
        cell->traffic == EEP_GENERATION_HEAVY   ? heavy_rate
        : cell->traffic == EEP_GENERATION_LIGHT ? light_rate
                                                : "traffic.synthetic.rate=1/s",
        cell->traffic == EEP_GENERATION_HEAVY ? "traffic.synthetic.arrivals=poisson"
                                              : "traffic.synthetic.arrivals=constant",
        cell->traffic == EEP_GENERATION_IDLE ? "traffic.synthetic.duration=0s"
                                             : "traffic.synthetic.duration=20min",
        NULL);
    if (cell->traffic == EEP_GENERATION_IDLE)
        g_strv_builder_add(sets, "traffic.synthetic.requests=1");
}

static void add_printed(GStrvBuilder *sets, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void add_printed(GStrvBuilder *sets, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_strv_builder_add(sets, text);
}

char **eep_generation_cell_sets(const EepGenerationCell *cell, gint64 n_experts,
                                const char *constant)
{
    const EepGenerationSetting *setting = &eep_generation_settings[cell->step->setting];
    gint64 slots = (n_experts + setting->launch_redundant) / setting->launch_engines;
    GStrvBuilder *sets = g_strv_builder_new();

    add_printed(sets, "deployment.data_parallel_size=%u", cell->step->from);
    add_printed(sets, "deployment.eplb_config.num_redundant_experts=%" G_GINT64_FORMAT,
                slots * cell->step->from - n_experts);
    add_printed(sets, "deployment.all2all_backend=%s", eep_all2all((gint)cell->backend)->name);
    add_printed(sets, "deployment.resize.generation=%s", cell->generation->name);
    if (cell->generation->has_reserve)
        add_printed(sets, "deployment.resize.reserve=%u", setting->launch_engines);
    if (cell->refit)
        g_strv_builder_add(sets, "deployment.resize.restart.refit=true");
    add_traffic(sets, cell);
    add_printed(sets,
                "events=[{id: resize, at: " AT ", scale_elastic_ep: {new_data_parallel_size: %u}}]",
                cell->step->to);
    g_strv_builder_add(sets, "measure.warmup=0s");
    if (constant != NULL)
        g_strv_builder_add(sets, constant);
    char **made = g_strv_builder_end(sets);
    g_strv_builder_unref(sets);
    return made;
}

/* -- the run ----------------------------------------------------------------------------------- */

/* Sees the resize end. */
typedef struct {
    EepObserver base;
    EepResizeRecord record;
    EepTime stop;
} Watch;

static void watch_resize_ended(EepObserver *self, const EepResizeRecord *record)
{
    Watch *watch = (Watch *)self;
    EepTime end = record->complete != EEP_TIME_NEVER ? record->complete : record->requested;

    watch->record = *record;
    watch->stop = end + AFTER;
}

static gboolean go_on(gpointer self, EepTime now, guint64 n_submitted)
{
    const Watch *watch = self;

    return now < watch->stop;
}

/* To an interval after the resize: that is when the tokens come that waited for its end. */
static EepTime max_gap(const EepMetrics *metrics, const EepResizeRecord *record)
{
    const EepMetricsRow *rows = eep_metrics_rows(metrics, record->pool);
    gsize n_rows = eep_metrics_n_rows(metrics);
    EepTime bucket = eep_metrics_bucket(metrics), longest = 0;

    if (record->accepted == EEP_TIME_NEVER || record->complete == EEP_TIME_NEVER)
        return 0;
    for (gsize i = (gsize)(record->accepted / bucket);
         i < n_rows && i <= (gsize)(record->complete / bucket) + 1; i++)
        longest = MAX(longest, rows[i].max_gap);
    return longest;
}

static void fill(const Watch *watch, const EepMetrics *metrics, EepGenerationResult *result)
{
    const EepResizeRecord *record = &watch->record;

    *result = (EepGenerationResult){
        .outcome = record->outcome,
        .prepare = eep_resize_record_prepare(record),
        .stall = record->stall,
        .reject = record->reject,
        .downtime = record->downtime,
        .settle = eep_resize_record_settle(record),
        .total = eep_resize_record_total(record),
        .experts_ready = eep_resize_record_experts_ready(record),
        .max_gap = max_gap(metrics, record),
        .n_rejected = record->n_rejected,
        .n_aborted = record->n_aborted,
        .n_migrated = record->n_migrated,
        .peak_extra_bytes = record->peak_extra_bytes,
    };
    g_strlcpy(result->reason, record->reason, sizeof result->reason);
}

static gboolean simulate(const EepScenario *scenario, EepGenerationResult *result, GError **error)
{
    EepObserverOps ops = eep_observer_none;
    Watch watch = {.base.ops = &ops, .stop = UNTIL};
    gboolean is_interrupted = FALSE;

    ops.name = "generations";
    ops.resize_ended = watch_resize_ended;
    eep_resize_record_init(&watch.record, 0, NULL, NULL, 0);
    g_autoptr(EepTrace) trace = eep_traffic_open(scenario, error);
    g_autoptr(EepSkewRecords) records =
        trace != NULL ? eep_skew_records_read(scenario, error) : NULL;
    if (records == NULL)
        return FALSE;
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&scenario->slo, &scenario->measure);
    EepObserver *fan = eep_observer_fan_new();
    eep_observer_fan_add(fan, eep_metrics_observer(metrics));
    eep_observer_fan_add(fan, &watch.base);
    EepExecution *simulation = eep_simulation_new(scenario, records, trace, fan, NULL, error);
    gboolean is_ok =
        simulation != NULL && eep_execution_run(simulation, go_on, &watch, &is_interrupted, error);
    if (is_ok) {
        EepMetricsEnd end = {.end_of_traffic = eep_execution_end_of_traffic(simulation),
                             .end = eep_execution_end(simulation)};
        eep_metrics_finish(metrics, &end);
        fill(&watch, metrics, result);
    }
    eep_execution_free(simulation);
    eep_observer_fan_free(fan);
    return is_ok;
}

void eep_generation_cell_run(const EepGenerationCell *cell, gint64 n_experts, const char *constant,
                             EepGenerationResult *ret_result)
{
    const char *name = eep_generation_settings[cell->step->setting].scenario;
    GError *error = NULL;
    g_auto(GStrv) sets = eep_generation_cell_sets(cell, n_experts, constant);
    g_autofree char *path = eep_data_find_bundled(name, &error);
    g_autoptr(EepScenario) scenario = path != NULL
                                          ? eep_scenario_load(path, eep_data_scenario_folders(),
                                                              (const char *const *)sets, -1, &error)
                                          : NULL;

    if (scenario == NULL || !simulate(scenario, ret_result, &error)) {
        *ret_result = (EepGenerationResult){.outcome = EEP_OUTCOME_NONE};
        g_strlcpy(ret_result->reason, error->message, sizeof ret_result->reason);
        g_error_free(error);
    }
}
