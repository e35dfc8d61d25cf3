/* Phases that events wait for, or that they break: whether the resizes and recoveries of the pool
 * have them at all, under its generation and options. */
#include "scenarios/scenario_check.h"

#include "core/resize/resize.h"
#include "core/suggest.h"
#include "scenarios/backend_traits.h"

#include <string.h>

static gboolean fail(const EepScenario *scenario, guint index, const char *key, GError **error,
                     const char *format, ...) G_GNUC_PRINTF(5, 6);

static gboolean fail(const EepScenario *scenario, guint index, const char *key, GError **error,
                     const char *format, ...)
{
    g_autofree char *path = g_strdup_printf("events.%u.%s", index, key);
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return eep_yaml_fail(scenario->document, eep_yaml_find_path(scenario->document->root, path),
                         EEP_OPTION_ERROR_BOUNDS, error, "%s", text);
}

/* "the list; try the nearest"; new string. */
static char *list_text(GPtrArray *names, const char *wanted)
{
    g_ptr_array_add(names, NULL);
    g_autofree char *list = g_strjoinv(", ", (char **)names->pdata);
    const char *nearest = eep_suggest_nearest(wanted, (const char *const *)names->pdata);

    return g_strconcat(list, nearest != NULL ? "; try " : NULL, nearest, NULL);
}

static gboolean has_name(const GPtrArray *names, const char *name)
{
    return g_ptr_array_find_with_equal_func((GPtrArray *)names, name, g_str_equal, NULL);
}

static void add_name(GPtrArray *names, const char *name)
{
    if (!has_name(names, name))
        g_ptr_array_add(names, (gpointer)name);
}

static const EepScenarioPool *pool_of(const EepScenario *scenario, const EepEventOptions *event)
{
    return &scenario->pools[eep_scenario_find_pool(scenario, event->pool)];
}

/* -- what resizes there are ------------------------------------------------------------------- */

/* EepWhen that hold of the pool. */
static guint facts_of(const EepPoolOptions *options)
{
    const EepResizeParams params = {
        .use_async = options->eplb_config.use_async,
        .captures_graphs = !options->enforce_eager,
        .weights_from = (EepWeightsFrom)options->resize.weights_from,
        .can_reuse_graphs = eep_backend_traits(options->all2all_backend)->keeps_graphs,
    };
    return eep_resize_facts(&params);
}

/* Whether the pool can be smaller than events tell it to be. */
static gboolean may_lose(const EepScenario *scenario, const EepScenarioPool *pool)
{
    EepRecovery recovery = (EepRecovery)pool->options.fault_tolerance.recovery;
    gboolean breaks = pool->options.fault_tolerance.mtbf > 0;

    for (guint i = 0; i < scenario->n_events; i++)
        breaks |= (scenario->events[i].kind == EEP_EVENT_FAIL ||
                   scenario->events[i].kind == EEP_EVENT_HANG) &&
                  strcmp(scenario->events[i].pool, pool->name) == 0;
    return breaks && (recovery == EEP_RECOVERY_SHRINK || recovery == EEP_RECOVERY_REPLACE ||
                      recovery == EEP_RECOVERY_MASK_ONLY);
}

/* Whether the resize grows or shrinks the pool: both where what came before it may have failed. */
static void directions(const EepScenario *scenario, const EepEventOptions *event, gboolean *ret_up,
                       gboolean *ret_down)
{
    const EepScenarioPool *pool = pool_of(scenario, event);
    gint64 to = event->scale_elastic_ep.new_data_parallel_size;

    *ret_up = pool->options.data_parallel_size < to || may_lose(scenario, pool);
    *ret_down = pool->options.data_parallel_size > to;
    for (guint i = 0; i < scenario->n_events; i++) {
        const EepEventOptions *before = &scenario->events[i];

        if (before == event || before->kind != EEP_EVENT_SCALE_ELASTIC_EP ||
            before->earliest > event->earliest || strcmp(before->pool, event->pool) != 0)
            continue;
        *ret_up |= before->scale_elastic_ep.new_data_parallel_size < to;
        *ret_down |= before->scale_elastic_ep.new_data_parallel_size > to;
    }
}

/* -- what phases they have -------------------------------------------------------------------- */

/* Adopting and releasing take no time and are in no record. */
static void add_rows(GPtrArray *names, const EepGenerationPlan *plan, guint facts)
{
    for (guint i = 0; i < plan->n_rows; i++) {
        const EepGenerationRow *row = &plan->rows[i];

        if (row->act != EEP_ACT_ADOPT && row->act != EEP_ACT_RELEASE && (row->when & ~facts) == 0)
            add_name(names, eep_generation_row_name(row));
    }
}

static void add_resize(GPtrArray *names, const EepPoolOptions *options, gboolean is_up,
                       gboolean is_down)
{
    const EepGeneration *generation = eep_generation_find(options->resize.generation);
    guint facts = facts_of(options);

    if (is_up)
        add_rows(names, &generation->up, facts);
    if (is_down)
        add_rows(names, &generation->down, facts);
    if ((is_up || is_down) && (generation->drains_all || options->resize.drain_requests))
        add_name(names, "drain");
    if ((is_up || is_down) && generation->pauses)
        add_name(names, "pause");
}

static gboolean check_during(const EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index], *resize = NULL;
    const EepPoolOptions *options = &pool_of(scenario, event)->options;
    const EepGeneration *generation = eep_generation_find(options->resize.generation);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    gboolean is_up, is_down;

    if (event->during.resize == NULL)
        return TRUE;
    for (guint i = 0; i < scenario->n_events; i++)
        if (scenario->events[i].kind == EEP_EVENT_SCALE_ELASTIC_EP &&
            g_strcmp0(scenario->events[i].id, event->during.resize) == 0)
            resize = &scenario->events[i];
    directions(scenario, resize, &is_up, &is_down);
    if (!is_up && !is_down)
        return fail(scenario, index, "during.resize", error,
                    "\"%s\" asks for the size that the pool has, so that none of its phases "
                    "begins: a resize to another size",
                    resize->id);
    add_name(names, "prepare");
    add_name(names, "commit");
    add_name(names, "settle");
    if (generation->rolls_back)
        add_name(names, "undo");
    add_resize(names, options, is_up, is_down);
    if (has_name(names, event->during.phase))
        return TRUE;
    g_autofree char *list = list_text(names, event->during.phase);
    return fail(scenario, index, "during.phase", error,
                "\"%s\" (%s%s%s, generation %s) has no phase \"%s\": %s", resize->id,
                is_up ? "up" : "", is_up && is_down ? " or " : "", is_down ? "down" : "",
                generation->name, event->during.phase, list);
}

/* -- phases that break ------------------------------------------------------------------------ */

static gboolean check_name(const EepScenario *scenario, guint index, const char *key,
                           const char *phase, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    gboolean is_stage = FALSE;

    for (guint i = 0; i < EEP_BREAKABLE_COUNT; i++)
        add_name(names, eep_breakable_name(i));
    if (has_name(names, phase))
        return TRUE;
    for (guint i = 0; i < EEP_STAGE_COUNT; i++)
        is_stage |= strcmp(phase, eep_stage_names[i]) == 0;
    g_autofree char *list = list_text(names, phase);
    return is_stage ? fail(scenario, index, key, error,
                           "\"%s\" is a stage of several phases, and only a phase can break: %s",
                           phase, list)
                    : fail(scenario, index, key, error,
                           "there is no phase \"%s\" that could break: %s", phase, list);
}

/* Engines agree on a pause in an all-reduce of their steps: it fails with an engine, or there is a
 * deadline for it. Without one they would go on stepping for ever. */
static gboolean check_pause(const EepScenario *scenario, guint index, const char *key,
                            const char *phase, GError **error)
{
    const EepEventOptions *event = &scenario->events[index];
    const EepPoolOptions *options = &pool_of(scenario, event)->options;

    if (strcmp(phase, "pause") != 0)
        return TRUE;
    if (!eep_generation_find(options->resize.generation)->rolls_back)
        return fail(scenario, index, key, error,
                    "generation %s has no way back from a pause that is not agreed on, and no "
                    "deadline for it, so that the run would never end: an engine that breaks "
                    "while it is agreed on; try during: {resize: ID, phase: pause}, hang: {rank: "
                    "0}",
                    options->resize.generation);
    if (event->kind == EEP_EVENT_PHASE_HANG && options->resize.commit_deadline == 0)
        return fail(scenario, index, key, error,
                    "a pause that is never agreed on has no deadline here, and the run would "
                    "never end: resize.commit_deadline above 0s; try 60s");
    return TRUE;
}

/* What the pool's resizes and recoveries do, under its options. A resize to the size that the pool
 * has is taken for one that could do anything: it may be there for another way to recover. */
static GPtrArray *phases_of_pool(const EepScenario *scenario, const EepScenarioPool *pool)
{
    const EepPoolOptions *options = &pool->options;
    EepRecovery recovery = (EepRecovery)options->fault_tolerance.recovery;
    GPtrArray *names = g_ptr_array_new();

    for (guint i = 0; i < scenario->n_events; i++) {
        const EepEventOptions *event = &scenario->events[i];
        gboolean is_up, is_down;

        if (event->kind != EEP_EVENT_SCALE_ELASTIC_EP || strcmp(event->pool, pool->name) != 0)
            continue;
        directions(scenario, event, &is_up, &is_down);
        add_resize(names, options, is_up || !is_down, is_down || !is_up);
    }
    if (recovery != EEP_RECOVERY_NONE)
        add_rows(names, &eep_generation_of_recovery(recovery)->up, facts_of(options));
    if (recovery == EEP_RECOVERY_REPLACE)
        add_resize(names, options, TRUE, FALSE);
    return names;
}

static gboolean check_broken(const EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index];
    gboolean fails = event->kind == EEP_EVENT_PHASE_FAIL;
    const char *phase = fails ? event->phase_fail.phase : event->phase_hang.phase;
    const char *key = fails ? "phase_fail.phase" : "phase_hang.phase";

    if (event->kind < EEP_EVENT_PHASE_FAIL)
        return TRUE;
    if (!check_name(scenario, index, key, phase, error) ||
        !check_pause(scenario, index, key, phase, error))
        return FALSE;
    g_autoptr(GPtrArray) names = phases_of_pool(scenario, pool_of(scenario, event));
    if (names->len == 0)
        return fail(scenario, index, key, error,
                    "pool %s is never resized and never recovers, so that no phase can break: an "
                    "event with scale_elastic_ep; try {at: 1min, scale_elastic_ep: "
                    "{new_data_parallel_size: N}}",
                    event->pool);
    if (has_name(names, phase))
        return TRUE;
    g_autofree char *list = list_text(names, phase);
    return fail(scenario, index, key, error,
                "no resize or recovery of pool %s has the phase \"%s\": %s", event->pool, phase,
                list);
}

gboolean eep_scenario_check_phases(const EepScenario *scenario, GError **error)
{
    for (guint i = 0; i < scenario->n_events; i++)
        if (!check_during(scenario, i, error) || !check_broken(scenario, i, error))
            return FALSE;
    return TRUE;
}
