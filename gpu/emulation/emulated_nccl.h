/* struct ncclComm: an emulated communicator, as the parts of the emulation know it.
 *
 * Each has a thread of its own, the engine, that does what a non-blocking call leaves to be done:
 * joining, launching operations on their stream, finalizing, shrinking. Until it is done the
 * communicator is in progress. The operations themselves run on the streams' threads, in the order
 * of their calls. A communicator is known by its pointer as long as it lives; references keep its
 * memory while operations that were aborted are still queued. The worker never includes this. */
#ifndef EEP_GPU_EMULATION_EMULATED_NCCL_H
#define EEP_GPU_EMULATION_EMULATED_NCCL_H

#include "gpu/emulation/emulated_nccl_mesh.h"

#include <nccl.h>
#include <pthread.h>

G_BEGIN_DECLS

struct ncclComm {
    gint n_references; /* atomic */
    EepMesh *mesh;
    guint8 id[EEP_MESH_ID_BYTES];
    guint rank, n_ranks;
    int device;
    gboolean is_blocking;
    pthread_t engine;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    GQueue jobs;
    gboolean is_ending;     /* the engine returns */
    guint n_in_progress;    /* jobs that are queued or at work */
    gboolean must_look;     /* a call returned ncclInProgress, and nobody has seen its end */
    const char *inside;     /* the call that a thread is in; NULL: none */
    ncclResult_t async;     /* what went wrong */
    char *text;             /* of the last error */
    guint64 n_calls, n_run; /* operations: launched, done */
    guint n_running;
    guint64 n_collectives;
    guint64 *n_sent, *n_received; /* [n_ranks] */
    guint64 n_delays;
    guint n_children;     /* shrinks and grows that were begun: the same on all ranks */
    gboolean has_grow_id; /* ncclCommGetUniqueId() made one that is not used */
    gboolean is_finalized, is_revoked;
    const char *ended_by; /* "ncclCommRevoke", ...: nothing can be launched any more */
};

/* -- calls -- */

/* Enters a call on a communicator: NULL if it is none, is in progress, or another thread is inside;
 * then *ret_result says what to return. eep_nccl_leave() gives it back. */
ncclComm_t eep_nccl_enter(ncclComm_t comm, const char *call, ncclResult_t *ret_result);
void eep_nccl_leave(ncclComm_t comm);

/* Counts the call; not ncclSuccess: it is to fail by EEP_EMULATED_NCCL_FAIL. */
ncclResult_t eep_nccl_count(const char *call);

/* Remembers an error's text, for ncclGetLastError(), and returns `result`. `comm` may be NULL. */
ncclResult_t eep_nccl_fail(ncclComm_t comm, ncclResult_t result, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* FALSE: it does not start as NCCL_CONFIG_INITIALIZER. NULL is right. */
gboolean eep_nccl_check_config(const ncclConfig_t *config, const char *call,
                               ncclResult_t *ret_result);

/* For a communicator with `ended_by`: says so and returns ncclInvalidUsage. */
ncclResult_t eep_nccl_refuse_ended(ncclComm_t comm, const char *call);

/* -- the engine -- */

/* Lets the engine do `run`; returns ncclInProgress, or waits for it if the communicator blocks. */
ncclResult_t eep_nccl_engage(ncclComm_t comm, void (*run)(ncclComm_t comm, gpointer data),
                             gpointer data);
/* A new communicator that begins to join those of the same id; all must have the same tag. */
ncclResult_t eep_nccl_begin(ncclComm_t *ret_comm, const guint8 *id, const EepNcclAddress *root,
                            guint rank, guint n_ranks, guint64 tag, int device,
                            gboolean is_blocking);
/* Waits for the operations; FALSE: they will not end, or were aborted. */
gboolean eep_nccl_await_quiet(ncclComm_t comm);
ncclComm_t eep_nccl_ref(ncclComm_t comm);
void eep_nccl_unref(ncclComm_t comm);

/* The error that GetAsyncError tells from now on; takes `text`. */
void eep_nccl_break(ncclComm_t comm, ncclResult_t result, char *text);
/* The same for what went wrong between the ranks; does nothing if nothing did. */
void eep_nccl_break_by(ncclComm_t comm, EepMeshResult result, char *text);

G_END_DECLS

#endif
