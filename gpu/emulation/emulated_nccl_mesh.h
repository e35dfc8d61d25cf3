/* EepMesh: the sockets between the ranks of an emulated communicator.
 *
 * Every rank listens on an abstract Unix socket named by the communicator's id and its rank, and on
 * a TCP port for ranks of other hosts, which it tells at the root (emulated_nccl_root.h). It
 * connects to the lower ranks and waits for the higher ones: no file, nothing left when a process
 * is killed. Every message has a head that says what it belongs to, so that a rank that
 * makes another call than its peer is named. Not NCCL's calls and not a stream: the caller gives
 * the thread. connect() and run() are called by one thread at a time; abort() by any. */
#ifndef EEP_GPU_EMULATION_EMULATED_NCCL_MESH_H
#define EEP_GPU_EMULATION_EMULATED_NCCL_MESH_H

#include "gpu/emulation/emulated_nccl_root.h"

G_BEGIN_DECLS

#define EEP_MESH_ID_BYTES EEP_NCCL_ID_BYTES

typedef struct EepMesh EepMesh;

typedef enum {
    EEP_MESH_DONE,
    EEP_MESH_ENDED,  /* by abort(), or the device broke */
    EEP_MESH_GONE,   /* a peer is gone; *ret_text says who */
    EEP_MESH_MISFIT, /* a peer does something else; *ret_text says who and what */
} EepMeshResult;

/* What a message belongs to; the receiver expects exactly the same. */
typedef struct {
    guint32 kind; /* EepMeshKind */
    guint32 type, op, root;
    guint64 call; /* how many of its kind came before: in the group, or from this peer */
    guint64 bytes;
} EepMeshHead;

typedef enum {
    EEP_MESH_P2P = 1,
    EEP_MESH_ALL_GATHER,
    EEP_MESH_REDUCE_SCATTER,
    EEP_MESH_ALL_REDUCE,
    EEP_MESH_BROADCAST,
    EEP_MESH_FINALIZE,
} EepMeshKind;

/* One message of a run; those of one peer and direction go in their order in the array. */
typedef struct {
    guint peer;
    gboolean is_send;
    EepMeshHead head;
    gpointer data; /* of head.bytes; only read by a send */
} EepMeshItem;

typedef struct {
    guint8 id[EEP_MESH_ID_BYTES];
    EepNcclAddress root; /* port 0: all ranks are on this host */
    guint rank, n_ranks;
    guint64 tag; /* must be the same on all: whom a shrink left out, what a grow began with */
    gboolean announces; /* a dead peer is an error; else it is waited for */
    int device;         /* whose death ends everything */
    const char *bus_id; /* "" or what no other rank may have */
} EepMeshPlace;

EepMesh *eep_mesh_new(const EepMeshPlace *place);
void eep_mesh_free(EepMesh *mesh);

/* Waits for all ranks, for ever. */
EepMeshResult eep_mesh_connect(EepMesh *mesh, char **ret_text);

/* Where another communicator that this rank is to be the root of finds it, once connected. */
EepNcclAddress eep_mesh_root_of(const EepMesh *mesh, guint rank);

/* Sends and receives all items at once, waits for all of them, for ever. */
EepMeshResult eep_mesh_run(EepMesh *mesh, guint n, const EepMeshItem *items, char **ret_text);

/* From any thread: what waits returns EEP_MESH_ENDED, now and later. */
void eep_mesh_abort(EepMesh *mesh);
gboolean eep_mesh_is_aborted(const EepMesh *mesh);

/* Waits until aborted or the device broke: a kernel that spins for a peer that will not come. */
void eep_mesh_hang(EepMesh *mesh);

G_END_DECLS

#endif
