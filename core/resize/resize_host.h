/* EepResizeHost: what the resize machine asks of its pool.
 *
 * One ops table, implemented by the pool (and by tests and the explorer). Every op returns at once
 * and never calls back into EepResize: what takes time ends as an event that the pool hands to
 * eep_resize_op_done(), eep_resize_note(), eep_resize_timer() or eep_resize_reshuffled(). No op may
 * be NULL. Loop thread only. Not the backend: the pool gives operations their ids, epochs and
 * deadlines. */
#ifndef EEP_CORE_RESIZE_RESIZE_HOST_H
#define EEP_CORE_RESIZE_RESIZE_HOST_H

#include "core/engine/engine.h"
#include "core/observer.h"
#include "core/resize/group.h"
#include "core/resize/note.h"
#include "core/resize/phase.h"
#include "core/resize/record.h"

G_BEGIN_DECLS

/* A piece of work for the backend. Arrays live until the call returns. */
typedef struct {
    EepPhaseKind kind;
    guint n_workers;
    const EepWorkerId *workers;
    guint n_ranks_old, n_ranks_new; /* EP sizes before and after */
    gint64 bytes;                   /* per receiving worker; 0: none */
    guint n_receivers;              /* workers that receive `bytes` */
    EepEpoch epoch;                 /* the operation's */
    const EepGroup *target;         /* what the group is to become */
} EepResizeWork;

/* What becomes of the placement when a new group is adopted. Ranks follow their workers: a rank of
 * the new group brings the slots that its worker had, wherever it was. */
typedef enum {
    EEP_PLACEMENT_WIDEN,  /* new ranks have what was preloaded, else empty slots */
    EEP_PLACEMENT_SHRINK, /* slots of ranks that have left go; they hold no expert alone */
    EEP_PLACEMENT_RESET,  /* everybody loaded from disk: the initial placement of this size */
    EEP_PLACEMENT_MASK,   /* as SHRINK, but experts may be left without a slot: degraded */
} EepPlacementChange;

typedef enum {
    EEP_RESHUFFLE_SYNC,    /* forwards stand still */
    EEP_RESHUFFLE_ASYNC,   /* layer by layer between steps */
    EEP_RESHUFFLE_PRELOAD, /* into the empty slots of workers that join; maps switch when adopted */
} EepReshuffleMode;

/* One change of state, for logs and tests; all strings static. */
typedef struct {
    const char *machine; /* "coordinator" | "participant" */
    EepWorkerId worker;  /* 0 for the coordinator */
    const char *from, *to, *cause;
} EepResizeChange;

typedef struct {
    gsize size;

    /* -- questions -- */
    EepTime (*now)(gpointer self);
    /* Whether a step is in flight; if so, participants of the serving group act at its end only. */
    gboolean (*is_stepping)(gpointer self);
    /* Whether any request is in the pool (worker 0) or in one engine, running or waiting. */
    gboolean (*has_requests)(gpointer self, EepWorkerId worker);
    guint (*free_gpus)(gpointer self);
    /* The `n` members whose leaving loses least (KV held, experts held alone); n < members. */
    void (*choose_leaving)(gpointer self, guint n, EepWorkerId *ret_workers);

    /* -- time and messages -- */
    /* Deliver through eep_resize_note() after `delay`; order kept per pair of ends. */
    void (*send_note)(gpointer self, const EepNote *note, EepTime delay);
    /* eep_resize_timer(timer) after `delay`; cancelled or not, an id is never used twice. */
    void (*start_timer)(gpointer self, guint64 timer, EepTime delay);
    void (*cancel_timer)(gpointer self, guint64 timer);

    /* -- work; ends by eep_resize_op_done(), per worker, then whole; 0: it has ended already -- */
    EepOpId (*start_phase)(gpointer self, const EepResizeWork *work);
    /* The operation ends as soon as it can, as aborted; its end is still told. */
    void (*abort_op)(gpointer self, EepOpId op);
    /* Rearranges experts over the members of `target` that hold any now or (PRELOAD) are to; ranks
     * of the serving group that are not in it hold nothing at the end, unless they are dead: then
     * what they held comes from other ranks, the host's backup or disk. Returns TRUE when there is
     * nothing to move; otherwise eep_resize_reshuffled() tells the end. */
    gboolean (*reshuffle)(gpointer self, const EepGroup *target, EepReshuffleMode mode);
    /* Forgets what has not switched yet, preloaded slots included; no end is told. */
    void (*stop_reshuffle)(gpointer self);
    /* Moves the requests of a leaving engine, with their KV, to the others of `target`; worker 0:
     * some of everybody's onto the group's emptiest engines. TRUE: nothing to move; else
     * eep_resize_migrated() tells the end, after which the leaving engine has no request. */
    gboolean (*migrate)(gpointer self, EepWorkerId worker, const EepGroup *target);
    /* Requests stay where they are; no end is told. */
    void (*stop_migration)(gpointer self);

    /* -- engines -- */
    /* Takes GPUs and creates an engine for the data-parallel rank of the target group, not serving
     * yet. Returns its worker: unique in the deployment, never used before, not 0. Its KV cache has
     * the blocks that the serving engines agree on, the minimum of theirs. */
    EepWorkerId (*launch_engine)(gpointer self, guint rank);
    /* The worker's process has exited: its engine goes, its GPUs are free. */
    void (*release_engine)(gpointer self, EepWorkerId worker);
    void (*set_pause)(gpointer self, EepWorkerId worker, EepPause pause);
    /* Whether the router may choose it. Engines that join become routable by adopt_group(). */
    void (*set_routable)(gpointer self, EepWorkerId worker, gboolean is_routable);
    /* Ends all its requests as aborted with this reason ("scale_down"); returns how many. No step
     * is in flight. */
    guint (*abort_requests)(gpointer self, EepWorkerId worker, const char *reason);
    void (*set_gpu_use)(gpointer self, EepWorkerId worker, EepGpuUse use);

    /* -- the pool as a whole -- */
    /* No step may begin. Called with no step in flight. */
    void (*set_forwards_blocked)(gpointer self, gboolean is_blocked);
    /* New requests get 503. */
    void (*set_refusing)(gpointer self, gboolean is_refusing);
    /* EPLB starts no rearrangement of its own; one that runs is drained and not applied. */
    void (*set_eplb_suspended)(gpointer self, gboolean is_suspended);
    /* The serving epoch is now this one; no step is in flight. Wave, step and rearrangement
     * counters of all members become the maximum of theirs (new ones bring 0). */
    void (*adopt_group)(gpointer self, const EepGroup *group, EepPlacementChange placement);

    /* -- accounts; may do nothing -- */
    /* A span named `name` began: prepare (t0), commit (t1), settle (t2), and each of the record's
     * phases. What `during: {resize, phase}` waits for. */
    void (*span_began)(gpointer self, const EepResizeRecord *record, const char *name);
    void (*changed)(gpointer self, const EepResizeChange *change);
    /* Accepted (outcome NONE) or ended (any other outcome); valid until the call returns. */
    void (*told)(gpointer self, const EepResizeRecord *record);
    /* A resize that was told as failed has left the group stuck, and with it what it refuses and
     * blocks: this is its record with all of that, once something else takes over or the run ends.
     * For each that eep_resize_is_stuck() after it was told. */
    void (*closed)(gpointer self, const EepResizeRecord *record);
} EepResizeHost;

G_END_DECLS

#endif
