/* EepExploreWorld: all that surrounds a resize machine, small enough to be copied for every event.
 *
 * An EepResizeHost whose pool is a few lines of plain values: notes under way, operations by
 * worker, timers, the step in flight, where experts and requests are, which workers have stopped.
 * Together with the machine's control block it is a *state*; what may happen next is a list of
 * events (explore_event.h), and time does not exist: whatever is under way may come at any moment
 * that the transport allows. Breaks of the contract of resize_host.h are noted in the world as it
 * happens; invariants of whole states are explore_check.h's. Not a simulation: nothing in it costs
 * time. One thread each; no pointers in the state. */
#ifndef EEP_SIM_EXPLORE_WORLD_H
#define EEP_SIM_EXPLORE_WORLD_H

#include "core/resize/control.h"
#include "core/resize/resize.h"

G_BEGIN_DECLS

#define EEP_EXPLORE_MAX_LINES  16
#define EEP_EXPLORE_MAX_OPS    28
#define EEP_EXPLORE_MAX_TIMERS 8
#define EEP_EXPLORE_MAX_NOTES  6 /* per direction of one pair of ends */
#define EEP_EXPLORE_NO_LINE    0xff
#define EEP_EXPLORE_EXPERTS    3u /* a bit for each of two logical experts */

/* word | low byte of the serial << 8 */
typedef guint16 EepExploreNote;

/* One worker. */
typedef struct {
    EepWorkerId worker; /* 0: the line is free */
    guint8 is_alive;    /* its process exists */
    guint8 is_stopped;  /* it does nothing, for good or for a while */
    guint8 is_lost;     /* and the pool has found out */
    guint8 pause, is_routable;
    guint8 n_requests;
    guint8 held, staged; /* experts in its slots; in slots that no map names yet */
    guint8 mapped;       /* experts that the maps say it holds */
    guint8 version;      /* of the maps and counters that it goes by */
    guint8 n_to, n_from;
    EepExploreNote to[EEP_EXPLORE_MAX_NOTES], from[EEP_EXPLORE_MAX_NOTES];
} EepExploreLine;

typedef struct {
    EepOpId id;      /* 0: free */
    guint16 members; /* bits by line, whoever has not completed yet in `pending` */
    guint16 pending;
    guint8 kind; /* EepPhaseKind */
    guint8 is_aborted, has_failed;
    guint8 pad;
} EepExploreOp;

typedef struct {
    EepExploreLine lines[EEP_EXPLORE_MAX_LINES];
    EepExploreOp ops[EEP_EXPLORE_MAX_OPS];
    guint64 timers[EEP_EXPLORE_MAX_TIMERS];
    EepWorkerId next_worker;
    guint32 next_op;
    guint8 is_stepping, is_blocked, is_refusing, is_eplb_suspended;
    guint8 is_reshuffling, reshuffle_mode; /* EepReshuffleMode */
    guint16 reshuffle_members;             /* bits by line of the target */
    guint16 migrating;                     /* bits by line; of who spreads, all bits */
    guint16 migration_members;
    guint8 has_spread; /* a spread is under way */
    guint8 faults_left, is_asked;
    guint8 is_open;                       /* a resize was accepted and its end not told */
    guint8 outcome;                       /* of the last one that ended, EepOutcome */
    guint8 n_finished, n_aborted, n_died; /* requests: answered in full, cut off, gone with a
                                             worker */
    guint8 version;                       /* the latest of the lines' */
    guint8 degraded;                      /* experts that a recovery went on without */
} EepExploreWorld;

/* What does not change while a space is explored. */
typedef struct {
    EepResizeParams params;
    guint n_engines, target; /* sizes before and after the first request */
    guint max_engines;       /* a second request asks for any other size up to here */
    guint n_faults;
    EepRecovery recovery;
    guint n_requests;    /* of each engine at the start */
    gboolean is_reduced; /* what makes no difference happens at once; engines alike are one */
} EepExploreSetting;

typedef struct EepExplorePlant EepExplorePlant; /* explore_plant.h */

/* The state that is worked on, and the machine that acts in it. */
typedef struct {
    EepExploreWorld world;
    EepResize *resize;
    const EepExploreSetting *setting;
    const EepExplorePlant *plant; /* nullable */
    EepResizeHost host;
    /* The first thing that went wrong since it was cleared; "" if nothing. */
    char violation[256];
    GString *log; /* nullable: what the machine does, a line each */
} EepExploreRig;

/* Builds the machine and its first group; NULL with the machine's error. `setting` and `plant` must
 * outlive it. */
EepExploreRig *eep_explore_rig_new(const EepExploreSetting *setting, const EepExplorePlant *plant,
                                   GError **error);
void eep_explore_rig_free(EepExploreRig *rig);

/* Bytes of one state. */
gsize eep_explore_rig_size(const EepExploreRig *rig);
/* Copies the state out, and back in; eep_explore_rig_size() bytes, aligned to 8. */
void eep_explore_rig_save(const EepExploreRig *rig, gpointer ret_state);
void eep_explore_rig_load(EepExploreRig *rig, gconstpointer state);

/* Index of the worker's line, EEP_EXPLORE_NO_LINE if it has none. */
guint eep_explore_line(const EepExploreWorld *world, EepWorkerId worker);

/* Notes the violation unless there is one already. */
void eep_explore_violate(EepExploreRig *rig, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Frees lines and operations to which nothing refers any more. */
void eep_explore_sweep(EepExploreRig *rig);

/* A step in flight at this moment is one in which this holds: maps name only experts that are
 * there, and each is; everybody goes by the same version and has cleared its pause. */
void eep_explore_check_forward(EepExploreRig *rig);

G_END_DECLS

#endif
