/* What the files of EepMoe share; nobody else includes this. Fields are the steps' thread's but
 * where it says otherwise. */
#ifndef EEP_GPU_WORKER_MOE_INTERNAL_H
#define EEP_GPU_WORKER_MOE_INTERNAL_H

#include "gpu/worker/gemm.h"
#include "gpu/worker/moe.h"
#include "gpu/worker/probe.h"
#include <pthread.h>

G_BEGIN_DECLS

#define EEP_MOE_NO_EXPERT G_MAXUINT
#define EEP_MOE_N_SINKS   65536 /* threads that read the KV cache */

/* Held until the end of the block: g_autoptr(EepMoeLock) held = eep_moe_lock(&moe->lock). Not
 * GLib's, which sanitizers do not see. */
typedef pthread_mutex_t EepMoeLock;

static inline EepMoeLock *eep_moe_lock(EepMoeLock *lock)
{
    pthread_mutex_lock(lock);
    return lock;
}

static inline void eep_moe_unlock(EepMoeLock *lock)
{
    pthread_mutex_unlock(lock);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMoeLock, eep_moe_unlock)

/* Held until the end of the block. */
#define EEP_MOE_HOLD(lock) g_autoptr(EepMoeLock) G_GNUC_UNUSED held_lock = eep_moe_lock(&(lock))

/* A slot's memory and the one beside it; under `lock`. */
/* An expert that came for a slot and that no map has wanted there yet. */
typedef struct EepMoeStaged EepMoeStaged;
struct EepMoeStaged {
    gpointer memory;
    guint expert;
    gboolean is_whole; /* all of it is there: the move that brought it has ended */
    EepMoeStaged *older;
};

typedef struct {
    gpointer memory;
    guint expert;         /* that `memory` holds, or EEP_MOE_NO_EXPERT */
    gboolean serves;      /* the map wants it there; else it is only good to be sent or copied */
    EepMoeStaged *staged; /* the newest */
} EepMoeSlot;

typedef struct {
    EepMoeSlot *slots; /* [slots_per_rank] */
    /* The map; replicas are pinned and copied at the beginning of a forward. */
    guint32 n_ranks, rank, n_slots; /* n_ranks 0: no map yet */
    guint32 *slot_experts;          /* [n_slots] */
    gboolean lacks_probe;           /* an expert of a probe token has no slot */
    gboolean is_changed;            /* since the last forward */
    guint32 *pinned_tables;         /* [n_experts + 1] first replica, [max_slots] replicas, */
    guint32 *tables;                /* [n_experts] int32 log2 of popularity; on the device */
} EepMoeLayer;

/* One captured local part. */
typedef struct {
    guint layer, max_rows, n_slots;
    cudaGraphExec_t exec;
} EepMoeGraph;

/* One step's count of pairs by expert. */
typedef struct {
    gboolean is_used;
    guint64 step;
} EepMoeLoadTag;

/* Everything on the device that belongs to no layer; moe.c knows how large each is. */
typedef struct {
    guint16 *x, *h;     /* [max_rows][pitch]: hidden states, before and after attention */
    guint16 *attention; /* [max_rows][pitch] */
    guint16 *scratch;   /* [max_rows][scratch_columns]: outputs that nobody reads */
    float *values;      /* [max_rows][pitch] */
    guint64 *sums;      /* [max_rows] */
    gint32 *keys;       /* [max_rows][n_experts] */
    guint32 *experts, *slots, *positions; /* [max_pairs] */
    guint32 *chunk_counts, *counts, *first_rows;
    guint32 *matrix;              /* [n_ranks][n_slots]: rows that each rank sends to each slot */
    guint32 *load;                /* [n_layers][n_experts] */
    guint16 *sent;                /* [max_pairs][pitch]: rows by slot; their results come back */
    guint16 *arrived, *grouped;   /* [row_capacity][pitch] */
    guint16 *gate_up, *activated; /* [row_capacity][2 * intermediate], [.. pitch_intermediate] */
    EepSegment *segments;
    EepStepFacts *facts;
    guint64 *sink;
    guint64 *checksums; /* [n_layers * slots_per_rank + 1]; under `sums_lock` */
    gpointer kv, shared;
} EepMoeMemory;

/* What the host writes for the device, and reads. */
typedef struct {
    EepStepFacts *facts;
    guint32 *matrix;
    guint32 *load;
    EepSegment *segments;
    guint16 *probes; /* [EEP_WIRE_N_PROBES][pitch] */
    guint64 *checksums;
} EepMoePinned;

struct EepMoe {
    EepDevice *device;
    EepWireModel shape;
    EepStream stream; /* the steps' */
    EepGemm *gemm;
    gint64 wait_ns; /* for waits outside a forward */
    EepExpertLayout layout;
    guint pitch, pitch_intermediate;
    guint max_rows, max_pairs, row_capacity;
    guint max_ranks, max_slots;
    gsize shared_bytes, kv_bytes;  /* as allocated */
    gsize layer_bytes;             /* non-expert weights of a layer */
    guint columns, attention_rows; /* of a layer's non-expert weights: what fits */
    guint scratch_columns;
    EepMoeMemory at;
    EepMoePinned pinned;
    GPtrArray *device_memory, *pinned_memory; /* all of it, to free */
    EepMoeLayer *layers;
    gboolean is_unsettled; /* the stream may still be at work: a wait failed */
    GArray *graphs;        /* EepMoeGraph */
    gboolean captures;     /* forwards capture what they lack */
    /* The load record, a ring of EEP_MOE_LOAD_STEPS steps. */
    EepMoeLoadTag *load_tags;
    guint32 *load_counts; /* [EEP_MOE_LOAD_STEPS][n_layers][n_experts] */
    EepPiece *pieces;
    guint *begins;        /* [2][max_ranks]: of each rank's rows, moe_exchange.c */
    EepGemmGroup *groups; /* [slots_per_rank] */
    EepMoeLock lock;
    GQueue spares; /* experts' memory that no slot uses; under `lock`, oldest first out */
    EepMoeLock sums_lock;
    EepStream sums_stream; /* that may still be at work on checksums; NULL: none */
};

/* -- moe.c -- */

/* eep_moe_new() that tries the GEMMs from `first` on. */
EepMoe *eep_moe_new_with(EepDevice *device, const EepWireModel *shape, EepGemmKind first,
                         GError **error);

/* After the start only under `lock`. */
gpointer eep_moe_alloc(EepMoe *moe, gsize bytes, GError **error);
gpointer eep_moe_alloc_pinned(EepMoe *moe, gsize bytes, GError **error);

/* -- moe_forward.c -- */

/* Waits until the steps' stream is at rest, where an earlier wait failed. */
gboolean eep_moe_settle(EepMoe *moe, gint64 wait_ns, const gint *stop, GError **error);

/* -- moe_slots.c -- */

gboolean eep_moe_slots_new(EepMoe *moe, GError **error);
void eep_moe_slots_free(EepMoe *moe);

/* -- moe_layer.c -- */

/* The part of a layer that needs nobody else, on up to max_rows rows: attention for as many as the
 * weights have rows, router, permute. Only launches, so that it can be captured. */
gboolean eep_moe_layer_local(EepMoe *moe, guint layer, guint max_rows, GError **error);

/* What of attention depends on the step's sizes: the cache and the rest of the flops. */
gboolean eep_moe_layer_context(EepMoe *moe, guint layer, const EepWireStep *step, GError **error);

/* -- moe_exchange.c -- */

/* Dispatch, experts and combine of the layer's rows; on return their results lie in at.sent. */
gboolean eep_moe_exchange(EepMoe *moe, guint layer, EepComm *comm, gint64 wait_ns, const gint *stop,
                          guint *ret_suspect, GError **error);

/* -- moe_graph.c -- */

/* Captures the local parts of a forward of so many rows, where they are not and are to be. Not
 * within a forward: it uses what belongs to one. */
gboolean eep_moe_graph_prepare(EepMoe *moe, guint n_rows, GError **error);

/* Replays the local part if it was captured for so many rows. */
gboolean eep_moe_graph_replay(EepMoe *moe, guint layer, guint n_rows, gboolean *ret_replayed,
                              GError **error);

/* -- moe_load.c -- */

gboolean eep_moe_load_new(EepMoe *moe, GError **error);
void eep_moe_load_record(EepMoe *moe, guint64 step);

G_END_DECLS

#endif
