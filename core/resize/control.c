#include "core/resize/control.h"

#include <string.h>

#include "core/resize/resize.h"

#define MAGIC 0x65657031u /* "eep1": the block's layout */

static gsize round8(gsize size)
{
    return (size + 7) & ~(gsize)7;
}

EepControl *eep_control_new(guint capacity, guint tensor_parallel_size)
{
    gsize group = eep_group_size(capacity), n_slots = 2 * (gsize)capacity;
    gsize target = sizeof(EepControl) + group;
    gsize roster = target + group;
    gsize participants = roster + round8(n_slots * sizeof(EepMember));
    gsize heard = participants + round8(n_slots * sizeof(EepParticipant));
    gsize size = heard + round8(n_slots * sizeof(guint32));
    EepControl *control = g_malloc0(size);

    control->magic = MAGIC;
    control->size = (guint32)size;
    control->capacity = capacity;
    control->n_slots = (guint32)n_slots;
    control->target_offset = (guint32)target;
    control->roster_offset = (guint32)roster;
    control->participants_offset = (guint32)participants;
    control->heard_offset = (guint32)heard;
    control->next_timer = 1;
    eep_group_init(eep_control_serving(control), capacity, tensor_parallel_size);
    eep_group_init(eep_control_target(control), capacity, tensor_parallel_size);
    return control;
}

void eep_control_free(EepControl *control)
{
    g_free(control);
}

guint eep_control_find(const EepControl *control, EepWorkerId worker)
{
    for (guint slot = 0; slot < control->n_slots; slot++)
        if (eep_control_member(control, slot)->worker == worker)
            return slot;
    return EEP_SLOT_NONE;
}

guint eep_control_take_slot(EepControl *control, EepWorkerId worker, EepWho role)
{
    guint slot = eep_control_find(control, 0);

    g_assert(slot != EEP_SLOT_NONE);
    *eep_control_member(control, slot) = (EepMember){.worker = worker, .role = (guint8)role};
    return slot;
}

void eep_control_free_slot(EepControl *control, guint slot)
{
    *eep_control_member(control, slot) = (EepMember){0};
    *eep_control_participant(control, slot) = (EepParticipant){0};
    *eep_control_heard(control, slot) = 0;
}

guint eep_control_order(const EepControl *control, guint *ret_slots)
{
    const EepGroup *serving = eep_control_serving(control), *target = eep_control_target(control);
    guint n = 0;

    for (guint rank = 0; rank < serving->n_engines; rank++)
        ret_slots[n++] = eep_control_find(control, eep_group_worker(serving, rank));
    for (guint rank = 0; rank < target->n_engines; rank++)
        if (eep_group_rank(serving, eep_group_worker(target, rank)) == EEP_RANK_NONE)
            ret_slots[n++] = eep_control_find(control, eep_group_worker(target, rank));
    for (guint slot = 0; slot < control->n_slots; slot++) {
        EepWorkerId worker = eep_control_member(control, slot)->worker;

        if (worker != 0 && eep_group_rank(serving, worker) == EEP_RANK_NONE &&
            eep_group_rank(target, worker) == EEP_RANK_NONE)
            ret_slots[n++] = slot;
    }
    return n;
}

guint eep_control_count(const EepControl *control, EepWho roles)
{
    guint n = 0;

    for (guint slot = 0; slot < control->n_slots; slot++)
        n += (eep_control_member(control, slot)->role & roles) != 0;
    return n;
}

GBytes *eep_control_save(const EepControl *control)
{
    return g_bytes_new(control, control->size);
}

gboolean eep_control_load(EepControl *control, GBytes *bytes, GError **error)
{
    gsize size;
    const EepControl *from = g_bytes_get_data(bytes, &size);

    if (size != control->size || memcmp(from, control, G_STRUCT_OFFSET(EepControl, blocked_by))) {
        g_set_error(error, EEP_RESIZE_ERROR, EEP_RESIZE_ERROR_LOAD,
                    "control block of %zu bytes: a block of %u bytes for up to %u engines is "
                    "expected",
                    size, control->size, control->capacity);
        return FALSE;
    }
    memcpy(control, from, size);
    return TRUE;
}

static guint64 mix(guint64 hash, guint64 value)
{
    hash = (hash ^ value) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static guint64 hash_coordinator(guint64 hash, const EepCoordinator *coordinator)
{
    hash = mix(hash, coordinator->state);
    hash = mix(hash, (guint64)coordinator->from << 32 | coordinator->to);
    hash = mix(hash, coordinator->is_up | coordinator->is_refusing << 1);
    hash = mix(hash, coordinator->scheme << 16 | coordinator->recovery << 8 | coordinator->undo);
    hash = mix(hash, (guint64)coordinator->attempts << 32 | coordinator->n_queued);
    for (guint i = 0; i < coordinator->n_queued; i++)
        hash = mix(hash, (guint64)coordinator->queue[i]);
    for (guint i = 0; i < EEP_RESIZE_TIMER_COUNT; i++)
        hash = mix(hash, coordinator->timers[i] != 0);
    return hash;
}

guint64 eep_control_hash(const EepControl *control)
{
    const EepGroup *serving = eep_control_serving(control), *target = eep_control_target(control);
    g_autofree guint *slots = g_new(guint, control->n_slots);
    guint n = eep_control_order(control, slots);
    guint64 hash = hash_coordinator(control->n_slots, &control->coordinator);

    hash = mix(hash, (guint64)control->slots_per_rank << 32 | control->blocked_by);
    hash = mix(hash, (guint64)serving->n_engines << 32 | target->n_engines);
    hash = mix(hash, target->epoch == 0 ? 2 : target->epoch - serving->epoch);
    for (guint i = 0; i < EEP_CONTROL_MAX_ROWS; i++) {
        const EepRow *row = &control->rows[i];

        hash = mix(hash, (guint64)row->n_entered << 32 | row->n_done);
        hash = mix(hash, row->state << 1 | (row->op != 0));
        hash = mix(hash, (guint64)row->n_arrived << 32 | row->pass);
    }
    for (guint i = 0; i < n; i++) {
        const EepMember *member = eep_control_member(control, slots[i]);
        const EepParticipant *participant = eep_control_participant(control, slots[i]);

        hash = mix(hash, member->role | member->is_member << 8 | member->is_lost << 9 |
                             participant->state << 16);
        hash = mix(hash, (guint64)participant->inbox << 32 | participant->arrived);
        hash = mix(hash, participant->is_stopped);
        hash = mix(hash, (guint64)participant->entered << 32 | participant->done);
        hash = mix(hash, (guint64)participant->notes_to << 32 | participant->notes_from);
        hash = mix(hash, *eep_control_heard(control, slots[i]));
    }
    return hash;
}
