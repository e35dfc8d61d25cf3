/* Time and identities used everywhere.
 *
 * EepTime is the only notion of time in eep: signed nanoseconds since the run's start. It is not
 * wall clock time; only the clocks of core/loop/clock.h know what waiting means. Costs are computed
 * as double seconds and become EepTime once, in eep_time_from_seconds(). Plain values, no
 * ownership, safe from any thread. */
#ifndef EEP_CORE_TIME_H
#define EEP_CORE_TIME_H

#include <glib.h>

G_BEGIN_DECLS

typedef gint64 EepTime; /* ns since the run's start */

#define EEP_TIME_NEVER G_MAXINT64
#define EEP_NS_PER_US  G_GINT64_CONSTANT(1000)
#define EEP_NS_PER_MS  G_GINT64_CONSTANT(1000000)
#define EEP_NS_PER_S   G_GINT64_CONSTANT(1000000000)

typedef guint32 EepPoolId;
typedef guint32 EepWorkerId; /* one engine's worker, for life; 0 = none */
typedef guint32 EepEpoch;    /* one membership of an EP group; ranks exist only inside one */
typedef guint64 EepOpId;     /* given by core, never reused; 0 = none */

/* The one place where seconds (a cost) become EepTime: half up, clamped to [0, EEP_TIME_NEVER];
 * what is too long to represent, infinity included, is EEP_TIME_NEVER. NaN is a programming error.
 */
EepTime eep_time_from_seconds(double seconds);

/* A moment `length` (>= 0) after `time`; EEP_TIME_NEVER where it has no place. */
static inline EepTime eep_time_after(EepTime time, EepTime length)
{
    EepTime sum;
    return __builtin_add_overflow(time, length, &sum) ? EEP_TIME_NEVER : sum;
}

/* Seconds, rounded to nearest. For reports only: never feed the result back into a decision. */
double eep_time_to_seconds(EepTime time);

G_END_DECLS

#endif
