#include "sim/explore_event.h"

#include <string.h>

#include "core/resize/coordinator.h"
#include "sim/explore_plant.h"

typedef struct {
    const EepExploreRig *rig;
    EepExploreEvent *events;
    guint n;
} List;

static void add(List *list, EepExploreEventKind kind, guint a, guint b)
{
    g_assert(list->n < EEP_EXPLORE_MAX_EVENTS);
    list->events[list->n++] =
        (EepExploreEvent){.kind = (guint8)kind, .a = (guint8)a, .b = (guint8)b};
}

static const EepControl *control_of(const EepExploreRig *rig)
{
    return eep_resize_control(rig->resize);
}

static gboolean is_member(const EepExploreRig *rig, const EepExploreLine *line)
{
    return eep_group_rank(eep_resize_group(rig->resize), line->worker) != EEP_RANK_NONE;
}

/* Whether the worker's share of what is under way can make progress. */
static gboolean acts(const EepExploreLine *line)
{
    return line->is_alive && !line->is_stopped;
}

/* -- deliveries and completions -- */

static void list_notes(List *list)
{
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        if (list->rig->world.lines[i].n_from > 0)
            add(list, EEP_EXPLORE_NOTE_FROM, i, 0);
        if (list->rig->world.lines[i].n_to > 0)
            add(list, EEP_EXPLORE_NOTE_TO, i, 0);
    }
}

static gboolean whole_may_come(const EepExploreRig *rig, const EepExploreOp *op)
{
    if (rig->plant != NULL && rig->plant->skips_barrier && op->pending != op->members)
        return TRUE;
    return op->pending == 0;
}

/* An operation's end as a whole comes before another operation's last part: who tells parts and who
 * tells the whole are one, so they do not pile up. */
static gboolean is_whole_due(const EepExploreWorld *world)
{
    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++)
        if (world->ops[i].id != 0 && world->ops[i].pending == 0)
            return TRUE;
    return FALSE;
}

static void list_ops(List *list)
{
    const EepExploreWorld *world = &list->rig->world;
    gboolean waits = is_whole_due(world);

    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++) {
        const EepExploreOp *op = &world->ops[i];

        if (op->id == 0)
            continue;
        for (guint k = 0; k < EEP_EXPLORE_MAX_LINES; k++)
            if (op->pending & 1u << k && (op->is_aborted || acts(&world->lines[k])) &&
                !(waits && op->pending == 1u << k))
                add(list, EEP_EXPLORE_PART, i, k);
        if (whole_may_come(list->rig, op))
            add(list, EEP_EXPLORE_WHOLE, i, 0);
    }
}

/* Experts are read from the serving group's ranks and written to the target's. One that has stopped
 * and is not known to have holds everybody up. */
static gboolean reshuffle_goes_on(const EepExploreRig *rig)
{
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        const EepExploreLine *line = &rig->world.lines[i];
        gboolean is_target = (rig->world.reshuffle_members & 1u << i) != 0;

        if (line->worker != 0 && !acts(line) &&
            (is_target || (is_member(rig, line) && line->is_alive && !line->is_lost)))
            return FALSE;
    }
    return TRUE;
}

static void list_moves(List *list)
{
    const EepExploreWorld *world = &list->rig->world;
    gboolean all_act = TRUE;

    if (world->is_reshuffling && reshuffle_goes_on(list->rig))
        add(list, EEP_EXPLORE_RESHUFFLED, 0, 0);
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        if (world->migration_members & 1u << i)
            all_act &= acts(&world->lines[i]);
        if (!(world->migrating & 1u << i) || !acts(&world->lines[i]))
            continue;
        for (guint k = 0; k < EEP_EXPLORE_MAX_LINES; k++)
            if (k != i && world->migration_members & 1u << k && acts(&world->lines[k]) &&
                is_member(list->rig, &world->lines[k]))
                add(list, EEP_EXPLORE_MIGRATED, i, k);
    }
    if (world->has_spread && all_act)
        add(list, EEP_EXPLORE_SPREAD, 0, 0);
}

/* -- steps -- */

static gboolean can_step(const EepExploreRig *rig)
{
    const EepGroup *group = eep_resize_group(rig->resize);

    for (guint rank = 0; rank < group->n_engines; rank++) {
        guint line = eep_explore_line(&rig->world, eep_group_worker(group, rank));

        if (line == EEP_EXPLORE_NO_LINE || !acts(&rig->world.lines[line]))
            return FALSE;
    }
    return group->n_engines > 0;
}

static gboolean is_armed(const EepExploreRig *rig, guint index, EepResizeTimer timer)
{
    return rig->world.timers[index] != 0 &&
           rig->world.timers[index] == control_of(rig)->coordinator.timers[timer];
}

/* Whether requests are waited for. */
static gboolean is_draining(const EepExploreRig *rig)
{
    for (guint i = 0; i < EEP_EXPLORE_MAX_TIMERS; i++)
        if (is_armed(rig, i, EEP_RESIZE_TIMER_DRAIN_END) ||
            is_armed(rig, i, EEP_RESIZE_TIMER_LEAVING))
            return TRUE;
    return FALSE;
}

gboolean eep_explore_pool_drains(const EepExploreRig *rig)
{
    return control_of(rig)->coordinator.state == EEP_COORDINATOR_DRAINING;
}

gboolean eep_explore_is_drained(const EepExploreRig *rig, guint index)
{
    const EepExploreLine *line = &rig->world.lines[index];
    guint slot;

    if (line->worker == 0 || line->n_requests == 0 || line->is_stopped ||
        line->pause != EEP_PAUSE_NONE || !is_member(rig, line))
        return FALSE;
    if (eep_explore_pool_drains(rig))
        return TRUE;
    slot = eep_control_find(control_of(rig), line->worker);
    return slot != EEP_SLOT_NONE &&
           eep_control_member(control_of(rig), slot)->role == EEP_WHO_REMOVING;
}

/* Requests are only seen to end while somebody waits for that: before and after, it makes no
 * difference. */
static void list_step_due(List *list)
{
    const EepExploreRig *rig = list->rig;
    gboolean is_pausing = eep_resize_wants_steps(rig->resize);

    if (rig->world.is_stepping) {
        if (!can_step(rig))
            return;
        if (is_pausing)
            add(list, EEP_EXPLORE_STEP_END, TRUE, 0);
        if (is_draining(rig))
            for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
                if (eep_explore_is_drained(rig, i)) {
                    add(list, EEP_EXPLORE_FINISH, i, 0);
                    if (eep_explore_pool_drains(rig))
                        break;
                }
        add(list, EEP_EXPLORE_STEP_END, FALSE, 0);
    } else if (!rig->world.is_blocked && is_pausing) {
        add(list, EEP_EXPLORE_STEP_BEGIN, 0, 0);
    }
}

/* A pool with requests may be in a step at any moment. */
static void list_step_possible(List *list)
{
    const EepExploreRig *rig = list->rig;
    gboolean has_work = FALSE;

    if (rig->world.is_stepping || rig->world.is_blocked || eep_resize_wants_steps(rig->resize))
        return;
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        const EepExploreLine *line = &rig->world.lines[i];

        has_work |= line->n_requests > 0 && line->is_alive && line->pause == EEP_PAUSE_NONE &&
                    is_member(rig, line);
    }
    if (has_work)
        add(list, EEP_EXPLORE_STEP_BEGIN, 0, 0);
}

/* -- faults -- */

static void list_stopped(List *list)
{
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        const EepExploreLine *line = &list->rig->world.lines[i];

        if (line->is_alive && line->is_stopped && !line->is_lost)
            add(list, EEP_EXPLORE_DETECT, i, 0);
    }
}

/* The poll last of those that may fire at any moment, since it is armed again; the deadline of a
 * wait only when nothing else can end it. */
static void list_timers(List *list)
{
    static const EepResizeTimer order[] = {EEP_RESIZE_TIMER_BARRIER, EEP_RESIZE_TIMER_DRAIN_END,
                                           EEP_RESIZE_TIMER_LEAVING, EEP_RESIZE_TIMER_DRAIN_POLL};

    for (guint k = 0; k < G_N_ELEMENTS(order); k++)
        for (guint i = 0; i < EEP_EXPLORE_MAX_TIMERS; i++)
            if (is_armed(list->rig, i, order[k]))
                add(list, EEP_EXPLORE_TIMER, i, 0);
    for (guint i = 0; i < EEP_EXPLORE_MAX_TIMERS && list->n == 0; i++)
        if (is_armed(list->rig, i, EEP_RESIZE_TIMER_WAIT))
            add(list, EEP_EXPLORE_TIMER, i, 0);
}

static gboolean is_running(const EepExploreRig *rig)
{
    return eep_resize_record(rig->resize) != NULL;
}

static void list_faults(List *list)
{
    const EepExploreRig *rig = list->rig;
    const EepControl *control = control_of(rig);
    guint current = eep_resize_group(rig->resize)->n_engines;
    gboolean waits = is_whole_due(&rig->world);

    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (acts(&rig->world.lines[i]))
            add(list, EEP_EXPLORE_STOP, i, 0);
    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++)
        for (guint k = 0; k < EEP_EXPLORE_MAX_LINES; k++)
            if (rig->world.ops[i].pending & 1u << k && !rig->world.ops[i].is_aborted &&
                !rig->world.ops[i].has_failed && acts(&rig->world.lines[k]) &&
                !(waits && rig->world.ops[i].pending == 1u << k))
                add(list, EEP_EXPLORE_FAIL, i, k);
    for (guint i = 0; i < EEP_EXPLORE_MAX_TIMERS; i++)
        if (is_armed(rig, i, EEP_RESIZE_TIMER_WAIT))
            add(list, EEP_EXPLORE_DEADLINE, i, 0);
    if (is_running(rig))
        add(list, EEP_EXPLORE_CANCEL, 0, 0);
    for (guint size = 1; size <= rig->setting->max_engines && rig->world.is_asked == 1; size++)
        if (size != (is_running(rig) ? control->coordinator.to : current))
            add(list, EEP_EXPLORE_ANOTHER, size, 0);
}

static void list_heals(List *list)
{
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        const EepExploreLine *line = &list->rig->world.lines[i];

        if (line->is_alive && line->is_stopped && !line->is_lost && is_member(list->rig, line))
            add(list, EEP_EXPLORE_HEAL, i, 0);
    }
}

/* Whether the pool may have a recovery begin though nobody is lost: it does at once where one is
 * configured, and never where none is, so that both are gone through. */
static gboolean can_recover(const EepExploreRig *rig)
{
    const EepCoordinator *coordinator = &control_of(rig)->coordinator;

    return eep_resize_is_stuck(rig->resize) && rig->setting->recovery != EEP_RECOVERY_NONE &&
           coordinator->attempts == 0;
}

guint eep_explore_events(const EepExploreRig *rig, EepExploreEvent *ret_events, guint *ret_n_due)
{
    List list = {.rig = rig, .events = ret_events};

    list_notes(&list);
    list_ops(&list);
    list_moves(&list);
    list_step_due(&list);
    list_stopped(&list);
    list_timers(&list);
    /* Requests are waited for, and they end in steps. */
    if (list.n > 0 && is_draining(rig))
        list_step_possible(&list);
    *ret_n_due = list.n;
    if (!is_draining(rig))
        list_step_possible(&list);
    list_heals(&list);
    if (can_recover(rig))
        add(&list, EEP_EXPLORE_RECOVER, 0, 0);
    if (rig->world.is_asked == 0)
        add(&list, EEP_EXPLORE_REQUEST, rig->setting->target, 0);
    if (rig->world.faults_left > 0)
        list_faults(&list);
    return list.n;
}

/* -- in words -- */

static const char *timer_name(const EepExploreRig *rig, guint index)
{
    static const char *const names[EEP_RESIZE_TIMER_COUNT] = {
        [EEP_RESIZE_TIMER_DRAIN_POLL] = "drain poll",
        [EEP_RESIZE_TIMER_DRAIN_END] = "drain timeout",
        [EEP_RESIZE_TIMER_WAIT] = "deadline",
        [EEP_RESIZE_TIMER_BARRIER] = "first pass",
        [EEP_RESIZE_TIMER_LEAVING] = "drain of those that leave",
    };

    for (guint i = 0; i < EEP_RESIZE_TIMER_COUNT; i++)
        if (control_of(rig)->coordinator.timers[i] == rig->world.timers[index])
            return names[i];
    return "timer";
}

/* Operations of one kind are told apart by the order in which they began. */
static void print_op(const EepExploreWorld *world, guint index, GString *text)
{
    const EepExploreOp *op = &world->ops[index];
    guint n = 1;

    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++)
        n += world->ops[i].id != 0 && world->ops[i].id < op->id && world->ops[i].kind == op->kind;
    g_string_append(text, eep_phase_names[op->kind]);
    if (n > 1)
        g_string_append_printf(text, " (%u)", n);
}

/* Events of which there is never more than one. */
static const char *const plain[EEP_EXPLORE_EVENT_COUNT] = {
    [EEP_EXPLORE_RESHUFFLED] = "experts have moved",
    [EEP_EXPLORE_SPREAD] = "requests have been spread",
    [EEP_EXPLORE_CANCEL] = "fault: cancel",
    [EEP_EXPLORE_RECOVER] = "a recovery begins",
};

void eep_explore_event_print(const EepExploreRig *rig, EepExploreEvent event, GString *ret_text)
{
    const EepExploreWorld *world = &rig->world;
    const EepExploreLine *a = &world->lines[event.a % EEP_EXPLORE_MAX_LINES];
    const EepExploreLine *b = &world->lines[event.b % EEP_EXPLORE_MAX_LINES];

    switch ((EepExploreEventKind)event.kind) {
    case EEP_EXPLORE_NOTE_FROM:
        g_string_append_printf(ret_text, "coordinator gets %s of e%u",
                               eep_note_names[a->from[0] & 0xff], a->worker);
        break;
    case EEP_EXPLORE_NOTE_TO:
        g_string_append_printf(ret_text, "e%u gets %s", a->worker, eep_note_names[a->to[0] & 0xff]);
        break;
    case EEP_EXPLORE_PART:
        g_string_append_printf(ret_text, "e%u ends ", b->worker);
        print_op(world, event.a, ret_text);
        break;
    case EEP_EXPLORE_FAIL:
        g_string_append_printf(ret_text, "fault: e%u fails in ", b->worker);
        print_op(world, event.a, ret_text);
        break;
    case EEP_EXPLORE_WHOLE:
        print_op(world, event.a, ret_text);
        g_string_append(ret_text, " is over");
        break;
    case EEP_EXPLORE_MIGRATED:
        g_string_append_printf(ret_text, "requests of e%u have moved to e%u", a->worker, b->worker);
        break;
    case EEP_EXPLORE_DETECT:
        g_string_append_printf(ret_text, "e%u is found lost", a->worker);
        break;
    case EEP_EXPLORE_STEP_END:
        g_string_append(ret_text, event.a ? "step ends with a check" : "step ends");
        break;
    case EEP_EXPLORE_STEP_BEGIN:
        g_string_append(ret_text, "step begins");
        break;
    case EEP_EXPLORE_FINISH:
        g_string_append_printf(ret_text, "step ends, the last of e%u", a->worker);
        break;
    case EEP_EXPLORE_TIMER:
    case EEP_EXPLORE_DEADLINE:
        g_string_append_printf(ret_text, "%s%s fires",
                               event.kind == EEP_EXPLORE_DEADLINE ? "fault: " : "",
                               timer_name(rig, event.a));
        break;
    case EEP_EXPLORE_REQUEST:
        g_string_append_printf(ret_text, "request for %u engines", event.a);
        break;
    case EEP_EXPLORE_ANOTHER:
        g_string_append_printf(ret_text, "fault: another request, for %u engines", event.a);
        break;
    case EEP_EXPLORE_STOP:
        g_string_append_printf(ret_text, "fault: e%u stops", a->worker);
        break;
    case EEP_EXPLORE_HEAL:
        g_string_append_printf(ret_text, "e%u goes on", a->worker);
        break;
    case EEP_EXPLORE_RESHUFFLED:
    case EEP_EXPLORE_SPREAD:
    case EEP_EXPLORE_CANCEL:
    case EEP_EXPLORE_RECOVER:
        g_string_append(ret_text, plain[event.kind]);
        break;
    case EEP_EXPLORE_EVENT_COUNT:
        g_assert_not_reached();
    }
}
