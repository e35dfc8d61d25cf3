/* What the files of EepWorker share. */
#ifndef EEP_GPU_WORKER_WORKER_INTERNAL_H
#define EEP_GPU_WORKER_WORKER_INTERNAL_H

#include <pthread.h>

#include "core/resize/phase.h"
#include "gpu/worker/lane.h"
#include "gpu/worker/membership.h"
#include "gpu/worker/moe.h"
#include "gpu/worker/outbox.h"
#include "gpu/worker/worker.h"

G_BEGIN_DECLS

typedef enum { EEP_LANE_STEP, EEP_LANE_ASIDE, EEP_LANE_COUNT } EepLaneKind;

/* Device memory of the aside lane, for numbers that go along with data. */
#define EEP_WORKER_SCRATCH_BYTES (1u << 20)

/* An abort that both lanes have to go through. */
typedef struct {
    guint64 op;
    guint n_left;
} EepAbortLeft;

struct EepWorker {
    const EepWorkerOptions *options;
    guint32 id; /* 0: given by WELCOME */
    EepWorkerSpawn spawn;
    gpointer spawn_self;

    /* the control thread's */
    int fd, wake_fd;
    GByteArray *received;
    gint64 last_heard, next_beat, hello_sent;
    guint64 n_beats;

    /* set once, before the lanes begin */
    EepDevice *device;
    EepWireWelcome welcome;
    EepTransport *transport;
    EepMembers *members;
    EepOutbox *outbox;
    EepLane *lanes[EEP_LANE_COUNT];

    /* made by the step lane before it says READY; the coordinator asks for nothing earlier */
    EepMoe *moe;
    EepStream streams[EEP_LANE_COUNT];
    gpointer scratch;

    gpointer offloaded; /* the aside lane's: non-expert weights in host memory */
    char *map_error;    /* the step lane's: why a map could not be taken; the next step says so */

    pthread_mutex_t lock; /* of what follows */
    GArray *aborts;       /* EepAbortLeft */
    gdouble slow_factor;
    gboolean has_ended;
    EepWorkerEnd end;
    char *last_word;

    gint is_hung; /* atomic; a scenario's hang of a logical rank */
};

/* What an operation leaves besides its error. */
typedef struct {
    EepMoeResult result;
    guint suspect;
} EepWorkerYield;

/* -- worker.c -- */

/* Any thread: the worker ends as soon as the control thread looks. The first end counts. */
void eep_worker_end(EepWorker *worker, EepWorkerEnd end, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* -- worker_lanes.c -- */

extern const EepLaneOps eep_worker_step_lane, eep_worker_aside_lane;

/* Which lane takes the message. */
EepLaneKind eep_worker_lane_of(const EepWireMessage *message);

/* -- worker_phase.c -- */

gboolean eep_worker_phase(EepWorker *worker, EepLaneKind lane, const EepWirePhase *phase,
                          EepWorkerYield *yield, GError **error);
gboolean eep_worker_phase_is_for_steps(const EepWirePhase *phase); /* the step lane takes it */

/* -- worker_move.c -- */

gboolean eep_worker_move(EepWorker *worker, const EepWireMove *move, EepWorkerYield *yield,
                         GError **error);

/* -- worker_measure.c -- */

/* Sends MEASURED when all samples are there. */
gboolean eep_worker_measure(EepWorker *worker, const EepWireMeasure *ask, EepWorkerYield *yield,
                            GError **error);

/* -- worker_weights.c -- */

/* The non-expert weights over the phase's routes, one after the other or as a pipelined tree. */
gboolean eep_worker_send_weights(EepWorker *worker, const EepWirePhase *phase, gboolean is_tree,
                                 EepWorkerYield *yield, GError **error);

G_END_DECLS

#endif
