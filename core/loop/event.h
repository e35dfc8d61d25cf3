/* EepEvent: everything that can happen, in one small value.
 *
 * The core is a function (state, event, now) -> (state', actions); this is its event. Order is
 * total: (time, class, source, sequence), and the sequence counts per source, so that adding a
 * source never reorders another one. Events are copied by value; a payload too big for it hangs on
 * as a GBytes whose reference the holder of the event owns. Not a request and not a log line. */
#ifndef EEP_CORE_LOOP_EVENT_H
#define EEP_CORE_LOOP_EVENT_H

#include "core/time.h"

G_BEGIN_DECLS

/* On one instant, lower classes happen first. */
typedef enum {
    EEP_CLASS_FAULT,
    EEP_CLASS_BACKEND,
    EEP_CLASS_OPERATOR,
    EEP_CLASS_WORKLOAD,
    EEP_CLASS_TIMER,
} EepClass;

typedef enum {
    EEP_EVENT_NONE,     /* nothing but that it is so late */
    EEP_EVENT_FAULT,    /* scenario fault; a = index of the event in the scenario */
    EEP_EVENT_OP_DONE,  /* completion, see backend.h */
    EEP_EVENT_OPERATOR, /* scenario or API command; a = index of the event in the scenario */
    EEP_EVENT_ARRIVAL,  /* the workload's next request is due; a = workload */
    EEP_EVENT_RETRY,    /* a client submits a refused or aborted request again; a = retry slot */
    EEP_EVENT_NOTE,  /* a control-plane note arrives; a = note word, b = its two ends, c = argument
                        (resize/) */
    EEP_EVENT_PLAN,  /* a pool plans its next step; a = pool */
    EEP_EVENT_STATS, /* a pool's statistics reach the router; a = pool */
    EEP_EVENT_DEADLINE, /* an operation's deadline; a = operation */
    EEP_EVENT_TIMER,    /* a timer of policy or measurement; a = timer kind, b = its argument */
    EEP_EVENT_COUNT,
} EepEventKind;

extern const char *const eep_event_names[EEP_EVENT_COUNT];

/* Sources are numbers below 2^32 that say who sent the event: */
#define EEP_SOURCE(kind, index) ((guint32)(kind) << 24 | (guint32)(index))
enum {
    EEP_SOURCE_SCENARIO = 1,
    EEP_SOURCE_WORKER,
    EEP_SOURCE_POOL,
    EEP_SOURCE_WORKLOAD,
    EEP_SOURCE_RETRY,
    EEP_SOURCE_CONTROL,
    EEP_SOURCE_STATS,
    EEP_SOURCE_PLAN,
    EEP_SOURCE_MEASURE,
    EEP_SOURCE_DEADLINE
};

typedef struct {
    EepTime time;
    guint32 source;
    guint8 event_class; /* EepClass */
    guint8 kind;        /* EepEventKind */
    guint16 flags;      /* free for the kind */
    guint64 seq;        /* given by the loop when the event is queued */
    guint64 a, b, c;    /* payload, see the kinds */
    GBytes *blob;       /* nullable; variable payload (suspects, step ends, load counts) */
} EepEvent;

/* Total order; negative when x comes first. Never 0 for two events of one run. */
static inline int eep_event_compare(const EepEvent *x, const EepEvent *y)
{
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->event_class != y->event_class)
        return x->event_class < y->event_class ? -1 : 1;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

G_END_DECLS

#endif
