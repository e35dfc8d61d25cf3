/* EepTokenCurve: an observer that keeps how many output tokens had been delivered when.
 *
 * Two curves over the run, all pools together: the tokens delivered, and the backlog, which is what
 * requests that have arrived and not ended are still to get. Memory is bounded: intervals begin at
 * a millisecond and double whenever there are 2^20 of them. Made to lay a run beside its twin
 * (docs/metrics.md, "A resize"); not the time line, whose rows are the user's. Owned by its
 * creator, who frees it after the deployment; loop thread only. */
#ifndef EEP_CORE_TOKEN_CURVE_H
#define EEP_CORE_TOKEN_CURVE_H

#include "core/observer.h"

G_BEGIN_DECLS

typedef struct EepTokenCurve EepTokenCurve;

typedef struct {
    gint64 delivered, backlog;
} EepTokenSums;

/* What one resize cost, beside a run in which it cost nothing. */
typedef struct {
    gint64 dip_tokens; /* largest deficit of delivered tokens, beyond that at its begin */
    EepTime recover;   /* length until the backlog is back; EEP_TIME_NEVER: it did not come back */
} EepTwinFigures;

EepTokenCurve *eep_token_curve_new(void);
void eep_token_curve_free(EepTokenCurve *curve);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepTokenCurve, eep_token_curve_free)

/* The curve as an observer; valid for its life. */
EepObserver *eep_token_curve_observer(EepTokenCurve *curve);

/* Once, when nothing more will be observed. */
void eep_token_curve_finish(EepTokenCurve *curve);

/* -- after finish ------------------------------------------------------------------------------ */

/* Up to and including the interval that holds `at`. */
EepTokenSums eep_token_curve_at(const EepTokenCurve *curve, EepTime at);

/* Of a resize that began at `from`, whose blocking part was over at `until` (>= from) and after
 * which the next one began at `next` (EEP_TIME_NEVER: none). The two curves must have met the same
 * arrivals. O(intervals from `from` on). */
EepTwinFigures eep_token_curve_compare(const EepTokenCurve *run, const EepTokenCurve *twin,
                                       EepTime from, EepTime until, EepTime next);

G_END_DECLS

#endif
