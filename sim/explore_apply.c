/* What an event does to the explorer's world and to its machine. */
#include "sim/explore_event.h"

#include <string.h>

#include "core/loop/backend.h"
#include "core/resize/coordinator.h"
#include "sim/explore_plant.h"

static const EepControl *control_of(const EepExploreRig *rig)
{
    return eep_resize_control(rig->resize);
}

static gboolean is_member(const EepExploreRig *rig, const EepExploreLine *line)
{
    return eep_group_rank(eep_resize_group(rig->resize), line->worker) != EEP_RANK_NONE;
}

static void apply_note(EepExploreRig *rig, guint index, gboolean is_down)
{
    EepExploreLine *line = &rig->world.lines[index];
    EepExploreNote *queue = is_down ? line->to : line->from;
    guint8 *n = is_down ? &line->n_to : &line->n_from;
    guint64 serial = control_of(rig)->coordinator.serial;
    EepNote note = {.word = (EepNoteWord)(queue[0] & 0xff),
                    .pool = rig->setting->params.pool,
                    .from = is_down ? 0 : line->worker,
                    .to = is_down ? line->worker : 0};

    /* The serial whose low byte this is, the latest that there has been. */
    note.serial = serial - ((serial - (queue[0] >> 8)) & 0xff);
    (*n)--;
    memmove(queue, queue + 1, *n * sizeof *queue);
    queue[*n] = 0;
    eep_resize_note(rig->resize, &note);
}

static void apply_part(EepExploreRig *rig, EepExploreEvent event, gboolean fails)
{
    EepExploreOp *op = &rig->world.ops[event.a];
    EepCompletion completion = {.id = op->id,
                                .kind = EEP_OP_PHASE,
                                .done = op->is_aborted ? EEP_DONE_ABORTED
                                        : fails        ? EEP_DONE_WORKER_LOST
                                                       : EEP_DONE_OK,
                                .worker = rig->world.lines[event.b].worker};

    op->pending &= (guint16) ~(1u << event.b);
    op->has_failed |= fails;
    eep_resize_op_done(rig->resize, &completion);
}

static void apply_whole(EepExploreRig *rig, guint index)
{
    EepExploreOp *op = &rig->world.ops[index];
    EepCompletion completion = {.id = op->id,
                                .kind = EEP_OP_PHASE,
                                .done = op->is_aborted   ? EEP_DONE_ABORTED
                                        : op->has_failed ? EEP_DONE_WORKER_LOST
                                                         : EEP_DONE_OK};

    if (op->pending == 0)
        *op = (EepExploreOp){0};
    else
        op->members = op->pending; /* planted: the rest comes later */
    eep_resize_op_done(rig->resize, &completion);
}

static void apply_reshuffled(EepExploreRig *rig)
{
    EepExploreWorld *world = &rig->world;
    gboolean is_preload = world->reshuffle_mode == EEP_RESHUFFLE_PRELOAD;
    guint8 moved = rig->plant != NULL && rig->plant->drops_replica ? 1 : EEP_EXPLORE_EXPERTS;

    if (!is_preload)
        world->version++;
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        EepExploreLine *line = &world->lines[i];
        gboolean is_target = (world->reshuffle_members & 1u << i) != 0;

        if (line->worker == 0 || !line->is_alive)
            continue;
        if (is_preload) {
            if (is_target && !is_member(rig, line))
                line->held = line->staged = moved;
            continue;
        }
        if (is_target)
            line->held = line->mapped = moved;
        else if (is_member(rig, line))
            line->held = line->mapped = 0;
        if (is_target || is_member(rig, line))
            line->version = world->version;
    }
    world->is_reshuffling = FALSE;
    world->reshuffle_mode = 0;
    world->reshuffle_members = 0;
    eep_resize_reshuffled(rig->resize, 1);
}

static void apply_migrated(EepExploreRig *rig, EepExploreEvent event)
{
    EepExploreWorld *world = &rig->world;
    EepExploreLine *from = &world->lines[event.a];
    guint n = from->n_requests;

    world->lines[event.b].n_requests = (guint8)(world->lines[event.b].n_requests + n);
    if (rig->plant == NULL || !rig->plant->completes_twice)
        from->n_requests = 0;
    world->migrating &= (guint16) ~(1u << event.a);
    eep_resize_migrated(rig->resize, from->worker, n, n);
}

static void apply_step_end(EepExploreRig *rig, gboolean at_check)
{
    guint cadence = rig->setting->params.consensus_cadence;

    rig->world.is_stepping = FALSE;
    if (eep_resize_wants_boundary(rig->resize))
        eep_resize_boundary(rig->resize, at_check ? cadence : cadence + 1);
}

static void apply_finish(EepExploreRig *rig, guint index)
{
    EepExploreWorld *world = &rig->world;

    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (i == index || (eep_explore_pool_drains(rig) && eep_explore_is_drained(rig, i))) {
            world->n_finished = (guint8)(world->n_finished + world->lines[i].n_requests);
            world->lines[i].n_requests = 0;
        }
    apply_step_end(rig, FALSE);
}

/* The step that waited for the worker is given up, and with it what it had under way. One that was
 * no member is missed only where the resize got stuck without it. */
static void apply_detect(EepExploreRig *rig, guint index)
{
    EepExploreLine *line = &rig->world.lines[index];
    gboolean is_missed = is_member(rig, line) && !eep_resize_ends_anyway(rig->resize, line->worker);

    rig->world.is_stepping = FALSE;
    line->is_lost = TRUE;
    line->is_routable = FALSE;
    rig->world.n_died = (guint8)(rig->world.n_died + line->n_requests);
    line->n_requests = 0;
    eep_resize_worker_lost(rig->resize, line->worker);
    if (rig->setting->recovery != EEP_RECOVERY_NONE &&
        (is_missed || control_of(rig)->coordinator.state == EEP_COORDINATOR_STUCK))
        eep_resize_recover(rig->resize, rig->setting->recovery, "lost");
}

static void apply_timer(EepExploreRig *rig, guint index)
{
    guint64 timer = rig->world.timers[index];

    rig->world.timers[index] = 0;
    eep_resize_timer(rig->resize, timer);
}

static void apply_request(EepExploreRig *rig, guint size)
{
    rig->world.is_asked++;
    eep_resize_request(rig->resize, size, NULL, "explore");
}

static void apply_stop(EepExploreRig *rig, guint index)
{
    rig->world.lines[index].is_stopped = TRUE;
    eep_resize_worker_stopped(rig->resize, rig->world.lines[index].worker);
}

static void apply_heal(EepExploreRig *rig, guint index)
{
    rig->world.lines[index].is_stopped = FALSE;
    eep_resize_worker_healed(rig->resize, rig->world.lines[index].worker);
}

/* The step that is under way is given up. */
static void apply_recover(EepExploreRig *rig)
{
    rig->world.is_stepping = FALSE;
    eep_resize_recover(rig->resize, rig->setting->recovery, "stuck");
}

/* Whether a note has come too late to mean anything. */
static gboolean is_stale(const EepExploreRig *rig, EepExploreNote note)
{
    return (note >> 8) != (control_of(rig)->coordinator.serial & 0xff);
}

static gboolean is_of_a_row(const EepExploreRig *rig, EepOpId id)
{
    for (guint i = 0; i < EEP_CONTROL_MAX_ROWS; i++)
        if (control_of(rig)->rows[i].op == id)
            return TRUE;
    return FALSE;
}

/* What changes nothing whenever it comes, comes at once: the end of an operation whose workers have
 * all ended their parts, all of one that has been given up, and notes of a resize that is over. */
static void settle(EepExploreRig *rig)
{
    EepExploreWorld *world = &rig->world;

    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++)
        if (world->ops[i].id != 0 && !is_of_a_row(rig, world->ops[i].id))
            world->ops[i] = (EepExploreOp){0};
        else if (world->ops[i].id != 0 && world->ops[i].pending == 0)
            apply_whole(rig, i);
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        while (world->lines[i].n_to > 0 && is_stale(rig, world->lines[i].to[0]))
            apply_note(rig, i, TRUE);
        while (world->lines[i].n_from > 0 && is_stale(rig, world->lines[i].from[0]))
            apply_note(rig, i, FALSE);
    }
}

void eep_explore_apply(EepExploreRig *rig, EepExploreEvent event)
{
    switch ((EepExploreEventKind)event.kind) {
    case EEP_EXPLORE_NOTE_FROM:
    case EEP_EXPLORE_NOTE_TO:
        apply_note(rig, event.a, event.kind == EEP_EXPLORE_NOTE_TO);
        break;
    case EEP_EXPLORE_PART:
        apply_part(rig, event, FALSE);
        break;
    case EEP_EXPLORE_FAIL:
        rig->world.faults_left--;
        apply_part(rig, event, TRUE);
        break;
    case EEP_EXPLORE_WHOLE:
        apply_whole(rig, event.a);
        break;
    case EEP_EXPLORE_RESHUFFLED:
        apply_reshuffled(rig);
        break;
    case EEP_EXPLORE_MIGRATED:
        apply_migrated(rig, event);
        break;
    case EEP_EXPLORE_SPREAD:
        rig->world.has_spread = FALSE;
        eep_resize_migrated(rig->resize, 0, 0, 0);
        break;
    case EEP_EXPLORE_DETECT:
        apply_detect(rig, event.a);
        break;
    case EEP_EXPLORE_STEP_END:
        apply_step_end(rig, event.a);
        break;
    case EEP_EXPLORE_STEP_BEGIN:
        rig->world.is_stepping = TRUE;
        break;
    case EEP_EXPLORE_FINISH:
        apply_finish(rig, event.a);
        break;
    case EEP_EXPLORE_DEADLINE:
        rig->world.faults_left--;
        G_GNUC_FALLTHROUGH;
    case EEP_EXPLORE_TIMER:
        apply_timer(rig, event.a);
        break;
    case EEP_EXPLORE_ANOTHER:
        rig->world.faults_left--;
        apply_request(rig, event.a);
        break;
    case EEP_EXPLORE_REQUEST:
        apply_request(rig, event.a);
        break;
    case EEP_EXPLORE_CANCEL:
        rig->world.faults_left--;
        eep_resize_cancel(rig->resize, NULL);
        break;
    case EEP_EXPLORE_STOP:
        rig->world.faults_left--;
        apply_stop(rig, event.a);
        break;
    case EEP_EXPLORE_HEAL:
        apply_heal(rig, event.a);
        break;
    case EEP_EXPLORE_RECOVER:
        apply_recover(rig);
        break;
    case EEP_EXPLORE_EVENT_COUNT:
        g_assert_not_reached();
    }
    if (rig->setting->is_reduced)
        settle(rig);
    eep_explore_sweep(rig);
}
