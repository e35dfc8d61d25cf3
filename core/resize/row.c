/* The rows of a plan while they run: where everybody who takes part in a piece of work meets. */
#include <string.h>

#include "core/resize/resize_machine.h"

guint eep_resize_facts(const EepResizeParams *params)
{
    static const guint from[] = {[EEP_WEIGHTS_FROM_PEER] = EEP_WHEN_FROM_PEER,
                                 [EEP_WEIGHTS_FROM_DISK] = EEP_WHEN_FROM_DISK,
                                 [EEP_WEIGHTS_FROM_CACHE] = EEP_WHEN_FROM_CACHE};

    return from[params->weights_from] |
           (params->use_async ? EEP_WHEN_ASYNC_EPLB : EEP_WHEN_SYNC_EPLB) |
           (params->captures_graphs ? EEP_WHEN_GRAPHS : 0) |
           (params->can_reuse_graphs ? EEP_WHEN_REUSE : EEP_WHEN_RECAPTURE);
}

gboolean eep_resize_row_applies(const EepResize *resize, const EepGenerationRow *row)
{
    return (row->when & ~eep_resize_facts(&resize->params)) == 0;
}

gboolean eep_resize_has_rows(const EepResize *resize, EepWho role, EepStage stage)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].stage == stage && plan->rows[i].who & role &&
            eep_resize_row_applies(resize, &plan->rows[i]))
            return TRUE;
    return FALSE;
}

/* Of one engine of the target. */
static gint64 expert_bytes(const EepResize *resize)
{
    const EepResizeParams *params = &resize->params;

    if (params->slots_per_rank == 0)
        return params->expert_bytes;
    return params->expert_bytes *
           eep_resize_slots_at(resize, eep_resize_scheme(resize), resize->control->coordinator.to) /
           params->slots_per_rank;
}

static gint64 bytes_of(const EepResize *resize, const EepGenerationRow *row)
{
    const EepResizeParams *params = &resize->params;

    switch (row->bytes) {
    case EEP_BYTES_NON_EXPERT:
        return params->non_expert_bytes;
    case EEP_BYTES_ALL_WEIGHTS:
        return params->non_expert_bytes + expert_bytes(resize);
    case EEP_BYTES_MAP:
        return params->map_bytes_per_slot * resize->control->slots_per_rank *
               eep_control_serving(resize->control)->tensor_parallel_size *
               resize->control->coordinator.from;
    default:
        return 0;
    }
}

/* Groups that are there beside the old ones, until those are retired. */
static gboolean is_held_twice(const EepResize *resize, const EepGenerationRow *row)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    if (row->act != EEP_ACT_PHASE || row->kind != EEP_PHASE_STANDBY_GROUPS)
        return FALSE;
    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].act == EEP_ACT_PHASE && plan->rows[i].kind == EEP_PHASE_RETIRE_GROUPS)
            return TRUE;
    return FALSE;
}

static void count_bytes(EepResize *resize, const EepGenerationRow *row, guint n_receivers)
{
    const EepResizeParams *params = &resize->params;
    EepResizeRecord *record = &resize->record;

    if (row->bytes == EEP_BYTES_NON_EXPERT || row->bytes == EEP_BYTES_ALL_WEIGHTS)
        record->non_expert_bytes += params->non_expert_bytes * n_receivers;
    if (row->bytes == EEP_BYTES_ALL_WEIGHTS)
        record->expert_bytes += expert_bytes(resize) * n_receivers;
    if (is_held_twice(resize, row))
        record->peak_extra_bytes = params->peak_extra_bytes;
}

static void start_phase(EepResize *resize, guint index)
{
    EepControl *control = resize->control;
    const EepGenerationRow *row = &eep_resize_plan(resize)->rows[index];
    const EepCoordinator *coordinator = &control->coordinator;
    const EepGroup *serving = eep_control_serving(control);
    g_autofree guint *slots = g_new(guint, control->n_slots);
    g_autofree EepWorkerId *workers = g_new(EepWorkerId, control->n_slots);
    guint n = eep_control_order(control, slots), n_workers = 0;
    gboolean is_anew = eep_resize_scheme(resize)->replaces_all && row->stage != EEP_STAGE_STOP;
    EepResizeWork work;

    for (guint i = 0; i < n; i++)
        if (eep_control_member(control, slots[i])->role & row->who)
            workers[n_workers++] = eep_control_member(control, slots[i])->worker;
    work = (EepResizeWork){
        .kind = row->kind,
        .n_workers = n_workers,
        .workers = workers,
        /* Nothing is left of the old group where everything is started anew. */
        .n_ranks_old = is_anew ? 0 : coordinator->from * serving->tensor_parallel_size,
        .n_ranks_new = coordinator->to * serving->tensor_parallel_size,
        .bytes = bytes_of(resize, row),
        .n_receivers = eep_control_count(control, row->receivers),
        .epoch = serving->epoch,
        .target = eep_control_target(control),
    };
    count_bytes(resize, row, work.n_receivers);
    control->rows[index].op = resize->host->start_phase(resize->host_self, &work);
    if (control->rows[index].op == 0)
        eep_row_complete(resize, index, EEP_SLOT_NONE);
}

/* The target placement is live in every layer. */
static void set_experts_ready(EepResize *resize)
{
    resize->record.experts_ready = eep_resize_now(resize);
}

/* Where nobody has been told to pause, those that leave serve up to here. */
static void end_leaving_requests(EepResize *resize)
{
    for (guint slot = 0; slot < resize->control->n_slots; slot++)
        if (eep_control_member(resize->control, slot)->role == EEP_WHO_REMOVING &&
            !eep_control_participant(resize->control, slot)->is_stopped)
            eep_participant_abort_requests(resize, slot);
}

/* Whether experts have yet to move when the group is adopted. */
static gboolean reshuffles_later(const EepResize *resize)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].act == EEP_ACT_RESHUFFLE &&
            resize->control->rows[i].state != EEP_ROW_DONE &&
            eep_resize_row_applies(resize, &plan->rows[i]))
            return TRUE;
    return FALSE;
}

static void adopt_group(EepResize *resize)
{
    EepControl *control = resize->control;
    EepGroup *serving = eep_control_serving(control);
    const EepGroup *target = eep_control_target(control);
    const EepGeneration *scheme = eep_resize_scheme(resize);
    EepPlacementChange placement = eep_resize_plan(resize)->placement;

    g_assert(control->blocked_by != 0 && target->n_engines == control->coordinator.to);
    if (!scheme->pauses && !scheme->replaces_all && !scheme->keeps_requests)
        end_leaving_requests(resize);
    /* From here to the release, whoever stopped the forwards before. */
    eep_resize_block(resize, EEP_BLOCK_PAUSE);
    eep_group_set(serving, target->epoch, target->n_engines, target->workers);
    control->slots_per_rank = eep_resize_slots_at(resize, scheme, target->n_engines);
    for (guint slot = 0; slot < control->n_slots; slot++) {
        EepMember *member = eep_control_member(control, slot);

        member->is_member =
            member->worker != 0 && eep_group_rank(serving, member->worker) != EEP_RANK_NONE;
    }
    resize->host->adopt_group(resize->host_self, serving, placement);
    if (resize->record.experts_ready == EEP_TIME_NEVER && !reshuffles_later(resize))
        set_experts_ready(resize);
    if (scheme->is_recovery || scheme->replaces_all)
        eep_resize_unblock(resize, EEP_BLOCK_LOSS);
}

static void end(EepResize *resize, guint index, guint slot, EepParticipantEvent event);

#define ALL_RESHUFFLES (1u << EEP_ACT_RESHUFFLE | 1u << EEP_ACT_PRELOAD)
#define ALL_MIGRATIONS (1u << EEP_ACT_MIGRATE | 1u << EEP_ACT_SPREAD)

static void begin_phase(EepResize *resize, guint index)
{
    const EepGenerationRow *row = &eep_resize_plan(resize)->rows[index];

    resize->control->rows[index].phase =
        eep_resize_begin_phase(resize, eep_generation_row_name(row), row->who, row->blocks);
}

static void start_reshuffle(EepResize *resize, guint index)
{
    const EepGenerationRow *row = &eep_resize_plan(resize)->rows[index];
    EepReshuffleMode mode = row->act == EEP_ACT_PRELOAD ? EEP_RESHUFFLE_PRELOAD
                            : row->blocks               ? EEP_RESHUFFLE_SYNC
                                                        : EEP_RESHUFFLE_ASYNC;

    begin_phase(resize, index);
    if (resize->host->reshuffle(resize->host_self, eep_control_target(resize->control), mode))
        eep_row_complete(resize, index, EEP_SLOT_NONE);
}

static void start_drain(EepResize *resize, guint index)
{
    begin_phase(resize, index);
    eep_roster_set_leaving_routable(resize, FALSE);
    if (resize->params.leaving_drain > 0)
        eep_resize_arm(resize, EEP_RESIZE_TIMER_LEAVING, resize->params.leaving_drain);
    eep_rows_poll_drain(resize, resize->params.leaving_drain == 0);
}

/* Everybody moves at once; each is done when its own requests have gone. */
static void start_migration(EepResize *resize, guint index)
{
    EepControl *control = resize->control;
    const EepGenerationRow *row = &eep_resize_plan(resize)->rows[index];
    const EepGroup *target = eep_control_target(control);

    begin_phase(resize, index);
    if (row->act == EEP_ACT_SPREAD) {
        if (resize->host->migrate(resize->host_self, 0, target))
            eep_row_complete(resize, index, EEP_SLOT_NONE);
        return;
    }
    for (guint slot = 0; slot < control->n_slots; slot++) {
        const EepMember *member = eep_control_member(control, slot);

        if (member->role & row->who &&
            resize->host->migrate(resize->host_self, member->worker, target))
            eep_row_complete(resize, index, slot);
    }
}

/* What needs every member of the group is left out when one is lost and no recovery runs yet. */
static gboolean needs_everybody(const EepResize *resize, const EepGenerationRow *row)
{
    return (1u << row->act & (ALL_RESHUFFLES | ALL_MIGRATIONS)) != 0 &&
           resize->control->blocked_by & EEP_BLOCK_LOSS && !eep_resize_scheme(resize)->is_recovery;
}

static gboolean is_forgiven(const EepResize *resize, guint index);

/* A recovery does not wait for anybody to tidy up: processes that are no longer needed just end,
 * and its own groups replace the old ones. */
static gboolean is_left_undone(const EepResize *resize, guint index)
{
    return eep_resize_plan(resize)->rows[index].act == EEP_ACT_PHASE &&
           resize->control->coordinator.recovery != EEP_RECOVERY_NONE && is_forgiven(resize, index);
}

/* Everybody is there, and no step is in flight if the row stops them. */
static void start(EepResize *resize, guint index)
{
    const EepGenerationRow *row = &eep_resize_plan(resize)->rows[index];
    EepRow *running = &resize->control->rows[index];

    running->state = EEP_ROW_RUNNING;
    running->phase = EEP_RESIZE_MAX_PHASES;
    if (row->blocks && row->act != EEP_ACT_RELEASE)
        eep_resize_block(resize, EEP_BLOCK_ROW);
    if (needs_everybody(resize, row) || is_left_undone(resize, index)) {
        end(resize, index, EEP_SLOT_NONE, EEP_PARTICIPANT_ROW_DONE);
        return;
    }
    switch (row->act) {
    case EEP_ACT_PHASE:
        begin_phase(resize, index);
        start_phase(resize, index);
        break;
    case EEP_ACT_RESHUFFLE:
    case EEP_ACT_PRELOAD:
        start_reshuffle(resize, index);
        break;
    case EEP_ACT_DRAIN:
        start_drain(resize, index);
        break;
    case EEP_ACT_MIGRATE:
    case EEP_ACT_SPREAD:
        start_migration(resize, index);
        break;
    case EEP_ACT_ADOPT:
        adopt_group(resize);
        eep_row_complete(resize, index, EEP_SLOT_NONE);
        break;
    case EEP_ACT_RELEASE:
        eep_resize_unblock(resize, EEP_BLOCK_PAUSE);
        eep_row_complete(resize, index, EEP_SLOT_NONE);
        break;
    case EEP_ACT_COUNT:
        g_assert_not_reached();
    }
}

/* -- coming to a row -- */

static gboolean is_staged_member(const EepResize *resize, const EepGenerationRow *row, guint slot)
{
    const EepMember *member = eep_control_member(resize->control, slot);

    return row->is_staged && member->is_member && member->role & row->who;
}

/* The counter is full: every member that takes part is told to come to the barrier. FALSE: nobody
 * has to. */
static gboolean open_barrier(EepResize *resize, const EepGenerationRow *row)
{
    gboolean is_any = FALSE;

    for (guint slot = 0; slot < resize->control->n_slots; slot++)
        if (is_staged_member(resize, row, slot)) {
            eep_resize_send(resize, slot, EEP_NOTE_OPEN);
            is_any = TRUE;
        }
    return is_any;
}

static void check_entered(EepResize *resize, guint index)
{
    const EepGenerationRow *row = &eep_resize_plan(resize)->rows[index];
    EepRow *running = &resize->control->rows[index];

    if (running->state != EEP_ROW_WAITING || running->n_entered == 0 ||
        running->n_entered != eep_control_count(resize->control, row->who))
        return;
    if (row->is_staged && open_barrier(resize, row))
        running->state = EEP_ROW_READY;
    else if (row->blocks && row->act != EEP_ACT_RELEASE && resize->control->blocked_by == 0)
        running->state = EEP_ROW_READY;
    else
        start(resize, index);
}

void eep_row_enter(EepResize *resize, guint slot, guint index)
{
    eep_control_participant(resize->control, slot)->entered |= 1u << index;
    resize->control->rows[index].n_entered++;
    check_entered(resize, index);
}

/* Somebody has come to the row and waits for this one; or what the row moves does. The parts of a
 * phase are its own. */
static gboolean row_waits_for(const EepResize *resize, guint index, guint slot)
{
    const EepGenerationRow *work = &eep_resize_plan(resize)->rows[index];
    const EepRow *row = &resize->control->rows[index];
    const EepParticipant *participant = eep_control_participant(resize->control, slot);
    guint32 bit = 1u << index;

    if (!(eep_control_member(resize->control, slot)->role & work->who))
        return FALSE;
    switch ((EepRowState)row->state) {
    case EEP_ROW_WAITING:
        return row->n_entered > 0 && !(participant->entered & bit);
    case EEP_ROW_READY:
        return row->n_arrived > 0 && !(participant->arrived & bit);
    case EEP_ROW_RUNNING:
        return (1u << work->act & (ALL_RESHUFFLES | ALL_MIGRATIONS)) != 0 &&
               !(participant->done & bit);
    case EEP_ROW_DONE:
        return FALSE;
    }
    return FALSE;
}

/* The coordinator waits for it, and for nobody who could still answer. */
static gboolean is_last_to_answer(const EepResize *resize, guint slot)
{
    if (!eep_coordinator_awaits(resize, slot))
        return FALSE;
    for (guint i = 0; i < resize->control->n_slots; i++)
        if (!eep_control_participant(resize->control, i)->is_stopped &&
            eep_coordinator_awaits(resize, i))
            return FALSE;
    return TRUE;
}

gboolean eep_resize_waits_for(const EepResize *resize, EepWorkerId worker)
{
    guint slot = eep_control_find(resize->control, worker);

    if (slot == EEP_SLOT_NONE || !eep_resize_is_running(resize))
        return FALSE;
    for (guint i = 0; i < eep_resize_plan(resize)->n_rows; i++)
        if (row_waits_for(resize, i, slot))
            return TRUE;
    return is_last_to_answer(resize, slot);
}

/* The staged row that is ready, EEP_CONTROL_MAX_ROWS if none. */
static guint ready_barrier(const EepResize *resize)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].is_staged && resize->control->rows[i].state == EEP_ROW_READY)
            return i;
    return EEP_CONTROL_MAX_ROWS;
}

void eep_row_arrive(EepResize *resize, guint slot)
{
    EepParticipant *participant = eep_control_participant(resize->control, slot);
    guint index = ready_barrier(resize);

    if (index == EEP_CONTROL_MAX_ROWS || participant->arrived & 1u << index)
        return;
    participant->arrived |= 1u << index;
    resize->control->rows[index].n_arrived++;
}

gboolean eep_rows_hold_members(const EepResize *resize)
{
    guint index = ready_barrier(resize);
    guint32 pass = index < EEP_CONTROL_MAX_ROWS ? resize->control->rows[index].pass : 0;

    /* Where forwards stand still for another reason, nobody is inside one. */
    return (pass == EEP_PASS_FIRST || pass == EEP_PASS_ONE_MORE_STEP) &&
           (resize->control->blocked_by & ~(guint32)EEP_BLOCK_BARRIER) == 0;
}

void eep_rows_pass_barrier(EepResize *resize, gboolean timed_out, gboolean in_boundary)
{
    guint index = ready_barrier(resize);
    EepRow *row;

    if (index == EEP_CONTROL_MAX_ROWS)
        return;
    row = &resize->control->rows[index];
    if (timed_out && row->pass == EEP_PASS_FIRST) {
        row->pass = EEP_PASS_ONE_MORE_STEP;
        eep_resize_unblock(resize, EEP_BLOCK_BARRIER);
    } else if (in_boundary && row->pass == EEP_PASS_ONE_MORE_STEP) {
        row->pass = EEP_PASS_SECOND;
    }
}

static guint n_staged_members(const EepResize *resize, const EepGenerationRow *row)
{
    guint n = 0;

    for (guint slot = 0; slot < resize->control->n_slots; slot++)
        n += is_staged_member(resize, row, slot);
    return n;
}

/* TRUE: all have met. Who comes first at the end of a step must take it that the others have begun
 * the next; in a pool that does not step they are just on their way. */
static gboolean meet(EepResize *resize, guint index, gboolean in_boundary)
{
    EepRow *row = &resize->control->rows[index];

    if (row->n_arrived >= n_staged_members(resize, &eep_resize_plan(resize)->rows[index])) {
        eep_resize_disarm(resize, EEP_RESIZE_TIMER_BARRIER);
        return TRUE;
    }
    if (row->n_arrived == 0 || row->pass == EEP_PASS_ONE_MORE_STEP)
        return FALSE;
    eep_resize_block(resize, EEP_BLOCK_BARRIER);
    if (row->pass == EEP_PASS_NONE && !in_boundary) {
        row->pass = EEP_PASS_SECOND;
    } else if (row->pass == EEP_PASS_NONE) {
        row->pass = EEP_PASS_FIRST;
        eep_resize_arm(resize, EEP_RESIZE_TIMER_BARRIER, resize->params.first_pass);
    }
    return FALSE;
}

gboolean eep_rows_start_ready(EepResize *resize, gboolean may_members, gboolean in_boundary)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);
    gboolean has_started = FALSE;

    for (guint i = 0; i < plan->n_rows; i++) {
        if (resize->control->rows[i].state != EEP_ROW_READY)
            continue;
        if (plan->rows[i].is_staged && !meet(resize, i, in_boundary))
            continue;
        if (!may_members && resize->control->blocked_by == 0)
            continue;
        start(resize, i);
        eep_resize_unblock(resize, EEP_BLOCK_BARRIER);
        has_started = TRUE;
    }
    return has_started;
}

/* -- ends -- */

/* What goes wrong beyond the point of no return, or on the way back, ends nothing: the work is left
 * undone, and so is what depends on it. */
static gboolean is_forgiven(const EepResize *resize, guint index)
{
    const EepGeneration *scheme = eep_resize_scheme(resize);
    EepStage stage = eep_resize_plan(resize)->rows[index].stage;

    return stage == EEP_STAGE_UNDO ||
           (stage == EEP_STAGE_SETTLE && (scheme->rolls_back || scheme->is_recovery)) ||
           (scheme->rolls_back && eep_resize_is_adopted(resize));
}

static void end_part(EepResize *resize, guint index, guint slot, EepParticipantEvent event)
{
    EepParticipant *participant = eep_control_participant(resize->control, slot);

    if (!(participant->entered & 1u << index) || participant->done & 1u << index)
        return;
    participant->done |= 1u << index;
    resize->control->rows[index].n_done++;
    eep_roster_book_end(resize, slot, resize->control->rows[index].phase);
    eep_participant_post(resize->control, slot, event);
}

static gboolean has_lost_part(const EepResize *resize, guint index)
{
    for (guint slot = 0; slot < resize->control->n_slots; slot++)
        if (eep_control_member(resize->control, slot)->role == EEP_WHO_LOST &&
            eep_control_participant(resize->control, slot)->entered >> index & 1)
            return TRUE;
    return FALSE;
}

static void stop(EepResize *resize, guint index);

/* An operation in which somebody lost had a part never ends as a whole. */
static void check_done(EepResize *resize, guint index)
{
    EepRow *running = &resize->control->rows[index];

    if (running->state != EEP_ROW_RUNNING || running->n_done < running->n_entered)
        return;
    running->state = EEP_ROW_DONE;
    if (eep_resize_plan(resize)->rows[index].act == EEP_ACT_DRAIN)
        eep_resize_disarm(resize, EEP_RESIZE_TIMER_LEAVING);
    eep_resize_record_end_phase(&resize->record, running->phase, eep_resize_now(resize));
    if (running->op != 0 && has_lost_part(resize, index))
        stop(resize, index);
}

/* The operation stays known until its whole completion, which comes after its workers' own. */
static void end(EepResize *resize, guint index, guint slot, EepParticipantEvent event)
{
    if (slot != EEP_SLOT_NONE) {
        end_part(resize, index, slot, event);
    } else {
        for (guint i = 0; i < resize->control->n_slots; i++)
            end_part(resize, index, i, event);
        resize->control->rows[index].op = 0;
    }
    check_done(resize, index);
}

void eep_row_complete(EepResize *resize, guint index, guint slot)
{
    if (slot == EEP_SLOT_NONE && eep_resize_plan(resize)->rows[index].act == EEP_ACT_RESHUFFLE)
        set_experts_ready(resize);
    end(resize, index, slot, EEP_PARTICIPANT_ROW_DONE);
}

void eep_row_fail(EepResize *resize, guint index, guint slot)
{
    end(resize, index, slot,
        is_forgiven(resize, index) ? EEP_PARTICIPANT_ROW_DONE : EEP_PARTICIPANT_FAIL);
}

gboolean eep_rows_poll_drain(EepResize *resize, gboolean is_over)
{
    EepControl *control = resize->control;
    guint index = eep_row_running(resize, 1u << EEP_ACT_DRAIN);
    gboolean has_ended = FALSE;

    for (guint slot = 0; index < EEP_CONTROL_MAX_ROWS && slot < control->n_slots; slot++) {
        const EepParticipant *participant = eep_control_participant(control, slot);
        EepWorkerId worker = eep_control_member(control, slot)->worker;

        if (!(participant->entered & 1u << index) || participant->done & 1u << index ||
            (!is_over && resize->host->has_requests(resize->host_self, worker)))
            continue;
        eep_row_complete(resize, index, slot);
        has_ended = TRUE;
    }
    return has_ended;
}

/* -- giving up -- */

/* Stops whatever of a running row takes time. */
static void stop(EepResize *resize, guint index)
{
    const EepGenerationRow *row = &eep_resize_plan(resize)->rows[index];
    EepRow *running = &resize->control->rows[index];

    if (running->op != 0)
        resize->host->abort_op(resize->host_self, running->op);
    if (1u << row->act & ALL_RESHUFFLES)
        resize->host->stop_reshuffle(resize->host_self);
    if (1u << row->act & ALL_MIGRATIONS)
        resize->host->stop_migration(resize->host_self);
    running->op = 0;
}

/* What moves to or from somebody lost never ends; and nobody waits to leave a group with it. */
static gboolean ends_with_one(const EepGenerationRow *row)
{
    return 1u << row->act & (ALL_RESHUFFLES | ALL_MIGRATIONS) ||
           (row->act == EEP_ACT_PHASE && row->kind == EEP_PHASE_RETIRE_GROUPS);
}

void eep_rows_forget(EepResize *resize, guint slot)
{
    EepControl *control = resize->control;
    EepParticipant *participant = eep_control_participant(control, slot);
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++) {
        EepRow *row = &control->rows[i];
        guint32 bit = 1u << i;

        if (row->state == EEP_ROW_RUNNING && participant->entered & bit) {
            if (ends_with_one(&plan->rows[i])) {
                stop(resize, i);
                end(resize, i, EEP_SLOT_NONE, EEP_PARTICIPANT_ROW_DONE);
            }
            end_part(resize, i, slot, EEP_PARTICIPANT_ROW_DONE);
            check_done(resize, i);
        } else if (row->state != EEP_ROW_DONE && participant->entered & bit) {
            participant->entered &= ~bit;
            row->n_entered--;
            row->n_arrived -= participant->arrived >> i & 1;
        }
        participant->arrived &= ~bit;
        check_entered(resize, i);
    }
    participant->inbox = 0;
}

void eep_rows_give_up(EepResize *resize)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++)
        if (resize->control->rows[i].state == EEP_ROW_RUNNING && is_forgiven(resize, i)) {
            stop(resize, i);
            end(resize, i, EEP_SLOT_NONE, EEP_PARTICIPANT_ROW_DONE);
        }
}

void eep_rows_abort(EepResize *resize)
{
    EepControl *control = resize->control;
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++) {
        const EepGenerationRow *row = &plan->rows[i];
        gboolean is_preloaded =
            row->act == EEP_ACT_PRELOAD && control->rows[i].state == EEP_ROW_DONE;

        if (control->rows[i].state == EEP_ROW_RUNNING || is_preloaded)
            stop(resize, i);
        if (control->rows[i].state == EEP_ROW_RUNNING)
            eep_resize_record_end_phase(&resize->record, control->rows[i].phase,
                                        eep_resize_now(resize));
    }
    memset(control->rows, 0, sizeof control->rows);
    for (guint slot = 0; slot < control->n_slots; slot++) {
        EepParticipant *participant = eep_control_participant(control, slot);

        participant->entered = participant->done = participant->arrived = participant->inbox = 0;
        participant->notes_to = participant->notes_from = 0;
        *eep_control_heard(control, slot) = 0;
    }
    /* Whatever is still under way belongs to what has been given up. */
    control->coordinator.serial++;
    eep_resize_disarm(resize, EEP_RESIZE_TIMER_BARRIER);
    eep_resize_disarm(resize, EEP_RESIZE_TIMER_LEAVING);
    eep_resize_unblock(resize, EEP_BLOCK_BARRIER);
}

/* -- questions -- */

guint eep_row_of_op(const EepResize *resize, EepOpId op)
{
    guint index = 0;

    while (index < EEP_CONTROL_MAX_ROWS && (op == 0 || resize->control->rows[index].op != op))
        index++;
    return index;
}

guint eep_row_running(const EepResize *resize, guint acts)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++)
        if (acts >> plan->rows[i].act & 1 && resize->control->rows[i].state == EEP_ROW_RUNNING)
            return i;
    return EEP_CONTROL_MAX_ROWS;
}
