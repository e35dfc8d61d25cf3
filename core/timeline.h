/* EepTimeline: what each pool's steps did, by intervals of equal length.
 *
 * The live half of the time line: steps, inter-token gaps and sizes as they are told. What follows
 * from requests is added when the run is over (metrics.h). Memory is one bucket a pool and
 * interval, however many steps. Not a log of steps. Owned by its creator; loop thread only. */
#ifndef EEP_CORE_TIMELINE_H
#define EEP_CORE_TIMELINE_H

#include "core/observer.h"

G_BEGIN_DECLS

typedef struct EepTimeline EepTimeline;

/* What lies beyond so many intervals is counted in the last one, so that no time, however far,
 * takes more memory; callers refuse such runs (eep_scenario_check_length()). */
#define EEP_TIMELINE_MAX_BUCKETS 1000000

/* Sums over the steps that ended in the interval. */
typedef struct {
    guint64 n_steps, n_prefill_tokens, n_decode_tokens;
    double step_ns;                    /* lengths of the steps, the weights of the next three */
    double running, waiting, kv_usage; /* weighted sums */
    double expert_tokens;              /* tokens of steps with expert work */
    double expert_load;                /* sum over them of tokens x (max / mean over ranks) */
    EepTime max_gap;                   /* longest gap between two tokens delivered in it */
} EepTimelineBucket;

EepTimeline *eep_timeline_new(EepTime bucket);
void eep_timeline_free(EepTimeline *timeline);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepTimeline, eep_timeline_free)

void eep_timeline_add_step(EepTimeline *timeline, const EepStepRecord *step);
void eep_timeline_add_gap(EepTimeline *timeline, EepPoolId pool, EepTime now, EepTime gap);
void eep_timeline_add_size(EepTimeline *timeline, EepPoolId pool, EepTime now, guint n_engines);

/* Pools seen so far: ids are below it. */
guint eep_timeline_n_pools(const EepTimeline *timeline);

/* The bucket, NULL where nothing was told of it. */
const EepTimelineBucket *eep_timeline_bucket(const EepTimeline *timeline, EepPoolId pool,
                                             gsize index);

/* Engines of the pool that serve at `at`; 0 before any was told. Before the first change of size,
 * the size that the first step told. */
guint eep_timeline_size(const EepTimeline *timeline, EepPoolId pool, EepTime at);

/* Longest gap of the pool delivered in the intervals that touch [from, to]. */
EepTime eep_timeline_max_gap(const EepTimeline *timeline, EepPoolId pool, EepTime from, EepTime to);

/* balancedness of the steps in the intervals that begin in [from, to), over all pools: the sum of
 * mean rank loads over the sum of largest rank loads, a step's mean load being its tokens; also the
 * least of any minute (or interval, where those are longer). FALSE, and nothing written, without
 * expert work. */
gboolean eep_timeline_balancedness(const EepTimeline *timeline, EepTime from, EepTime to,
                                   double *ret_mean, double *ret_worst_minute);

G_END_DECLS

#endif
