/* EepObserver: who is told what the core does: metrics, the run folder, a progress bar.
 *
 * One ops table, called on the loop thread while the event that caused it is handled; observers
 * never act back. Not a log: every call carries typed values. Observers outlive the deployment they
 * watch. */
#ifndef EEP_CORE_OBSERVER_H
#define EEP_CORE_OBSERVER_H

#include "core/engine/request.h"
#include "core/incident.h"
#include "core/resize/record.h"

G_BEGIN_DECLS

/* One step of one pool, when it ended. */
typedef struct {
    EepPoolId pool;
    guint64 step; /* the pool's step index */
    EepTime begin, end;
    guint n_engines;
    gboolean is_dummy;                   /* no engine had work */
    guint64 n_decodes, n_prefill_tokens; /* tokens scheduled */
    guint32 n_running, n_waiting;        /* requests over all engines, when the step was planned */
    double kv_usage;                     /* mean share of KV blocks in use, when it was planned */
    double imbalance; /* expected max/mean expert tokens over ranks; 0: no expert work */
} EepStepRecord;

/* One member of a decision; `key` and string values live until the call returns. */
typedef struct {
    const char *key;
    enum { EEP_FACT_INT, EEP_FACT_DOUBLE, EEP_FACT_STRING, EEP_FACT_TIME, EEP_FACT_BOOL } type;
    gint64 integer; /* also times and booleans */
    double real;
    const char *string;
} EepFact;

#define EEP_FACT_I(name, value)                                                                    \
    {                                                                                              \
        .key = (name), .type = EEP_FACT_INT, .integer = (gint64)(value)                            \
    }
#define EEP_FACT_D(name, value)                                                                    \
    {                                                                                              \
        .key = (name), .type = EEP_FACT_DOUBLE, .real = (value)                                    \
    }
#define EEP_FACT_S(name, value)                                                                    \
    {                                                                                              \
        .key = (name), .type = EEP_FACT_STRING, .string = (value)                                  \
    }
#define EEP_FACT_T(name, value)                                                                    \
    {                                                                                              \
        .key = (name), .type = EEP_FACT_TIME, .integer = (value)                                   \
    }

/* GPU-seconds by what the GPUs did; sums to the GPUs' time from launch to release. */
typedef enum {
    EEP_GPU_SERVING,
    EEP_GPU_PREPARING,
    EEP_GPU_STALLED,
    EEP_GPU_DRAINING,
    EEP_GPU_DEAD,
    EEP_GPU_RESERVED,
    EEP_GPU_USE_COUNT,
} EepGpuUse;

/* What a plan was found to be worth, where that was asked. */
typedef struct {
    gboolean is_known;
    double saved_s; /* predicted step time saved until the next chance to rearrange */
    double cost_s;  /* predicted time that serving loses by the moves */
} EepEplbWorth;

/* A rearrangement of experts, complete. */
typedef struct {
    EepPoolId pool;
    gboolean for_resize;
    const char *trigger; /* static: what asked for it, "resize" for a resize */
    gint64 bytes_moved;  /* between ranks, and from disk what no rank held */
    gint64 bytes_intra_node, bytes_inter_node; /* of these, over NVLink and over NICs */
    guint64 n_experts_moved;
    guint64 n_experts_restored; /* of these, from a copy outside: no live rank held them */
    guint64 n_experts_lost;     /* (layer, expert) pairs without a slot since */
    double balancedness_before, balancedness_after; /* under the load that it was planned on */
    EepEplbWorth worth;
    EepTime stalled; /* that no step ran for it, a resize's apart */
} EepRearrangement;

/* A look at the load after which all stays where it is. */
typedef struct {
    EepPoolId pool;
    const char *trigger, *reason; /* static */
    double balancedness;          /* of the placement under the load */
    EepEplbWorth worth;
} EepEplbKept;

typedef struct EepObserver EepObserver;

typedef struct {
    gsize size;
    const char *name;
    /* The request's life is over; it is read-only and gone after the call. */
    void (*request_ended)(EepObserver *self, const EepRequest *request, EepTime now);
    /* The server aborted it and the client will try again: what it has got is of no use any more.
     * The request is as it was when the attempt ended. */
    void (*attempt_ended)(EepObserver *self, const EepRequest *request, EepTime now);
    /* n tokens came `gap` ns after the token before, of the same request. */
    void (*gaps)(EepObserver *self, EepPoolId pool, EepTime gap, guint64 n);
    void (*step)(EepObserver *self, const EepStepRecord *step);
    /* A decision of the core, one line of events.jsonl: what, with its facts. */
    void (*decision)(EepObserver *self, EepTime now, EepPoolId pool, const char *what,
                     const EepFact *facts, guint n_facts);
    /* The pool has changed size or begun to (n_engines serving now). */
    void (*size_changed)(EepObserver *self, EepTime now, EepPoolId pool, guint n_engines);
    /* n_gpus did `use` from `begin` to `end`. */
    void (*gpu_time)(EepObserver *self, EepPoolId pool, EepGpuUse use, EepTime begin, EepTime end,
                     guint n_gpus);
    void (*resize_ended)(EepObserver *self, const EepResizeRecord *record);
    /* A fault's account is complete, at the latest at the end of the run. */
    void (*incident_ended)(EepObserver *self, const EepIncident *incident);
    void (*rearranged)(EepObserver *self, EepTime now, const EepRearrangement *rearrangement);
    void (*kept)(EepObserver *self, EepTime now, const EepEplbKept *kept);
} EepObserverOps;

struct EepObserver {
    const EepObserverOps *ops;
};

/* Passes every call on to the observers added, in their order. */
EepObserver *eep_observer_fan_new(void);
void eep_observer_fan_add(EepObserver *fan, EepObserver *observer);
void eep_observer_fan_free(EepObserver *fan);

/* Does nothing; the base to copy for an observer that wants a few of the calls. */
extern const EepObserverOps eep_observer_none;

G_END_DECLS

#endif
