/* The rows of a plan while they run: where everybody who takes part in a piece of work meets. */
#include "core/resize/resize_machine.h"

/* EepWhen that hold. */
static guint facts(const EepResizeParams *params)
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
    return (row->when & ~facts(&resize->params)) == 0;
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

static gint64 bytes_of(const EepResize *resize, const EepGenerationRow *row)
{
    const EepResizeParams *params = &resize->params;

    switch (row->bytes) {
    case EEP_BYTES_NON_EXPERT:
        return params->non_expert_bytes;
    case EEP_BYTES_ALL_WEIGHTS:
        return params->non_expert_bytes + params->expert_bytes;
    case EEP_BYTES_MAP:
        return params->map_bytes_per_slot * params->slots_per_rank *
               eep_control_serving(resize->control)->tensor_parallel_size *
               resize->control->coordinator.from;
    default:
        return 0;
    }
}

static void count_bytes(EepResize *resize, const EepGenerationRow *row, guint n_receivers)
{
    const EepResizeParams *params = &resize->params;
    EepResizeRecord *record = &resize->record;

    if (row->bytes == EEP_BYTES_NON_EXPERT || row->bytes == EEP_BYTES_ALL_WEIGHTS)
        record->non_expert_bytes += params->non_expert_bytes * n_receivers;
    if (row->bytes == EEP_BYTES_ALL_WEIGHTS)
        record->expert_bytes += params->expert_bytes * n_receivers;
    if (row->kind == EEP_PHASE_STANDBY_GROUPS && !row->blocks)
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
    gboolean is_anew = resize->generation->replaces_all && row->stage != EEP_STAGE_STOP;
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
        .target_epoch = eep_control_target(control)->epoch,
    };
    count_bytes(resize, row, work.n_receivers);
    control->rows[index].op = resize->host->start_phase(resize->host_self, &work);
}

/* The target placement is live in every layer. */
static void set_experts_ready(EepResize *resize)
{
    resize->record.experts_ready = eep_resize_now(resize);
}

static void adopt_group(EepResize *resize)
{
    EepControl *control = resize->control;
    EepGroup *serving = eep_control_serving(control);
    const EepGroup *target = eep_control_target(control);
    EepPlacementChange placement = eep_resize_plan(resize)->placement;

    g_assert(control->is_blocked && target->n_engines == control->coordinator.to);
    eep_group_set(serving, target->epoch, target->n_engines, target->workers);
    for (guint slot = 0; slot < control->n_slots; slot++) {
        EepMember *member = eep_control_member(control, slot);

        member->is_member =
            member->worker != 0 && eep_group_rank(serving, member->worker) != EEP_RANK_NONE;
    }
    resize->host->adopt_group(resize->host_self, serving, placement);
    if (placement == EEP_PLACEMENT_RESET)
        set_experts_ready(resize);
}

/* Everybody is there. */
static void start(EepResize *resize, guint index)
{
    const EepGenerationRow *row = &eep_resize_plan(resize)->rows[index];
    EepRow *running = &resize->control->rows[index];

    running->state = EEP_ROW_RUNNING;
    running->phase = EEP_RESIZE_MAX_PHASES;
    switch (row->act) {
    case EEP_ACT_PHASE:
        running->phase =
            eep_resize_begin_phase(resize, eep_generation_row_name(row), row->who, row->blocks);
        start_phase(resize, index);
        break;
    case EEP_ACT_RESHUFFLE:
        running->phase =
            eep_resize_begin_phase(resize, eep_generation_row_name(row), row->who, row->blocks);
        if (resize->host->reshuffle(resize->host_self, eep_control_target(resize->control),
                                    row->blocks ? EEP_RESHUFFLE_SYNC : EEP_RESHUFFLE_ASYNC))
            eep_row_complete(resize, index, EEP_SLOT_NONE);
        break;
    default:
        g_assert_not_reached();
    case EEP_ACT_ADOPT:
        adopt_group(resize);
        eep_row_complete(resize, index, EEP_SLOT_NONE);
        break;
    case EEP_ACT_RELEASE:
        eep_resize_set_blocked(resize, FALSE);
        eep_row_complete(resize, index, EEP_SLOT_NONE);
        break;
    }
}

void eep_row_enter(EepResize *resize, guint slot, guint index)
{
    EepRow *running = &resize->control->rows[index];

    eep_control_participant(resize->control, slot)->entered |= 1u << index;
    running->n_entered++;
    if (running->n_entered ==
        eep_control_count(resize->control, eep_resize_plan(resize)->rows[index].who))
        start(resize, index);
}

static void end_part(EepResize *resize, guint index, guint slot, EepParticipantEvent event)
{
    EepParticipant *participant = eep_control_participant(resize->control, slot);

    if (!(participant->entered & 1u << index) || participant->done & 1u << index)
        return;
    participant->done |= 1u << index;
    resize->control->rows[index].n_done++;
    eep_participant_post(resize->control, slot, event);
}

/* The operation stays known until its whole completion, which comes after its workers' own. */
static void end(EepResize *resize, guint index, guint slot, EepParticipantEvent event)
{
    EepRow *running = &resize->control->rows[index];

    if (slot != EEP_SLOT_NONE) {
        end_part(resize, index, slot, event);
    } else {
        for (guint i = 0; i < resize->control->n_slots; i++)
            end_part(resize, index, i, event);
        running->op = 0;
    }
    if (running->n_done < running->n_entered || running->state == EEP_ROW_DONE)
        return;
    running->state = EEP_ROW_DONE;
    eep_resize_record_end_phase(&resize->record, running->phase, eep_resize_now(resize));
}

void eep_row_complete(EepResize *resize, guint index, guint slot)
{
    if (slot == EEP_SLOT_NONE && eep_resize_plan(resize)->rows[index].act == EEP_ACT_RESHUFFLE)
        set_experts_ready(resize);
    end(resize, index, slot, EEP_PARTICIPANT_ROW_DONE);
}

void eep_row_fail(EepResize *resize, guint index, guint slot)
{
    end(resize, index, slot, EEP_PARTICIPANT_FAIL);
}

guint eep_row_of_op(const EepResize *resize, EepOpId op)
{
    guint index = 0;

    while (index < EEP_CONTROL_MAX_ROWS && (op == 0 || resize->control->rows[index].op != op))
        index++;
    return index;
}

guint eep_row_of_reshuffle(const EepResize *resize)
{
    const EepGenerationPlan *plan = eep_resize_plan(resize);

    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].act == EEP_ACT_RESHUFFLE &&
            resize->control->rows[i].state == EEP_ROW_RUNNING)
            return i;
    return EEP_CONTROL_MAX_ROWS;
}
