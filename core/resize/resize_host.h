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
    EepEpoch target_epoch;
} EepResizeWork;

/* What becomes of the placement when a new group is adopted. */
typedef enum {
    EEP_PLACEMENT_WIDEN,  /* empty slots for the new ranks; experts stay where they are */
    EEP_PLACEMENT_SHRINK, /* drop the slots of the ranks that have left, which hold nothing */
    EEP_PLACEMENT_RESET,  /* everybody loaded from disk: the initial placement of this size */
} EepPlacementChange;

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
    /* Whether any request is in the pool, running or waiting (for drain_requests). */
    gboolean (*has_requests)(gpointer self);
    guint (*free_gpus)(gpointer self);

    /* -- time and messages -- */
    /* Deliver through eep_resize_note() after `delay`; order kept per pair of ends. */
    void (*send_note)(gpointer self, const EepNote *note, EepTime delay);
    /* eep_resize_timer(timer) after `delay`; cancelled or not, an id is never used twice. */
    void (*start_timer)(gpointer self, guint64 timer, EepTime delay);
    void (*cancel_timer)(gpointer self, guint64 timer);

    /* -- work; ends by eep_resize_op_done(), per worker, then whole -- */
    EepOpId (*start_phase)(gpointer self, const EepResizeWork *work);
    /* Rearranges experts for n_ranks EP ranks of the group (fewer than it has: the ranks above them
     * are to hold nothing at the end). Asynchronous: layer by layer between steps. Returns TRUE
     * when there is nothing to move; otherwise eep_resize_reshuffled() tells the end. */
    gboolean (*reshuffle)(gpointer self, guint n_ranks, gboolean is_async);

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
} EepResizeHost;

G_END_DECLS

#endif
