/* What events mean together and with the deployment: whom they wait for and whom they name, sizes
 * that a pool can have, GPUs that there are. */
#include "scenarios/scenario_check.h"

#include "core/resize/generation.h"
#include "core/suggest.h"
#include "scenarios/backend_traits.h"

#include <string.h>

#define D G_GINT64_FORMAT

/* The longest name that a record keeps. */
#define LONGEST_ID 63

static gboolean fail(const EepScenario *scenario, const EepYaml *node, GError **error,
                     const char *format, ...) G_GNUC_PRINTF(4, 5);

static gboolean fail(const EepScenario *scenario, const EepYaml *node, GError **error,
                     const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return eep_yaml_fail(scenario->document, node, EEP_OPTION_ERROR_BOUNDS, error, "%s", text);
}

/* "events.N" or a key of it; the file's order. */
static const EepYaml *find_key(const EepScenario *scenario, guint index, const char *key)
{
    g_autofree char *path = g_strdup_printf("events.%u.%s", index, key);
    return eep_yaml_find_path(scenario->document->root, path);
}

static const EepYaml *event_node(const EepScenario *scenario, guint index, const char *key)
{
    const EepYaml *node = find_key(scenario, index, key);
    g_autofree char *event = g_strdup_printf("events.%u", index);
    return node != NULL ? node : eep_yaml_find_path(scenario->document->root, event);
}

static const EepScenarioPool *pool_of(const EepScenario *scenario, const EepEventOptions *event)
{
    return &scenario->pools[eep_scenario_find_pool(scenario, event->pool)];
}

/* -- sizes ------------------------------------------------------------------------------------ */

static gboolean refits(const EepPoolOptions *options)
{
    return options->resize.refit && eep_generation_find(options->resize.generation)->replaces_all;
}

gint64 eep_scenario_least_engines(const EepScenario *scenario, const EepScenarioPool *pool)
{
    return refits(&pool->options)
               ? 1
               : eep_memory_min_data_parallel_size(&scenario->model, &pool->options);
}

gint64 eep_scenario_most_engines(const EepScenario *scenario, const EepScenarioPool *pool)
{
    gint64 engines = pool->options.data_parallel_size;
    for (guint i = 0; i < scenario->n_events; i++)
        if (scenario->events[i].kind == EEP_EVENT_SCALE_ELASTIC_EP &&
            strcmp(scenario->events[i].pool, pool->name) == 0)
            engines = MAX(engines, scenario->events[i].scale_elastic_ep.new_data_parallel_size);
    return engines;
}

gint64 eep_scenario_gpus(const EepScenarioPool *pool, gint64 engines)
{
    const EepPoolOptions *options = &pool->options;
    if (eep_generation_find(options->resize.generation)->has_reserve)
        engines = MAX(engines, options->resize.reserve);
    return (engines + options->fault_tolerance.spare_engines) * options->tensor_parallel_size;
}

gboolean eep_scenario_fit(const EepScenario *scenario, const EepScenarioPool *pool, gint64 engines,
                          EepMemoryFit *ret_fit, GError **error)
{
    EepPoolOptions options = pool->options; /* read only: its strings stay the pool's */
    gint64 experts = scenario->model.n_routed_experts;
    gint64 ranks = engines * options.tensor_parallel_size;

    if (refits(&options)) {
        options.data_parallel_size = engines;
        options.eplb_config.num_redundant_experts = (ranks - experts % ranks) % ranks;
    }
    return eep_memory_fit(&scenario->model, &scenario->hardware, &options, ranks, ret_fit, error);
}

gboolean eep_scenario_check_ranks(const EepScenario *scenario, const EepPoolOptions *options,
                                  gint64 ranks, const EepYaml *node, GError **error)
{
    const EepBackendTraits *backend = eep_backend_traits(options->all2all_backend);
    const char *name = eep_backend_name(options->all2all_backend);
    gint64 domain = scenario->hardware.gpus_per_node;

    if (backend->max_ranks > 0 && ranks > backend->max_ranks)
        return fail(scenario, node, error,
                    "%" D " ranks are too many for %s: at most %u (its buffers are sized for "
                    "them); try allgather_reducescatter",
                    ranks, name, backend->max_ranks);
    if (backend->in_one_domain && ranks > domain)
        return fail(scenario, node, error,
                    "%" D " ranks do not fit one NVLink domain, which %s needs: at most %" D
                    " on %s; try nixl_ep",
                    ranks, name, domain, scenario->hardware.name);
    return TRUE;
}

static gboolean check_size(const EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index];
    const EepScenarioPool *pool = pool_of(scenario, event);
    const EepPoolOptions *options = &pool->options;
    const EepGeneration *generation = eep_generation_find(options->resize.generation);
    const EepYaml *node = event_node(scenario, index, "scale_elastic_ep.new_data_parallel_size");
    gint64 size = event->scale_elastic_ep.new_data_parallel_size;
    gint64 least = eep_scenario_least_engines(scenario, pool);
    EepMemoryFit fit;
    GError *cause = NULL;

    if (!options->enable_elastic_ep && generation->needs_elastic)
        return fail(scenario, node, error,
                    "pool \"%s\" cannot be resized: enable_elastic_ep: true, or "
                    "resize.generation: restart",
                    pool->name);
    if (size < 1)
        return fail(scenario, node, error, "new_data_parallel_size is %" D ": at least 1", size);
    if (size < least)
        return fail(scenario, node, error,
                    "%" D " engines x %" D " slots hold %" D " of %" D
                    " experts: minimum is ceil(%" D " * %" D " / (%" D " + %" D ")) = %" D
                    "; try more num_redundant_experts at the start",
                    size, pool->memory.slots_per_rank * options->tensor_parallel_size,
                    size * pool->memory.slots_per_rank * options->tensor_parallel_size,
                    scenario->model.n_routed_experts, scenario->model.n_routed_experts,
                    options->data_parallel_size, scenario->model.n_routed_experts,
                    options->eplb_config.num_redundant_experts, least);
    if (generation->has_reserve && options->resize.reserve > 0 && size > options->resize.reserve)
        return fail(scenario, node, error,
                    "generation %s runs the engines of its reserve and no more: at most %" D
                    "; try resize.reserve: %" D,
                    generation->name, options->resize.reserve, size);
    if (!eep_hardware_is_constant(&scenario->hardware) &&
        !eep_scenario_fit(scenario, pool, size, &fit, &cause))
        return eep_yaml_fail_with(scenario->document, node, cause, error);
    return eep_scenario_check_ranks(scenario, options, size * options->tensor_parallel_size, node,
                                    error);
}

static gboolean check_nodes(EepScenario *scenario, GError **error)
{
    gint64 domain = scenario->hardware.gpus_per_node, gpus = 0, spares = 0;
    const EepYaml *node = eep_yaml_find_path(scenario->document->root, "hardware.nodes");

    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepScenarioPool *pool = &scenario->pools[i];
        gpus += eep_scenario_gpus(pool, eep_scenario_most_engines(scenario, pool));
        spares += pool->options.fault_tolerance.spare_engines * pool->options.tensor_parallel_size;
    }
    gint64 needed = (gpus + domain - 1) / domain;
    if (node == NULL)
        scenario->nodes = needed;
    if (scenario->nodes >= needed)
        return TRUE;
    g_autofree char *of_them =
        spares > 0 ? g_strdup_printf(" (%" D " of them spare)", spares) : g_strdup("");
    return fail(scenario, node, error,
                "the deployment and its events need %" D " GPUs%s, %" D " node%s x %" D
                " GPUs are %" D ": at least %" D " nodes; try nodes: %" D,
                gpus, of_them, scenario->nodes, scenario->nodes == 1 ? "" : "s", domain,
                scenario->nodes * domain, needed, needed);
}

/* -- what, when and where --------------------------------------------------------------------- */

static gboolean check_kind(EepScenario *scenario, guint index, GError **error)
{
    EepEventOptions *event = &scenario->events[index];
    const EepYaml *whole = event_node(scenario, index, "");
    const char *first = NULL;
    GString *forms = g_string_new(NULL);
    g_autofree char *list = NULL;

    for (guint i = 0; i < EEP_EVENT_KIND_COUNT; i++)
        g_string_append_printf(forms, "%s%s", i == 0 ? "" : ", ", eep_event_kinds[i].key);
    list = g_string_free(forms, FALSE);
    for (guint i = 0; i < EEP_EVENT_KIND_COUNT; i++) {
        if (eep_yaml_find(whole, eep_event_kinds[i].key) == NULL)
            continue;
        if (first != NULL)
            return fail(scenario, event_node(scenario, index, eep_event_kinds[i].key), error,
                        "the event says two things to do, %s and %s: one of %s; try two events",
                        first, eep_event_kinds[i].key, list);
        first = eep_event_kinds[i].key;
        event->kind = (EepScenarioEventKind)i;
    }
    if (first == NULL)
        return fail(scenario, whole, error, "the event says nothing to do: one of %s; try %s: %s",
                    list, eep_event_kinds[0].key, eep_event_kinds[0].form);
    if (event->id != NULL && strlen(event->id) > LONGEST_ID)
        return fail(scenario, event_node(scenario, index, "id"), error,
                    "the id is too long: at most %d bytes", LONGEST_ID);
    for (guint i = 0; event->id != NULL && i < index; i++)
        if (g_strcmp0(scenario->events[i].id, event->id) == 0)
            return fail(scenario, event_node(scenario, index, "id"), error,
                        "two events are called \"%s\": an id of its own", event->id);
    return TRUE;
}

/* The scale event of that id; NULL with an error that lists them. */
static const EepEventOptions *find_resize(const EepScenario *scenario, const char *id,
                                          const EepYaml *node, GError **error)
{
    g_autoptr(GPtrArray) ids = g_ptr_array_new();

    for (guint i = 0; i < scenario->n_events; i++) {
        const EepEventOptions *event = &scenario->events[i];
        if (event->kind != EEP_EVENT_SCALE_ELASTIC_EP || event->id == NULL)
            continue;
        if (strcmp(event->id, id) == 0)
            return event;
        g_ptr_array_add(ids, event->id);
    }
    g_ptr_array_add(ids, NULL);
    g_autofree char *list = ids->len > 1 ? g_strjoinv(", ", (char **)ids->pdata) : NULL;
    const char *nearest = eep_suggest_nearest(id, (const char *const *)ids->pdata);
    fail(scenario, node, error, "no event with scale_elastic_ep has the id \"%s\": %s%s%s", id,
         list != NULL ? list : "an event with id and scale_elastic_ep",
         nearest != NULL ? "; try " : "", nearest != NULL ? nearest : "");
    return NULL;
}

static gboolean check_pool_name(EepScenario *scenario, guint index, GError **error)
{
    EepEventOptions *event = &scenario->events[index];

    if (event->pool == NULL && scenario->n_pools > 1)
        return fail(scenario, event_node(scenario, index, ""), error,
                    "the event names no pool, and there are %u: pool: NAME", scenario->n_pools);
    if (event->pool == NULL)
        event->pool = g_strdup(scenario->pools[0].name);
    if (eep_scenario_find_pool(scenario, event->pool) < 0)
        return fail(scenario, event_node(scenario, index, "pool"), error,
                    "there is no pool \"%s\": a pool of the deployment; try %s", event->pool,
                    scenario->pools[0].name);
    return TRUE;
}

static gboolean check_during(EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index], *resize;
    const EepYaml *node = event_node(scenario, index, "during");

    if (event->during.resize == NULL || event->during.phase == NULL)
        return fail(scenario, node, error,
                    "during is not whole: {resize: ID, phase: NAME}; try {resize: ID, phase: "
                    "commit, after: 200ms}");
    resize = find_resize(scenario, event->during.resize,
                         event_node(scenario, index, "during.resize"), error);
    if (resize == NULL)
        return FALSE;
    if (strcmp(resize->pool, event->pool) != 0)
        return fail(scenario, node, error,
                    "\"%s\" resizes pool %s, and the event is of pool %s: a resize of its pool",
                    resize->id, resize->pool, event->pool);
    return TRUE;
}

static gboolean check_time(EepScenario *scenario, guint index, GError **error)
{
    const EepYaml *at = find_key(scenario, index, "at");
    const EepYaml *during = find_key(scenario, index, "during");

    if (at == NULL && during == NULL)
        return fail(scenario, event_node(scenario, index, ""), error,
                    "the event has no time: at: TIME, or during: {resize: ID, phase: NAME}");
    if (at != NULL && during != NULL)
        return fail(scenario, during, error, "the event has two times, at and during: one of them");
    return during == NULL || check_during(scenario, index, error);
}

/* Follows what the event waits for up to an event with a time of its own. */
static gboolean resolve_earliest(EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index];
    EepTime earliest = 0;

    for (guint steps = 0; event->during.resize != NULL; steps++) {
        if (steps == scenario->n_events)
            return fail(scenario, event_node(scenario, index, "during.resize"), error,
                        "the event waits for a resize that waits for itself: one that has a time");
        earliest = eep_time_after(earliest, event->during.after);
        event = find_resize(scenario, event->during.resize, NULL, NULL);
    }
    scenario->events[index].earliest = eep_time_after(event->at, earliest);
    return TRUE;
}

/* -- faults ----------------------------------------------------------------------------------- */

static gboolean check_target(EepScenario *scenario, guint index, GError **error)
{
    EepEventOptions *event = &scenario->events[index];
    const char *kind = eep_event_kinds[event->kind].key;
    guint n = 0;

    for (guint i = 0; i < G_N_ELEMENTS(eep_event_targets); i++) {
        g_autofree char *key = g_strconcat(kind, ".", eep_event_targets[i], NULL);
        if (find_key(scenario, index, key) == NULL)
            continue;
        event->target = (EepFaultTarget)i;
        n++;
    }
    return n == 1 || fail(scenario, event_node(scenario, index, kind), error,
                          "\"%s\" names %s: one of rank, engine or node; try {rank: 0}", kind,
                          n == 0 ? "nobody" : "more than one");
}

/* Keys without which the fault says too little. */
static gboolean check_required(const EepScenario *scenario, guint index, GError **error)
{
    static const char *const required[][2] = {
        {"slow", "factor"},      {"link", "node"},        {"link", "bandwidth_factor"},
        {"phase_fail", "phase"}, {"phase_hang", "phase"}, {"cancel", "resize"},
    };
    const EepEventKindName *kind = &eep_event_kinds[scenario->events[index].kind];

    for (guint i = 0; i < G_N_ELEMENTS(required); i++) {
        g_autofree char *key = g_strconcat(kind->key, ".", required[i][1], NULL);
        if (strcmp(required[i][0], kind->key) == 0 && find_key(scenario, index, key) == NULL)
            return fail(scenario, event_node(scenario, index, kind->key), error,
                        "\"%s\" has no %s: %s: %s", kind->key, required[i][1], kind->key,
                        kind->form);
    }
    return TRUE;
}

/* Somebody who is never there cannot break. */
static gboolean check_index(const EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index];
    const EepScenarioPool *pool = pool_of(scenario, event);
    gint64 engines = eep_scenario_most_engines(scenario, pool);
    EepFault fault = eep_event_fault(event);
    const gint64 counts[] = {
        [EEP_FAULT_OF_RANK] = engines * pool->options.tensor_parallel_size,
        [EEP_FAULT_OF_ENGINE] = engines,
        [EEP_FAULT_OF_NODE] = scenario->nodes,
    };
    const char *who = eep_event_targets[fault.target];
    g_autofree char *key = g_strconcat(eep_event_kinds[event->kind].key, ".", who, NULL);

    if (event->kind > EEP_EVENT_LINK || fault.index < counts[fault.target])
        return TRUE;
    return fail(scenario, event_node(scenario, index, key), error,
                "there is no %s %u at any time: 0 to %" D, who, fault.index,
                counts[fault.target] - 1);
}

/* Only a generation with a way back gives a phase up by itself. */
static gboolean bounds_phases(const EepPoolOptions *options)
{
    const EepGeneration *generation = eep_generation_find(options->resize.generation);

    return generation != NULL && generation->rolls_back && options->resize.prepare_deadline > 0 &&
           options->resize.commit_deadline > 0;
}

/* A rank that is lost and never missed would stop the run for good, and so would a phase that hangs
 * or that leaves the group stuck. Without a recovery nobody looks but the watchdog of the
 * collectives. */
static gboolean check_detection(const EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index];
    const EepPoolOptions *options = &pool_of(scenario, event)->options;
    const EepTime *detect = options->fault_tolerance.detect;
    gboolean looks = options->fault_tolerance.recovery != EEP_RECOVERY_NONE;
    gboolean dies = event->kind == EEP_EVENT_FAIL;
    gboolean masks = eep_backend_traits(options->all2all_backend)->can_mask;
    gboolean is_phase = event->kind == EEP_EVENT_PHASE_FAIL || event->kind == EEP_EVENT_PHASE_HANG;

    if (!dies && event->kind != EEP_EVENT_HANG && !is_phase)
        return TRUE;
    if (is_phase && (bounds_phases(options) || (looks && event->kind == EEP_EVENT_PHASE_FAIL)))
        return TRUE;
    if (detect[EEP_DETECT_WATCHDOG] > 0 ||
        (looks && !is_phase &&
         ((dies && detect[EEP_DETECT_PROCESS_EXIT] > 0) || detect[EEP_DETECT_HEARTBEAT] > 0 ||
          (masks && detect[EEP_DETECT_ALL2ALL_TIMEOUT] > 0))))
        return TRUE;
    return fail(scenario, event_node(scenario, index, eep_event_kinds[event->kind].key), error,
                "nobody would ever find out, and the run would never end: %s above 0s; try "
                "fault_tolerance.detect.watchdog: 10min",
                is_phase ? "the watchdog"
                : looks  ? "one of fault_tolerance.detect"
                         : "without a recovery the watchdog");
}

static gboolean check_fault(EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index];

    if (event->kind < EEP_EVENT_FAIL)
        return TRUE;
    if (event->kind <= EEP_EVENT_SLOW && !check_target(scenario, index, error))
        return FALSE;
    if (event->kind > EEP_EVENT_LINK)
        return check_detection(scenario, index, error);
    return check_index(scenario, index, error) && check_detection(scenario, index, error);
}

static gboolean check_cancel(const EepScenario *scenario, guint index, GError **error)
{
    const EepEventOptions *event = &scenario->events[index], *resize;
    const EepYaml *node = event_node(scenario, index, "cancel.resize");
    const EepGeneration *generation =
        eep_generation_find(pool_of(scenario, event)->options.resize.generation);

    if (event->kind != EEP_EVENT_CANCEL)
        return TRUE;
    resize = find_resize(scenario, event->cancel.resize, node, error);
    if (resize == NULL)
        return FALSE;
    if (strcmp(resize->pool, event->pool) != 0)
        return fail(scenario, node, error,
                    "\"%s\" resizes pool %s, and the event is of pool %s: a resize of its pool",
                    resize->id, resize->pool, event->pool);
    return generation->rolls_back ||
           fail(scenario, node, error,
                "generation %s has no way back, so that nothing can be cancelled: a generation "
                "that rolls back; try generation: eep",
                generation->name);
}

/* A process that is gone is not among the members that try again. */
static void note_retries(EepScenario *scenario)
{
    for (guint i = 0; i < scenario->n_pools; i++) {
        const EepScenarioPool *pool = &scenario->pools[i];
        gboolean dies = pool->options.fault_tolerance.mtbf > 0;
        for (guint j = 0; j < scenario->n_events; j++)
            dies |= scenario->events[j].kind == EEP_EVENT_FAIL &&
                    strcmp(scenario->events[j].pool, pool->name) == 0;
        if (dies && pool->options.fault_tolerance.recovery == EEP_RECOVERY_RETRY)
            eep_scenario_note(scenario,
                              "recovery retry brings no dead process back, only one that hung");
    }
}

gboolean eep_scenario_check_events(EepScenario *scenario, GError **error)
{
    for (guint i = 0; i < scenario->n_events; i++)
        if (!check_kind(scenario, i, error) || !check_pool_name(scenario, i, error) ||
            !check_required(scenario, i, error))
            return FALSE;
    for (guint i = 0; i < scenario->n_events; i++)
        if (!check_time(scenario, i, error) ||
            (scenario->events[i].kind == EEP_EVENT_SCALE_ELASTIC_EP &&
             !check_size(scenario, i, error)))
            return FALSE;
    if (!check_nodes(scenario, error))
        return FALSE;
    for (guint i = 0; i < scenario->n_events; i++)
        if (!resolve_earliest(scenario, i, error) || !check_fault(scenario, i, error) ||
            !check_cancel(scenario, i, error))
            return FALSE;
    note_retries(scenario);
    return eep_scenario_check_phases(scenario, error);
}
