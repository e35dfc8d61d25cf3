#include "core/resize/record.h"

#include <string.h>

const char *const eep_outcome_names[EEP_OUTCOME_COUNT] = {
    [EEP_OUTCOME_NONE] = "none",
    [EEP_OUTCOME_COMPLETE] = "complete",
    [EEP_OUTCOME_REFUSED] = "refused",
    [EEP_OUTCOME_ROLLED_BACK] = "rolled_back",
    [EEP_OUTCOME_FAILED] = "failed",
    [EEP_OUTCOME_NOOP] = "noop",
    [EEP_OUTCOME_UNFINISHED] = "unfinished",
    [EEP_OUTCOME_CANCELLED] = "cancelled",
};

void eep_resize_record_init(EepResizeRecord *record, EepPoolId pool, const char *id, const char *by,
                            EepTime requested)
{
    memset(record, 0, sizeof *record);
    g_strlcpy(record->id, id != NULL ? id : "", sizeof record->id);
    g_strlcpy(record->by, by != NULL ? by : "", sizeof record->by);
    record->pool = pool;
    record->requested = requested;
    record->accepted = record->commit = EEP_TIME_NEVER;
    record->serving = record->complete = record->given_up = EEP_TIME_NEVER;
    record->experts_ready = EEP_TIME_NEVER;
    record->first_503 = record->first_success_after = EEP_TIME_NEVER;
    record->counted_until = requested;
}

/* Books the time since the last change to what held during it. Summing stretches of "either" makes
 * downtime the union, whatever the order in which stall and reject begin and end. */
void eep_resize_record_count(EepResizeRecord *record, EepTime now)
{
    EepTime length = now - record->counted_until;

    g_assert(length >= 0);
    if (record->is_stalled)
        record->stall += length;
    if (record->is_rejecting)
        record->reject += length;
    if (record->is_stalled || record->is_rejecting)
        record->downtime += length;
    if (record->outcome == EEP_OUTCOME_FAILED) {
        record->left_stall += record->is_stalled ? length : 0;
        record->left_reject += record->is_rejecting ? length : 0;
    }
    record->counted_until = now;
}

void eep_resize_record_set_stalled(EepResizeRecord *record, gboolean is_stalled, EepTime now)
{
    eep_resize_record_count(record, now);
    record->is_stalled = is_stalled;
}

void eep_resize_record_set_rejecting(EepResizeRecord *record, gboolean is_rejecting, EepTime now)
{
    eep_resize_record_count(record, now);
    record->is_rejecting = is_rejecting;
}

guint eep_resize_record_begin_phase(EepResizeRecord *record, const char *name, const char *who,
                                    gboolean blocks, EepTime now)
{
    if (record->n_phases == EEP_RESIZE_MAX_PHASES)
        return EEP_RESIZE_MAX_PHASES;
    record->phases[record->n_phases] = (EepResizePhase){
        .name = name, .who = who, .start = now, .end = EEP_TIME_NEVER, .blocks = blocks};
    return record->n_phases++;
}

void eep_resize_record_end_phase(EepResizeRecord *record, guint index, EepTime now)
{
    if (index < record->n_phases && record->phases[index].end == EEP_TIME_NEVER)
        record->phases[index].end = now;
}

void eep_resize_record_saw_rejected(EepResizeRecord *record, EepTime now)
{
    record->n_rejected++;
    if (record->first_503 == EEP_TIME_NEVER)
        record->first_503 = now;
}

void eep_resize_record_saw_success(EepResizeRecord *record, EepTime now)
{
    if (record->first_503 != EEP_TIME_NEVER && record->first_success_after == EEP_TIME_NEVER)
        record->first_success_after = now;
}

static EepTime between(EepTime from, EepTime to)
{
    return from == EEP_TIME_NEVER || to == EEP_TIME_NEVER ? EEP_TIME_NEVER : to - from;
}

EepTime eep_resize_record_prepare(const EepResizeRecord *record)
{
    return between(record->accepted,
                   record->commit != EEP_TIME_NEVER ? record->commit : record->given_up);
}

EepTime eep_resize_record_commit(const EepResizeRecord *record)
{
    return between(record->commit, record->serving);
}

EepTime eep_resize_record_settle(const EepResizeRecord *record)
{
    return between(record->serving, record->complete);
}

EepTime eep_resize_record_total(const EepResizeRecord *record)
{
    return between(record->accepted, record->complete);
}

EepTime eep_resize_record_experts_ready(const EepResizeRecord *record)
{
    return between(record->accepted, record->experts_ready);
}

EepTime eep_resize_record_client_downtime(const EepResizeRecord *record)
{
    return between(record->first_503, record->first_success_after);
}
