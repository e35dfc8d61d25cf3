#include "cli/twin.h"

#include "cli/traffic.h"
#include "core/resize/generation.h"

#define GENERATION "instant"

/* Sees whether the twin's resizes happen. */
typedef struct {
    EepObserver base;
    guint n_ended;
    char *missing; /* what the first that did not says; NULL: all did */
} Watch;

static void watch_resize_ended(EepObserver *self, const EepResizeRecord *record)
{
    Watch *watch = (Watch *)self;

    watch->n_ended++;
    if (record->outcome != EEP_OUTCOME_COMPLETE && record->outcome != EEP_OUTCOME_NOOP &&
        watch->missing == NULL)
        watch->missing = g_strdup_printf("no twin: it cannot be resized from %u to %u at once: %s",
                                         record->from, record->to, record->reason);
}

static EepObserverOps watch_ops(void)
{
    EepObserverOps ops = eep_observer_none;

    ops.name = "twin";
    ops.resize_ended = watch_resize_ended;
    return ops;
}

/* What the run accepted and completed, but no recovery: without faults there is nothing to recover
 * from. */
static gboolean is_in_twin(const EepResizeRecord *resize)
{
    return resize->accepted != EEP_TIME_NEVER && resize->outcome == EEP_OUTCOME_COMPLETE &&
           eep_generation_find(resize->generation) != NULL;
}

static void copy_resizes(EepScenario *scenario, const EepMetrics *metrics)
{
    guint n = eep_metrics_n_resizes(metrics);

    for (guint i = 0; i < scenario->n_events; i++)
        eep_options_clear(&eep_event_options, &scenario->events[i]);
    g_free(scenario->events);
    scenario->events = g_new0(EepEventOptions, n);
    scenario->n_events = 0;
    for (guint i = 0; i < n; i++) {
        const EepResizeRecord *resize = eep_metrics_resize(metrics, i);
        if (!is_in_twin(resize))
            continue;
        EepEventOptions *event = &scenario->events[scenario->n_events++];
        event->kind = EEP_EVENT_SCALE_ELASTIC_EP;
        event->at = resize->accepted;
        event->id = g_strdup(resize->id);
        event->pool = g_strdup(scenario->pools[resize->pool].name);
        event->scale_elastic_ep.new_data_parallel_size = resize->to;
    }
}

static void make_twin(EepScenario *scenario, const EepMetrics *metrics)
{
    copy_resizes(scenario, metrics);
    for (guint i = 0; i < scenario->n_pools; i++) {
        EepPoolOptions *options = &scenario->pools[i].options;
        g_free(options->resize.generation);
        options->resize.generation = g_strdup(GENERATION);
        options->resize.drain_requests = FALSE;
        options->resize.prepare_deadline = options->resize.commit_deadline = 0;
        options->fault_tolerance.mtbf = 0;
    }
    scenario->hardware.control_latency = 0;
}

/* When the next resize was accepted, of any pool. */
static EepTime next_after(const EepMetrics *metrics, EepTime accepted)
{
    EepTime next = EEP_TIME_NEVER;

    for (guint i = 0; i < eep_metrics_n_resizes(metrics); i++) {
        EepTime at = eep_metrics_resize(metrics, i)->accepted;
        if (at != EEP_TIME_NEVER && at > accepted && (next == EEP_TIME_NEVER || at < next))
            next = at;
    }
    return next;
}

static void compare(EepTwin *twin, const EepMetrics *metrics, const EepTokenCurve *curve,
                    const EepTokenCurve *other)
{
    guint n = eep_metrics_n_resizes(metrics);

    twin->figures = g_new0(EepTwinFigures, n);
    for (guint i = 0; i < n; i++) {
        const EepResizeRecord *resize = eep_metrics_resize(metrics, i);
        EepTime until = resize->serving;
        if (until == EEP_TIME_NEVER)
            until = resize->complete;
        if (until == EEP_TIME_NEVER)
            until = resize->accepted;
        if (resize->accepted != EEP_TIME_NEVER)
            twin->figures[i] = eep_token_curve_compare(curve, other, resize->accepted, until,
                                                       next_after(metrics, resize->accepted));
    }
}

gboolean eep_twin_run(EepTwin *twin, EepScenario *scenario, const EepSkewRecords *records,
                      const EepMetrics *metrics, const EepTokenCurve *curve,
                      EepExecutionProgress progress, gpointer self, gboolean *ret_interrupted,
                      GError **error)
{
    const EepObserverOps ops = watch_ops();
    Watch watch = {.base.ops = &ops};

    *twin = (EepTwin){0};
    *ret_interrupted = FALSE;
    if (eep_metrics_n_resizes(metrics) == 0)
        return TRUE;
    make_twin(scenario, metrics);
    g_autoptr(EepTrace) trace = eep_traffic_open(scenario, error);
    if (trace == NULL)
        return FALSE;
    g_autoptr(EepTokenCurve) other = eep_token_curve_new();
    EepObserver *fan = eep_observer_fan_new();
    eep_observer_fan_add(fan, eep_token_curve_observer(other));
    eep_observer_fan_add(fan, &watch.base);
    EepExecution *simulation = eep_simulation_new(scenario, records, trace, fan, NULL, error);
    gboolean is_ok =
        simulation != NULL && eep_execution_run(simulation, progress, self, ret_interrupted, error);
    if (is_ok && !*ret_interrupted && watch.missing == NULL && watch.n_ended < scenario->n_events)
        watch.missing = g_strdup_printf("no twin: %u of its %u resizes did not end",
                                        scenario->n_events - watch.n_ended, scenario->n_events);
    if (is_ok && watch.missing != NULL)
        twin->note = g_steal_pointer(&watch.missing);
    else if (is_ok && !*ret_interrupted) {
        eep_token_curve_finish(other);
        compare(twin, metrics, curve, other);
    }
    eep_execution_free(simulation);
    eep_observer_fan_free(fan);
    g_free(watch.missing);
    return is_ok;
}

void eep_twin_clear(EepTwin *twin)
{
    g_free(twin->figures);
    g_free(twin->note);
    *twin = (EepTwin){0};
}
