/* The inside of the backend of real workers, for the files that make it up: backend_cuda.c (life
 * and steps), cuda_workers.c (who is there), cuda_waiting.c (who is not wanted yet), cuda_phases.c,
 * cuda_moves.c, cuda_load.c, cuda_maps.c (placements on their way to workers), cuda_check.c
 * (whether results are right), cuda_measure.c, cuda_model.c, cuda_faults.c. */
#ifndef EEP_GPU_COORDINATOR_CUDA_INTERNAL_H
#define EEP_GPU_COORDINATOR_CUDA_INTERNAL_H

#include "core/eplb/placement.h"
#include "core/resize/phase.h"
#include "gpu/coordinator/backend_cuda.h"
#include "gpu/coordinator/crew.h"
#include "gpu/coordinator/door.h"
#include "gpu/coordinator/groups.h"
#include "gpu/coordinator/tasks.h"
#include "live/clock_real.h"

G_BEGIN_DECLS

#define EEP_CUDA_STEPS_IN_FLIGHT 2
/* The longest that a worker may say. */
#define EEP_CUDA_MAX_MESSAGE (64u << 20)
/* Steps of which the number of tokens is remembered, for load reads. */
#define EEP_CUDA_STEPS_KEPT 65536

typedef struct EepCudaBackend EepCudaBackend;

typedef enum {
    EEP_CUDA_EXPECTED, /* started or waited for, not connected */
    EEP_CUDA_JOINING,  /* has its WELCOME */
    EEP_CUDA_READY,
    EEP_CUDA_LEAVING, /* was told to end */
    EEP_CUDA_GONE,
} EepCudaWorkerState;

typedef struct {
    EepCudaBackend *backend;
    EepWorkerId id;
    EepPoolId pool;
    EepCudaWorkerState state;
    EepLink *link;                 /* NULL: not connected */
    gboolean is_silent;            /* no heartbeats */
    gboolean is_broken_on_purpose; /* by a fault of the scenario: nobody need be told */
    gboolean is_own_process;
    gint64 deadline;    /* LEAVING: when its process is killed; before READY: when it is given up */
    gint64 expected_at; /* EXPECTED: since when somebody is waited for */
    gint64 came_at;     /* JOINING: since when it is to be heard */
    guint rank;         /* wanted by the group that it joins */
    guint gpu;          /* of its own process: the device's ordinal */
    /* what it has been sent: [n_layers] and [n_layers][slots_per_rank] */
    EepEpoch map_epoch;    /* 0: nothing */
    gboolean has_stepped;  /* a forward by its maps has ended well: it holds what they say */
    gboolean has_old_maps; /* a forward has not, since: they are sent again before the next */
    guint32 *map_versions;
    gint32 *map;
    EepCudaWorkerFacts facts;
} EepCudaWorker;

/* Phases of a kind that break. */
typedef struct {
    guint phase, n_left;
    gboolean is_each, hangs;
} EepCudaBreak;

typedef struct {
    EepCudaPool options;
    EepPoolId id;
    EepWireModel model;
    EepWorkerGroups *groups;
    guint n_steps; /* in flight */
    EepEpoch last_epoch;
    GArray *last_members; /* EepWorkerId, of the last step by rank */
    gint32 *layout; /* [n_layers][layout_ranks][slots_per_rank] of the last step's placement */
    guint layout_ranks;
    gfloat *popularity;   /* [n_layers][n_experts] as sent */
    gint64 popularity_at; /* when it was looked at, monotonic ns */
    guint32 *step_tokens; /* [EEP_CUDA_STEPS_KEPT], by step modulo that */
    guint64 *step_of;     /* which step each of them is; one more than it, 0: none */
    GArray *breaks;       /* EepCudaBreak */
    /* results */
    gboolean has_reference;
    guint64 probe_hash;
    gfloat probe[EEP_WIRE_N_PROBES];
    gint64 map_changed_at; /* 0: not since the last check */
    gboolean is_check_due;
} EepCudaPoolState;

typedef struct {
    EepFaultInjector base;
    EepCudaBackend *backend;
} EepCudaInjector;

struct EepCudaBackend {
    EepBackend base;
    EepCudaBackendOptions options;
    EepGpuOptions gpu;
    char *program;
    EepDoor *door;
    EepCrew *crew;
    EepTasks *tasks;
    GPtrArray *pools;   /* EepCudaPoolState by id, NULL where none is */
    GPtrArray *workers; /* EepCudaWorker by id, NULL where none is */
    GPtrArray *waiting; /* Waiting (cuda_waiting.c): came before anybody wanted them */
    int timer_fd;
    gint64 beat_at, ticked;
    guint64 n_beats;
    gboolean is_over; /* the loop has ended: what breaks now, nobody recovers from */
    gboolean is_ending;
    EepCudaInjector injector;
    GHashTable *sums; /* expected checksums by layer << 32 | expert */
    char *breach;
    char *failure; /* what went wrong first, at which worker, since a pool began to start */
    EepCudaBackendCounts counts; /* of links that are gone, and everything that is no link's */
};

EepCudaPoolState *eep_cuda_pool(const EepCudaBackend *self, EepPoolId id);  /* nullable */
EepCudaWorker *eep_cuda_worker(const EepCudaBackend *self, EepWorkerId id); /* nullable */
G_GNUC_PRINTF(2, 3) void eep_cuda_say(EepCudaBackend *self, const char *format, ...);
gboolean eep_cuda_is_interrupted(const EepCudaBackend *self);
/* What a failed start is put down to, if nothing was before. */
void eep_cuda_note_failure(EepCudaBackend *self, EepWorkerId worker, const char *why);

/* -- cuda_workers.c -- */

extern const EepDoorEvents eep_cuda_door_events;

/* A new worker for the pool, started or waited for; its part of the operation ends when it is
 * ready. FALSE: it could not be started, which was said. */
gboolean eep_cuda_worker_expect(EepCudaBackend *self, EepCudaPoolState *pool, EepWorkerId id,
                                guint rank);
/* Tells it to end; it is killed if it does not. */
void eep_cuda_worker_dismiss(EepCudaWorker *worker, const char *reason);
void eep_cuda_worker_kill(EepCudaWorker *worker);
/* It is there no more, or cannot be relied on: its process is killed, its parts end. */
void eep_cuda_worker_lose(EepCudaWorker *worker, const char *why);
void eep_cuda_worker_free(gpointer worker);
/* Who has the device already; 0: nobody. */
EepWorkerId eep_cuda_owner_of(const EepCudaBackend *self, const EepWireDevice *device);
void eep_cuda_on_exit(gpointer self, EepWorkerId worker, const char *how);
void eep_cuda_tick(EepCudaBackend *self);

/* Messages of workers that belong to others. */
void eep_cuda_on_done(EepCudaWorker *worker, const EepWireDone *done);
void eep_cuda_on_load(EepCudaWorker *worker, const EepWireLoad *load);
void eep_cuda_on_checked(EepCudaWorker *worker, const EepWireChecked *checked);
void eep_cuda_on_group_id(EepCudaWorker *worker, const EepWireMessage *message);
void eep_cuda_on_measured(EepCudaWorker *worker, const EepWireMeasured *measured);

/* -- cuda_waiting.c -- */

/* Takes over the link. Who waits for the same rank is sent away. */
void eep_cuda_waiting_add(EepCudaBackend *self, EepLink *link, const EepWireHello *hello);
/* Whether who says so may take the worker's place: it has no wish, or this one. */
gboolean eep_cuda_is_wished(const EepCudaWorker *worker, const EepWireHello *hello);
/* One that waits for the worker's place, or for any other with `takes_any`, on a device that nobody
 * has: the caller's from now on; NULL: none. */
EepLink *eep_cuda_waiting_take(EepCudaBackend *self, const EepCudaWorker *worker,
                               gboolean takes_any, EepWireHello *ret_hello);
void eep_cuda_waiting_send(EepCudaBackend *self, const EepWireMessage *message); /* to all */
gboolean eep_cuda_waiting_are_told(const EepCudaBackend *self); /* it has left the machine */
void eep_cuda_waiting_free(gpointer waiting);

/* -- cuda_phases.c -- */

void eep_cuda_start_phase(EepBackend *backend, const EepPhase *phase);
/* A phase on the coordinator's own account, for the group of the epoch: members by rank
 * (EepWorkerId). `ended` may be called before it returns. */
void eep_cuda_own_phase(EepCudaBackend *self, EepPoolId pool, EepPhaseKind kind, EepEpoch epoch,
                        GArray *members, EepTaskEnded ended, gpointer user_data);

/* A forward, a move or a phase did not end well, or was given up: the communicator that it used is
 * of no use any more, at some members at least. */
void eep_cuda_note_broken(EepCudaBackend *self, const EepTask *task);
/* Has the members join anew if that is so, before what they are sent next of that use. */
void eep_cuda_mend_group(EepCudaBackend *self, EepCudaPoolState *pool, EepEpoch epoch,
                         EepGroupUse use);
/* What mends the group for this task, or tries it first, while its members are at it; NULL. */
EepTask *eep_cuda_mending(const EepCudaBackend *self, const EepTask *task);

/* -- cuda_moves.c -- */

void eep_cuda_move(EepBackend *backend, const EepMove *move);

/* -- cuda_load.c -- */

void eep_cuda_read_load(EepBackend *backend, const EepOp *op, guint64 from_step, guint64 to_step,
                        guint n_windows);
void eep_cuda_note_tokens(EepCudaPoolState *pool, guint64 step, guint32 n_tokens);
/* Sends what has changed, if it is time to look. */
void eep_cuda_follow_popularity(EepCudaBackend *self, EepCudaPoolState *pool);
void eep_cuda_post_popularity(const EepCudaPoolState *pool, EepCudaWorker *worker);

/* -- cuda_maps.c -- */

/* The maps of the placement that the worker of this rank does not have yet. */
void eep_cuda_post_maps(EepCudaPoolState *pool, EepCudaWorker *worker, guint rank, EepEpoch epoch,
                        const EepPlacement *placement);
/* Remembers the placement of a step. */
void eep_cuda_keep_layout(EepCudaPoolState *pool, const EepPlacement *placement);
/* Before a forward on a group that has not stepped: what its members hold, by their ranks there. */
void eep_cuda_post_derived_maps(EepCudaBackend *self, EepCudaPoolState *pool,
                                const EepWorkerGroup *group);

/* -- cuda_check.c -- */

void eep_cuda_note_probe(EepCudaWorker *worker, EepTask *task, const EepWireDone *done);
void eep_cuda_check_experts(EepCudaBackend *self, EepCudaPoolState *pool);
/* The same, and waits for the answers: at the end. */
void eep_cuda_check_at_end(EepCudaBackend *self);
G_GNUC_PRINTF(2, 3) void eep_cuda_breach(EepCudaBackend *self, const char *format, ...);

void eep_cuda_drop_questions(EepCudaBackend *self); /* before the tasks go */

/* -- cuda_model.c -- */

EepWireModel eep_cuda_wire_model(const EepCudaPool *pool, const EepGpuOptions *gpu, guint64 seed);

/* -- cuda_faults.c -- */

extern const EepFaultInjectorOps eep_cuda_injector_ops;

/* How this phase of the pool is to break. */
EepWireBreak eep_cuda_take_break(EepCudaPoolState *pool, guint phase);

G_END_DECLS

#endif
