/* EepResizeRecord: what one resize was and cost, as summary.json's resizes[] reports it.
 *
 * Filled while the resize runs; complete when its outcome is set. Times are EepTime since the run's
 * start, EEP_TIME_NEVER where it did not happen. Definitions: docs/metrics.md. Not the machine's
 * state (control.h). */
#ifndef EEP_CORE_RESIZE_RECORD_H
#define EEP_CORE_RESIZE_RECORD_H

#include "core/time.h"

G_BEGIN_DECLS

#define EEP_RESIZE_MAX_PHASES 32

typedef enum {
    EEP_OUTCOME_NONE, /* still running */
    EEP_OUTCOME_COMPLETE,
    EEP_OUTCOME_REFUSED,     /* against a rule of its generation; nothing was begun */
    EEP_OUTCOME_ROLLED_BACK, /* back at the old size, nothing lost */
    EEP_OUTCOME_FAILED,
    EEP_OUTCOME_NOOP, /* the size was the size already */
    EEP_OUTCOME_COUNT,
} EepOutcome;

extern const char *const eep_outcome_names[EEP_OUTCOME_COUNT];

typedef struct {
    const char *name; /* of the phase kind, static */
    const char *who;  /* "existing" | "new" | "all" | "removing" | "coordinator", static */
    EepTime start, end;
    gboolean blocks; /* forwards that advance requests stood still for it */
} EepResizePhase;

typedef struct {
    char id[64], by[32]; /* of the event, "" if none; "scenario", a policy's name */
    EepPoolId pool;
    guint from, to;         /* data-parallel sizes */
    const char *generation; /* static */
    EepOutcome outcome;
    char reason[256];                            /* of a refusal or failure, "" otherwise */
    EepTime accepted, commit, serving, complete; /* t0..t3 */
    EepTime stall, reject, downtime;             /* lengths; downtime is their union's */
    EepTime experts_ready;                       /* target placement live in every layer */
    EepTime first_503, first_success_after;      /* client's view */
    guint n_phases;
    EepResizePhase phases[EEP_RESIZE_MAX_PHASES];
    guint64 n_rejected, n_aborted, n_migrated; /* requests */
    gint64 non_expert_bytes, expert_bytes, kv_bytes;
    gint64 peak_extra_bytes; /* per GPU, held twice while it ran */
} EepResizeRecord;

G_END_DECLS

#endif
