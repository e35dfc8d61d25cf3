/* EepResizeRecord: what one resize was and cost, as summary.json's resizes[] reports it.
 *
 * Filled while the resize runs; complete when its outcome is set. Times are EepTime since the run's
 * start, EEP_TIME_NEVER where it did not happen. Definitions: docs/metrics.md. Not the machine's
 * state (control.h): nothing is decided by it, so it may be lost without a trace in the actions. */
#ifndef EEP_CORE_RESIZE_RECORD_H
#define EEP_CORE_RESIZE_RECORD_H

#include "core/time.h"

G_BEGIN_DECLS

#define EEP_RESIZE_MAX_PHASES 32
#define EEP_RESIZE_MAX_RANKS  64  /* stretches of ranks of one role; more are not listed */
#define EEP_RESIZE_MAX_ENDS   256 /* of more, the last are taken to have ended with their phases */

typedef enum {
    EEP_OUTCOME_NONE, /* still running */
    EEP_OUTCOME_COMPLETE,
    EEP_OUTCOME_REFUSED,     /* against a rule of its generation; nothing was begun */
    EEP_OUTCOME_ROLLED_BACK, /* back at the old size, nothing lost */
    EEP_OUTCOME_FAILED,
    EEP_OUTCOME_NOOP,       /* the size was the size already */
    EEP_OUTCOME_UNFINISHED, /* the run ended before it did */
    EEP_OUTCOME_CANCELLED,  /* while it waited for another; nothing was begun */
    EEP_OUTCOME_COUNT,
} EepOutcome;

extern const char *const eep_outcome_names[EEP_OUTCOME_COUNT];

typedef struct {
    const char *name;   /* of the phase kind, or drain, pause, reshuffle; static */
    const char *who;    /* "existing" | "new" | "all" | "remaining" | "removing" | "coordinator" */
    EepTime start, end; /* end EEP_TIME_NEVER: still running */
    gboolean blocks;    /* forwards that advance requests stood still for it */
    guint roles;        /* EepWho of those who take part; NOBODY: the coordinator alone */
} EepResizePhase;

/* Consecutive data-parallel ranks: of new engines in the new group, of all others in the old one.
 */
typedef struct {
    guint role;            /* one bit of EepWho */
    const char *role_name; /* "existing" | "remaining" | "new" | "removing"; static */
    guint first, n;
} EepResizeRanks;

/* Ranks that ended a phase at the same time. */
typedef struct {
    EepResizeRanks ranks;
    guint phase; /* index in the record */
    EepTime end; /* NEVER: still at it */
} EepResizePart;

typedef struct {
    char id[64], by[32]; /* of the event, "" if none; "scenario", a policy's name */
    EepPoolId pool;
    guint from, to;         /* data-parallel sizes */
    const char *generation; /* static */
    EepOutcome outcome;
    char reason[256];  /* of a refusal or failure, "" otherwise */
    EepTime requested; /* when it was asked for; before `accepted` when it had to queue */
    EepTime accepted, commit, serving, complete; /* t0..t3 */
    EepTime given_up; /* when it began to be undone, or got stuck; else EEP_TIME_NEVER */
    EepTime stall, reject, downtime;        /* lengths; downtime is their union's */
    EepTime left_stall, left_reject;        /* of these, after it had failed */
    EepTime experts_ready;                  /* target placement live in every layer */
    EepTime first_503, first_success_after; /* client's view */
    guint n_phases;
    EepResizePhase phases[EEP_RESIZE_MAX_PHASES];
    guint n_ranks;
    EepResizeRanks ranks[EEP_RESIZE_MAX_RANKS]; /* who takes part, by rank */
    guint n_ends;
    EepResizePart ends[EEP_RESIZE_MAX_ENDS];   /* that came before their phases' */
    guint64 n_rejected, n_aborted, n_migrated; /* requests */
    gint64 non_expert_bytes, expert_bytes, kv_bytes;
    gint64 peak_extra_bytes; /* per GPU, held twice while it ran */
    /* The account of stall, reject and downtime: what holds since `counted_until`. */
    gboolean is_stalled, is_rejecting;
    EepTime counted_until;
} EepResizeRecord;

/* Why it is not complete, or what was left undone in one that is; "" otherwise. */
const char *eep_resize_record_reason(const EepResizeRecord *record);

/* All times NEVER, all counts 0. id and by may be NULL; what is too long is cut. */
void eep_resize_record_init(EepResizeRecord *record, EepPoolId pool, const char *id, const char *by,
                            EepTime requested);

/* Books the time up to `now`. */
void eep_resize_record_count(EepResizeRecord *record, EepTime now);

/* From `now` on the group may not run a forward that advances requests, or may again. */
void eep_resize_record_set_stalled(EepResizeRecord *record, gboolean is_stalled, EepTime now);

/* From `now` on a new request gets 503, or none does any more. */
void eep_resize_record_set_rejecting(EepResizeRecord *record, gboolean is_rejecting, EepTime now);

/* Opens a phase; returns its index, EEP_RESIZE_MAX_PHASES when there is no room for it. */
guint eep_resize_record_begin_phase(EepResizeRecord *record, const char *name, const char *who,
                                    gboolean blocks, EepTime now);

/* Closes it; an index without a phase, or one closed before, does nothing. */
void eep_resize_record_end_phase(EepResizeRecord *record, guint index, EepTime now);

/* A rank takes part in the resize; those of a role in the order of ranks. */
void eep_resize_record_add_rank(EepResizeRecord *record, guint role, const char *role_name,
                                guint rank);

/* The rank's part of an open phase ends; at the phase's start: it has none. */
void eep_resize_record_end_part(EepResizeRecord *record, guint index, guint role, guint rank,
                                EepTime now);

/* Appends who did the phase, and until when, to an array of EepResizePart: by role and rank, in as
 * few stretches as there are different ends. Who was done at once is left out, unless all were. */
void eep_resize_record_add_parts(const EepResizeRecord *record, guint index, GArray *ret_parts);

/* A client was refused because of this resize, or was served again after that. */
void eep_resize_record_saw_rejected(EepResizeRecord *record, EepTime now);
void eep_resize_record_saw_success(EepResizeRecord *record, EepTime now);

/* t1-t0 (to when it was given up, of one that did not come to t1), t2-t1, t3-t2, t3-t0, and t0 to
 * the target placement; EEP_TIME_NEVER when one end did not happen. */
EepTime eep_resize_record_prepare(const EepResizeRecord *record);
EepTime eep_resize_record_commit(const EepResizeRecord *record);
EepTime eep_resize_record_settle(const EepResizeRecord *record);
EepTime eep_resize_record_total(const EepResizeRecord *record);
EepTime eep_resize_record_experts_ready(const EepResizeRecord *record);
EepTime eep_resize_record_client_downtime(const EepResizeRecord *record);

G_END_DECLS

#endif
