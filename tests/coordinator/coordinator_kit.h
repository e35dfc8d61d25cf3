/* A coordinator with fake workers (fake_worker.c), for tests: a real clock, one pool of a tiny
 * model, completions kept in order. What is said to the user is kept too. One at a time. */
#ifndef EEP_TESTS_COORDINATOR_COORDINATOR_KIT_H
#define EEP_TESTS_COORDINATOR_COORDINATOR_KIT_H

#include "core/eplb/placement.h"
#include "gpu/coordinator/backend_cuda.h"
#include "live/clock_real.h"

G_BEGIN_DECLS

#define KIT_POOL    0
#define KIT_EPOCH   1
#define KIT_LAYERS  2
#define KIT_EXPERTS 8

typedef struct Kit Kit;

struct Kit {
    EepClock *clock;
    EepMailbox *mailbox;
    EepLoop *loop;
    EepBackend *backend;
    EepGpuOptions gpu;
    EepModel model;
    EepCudaBackendOptions options;
    guint n_engines;
    EepPlacement *placement;
    GString *said;
    GArray *completions; /* EepCompletion, in order */
    GPtrArray *blobs;    /* GBytes or NULL, with them */
    GArray *found;       /* guint64, `c` of each fault that was found */
    EepOpId last_op;
    void (*ended)(Kit *kit); /* nullable: after each completion */
    gpointer self;           /* for it */
};

/* EEP_FAKE becomes `modes`. Short deadlines; no backend yet. */
Kit *kit_new(guint n_engines, const char *modes);
/* Before kit_start(): workers come over TCP, not by the name that spawned ones are given. */
void kit_use_tcp(Kit *kit);
/* Opens the backend and starts the pool. */
gboolean kit_start(Kit *kit, GError **error);
/* With the backend; fails the test when a process is left. */
void kit_free(Kit *kit);
/* When somebody else has freed its backend and its clock. NULL is allowed. */
void kit_free_rest(Kit *kit);

/* Serves until so many completions have come, or a time is over (FALSE). */
gboolean kit_wait(Kit *kit, guint n_completions);
void kit_serve(Kit *kit, EepTime how_long);

EepOp kit_op(Kit *kit);
EepOpId kit_step(Kit *kit);
EepOpId kit_phase(Kit *kit, guint kind, guint n, const EepWorkerId *workers, EepEpoch target);
EepOpId kit_abort(Kit *kit, EepScope scope);
const EepCompletion *kit_nth(const Kit *kit, guint index);
/* The whole completion of the operation; NULL: none yet. */
const EepCompletion *kit_whole(const Kit *kit, EepOpId op);
guint kit_n_of(const Kit *kit, EepOpId op); /* completions of it */

/* Seconds since an earlier eep_monotonic_ns(). */
double kit_since(gint64 begin);

G_END_DECLS

#endif
