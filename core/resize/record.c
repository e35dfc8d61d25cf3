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

const char *eep_resize_record_reason(const EepResizeRecord *record)
{
    return record->outcome == EEP_OUTCOME_COMPLETE && record->accepted != EEP_TIME_NEVER &&
                   record->experts_ready == EEP_TIME_NEVER
               ? "the reshuffle of experts was left undone"
               : record->reason;
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
    guint n_kept = 0;

    if (index >= record->n_phases || record->phases[index].end != EEP_TIME_NEVER)
        return;
    record->phases[index].end = now;
    for (guint i = 0; i < record->n_ends; i++)
        if (record->ends[i].phase != index || record->ends[i].end < now)
            record->ends[n_kept++] = record->ends[i];
    record->n_ends = n_kept;
}

static gboolean is_next(const EepResizeRanks *ranks, guint role, guint rank)
{
    return ranks->role == role && ranks->first + ranks->n == rank;
}

void eep_resize_record_add_rank(EepResizeRecord *record, guint role, const char *role_name,
                                guint rank)
{
    EepResizeRanks *last = record->n_ranks > 0 ? &record->ranks[record->n_ranks - 1] : NULL;

    if (last != NULL && is_next(last, role, rank))
        last->n++;
    else if (record->n_ranks < EEP_RESIZE_MAX_RANKS)
        record->ranks[record->n_ranks++] =
            (EepResizeRanks){.role = role, .role_name = role_name, .first = rank, .n = 1};
}

void eep_resize_record_end_part(EepResizeRecord *record, guint index, guint role, guint rank,
                                EepTime now)
{
    EepResizePart *last = record->n_ends > 0 ? &record->ends[record->n_ends - 1] : NULL;

    if (index >= record->n_phases || record->phases[index].end != EEP_TIME_NEVER)
        return;
    if (last != NULL && last->phase == index && last->end == now &&
        is_next(&last->ranks, role, rank))
        last->ranks.n++;
    else if (record->n_ends < EEP_RESIZE_MAX_ENDS)
        record->ends[record->n_ends++] = (EepResizePart){
            .ranks = {.role = role, .first = rank, .n = 1}, .phase = index, .end = now};
}

/* The phase's end, but for those ranks that have an end of their own. */
static void read_ends(const EepResizeRecord *record, guint index, const EepResizeRanks *ranks,
                      EepTime *ret_ends)
{
    for (guint i = 0; i < ranks->n; i++)
        ret_ends[i] = record->phases[index].end;
    for (guint i = 0; i < record->n_ends; i++) {
        const EepResizePart *part = &record->ends[i];
        if (part->phase != index || part->ranks.role != ranks->role)
            continue;
        guint first = MAX(part->ranks.first, ranks->first);
        guint end = MIN(part->ranks.first + part->ranks.n, ranks->first + ranks->n);
        for (guint rank = first; rank < end; rank++)
            ret_ends[rank - ranks->first] = part->end;
    }
}

void eep_resize_record_add_parts(const EepResizeRecord *record, guint index, GArray *ret_parts)
{
    const EepResizePhase *phase = &record->phases[index];

    for (guint k = 0; k < record->n_ranks; k++) {
        const EepResizeRanks *ranks = &record->ranks[k];
        g_autofree EepTime *ends = g_new(EepTime, ranks->n);
        EepResizePart part = {.ranks = *ranks, .phase = index};
        if (!(ranks->role & phase->roles))
            continue;
        read_ends(record, index, ranks, ends);
        for (guint from = 0, to; from < ranks->n; from = to) {
            for (to = from + 1; to < ranks->n && ends[to] == ends[from];)
                to++;
            part.ranks.first = ranks->first + from;
            part.ranks.n = to - from;
            part.end = ends[from];
            if (part.end != phase->start || phase->end == phase->start)
                g_array_append_val(ret_parts, part);
        }
    }
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
