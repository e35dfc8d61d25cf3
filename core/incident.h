/* EepIncident: what one fault was and cost, as summary.json's incidents[] reports it.
 *
 * Complete when observers get it, which is at the end of the run: clients may have tried again
 * until then. Times are EepTime since the run's start, lengths in ns, EEP_TIME_NEVER where it did
 * not happen. Definitions: docs/metrics.md. Not the recovery itself. Plain values. */
#ifndef EEP_CORE_INCIDENT_H
#define EEP_CORE_INCIDENT_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct {
    char id[64]; /* of the event, "" if none, "mtbf" for one that was drawn */
    EepPoolId pool;
    const char *fault;       /* its kind: "fail", "slow", ...; static */
    const char *detected_by; /* "process_exit", ...; "" where nobody noticed; static */
    const char *recovery_by; /* the recovery that was begun: "shrink", ...; "" for none; static */
    const char *outcome;     /* "recovered", "degraded", "ended", "exited", "unrecovered"; static */
    const char *note;        /* what the outcome does not say; "" for nothing; static */
    EepTime at;
    EepTime detection; /* from `at` to the first action */
    EepTime recovery;  /* from `at` until experts are live everywhere and forwards may run */
    EepTime degraded;  /* time below the size before, or with experts missing, or slow */
    guint n_engines;   /* lost with it */
    /* Requests that ended as aborted or (n_lost_rejected of them) rejected because of it; that were
     * completed after their clients had tried again. */
    guint64 n_lost, n_lost_rejected, n_client_retried;
    guint64 n_retried;  /* that other engines took over from their prompts: the server's retries */
    guint64 n_migrated; /* moves of requests, with their KV, by the resize that brings spares */
    guint64 n_lost_kv_tokens;
    guint64 degraded_tokens;  /* expected, computed while a chosen expert had no live slot */
    double experts_missing_s; /* sum over (layer, expert) of the time without a live replica */
} EepIncident;

G_END_DECLS

#endif
