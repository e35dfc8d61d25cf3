#include "sim/explore_search.h"

#include <string.h>

#include "sim/explore_event.h"
#include "sim/explore_frontier.h"
#include "sim/explore_table.h"

#define MAX_DEPTH 4096
/* Events of the walk to a state at rest, drains that are polled and steps included. */
#define MAX_WALK 2048

typedef struct {
    const EepExploreOptions *options;
    EepExploreRig *rig;
    EepExploreTable table;
    EepExploreTable rests; /* by the name that they have in the reduced space */
    EepExploreFrontier now, next;
    EepExploreResult *result;
    gpointer state, successor;
    guint8 path[MAX_DEPTH];
    guint depth;
    EepExploreEvent event; /* the one that is applied */
} Search;

void eep_explore_setting_init(EepExploreSetting *setting, const char *generation, guint n_engines,
                              guint target, guint max_engines, guint n_faults)
{
    EepResizeParams *params = &setting->params;

    memset(setting, 0, sizeof *setting);
    eep_resize_params_init(params);
    params->generation = generation;
    params->max_engines = max_engines;
    params->n_experts = 2;
    params->slots_per_rank = 2;
    params->all2all_backend = "nixl_ep";
    params->can_mask = TRUE;
    params->can_reuse_graphs = TRUE;
    /* Whether a step's end is a check is an event of its own. */
    params->consensus_cadence = 2;
    setting->n_engines = n_engines;
    setting->target = target;
    setting->max_engines = max_engines;
    setting->n_faults = n_faults;
    setting->n_requests = 1;
    setting->is_reduced = TRUE;
    setting->recovery = EEP_RECOVERY_SHRINK;
    /* Only what can be rolled back has deadlines. */
    if (eep_generation_find(generation) != NULL && eep_generation_find(generation)->rolls_back)
        for (guint i = 0; i < EEP_WAIT_COUNT; i++)
            params->deadline[i] = EEP_NS_PER_S;
}

/* -- one event -- */

static void apply(gpointer data)
{
    Search *search = data;

    eep_explore_apply(search->rig, search->event);
}

static void step(Search *search, EepExploreEvent event)
{
    char message[256];

    search->event = event;
    search->result->n_transitions++;
    if (search->options->guard == NULL)
        apply(search);
    else if (!search->options->guard(apply, search, message))
        eep_explore_violate(search->rig, "assertion failed: %s", message);
}

/* -- violations -- */

static void add_event(GPtrArray *path, const EepExploreRig *rig, EepExploreEvent event)
{
    GString *text = g_string_new(NULL);

    eep_explore_event_print(rig, event, text);
    g_ptr_array_add(path, g_string_free(text, FALSE));
}

/* The events again from the first state, now in words. */
static void report(Search *search, guint depth, const char *violation)
{
    EepExploreResult *result = search->result;
    EepExploreEvent events[EEP_EXPLORE_MAX_EVENTS];
    guint n_due;
    g_autoptr(GError) error = NULL;
    EepExploreRig *rig = eep_explore_rig_new(search->rig->setting, search->rig->plant, &error);

    g_assert_no_error(error);
    result->verdict = EEP_EXPLORE_VIOLATED;
    g_strlcpy(result->violation, violation, sizeof result->violation);
    result->path = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < depth; i++) {
        eep_explore_events(rig, events, &n_due);
        add_event(result->path, rig, events[search->path[i]]);
        /* The last one is where it fails, perhaps in an assertion. */
        if (i + 1 < depth)
            eep_explore_apply(rig, events[search->path[i]]);
    }
    eep_explore_rig_free(rig);
}

/* -- from every state one at rest can be reached -- */

static gboolean has_name(const EepExploreHash *names, guint n, EepExploreHash name)
{
    for (guint i = 0; i < n; i++)
        if (names[i].high == name.high && names[i].low == name.low)
            return TRUE;
    return FALSE;
}

/* Lets a fair world go on from the rig's state until it rests, or comes to a state that is known
 * to. All states of the walk then are. What the order of the list goes round in circles with is
 * tried in turns; the report ends where the circle first closed. */
static gboolean walk(Search *search)
{
    EepExploreEvent events[EEP_EXPLORE_MAX_EVENTS];
    EepExploreHash names[MAX_WALK];
    guint n = 0, n_due, before, circle = 0;

    for (;;) {
        if (n == MAX_WALK || search->depth + n + 1 >= MAX_DEPTH) {
            report(search, search->depth + circle, "I8: no state at rest is ever reached");
            return FALSE;
        }
        names[n] = eep_explore_hash(search->rig, search->rig->setting->is_reduced);
        if (circle == 0 && has_name(names, n, names[n]))
            circle = n;
        if (eep_explore_table_marks(&search->table, names[n]) & EEP_EXPLORE_ENDS)
            break;
        eep_explore_events(search->rig, events, &n_due);
        n++;
        if (n_due == 0)
            break;
        search->path[search->depth + n - 1] = (guint8)(circle > 0 ? n % n_due : 0);
        step(search, events[search->path[search->depth + n - 1]]);
        /* It will be found, and by the shortest way, when its own turn comes. */
        if (search->rig->violation[0] != '\0')
            break;
    }
    for (guint i = 0; i < n; i++)
        if (!eep_explore_table_mark(&search->table, names[i], EEP_EXPLORE_ENDS, &before))
            return FALSE;
    return TRUE;
}

/* -- the search -- */

static gboolean out_of_memory(Search *search)
{
    search->result->verdict = EEP_EXPLORE_OUT_OF_MEMORY;
    return FALSE;
}

static gboolean rest(Search *search)
{
    guint flaw = eep_explore_check_rest(search->rig), before;
    EepExploreResult *result = search->result;
    EepExploreHash name;

    if (search->rig->violation[0] != '\0') {
        report(search, search->depth, search->rig->violation);
        return FALSE;
    }
    name = eep_explore_hash(search->rig, TRUE);
    if (!eep_explore_table_mark(&search->rests, name, EEP_EXPLORE_VISITED, &before))
        return out_of_memory(search);
    if (before & EEP_EXPLORE_VISITED)
        return TRUE;
    result->n_rests++;
    result->n_outcomes[search->rig->world.outcome]++;
    result->rests += name.high;
    if (flaw < eep_explore_n_flaws)
        result->n_flawed[flaw]++;
    return TRUE;
}

/* Follows one event from `state`. */
static gboolean follow(Search *search, EepExploreEvent event, guint choice)
{
    guint64 bytes;
    guint before = 0;

    eep_explore_rig_load(search->rig, search->state);
    search->path[search->depth] = (guint8)choice;
    step(search, event);
    if (search->rig->violation[0] == '\0' &&
        !eep_explore_table_mark(&search->table,
                                eep_explore_hash(search->rig, search->rig->setting->is_reduced),
                                EEP_EXPLORE_VISITED, &before))
        return out_of_memory(search);
    /* States of one name are alike: one is checked for all. */
    if (search->rig->violation[0] == '\0' && !(before & EEP_EXPLORE_VISITED))
        eep_explore_check(search->rig);
    if (search->rig->violation[0] != '\0') {
        report(search, search->depth + 1, search->rig->violation);
        return FALSE;
    }
    if (before & EEP_EXPLORE_VISITED)
        return TRUE;
    eep_explore_rig_save(search->rig, search->successor);
    eep_explore_frontier_push(&search->next, search->successor, search->path, search->depth + 1);
    bytes = eep_explore_table_bytes(&search->table) + search->now.n_bytes + search->next.n_bytes;
    search->result->peak_bytes = MAX(search->result->peak_bytes, bytes);
    return bytes <= search->options->max_bytes || out_of_memory(search);
}

/* Checks `state` as such and follows all its events. */
static gboolean expand(Search *search)
{
    EepExploreEvent events[EEP_EXPLORE_MAX_EVENTS];
    guint n, n_due;
    EepExploreHash name;

    eep_explore_rig_load(search->rig, search->state);
    name = eep_explore_hash(search->rig, search->rig->setting->is_reduced);
    n = eep_explore_events(search->rig, events, &n_due);
    if (n_due == 0 && !rest(search))
        return FALSE;
    if (!(eep_explore_table_marks(&search->table, name) & EEP_EXPLORE_ENDS) && !walk(search))
        return search->result->verdict == EEP_EXPLORE_VIOLATED ? FALSE : out_of_memory(search);
    for (guint i = 0; i < n; i++)
        if (!follow(search, events[i], i))
            return FALSE;
    return TRUE;
}

static void search_all(Search *search)
{
    guint before;

    eep_explore_rig_save(search->rig, search->state);
    eep_explore_frontier_push(&search->next, search->state, search->path, 0);
    eep_explore_table_mark(&search->table,
                           eep_explore_hash(search->rig, search->rig->setting->is_reduced),
                           EEP_EXPLORE_VISITED, &before);
    for (search->depth = 0; search->next.n_states > 0; search->depth++) {
        EepExploreFrontier done = search->now;

        g_assert(search->depth + 2 < MAX_DEPTH);
        search->result->depth = search->depth;
        search->now = search->next;
        search->next = done;
        while (eep_explore_frontier_pop(&search->now, search->state, search->path, search->depth))
            if (!expand(search))
                return;
        eep_explore_frontier_clear(&search->now);
    }
}

gboolean eep_explore_run(const EepExploreSetting *setting, const EepExplorePlant *plant,
                         const EepExploreOptions *options, EepExploreResult *ret_result,
                         GError **error)
{
    EepExploreRig *rig = eep_explore_rig_new(setting, plant, error);
    Search *search;
    gsize size;

    memset(ret_result, 0, sizeof *ret_result);
    if (rig == NULL)
        return FALSE;
    search = g_new0(Search, 1);
    size = eep_explore_rig_size(rig);
    search->options = options;
    search->rig = rig;
    search->result = ret_result;
    search->state = g_malloc0(size);
    search->successor = g_malloc0(size);
    eep_explore_table_init(&search->table, options->max_bytes);
    eep_explore_table_init(&search->rests, options->max_bytes / 16);
    eep_explore_frontier_init(&search->now, size);
    eep_explore_frontier_init(&search->next, size);
    search_all(search);
    ret_result->n_states = search->table.n_visited;
    eep_explore_frontier_clear(&search->now);
    eep_explore_frontier_clear(&search->next);
    eep_explore_table_clear(&search->table);
    eep_explore_table_clear(&search->rests);
    g_free(search->state);
    g_free(search->successor);
    eep_explore_rig_free(rig);
    g_free(search);
    return TRUE;
}

void eep_explore_result_clear(EepExploreResult *result)
{
    g_clear_pointer(&result->path, g_ptr_array_unref);
}

/* -- replay -- */

static gboolean find_event(const EepExploreRig *rig, const char *name, EepExploreEvent *ret_event)
{
    EepExploreEvent events[EEP_EXPLORE_MAX_EVENTS];
    g_autoptr(GString) text = g_string_new(NULL);
    guint n_due, n = eep_explore_events(rig, events, &n_due);

    for (guint i = 0; i < n; i++) {
        g_string_truncate(text, 0);
        eep_explore_event_print(rig, events[i], text);
        if (strcmp(text->str, name) == 0) {
            *ret_event = events[i];
            return TRUE;
        }
    }
    return FALSE;
}

gboolean eep_explore_replay(const EepExploreSetting *setting, const EepExplorePlant *plant,
                            const char *const *path, GString *log, char *ret_violation,
                            GError **error)
{
    EepExploreRig *rig = eep_explore_rig_new(setting, plant, error);
    EepExploreEvent events[EEP_EXPLORE_MAX_EVENTS], event;
    guint n_due;

    ret_violation[0] = '\0';
    if (rig == NULL)
        return FALSE;
    rig->log = log;
    for (guint i = 0; path[i] != NULL && rig->violation[0] == '\0'; i++) {
        if (!find_event(rig, path[i], &event)) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "event %u: %s: cannot happen there", i + 1, path[i]);
            eep_explore_rig_free(rig);
            return FALSE;
        }
        g_string_append_printf(log, "%s\n", path[i]);
        eep_explore_apply(rig, event);
        if (rig->violation[0] == '\0')
            eep_explore_check(rig);
    }
    eep_explore_events(rig, events, &n_due);
    if (rig->violation[0] == '\0' && n_due == 0)
        eep_explore_check_rest(rig);
    g_strlcpy(ret_violation, rig->violation, 256);
    eep_explore_rig_free(rig);
    return TRUE;
}
