/* EepIncident: what one fault was and cost, as summary.json's incidents[] reports it.
 *
 * Complete when it is handed to the metrics. Times are EepTime since the run's start, lengths in
 * ns, EEP_TIME_NEVER where it did not happen. Definitions: docs/metrics.md. Not the recovery
 * itself. Plain values. */
#ifndef EEP_CORE_INCIDENT_H
#define EEP_CORE_INCIDENT_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct {
    char id[64]; /* of the event, "" if none */
    EepPoolId pool;
    const char *fault;   /* its kind: "fail", "slow", ...; static */
    const char *outcome; /* "recovered", "degraded", ...; static */
    EepTime at;
    EepTime detection, recovery, degraded; /* lengths from `at`; degraded: time below the size */
    guint64 n_lost;                        /* requests */
    guint64 degraded_tokens;
    double experts_missing_s; /* sum over (layer, expert) of the time without a live replica */
} EepIncident;

G_END_DECLS

#endif
