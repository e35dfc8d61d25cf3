/* EepNcclRoot: where the ranks of an emulated communicator find each other.
 *
 * As NCCL's bootstrap: the unique id holds the address of the process that made it; every rank says
 * there where it listens, and when all have come each is told where the others do. A process has
 * one such place, opened when it is first needed, on one address of this host: of the interface
 * that NCCL_SOCKET_IFNAME and NCCL_SOCKET_FAMILY name, else of the first that is up, loopback last.
 * Not what ranks exchange (emulated_nccl_mesh.h), and no way in for anybody else: who does not know
 * the id is closed. A thread of its own, to the end of the process. */
#ifndef EEP_GPU_EMULATION_EMULATED_NCCL_ROOT_H
#define EEP_GPU_EMULATION_EMULATED_NCCL_ROOT_H

#include <glib.h>
#include <netinet/in.h>

G_BEGIN_DECLS

#define EEP_NCCL_ID_BYTES 16

/* IPv6, or IPv4 mapped into it; port 0: none. Plain bytes: it travels in ids and messages. */
typedef struct {
    guint8 ip[16];
    guint16 port; /* as the host orders it */
} EepNcclAddress;

/* Where a rank can be found: by the others of this communicator; as the root of another one. */
typedef struct {
    EepNcclAddress mesh, root;
} EepNcclPlace;

#define EEP_NCCL_ROOT_MAGIC 0x65657072u

/* What a rank says at the root. */
typedef struct {
    guint32 magic, rank, n_ranks, pad;
    guint8 id[EEP_NCCL_ID_BYTES];
    EepNcclPlace place;
} EepNcclCall;

/* What it is told when all have come; n_ranks EepNcclPlace follow if `reason` is empty. */
typedef struct {
    guint32 n_ranks;
    char reason[124]; /* who does not fit; "": all do */
} EepNcclReply;

/* This process's place, opened if it is not open yet. Port 0 when there is no address at all: then
 * ranks find each other on this host only. FALSE with *ret_text: what NCCL_SOCKET_IFNAME or
 * NCCL_SOCKET_FAMILY name is not there. From any thread. */
gboolean eep_nccl_root_open(EepNcclAddress *ret_address, char **ret_text);

/* A socket that listens on any port of the process's own address, and where that is; -1. */
int eep_nccl_root_listen(EepNcclAddress *ret_address);

/* A socket that begins to connect (EINPROGRESS is no failure); -1 with errno. */
int eep_nccl_root_call(const EepNcclAddress *address);

static inline gboolean eep_nccl_is_same_host(const EepNcclAddress *x, const EepNcclAddress *y)
{
    for (guint i = 0; i < sizeof x->ip; i++)
        if (x->ip[i] != y->ip[i])
            return FALSE;
    return TRUE;
}

G_END_DECLS

#endif
