/* EepPoolFaults: what breaks in a pool, how that is noticed, and what is done about it.
 *
 * pool_fault.c loses engines and finds out, pool_break.c breaks the rest, pool_recovery.c recovers
 * or gives up, pool_loss.c keeps the account of what is lost. Each fault is an
 * EepTrouble until its incident is told. Everything that decides is an event of the loop:
 * detection, deadlines, the end of a slow spell. Not the machine that recovers (resize/resize.h),
 * and not what makes a worker stop (the injector of core/fault.h). Owned by its pool; loop thread
 * only. */
#ifndef EEP_CORE_ENGINE_POOL_FAULT_H
#define EEP_CORE_ENGINE_POOL_FAULT_H

#include "core/engine/pool_internal.h"
#include "core/incident.h"
#include "core/rng.h"

G_BEGIN_DECLS

/* A phase that runs: what a lost worker may keep from ending. */
typedef struct {
    EepOpId op;
    guint kind;
    GArray *workers; /* EepWorkerId of those still at it */
} EepRunningPhase;

typedef enum {
    EEP_TROUBLE_SILENT,     /* engines are lost, and nobody has noticed */
    EEP_TROUBLE_JOINER,     /* a new engine was lost: over when the resize that wanted it is */
    EEP_TROUBLE_RECOVERING, /* noticed; a recovery runs or will */
    EEP_TROUBLE_REPLACING,  /* recovered; a spare joins */
    EEP_TROUBLE_BELOW,      /* recovered, but with fewer engines or experts than before */
    EEP_TROUBLE_SLOW,       /* a rank or a link is slow */
    EEP_TROUBLE_ARMED,      /* a phase that has not begun will break */
    EEP_TROUBLE_PHASE,      /* a phase broke: over when its resize is */
    EEP_TROUBLE_STUCK,      /* its resize is stuck, and nobody recovers from that */
    EEP_TROUBLE_EXITED,     /* the deployment gave up */
    EEP_TROUBLE_OVER,
} EepTroubleState;

/* Timers, as `c` of their events; `b` is the trouble's serial. */
typedef enum {
    EEP_FAULT_TIMER_NONE,
    EEP_FAULT_TIMER_DETECT,
    EEP_FAULT_TIMER_DEADLINE, /* of a recovery */
    EEP_FAULT_TIMER_HEAL,     /* the end of a slow spell */
    EEP_FAULT_TIMER_SETTLE,   /* a resize has ended; serial 0 */
    EEP_FAULT_TIMER_FROZEN,   /* forwards have stood still for too long in a stuck group */
    EEP_FAULT_TIMER_ACT,      /* what the machine does itself fails, as soon as it has begun */
} EepFaultTimer;

typedef struct {
    EepIncident incident;
    EepFault fault;
    EepTroubleState state;
    guint64 serial;
    GArray *workers;          /* EepWorkerId that it hit */
    gboolean hits_members;    /* some of them served */
    gboolean is_of_steps;     /* nobody is gone: steps of the whole group fail */
    guint n_before;           /* engines that served before */
    guint n_calls;            /* for spares in the place of those lost */
    EepTime step_waits;       /* since when a step waits for them; EEP_TIME_NEVER: none does */
    EepTime collective_waits; /* the same of a phase or a move */
    EepTime recovery_begun;
    EepTime timer_at;
    EepHandle timer;
    guint n_left;          /* ARMED: phases of the kind up to the one that breaks; 0: each */
    guint n_hits;          /* ARMED: phases that broke, where each does */
    EepOpId op;            /* PHASE: the operation that broke */
    guint64 n_missing;     /* (layer, expert) pairs that it took, without a live replica now */
    double degraded_share; /* of tokens, beyond those that older ones degrade */
    double degraded_tokens;
} EepTrouble;

typedef struct {
    EepWorkerId worker;
    gboolean is_warm;
} EepLaunchedSpare;

struct EepPoolFaults {
    GPtrArray *troubles;   /* EepTrouble, by serial - 1 */
    guint n_lossy;         /* troubles of lost engines that are not over */
    GArray *phases;        /* EepRunningPhase */
    GArray *ended;         /* EepResizeRecord of resizes that ended in this instant */
    EepRequestQueue limbo; /* taken off lost engines, with nowhere to go yet */
    guint broken_acts;     /* bits from EEP_PHASE_COUNT on: EepBreakable that run and never end */
    /* spares */
    guint n_spares;   /* not launched */
    guint n_warm;     /* of them, that run */
    guint n_claimed;  /* of them, for the replacement that was asked for */
    GArray *launched; /* EepLaunchedSpare that do not serve yet */
    /* restarts */
    guint n_restarts;  /* that launched since a request was completed; retries over failed steps */
    EepTime restarted; /* when the last of them was accepted */
    /* drawn failures */
    EepRng rng;
    EepHandle draw;
    guint n_drawn;
    guint n_found; /* that no scenario asked for */
    /* experts without a live slot */
    guint32 *taken_by;     /* [L][E] serial of who took the last one; 0: it lives, or nobody did */
    EepTrouble *losing;    /* its engines are being lost at this instant */
    EepTime missing_since; /* n_missing of everybody is as it is */
    EepTime whole_since;   /* none is missing */
    gboolean is_share_known; /* of everybody, by share_version */
    guint64 share_version;
    EepTrouble *exited_by;
};

/* -- pool_fault.c: called by the pool -- */

void eep_pool_fault_init(EepPool *pool);
void eep_pool_fault_clear(EepPool *pool);

/* A step was submitted, or an operation that all members take part in, while n_silent > 0. */
void eep_pool_fault_step_waits(EepPool *pool);
void eep_pool_fault_collective_waits(EepPool *pool);
/* Steps fail again and again: the serving group counts as broken. None is in flight. */
void eep_pool_fault_steps_failed(EepPool *pool);
/* The machine has acted: somebody may wait for a lost engine now, or forwards stand still. */
void eep_pool_fault_machine_acted(EepPool *pool);

/* The run is over: what is open is told, and requests in limbo end with this fate. */
void eep_pool_fault_finish(EepPool *pool, EepFate fate);

/* -- pool_fault.c: for its neighbours -- */

EepTrouble *eep_trouble_open(EepPool *pool, const EepFault *fault, const char *id,
                             EepTroubleState state);
void eep_trouble_set_timer(EepPool *pool, EepTrouble *trouble, EepFaultTimer timer, EepTime at);
void eep_trouble_set_state(EepPool *pool, EepTrouble *trouble, EepTroubleState state);
void eep_trouble_end(EepPool *pool, EepTrouble *trouble, const char *outcome);
void eep_trouble_tell(EepPool *pool, const EepTrouble *trouble, const char *what,
                      const char *detail);
/* What the fault names is not there. */
void eep_trouble_tell_missed(EepPool *pool, const EepFault *fault, const char *id);
/* A phase or a move waits for its workers. */
void eep_trouble_collective_waits(EepPool *pool, EepTrouble *trouble);

/* Whether it is about lost engines and not over. */
gboolean eep_trouble_is_lossy(const EepTrouble *trouble);

/* The engine of a data-parallel rank: of those that serve, else of those that come or go; NULL. */
EepEngine *eep_pool_engine_at(const EepPool *pool, guint index);

/* Engines that the fault names and that are alive; g_ptr_array_free(). */
GPtrArray *eep_trouble_targets(const EepPool *pool, const EepFault *fault);

static inline gboolean eep_workers_have(const GArray *workers, EepWorkerId worker)
{
    for (guint i = 0; i < workers->len; i++)
        if (g_array_index(workers, EepWorkerId, i) == worker)
            return TRUE;
    return FALSE;
}

/* -- pool_break.c -- */

void eep_pool_fault_begin_slow(EepPool *pool, const EepFault *fault, const char *id);
void eep_pool_fault_end_slow(EepPool *pool, EepTrouble *trouble);
void eep_pool_fault_arm_phase(EepPool *pool, const EepFault *fault, const char *id);
void eep_pool_fault_phase_began(EepPool *pool, const EepPhase *phase);
void eep_pool_fault_phase_ended(EepPool *pool, const EepCompletion *completion);
/* A span of a resize began, which may be an act that breaks. */
void eep_pool_fault_span_began(EepPool *pool, const char *name);
/* A stage or a resize is over: no act runs into the next, so that what hung has been given up. */
void eep_pool_fault_end_acts(EepPool *pool);
/* Whether the act has broken: it is not to be begun, and is not seen to end. */
gboolean eep_pool_fault_is_broken(const EepPool *pool, EepBreakable act);
/* The pool's step as the members' check sees it: none while they cannot agree on a pause. */
guint64 eep_pool_fault_check_step(const EepPool *pool);
/* Whether a drain has to wait: for any request of the pool (worker 0) or of one engine. */
gboolean eep_pool_has_requests(const EepPool *pool, EepWorkerId worker);
/* Ends what the trouble broke, as failed: its operation or the machine's act. */
void eep_pool_fault_fail_phase(EepPool *pool, EepTrouble *trouble);
/* Whether a phase runs whose other workers wait for the trouble's. */
gboolean eep_pool_fault_is_phase_waiting(const EepPool *pool, const EepTrouble *trouble);
/* Whether its parts wait for each other, so that the collectives' watchdog sees one of them hang.
 */
gboolean eep_pool_fault_is_collective(guint breakable);
/* Operations that will not end by themselves. */
void eep_pool_fault_abort_phases(EepPool *pool);
void eep_pool_fault_abort_move(EepPool *pool);

/* -- pool_recovery.c -- */

/* The loss has been noticed. */
void eep_pool_recover(EepPool *pool, EepTrouble *trouble);
/* Everybody is aborted, all GPUs are free, nothing is served again. */
void eep_pool_exit(EepPool *pool, EepTrouble *cause);
/* Nobody asks the machine of a pool that has exited: the resize is refused. */
void eep_pool_fault_refuse(EepPool *pool, guint new_data_parallel_size, const char *id,
                           const char *by);
/* A resize is stuck without a recovery: while forwards stand still, the watchdog's clock runs. */
void eep_pool_watch_stuck(EepPool *pool, EepTrouble *trouble);
/* The recovery has taken too long, unless forwards run again. */
void eep_pool_recovery_is_due(EepPool *pool, EepTrouble *trouble);
/* Takes note of a resize that has ended; what follows from it comes with a timer, since the machine
 * is not to be called back. */
void eep_pool_fault_resize_ended(EepPool *pool, const EepResizeRecord *record);
void eep_pool_fault_settle(EepPool *pool);

/* Spares that no resize may take, in engines. */
guint eep_pool_fault_n_spares(const EepPool *pool);
/* A resize stops the engine: how many of its requests are aborted, for this reason. When it is a
 * recovery, they came since the loss was found, and are lost as those before them were. */
guint eep_pool_fault_stop(EepPool *pool, EepEngine *engine, EepReason reason);
/* The machine has launched an engine, which may be a spare: TRUE; has adopted a group; releases an
 * engine: a spare that never served is one again, a cold one: TRUE. */
gboolean eep_pool_fault_launched(EepPool *pool, const EepEngine *engine);
void eep_pool_fault_adopted(EepPool *pool);
gboolean eep_pool_fault_released(EepPool *pool, const EepEngine *engine);
/* The machine launches an engine: counts restarts. */
void eep_pool_fault_launches(EepPool *pool);
/* A warm spare's launch is over before it begins. */
gboolean eep_pool_fault_phase_is_free(const EepPool *pool, const EepResizeWork *work);
/* Tells the GPU time of `n` warm spares that have waited until now. */
void eep_pool_fault_bill_spares(EepPool *pool, guint n);

/* Looks again at the end of this instant. */
void eep_pool_fault_settle_soon(EepPool *pool);

/* -- pool_loss.c -- */

/* Experts, ranks or the workers behind them have changed. */
void eep_pool_fault_placed(EepPool *pool);
/* Forwards may run again. */
void eep_pool_fault_forwards_run(EepPool *pool);
/* A step has computed n tokens while n_missing > 0. */
void eep_pool_fault_count_tokens(EepPool *pool, guint64 n);
/* The KV of the engine's requests is gone. */
void eep_pool_fault_lose_kv(EepTrouble *trouble, const EepEngine *engine);
/* Ends the engine's requests as aborted; it was lost, or goes, because of this trouble. */
void eep_pool_fault_abort_requests(EepPool *pool, EepTrouble *trouble, EepEngine *engine);
/* The same for an engine that is released, dead or only leaving. */
void eep_pool_fault_end_released(EepPool *pool, EepEngine *engine);
/* Ends those in limbo as aborted. */
void eep_pool_fault_end_limbo(EepPool *pool);

G_END_DECLS

#endif
