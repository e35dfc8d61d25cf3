#include "sim/explore_world.h"

#include <string.h>

#include "core/resize/coordinator.h"
#include "sim/explore_plant.h"

void eep_explore_violate(EepExploreRig *rig, const char *format, ...)
{
    va_list args;

    if (rig->violation[0] != '\0')
        return;
    va_start(args, format);
    g_vsnprintf(rig->violation, sizeof rig->violation, format, args);
    va_end(args);
}

G_GNUC_PRINTF(2, 3)
static void act(const EepExploreRig *rig, const char *format, ...)
{
    va_list args;

    if (rig->log == NULL)
        return;
    va_start(args, format);
    g_string_append_vprintf(rig->log, format, args);
    va_end(args);
    g_string_append_c(rig->log, '\n');
}

guint eep_explore_line(const EepExploreWorld *world, EepWorkerId worker)
{
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (world->lines[i].worker == worker)
            return i;
    return EEP_EXPLORE_NO_LINE;
}

static EepExploreLine *line_of(EepExploreRig *rig, EepWorkerId worker)
{
    static EepExploreLine nobody;
    guint line = worker == 0 ? EEP_EXPLORE_NO_LINE : eep_explore_line(&rig->world, worker);

    if (line != EEP_EXPLORE_NO_LINE && rig->world.lines[line].is_alive)
        return &rig->world.lines[line];
    eep_explore_violate(rig, "host: e%u is asked for something and its process does not exist",
                        worker);
    nobody = (EepExploreLine){0};
    return &nobody;
}

static guint16 lines_of_group(const EepExploreRig *rig, const EepGroup *group)
{
    guint16 lines = 0;

    for (guint rank = 0; rank < group->n_engines; rank++) {
        guint line = eep_explore_line(&rig->world, eep_group_worker(group, rank));

        if (line != EEP_EXPLORE_NO_LINE)
            lines |= (guint16)(1u << line);
    }
    return lines;
}

static EepWho role_of(const EepExploreRig *rig, EepWorkerId worker)
{
    const EepControl *control = eep_resize_control(rig->resize);
    guint slot = eep_control_find(control, worker);

    return slot == EEP_SLOT_NONE ? EEP_WHO_NOBODY : (EepWho)eep_control_member(control, slot)->role;
}

/* -- questions -- */

static EepTime world_now(gpointer self)
{
    return 0;
}

static gboolean world_is_stepping(gpointer self)
{
    return ((EepExploreRig *)self)->world.is_stepping;
}

static gboolean world_has_requests(gpointer self, EepWorkerId worker)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    if (worker != 0)
        return line_of(rig, worker)->n_requests > 0;
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (rig->world.lines[i].is_alive && rig->world.lines[i].n_requests > 0)
            return TRUE;
    return FALSE;
}

static guint world_free_gpus(gpointer self)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    guint n_alive = 0;

    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        n_alive += rig->world.lines[i].is_alive;
    return n_alive >= rig->setting->max_engines ? 0 : rig->setting->max_engines - n_alive;
}

/* Not the highest ranks, so that a choice can be told from none. */
static void world_choose_leaving(gpointer self, guint n, EepWorkerId *ret_workers)
{
    const EepGroup *group = eep_resize_group(((EepExploreRig *)self)->resize);

    for (guint i = 0; i < n; i++)
        ret_workers[i] = eep_group_worker(group, i);
}

/* -- time and messages -- */

static void world_send_note(gpointer self, const EepNote *note, EepTime delay)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    gboolean is_down = note->from == 0;
    EepWorkerId worker = is_down ? note->to : note->from;
    guint line = eep_explore_line(&rig->world, worker);
    guint8 *n;

    act(rig, "  note %s %s e%u", eep_note_names[note->word], is_down ? "to" : "from", worker);
    if (line == EEP_EXPLORE_NO_LINE) {
        eep_explore_violate(rig, "host: note %s of e%u, which is not in the deployment",
                            eep_note_names[note->word], worker);
        return;
    }
    n = is_down ? &rig->world.lines[line].n_to : &rig->world.lines[line].n_from;
    if (*n == EEP_EXPLORE_MAX_NOTES) {
        eep_explore_violate(rig, "host: more than %d notes of e%u are under way",
                            EEP_EXPLORE_MAX_NOTES, worker);
        return;
    }
    (is_down ? rig->world.lines[line].to : rig->world.lines[line].from)[(*n)++] =
        (EepExploreNote)(note->word | (note->serial & 0xff) << 8);
}

static void world_start_timer(gpointer self, guint64 timer, EepTime delay)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    for (guint i = 0; i < EEP_EXPLORE_MAX_TIMERS; i++)
        if (rig->world.timers[i] == 0) {
            rig->world.timers[i] = timer;
            return;
        }
    eep_explore_violate(rig, "host: more than %d timers are armed", EEP_EXPLORE_MAX_TIMERS);
}

static void world_cancel_timer(gpointer self, guint64 timer)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    for (guint i = 0; i < EEP_EXPLORE_MAX_TIMERS; i++)
        if (rig->world.timers[i] == timer)
            rig->world.timers[i] = 0;
}

/* -- work -- */

/* Background work of one worker may go on beside others; everything else is one after the other. */
static void check_is_free(EepExploreRig *rig, guint line, EepPhaseKind kind)
{
    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++) {
        const EepExploreOp *op = &rig->world.ops[i];

        if (op->id != 0 && op->pending & 1u << line && !op->is_aborted &&
            op->kind != EEP_PHASE_RETIRE_GROUPS && kind != EEP_PHASE_RETIRE_GROUPS)
            eep_explore_violate(rig, "I4: e%u begins %s while it is still in %s",
                                rig->world.lines[line].worker, eep_phase_names[kind],
                                eep_phase_names[op->kind]);
    }
}

static EepOpId world_start_phase(gpointer self, const EepResizeWork *work)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    EepExploreOp *op = NULL;

    act(rig, "  phase %s of %u", eep_phase_names[work->kind], work->n_workers);
    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS && op == NULL; i++)
        if (rig->world.ops[i].id == 0)
            op = &rig->world.ops[i];
    if (op == NULL || work->n_workers == 0) {
        eep_explore_violate(rig, "host: phase %s of %u workers with %s",
                            eep_phase_names[work->kind], work->n_workers,
                            op == NULL ? "too many under way" : "nobody in it");
        return 0;
    }
    *op = (EepExploreOp){.id = rig->world.next_op++, .kind = (guint8)work->kind};
    for (guint i = 0; i < work->n_workers; i++) {
        guint line = eep_explore_line(&rig->world, work->workers[i]);

        line_of(rig, work->workers[i]);
        if (line == EEP_EXPLORE_NO_LINE)
            continue;
        /* What got stuck goes on as far as it can, and hangs. */
        if (rig->world.lines[line].is_lost &&
            eep_resize_control(rig->resize)->coordinator.state != EEP_COORDINATOR_STUCK)
            eep_explore_violate(rig, "host: phase %s asks e%u, which is known to be lost",
                                eep_phase_names[work->kind], work->workers[i]);
        check_is_free(rig, line, work->kind);
        op->members |= (guint16)(1u << line);
    }
    op->pending = op->members;
    return op->id;
}

static void world_abort_op(gpointer self, EepOpId id)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    act(rig, "  abort an operation");
    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++)
        if (rig->world.ops[i].id == id)
            rig->world.ops[i].is_aborted = TRUE;
}

static gboolean world_reshuffle(gpointer self, const EepGroup *target, EepReshuffleMode mode)
{
    static const char *const names[] = {"sync", "async", "preload"};
    EepExploreRig *rig = (EepExploreRig *)self;
    EepExploreWorld *world = &rig->world;

    act(rig, "  reshuffle over %u engines, %s", target->n_engines, names[mode]);
    if (world->is_reshuffling)
        eep_explore_violate(rig, "I7: a reshuffle begins while another moves experts");
    if (mode == EEP_RESHUFFLE_SYNC && !world->is_blocked)
        eep_explore_violate(rig, "I4: a synchronous reshuffle begins while steps may begin");
    world->is_reshuffling = TRUE;
    world->reshuffle_mode = (guint8)mode;
    world->reshuffle_members = lines_of_group(rig, target);
    return FALSE;
}

static void world_stop_reshuffle(gpointer self)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    act(rig, "  stop the reshuffle");
    rig->world.is_reshuffling = FALSE;
    rig->world.reshuffle_mode = 0;
    rig->world.reshuffle_members = 0;
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        rig->world.lines[i].staged = 0;
}

static gboolean world_migrate(gpointer self, EepWorkerId worker, const EepGroup *target)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    guint line = worker == 0 ? EEP_EXPLORE_NO_LINE : eep_explore_line(&rig->world, worker);

    act(rig, worker == 0 ? "  spread requests" : "  migrate the requests of e%u", worker);
    rig->world.migration_members = lines_of_group(rig, target);
    if (worker == 0) {
        rig->world.has_spread = world_has_requests(self, 0);
        return !rig->world.has_spread;
    }
    if (line_of(rig, worker)->n_requests == 0)
        return TRUE;
    rig->world.migrating |= (guint16)(1u << line);
    return FALSE;
}

static void world_stop_migration(gpointer self)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    act(rig, "  stop the migration");
    rig->world.migrating = rig->world.migration_members = 0;
    rig->world.has_spread = FALSE;
}

/* -- engines -- */

static EepWorkerId world_launch_engine(gpointer self, guint rank)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    guint line = eep_explore_line(&rig->world, 0);

    if (line == EEP_EXPLORE_NO_LINE || world_free_gpus(self) == 0)
        eep_explore_violate(rig, "host: rank %u is launched without a GPU for it", rank);
    if (line == EEP_EXPLORE_NO_LINE)
        return 0;
    rig->world.lines[line] = (EepExploreLine){
        .worker = rig->world.next_worker, .is_alive = TRUE, .pause = EEP_PAUSE_ALL};
    act(rig, "  launch e%u as rank %u", rig->world.next_worker, rank);
    return rig->world.next_worker++;
}

static void world_release_engine(gpointer self, EepWorkerId worker)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    EepExploreLine *line = line_of(rig, worker);
    EepExploreWorld *world = &rig->world;
    guint index = eep_explore_line(world, worker);

    act(rig, "  release e%u", worker);
    if (line->n_requests > 0 && !line->is_stopped)
        eep_explore_violate(rig, "I6: e%u goes with %u requests that nobody answers", worker,
                            line->n_requests);
    if (world->is_stepping &&
        eep_group_rank(eep_resize_group(rig->resize), worker) != EEP_RANK_NONE)
        eep_explore_violate(rig, "I4: e%u goes while it is in a step", worker);
    if (world->is_reshuffling && !line->is_stopped && index < EEP_EXPLORE_MAX_LINES &&
        (world->reshuffle_members & 1u << index || line->held != 0))
        eep_explore_violate(rig, "I7: e%u goes while its experts are being read", worker);
    world->n_died = (guint8)(world->n_died + line->n_requests);
    line->n_requests = 0;
    line->is_alive = FALSE;
    line->held = line->staged = line->mapped = 0;
    line->is_routable = FALSE;
}

static void world_set_pause(gpointer self, EepWorkerId worker, EepPause pause)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    act(rig, "  pause %d of e%u", pause, worker);
    if (rig->world.is_stepping)
        eep_explore_violate(rig, "I4: e%u changes its pause in the middle of a step", worker);
    line_of(rig, worker)->pause = (guint8)pause;
}

static void world_set_routable(gpointer self, EepWorkerId worker, gboolean is_routable)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    act(rig, "  e%u is %sroutable", worker, is_routable ? "" : "not ");
    line_of(rig, worker)->is_routable = (guint8)is_routable;
}

static guint world_abort_requests(gpointer self, EepWorkerId worker, const char *reason)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    EepExploreLine *line = line_of(rig, worker);
    guint n = line->n_requests;

    act(rig, "  abort %u requests of e%u: %s", n, worker, reason);
    if (rig->world.is_stepping)
        eep_explore_violate(rig, "I4: requests of e%u end in the middle of a step", worker);
    if (n > 0 && !line->is_stopped && role_of(rig, worker) != EEP_WHO_REMOVING)
        eep_explore_violate(rig, "I9: requests of e%u are aborted and it does not leave", worker);
    rig->world.n_aborted = (guint8)(rig->world.n_aborted + n);
    line->n_requests = 0;
    return n;
}

static void world_set_gpu_use(gpointer self, EepWorkerId worker, EepGpuUse use)
{
    line_of((EepExploreRig *)self, worker);
}

/* -- the pool as a whole -- */

static void world_set_forwards_blocked(gpointer self, gboolean is_blocked)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    act(rig, "  forwards %s", is_blocked ? "blocked" : "released");
    if (rig->world.is_stepping)
        eep_explore_violate(rig, "I4: forwards are %s in the middle of a step",
                            is_blocked ? "blocked" : "released");
    rig->world.is_blocked = (guint8)is_blocked;
}

static void world_set_refusing(gpointer self, gboolean is_refusing)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    act(rig, is_refusing ? "  503 begins" : "  503 ends");
    rig->world.is_refusing = (guint8)is_refusing;
}

static void world_set_eplb_suspended(gpointer self, gboolean is_suspended)
{
    ((EepExploreRig *)self)->world.is_eplb_suspended = (guint8)is_suspended;
}

static guint8 mapped_by(const EepExploreWorld *world, guint16 lines)
{
    guint8 mapped = 0;

    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (lines & 1u << i)
            mapped |= world->lines[i].mapped;
    return mapped;
}

static void world_adopt_group(gpointer self, const EepGroup *group, EepPlacementChange placement)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    EepExploreWorld *world = &rig->world;
    guint16 members = lines_of_group(rig, group);

    act(rig, "  adopt a group of %u, placement %d", group->n_engines, placement);
    if (world->is_stepping || !world->is_blocked)
        eep_explore_violate(rig, "I4: a group is adopted while steps may begin");
    world->version++;
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        EepExploreLine *line = &world->lines[i];

        if (!(members & 1u << i)) {
            line->mapped = 0;
            line->is_routable = FALSE;
            continue;
        }
        if (placement == EEP_PLACEMENT_RESET)
            line->held = line->mapped = EEP_EXPLORE_EXPERTS;
        line->mapped |= line->staged;
        line->staged = 0;
        line->version = world->version;
        line->is_routable = TRUE;
    }
    if (placement == EEP_PLACEMENT_MASK)
        world->degraded = EEP_EXPLORE_EXPERTS & (guint8)~mapped_by(world, members);
}

/* -- accounts -- */

static void world_span_began(gpointer self, const EepResizeRecord *record, const char *name)
{
}

static void world_changed(gpointer self, const EepResizeChange *change)
{
    const EepExploreRig *rig = (const EepExploreRig *)self;

    if (change->worker == 0)
        act(rig, "  %s: %s -> %s (%s)", change->machine, change->from, change->to, change->cause);
    else
        act(rig, "  e%u: %s -> %s (%s)", change->worker, change->from, change->to, change->cause);
}

static void world_told(gpointer self, const EepResizeRecord *record)
{
    EepExploreRig *rig = (EepExploreRig *)self;
    EepExploreWorld *world = &rig->world;
    guint n_engines = eep_resize_group(rig->resize)->n_engines;

    act(rig, "  told: %s%s%s",
        record->outcome == EEP_OUTCOME_NONE ? "accepted" : eep_outcome_names[record->outcome],
        record->reason[0] != '\0' ? ": " : "", record->reason);
    switch (record->outcome) {
    case EEP_OUTCOME_NONE:
        if (world->is_open)
            eep_explore_violate(rig, "I8: a resize begins and the end of another was never told");
        world->is_open = TRUE;
        return;
    case EEP_OUTCOME_REFUSED:
    case EEP_OUTCOME_NOOP:
    case EEP_OUTCOME_CANCELLED:
        return;
    default:
        if (!world->is_open)
            eep_explore_violate(rig, "I8: the end of a resize is told twice (%s)",
                                eep_outcome_names[record->outcome]);
        if (record->outcome == EEP_OUTCOME_COMPLETE && n_engines != record->to)
            eep_explore_violate(rig, "I8: told complete at %u engines of %u", n_engines,
                                record->to);
        world->is_open = FALSE;
        world->outcome = (guint8)record->outcome;
    }
}

static void world_closed(gpointer self, const EepResizeRecord *record)
{
    EepExploreRig *rig = (EepExploreRig *)self;

    act(rig, "  closed");
    if (rig->world.is_open)
        eep_explore_violate(rig, "I8: what a resize has left is told before its end");
}

static const EepResizeHost world_host = {
    .size = sizeof(EepResizeHost),
    .now = world_now,
    .is_stepping = world_is_stepping,
    .has_requests = world_has_requests,
    .free_gpus = world_free_gpus,
    .choose_leaving = world_choose_leaving,
    .send_note = world_send_note,
    .start_timer = world_start_timer,
    .cancel_timer = world_cancel_timer,
    .start_phase = world_start_phase,
    .abort_op = world_abort_op,
    .reshuffle = world_reshuffle,
    .stop_reshuffle = world_stop_reshuffle,
    .migrate = world_migrate,
    .stop_migration = world_stop_migration,
    .launch_engine = world_launch_engine,
    .release_engine = world_release_engine,
    .set_pause = world_set_pause,
    .set_routable = world_set_routable,
    .abort_requests = world_abort_requests,
    .set_gpu_use = world_set_gpu_use,
    .set_forwards_blocked = world_set_forwards_blocked,
    .set_refusing = world_set_refusing,
    .set_eplb_suspended = world_set_eplb_suspended,
    .adopt_group = world_adopt_group,
    .span_began = world_span_began,
    .changed = world_changed,
    .told = world_told,
    .closed = world_closed,
};

const EepResizeHost *eep_explore_world_host(void)
{
    return &world_host;
}

/* -- the rig -- */

/* The last rank holds one expert alone, and the others the other: so that losing it, and leaving
 * with it, are told from losing anybody. */
static void place_experts(EepExploreWorld *world, guint n_engines)
{
    for (guint i = 0; i < n_engines; i++) {
        EepExploreLine *line = &world->lines[i];

        line->held = n_engines == 1 ? EEP_EXPLORE_EXPERTS : i + 1 == n_engines ? 2 : 1;
        line->mapped = line->held;
    }
}

EepExploreRig *eep_explore_rig_new(const EepExploreSetting *setting, const EepExplorePlant *plant,
                                   GError **error)
{
    EepWorkerId workers[EEP_EXPLORE_MAX_LINES];
    EepExploreRig *rig = g_new0(EepExploreRig, 1);

    g_assert(setting->n_engines > 0 && setting->n_engines <= EEP_EXPLORE_MAX_LINES / 2);
    rig->setting = setting;
    rig->plant = plant;
    rig->host = world_host;
    if (plant != NULL && plant->decorate != NULL)
        plant->decorate(&rig->host);
    rig->world.next_worker = 1;
    rig->world.next_op = 1;
    rig->world.version = 1;
    rig->world.faults_left = (guint8)setting->n_faults;
    for (guint i = 0; i < setting->n_engines; i++) {
        workers[i] = rig->world.next_worker++;
        rig->world.lines[i] = (EepExploreLine){.worker = workers[i],
                                               .is_alive = TRUE,
                                               .is_routable = TRUE,
                                               .n_requests = (guint8)setting->n_requests,
                                               .version = 1};
    }
    place_experts(&rig->world, setting->n_engines);
    rig->resize = eep_resize_new(&rig->host, rig, &setting->params, error);
    if (rig->resize == NULL) {
        g_free(rig);
        return NULL;
    }
    eep_resize_start(rig->resize, setting->n_engines, workers);
    return rig;
}

void eep_explore_rig_free(EepExploreRig *rig)
{
    if (rig == NULL)
        return;
    eep_resize_free(rig->resize);
    g_free(rig);
}

gsize eep_explore_rig_size(const EepExploreRig *rig)
{
    return ((sizeof rig->world + 7) & ~(gsize)7) + eep_resize_control(rig->resize)->size;
}

void eep_explore_rig_save(const EepExploreRig *rig, gpointer ret_state)
{
    const EepControl *control = eep_resize_control(rig->resize);

    memcpy(ret_state, &rig->world, sizeof rig->world);
    memcpy((gchar *)ret_state + ((sizeof rig->world + 7) & ~(gsize)7), control, control->size);
}

void eep_explore_rig_load(EepExploreRig *rig, gconstpointer state)
{
    memcpy(&rig->world, state, sizeof rig->world);
    eep_resize_set_control(
        rig->resize, (const EepControl *)(gconstpointer)((const gchar *)state +
                                                         ((sizeof rig->world + 7) & ~(gsize)7)));
    rig->violation[0] = '\0';
}

void eep_explore_sweep(EepExploreRig *rig)
{
    EepExploreWorld *world = &rig->world;
    guint16 in_ops = 0;

    for (guint i = 0; i < EEP_EXPLORE_MAX_OPS; i++)
        in_ops |= world->ops[i].pending;
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        EepExploreLine *line = &world->lines[i];

        if (line->worker == 0 || line->is_alive || line->n_to > 0 || line->n_from > 0 ||
            in_ops & 1u << i ||
            eep_control_find(eep_resize_control(rig->resize), line->worker) != EEP_SLOT_NONE)
            continue;
        *line = (EepExploreLine){0};
        world->reshuffle_members &= (guint16) ~(1u << i);
        world->migration_members &= (guint16) ~(1u << i);
        world->migrating &= (guint16) ~(1u << i);
        for (guint k = 0; k < EEP_EXPLORE_MAX_OPS; k++)
            world->ops[k].members &= (guint16) ~(1u << i);
    }
}
