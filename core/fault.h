/* EepFault: something that breaks, as a scenario or a drawing of failures says it.
 *
 * What is broken is named by the group that serves when it happens. Who makes it happen is an
 * EepFaultInjector: the simulator, or the driver of real workers. What it costs is an EepIncident
 * (incident.h); how the pool finds out and recovers is engine/pool_fault.c's business. Plain
 * values. */
#ifndef EEP_CORE_FAULT_H
#define EEP_CORE_FAULT_H

#include "core/resize/phase.h"
#include "core/time.h"

G_BEGIN_DECLS

typedef enum {
    EEP_FAULT_KIND_FAIL,       /* the process dies; its memory is gone */
    EEP_FAULT_KIND_HANG,       /* it stays and answers nothing any more */
    EEP_FAULT_KIND_SLOW,       /* everything that it computes takes `factor` times as long */
    EEP_FAULT_KIND_LINK,       /* a node's links carry `factor` of their bandwidth */
    EEP_FAULT_KIND_PHASE_FAIL, /* the nth phase of a kind fails */
    EEP_FAULT_KIND_PHASE_HANG, /* the nth phase of a kind never ends */
    EEP_FAULT_KIND_COUNT,
} EepFaultKind;

extern const char *const eep_fault_names[EEP_FAULT_KIND_COUNT];

typedef enum {
    EEP_FAULT_OF_RANK,   /* an EP rank; with it goes its engine */
    EEP_FAULT_OF_ENGINE, /* a data-parallel rank */
    EEP_FAULT_OF_NODE,   /* all engines with a GPU there */
} EepFaultTarget;

/* What PHASE_* names: an EepPhaseKind, which workers do, or one of these, which the machine and the
 * pool do. Draining never fails by itself: its time is up at once (PHASE_FAIL), or nobody sees that
 * it is over before its time is up (PHASE_HANG). */
typedef enum {
    EEP_BREAKABLE_RESHUFFLE = EEP_PHASE_COUNT,
    EEP_BREAKABLE_PRELOAD,
    EEP_BREAKABLE_DRAIN,
    EEP_BREAKABLE_MIGRATE,
    EEP_BREAKABLE_SPREAD,
    EEP_BREAKABLE_PAUSE,
    EEP_BREAKABLE_COUNT,
} EepBreakable;

/* As in scenarios and records. */
const char *eep_breakable_name(guint breakable);

typedef struct {
    EepFaultKind kind;
    EepFaultTarget target;
    guint index;      /* of the rank, engine or node */
    double factor;    /* SLOW: >= 1; LINK: in (0, 1] */
    EepTime duration; /* SLOW, LINK: EEP_TIME_NEVER: for good */
    guint phase;      /* PHASE_*: EepPhaseKind or EepBreakable */
    guint nth;        /* PHASE_*: counted from 1 from the fault's time on; 0: every one */
} EepFault;

/* How the pool finds out; the earliest that applies counts. */
typedef enum {
    EEP_DETECT_PROCESS_EXIT,    /* FAIL only */
    EEP_DETECT_HEARTBEAT,       /* FAIL, HANG */
    EEP_DETECT_ALL2ALL_TIMEOUT, /* a step waits for the rank, in a backend that masks */
    EEP_DETECT_WATCHDOG,        /* a step or a collective waits for the rank */
    EEP_DETECT_COUNT,
} EepDetection;

extern const char *const eep_detection_names[EEP_DETECT_COUNT];

/* The EP ranks of a pool follow each other over nodes, gpus_per_node of them on each. */
typedef struct EepFaultInjector EepFaultInjector;

typedef struct {
    gsize size;
    /* From now on the worker's share of nothing completes: steps, phases and moves with it hang
     * until they are aborted. `is_gone`: its process has exited. */
    void (*stop_worker)(EepFaultInjector *self, EepWorkerId worker, gboolean is_gone);
    /* The worker is itself again (the end of a hang). */
    void (*heal_worker)(EepFaultInjector *self, EepWorkerId worker);
    /* Its share of steps and phases takes `factor` times as long; 1.0: as before. */
    void (*slow_worker)(EepFaultInjector *self, EepWorkerId worker, double factor);
    /* The node's links carry `factor` of their bandwidth; 1.0: as before. */
    void (*set_link)(EepFaultInjector *self, EepPoolId pool, guint node, double factor);
    /* The nth phase of the kind (EepPhaseKind) that begins from now on in the pool fails, or never
     * ends. */
    void (*break_phase)(EepFaultInjector *self, EepPoolId pool, guint phase_kind, guint nth,
                        gboolean hangs);
} EepFaultInjectorOps;

struct EepFaultInjector {
    const EepFaultInjectorOps *ops;
};

G_END_DECLS

#endif
