/* Migration: what turns one placement into another, layer by layer: who sends which expert to
 * whom, in how many rounds, and which rows a rank copies within itself.
 *
 * A layer's exchange is a number of rounds. In a round every transfer reads a row of its sender and
 * fills a staging row of its receiver; when all have ended (a fence), every rank makes its copies,
 * in their order: from a row to another, into staging, out of it. Nothing is read over a link while
 * anything is written, so no row is overwritten while a peer reads it; and a row that a later round
 * reads is not overwritten before. vLLM's exchange is one round for which every rank has as many
 * staging rows as slots (vllm/distributed/eplb/rebalance_execute.py: move_to_buffer,
 * move_from_buffer). A rank receives an expert at most once per layer; further slots for it on that
 * rank, and moves between slots of one rank, are copies. Staging is empty after every round: each
 * expert that had a row and keeps one has one then, and the layer could serve with the map of what
 * its rows hold.
 *
 * Not the transfer itself (the backend's) and not bytes or times (the predictor's): an expert of a
 * model is of one size, so everything is counted in experts. Immutable once made. */
#ifndef EEP_CORE_EPLB_MIGRATION_H
#define EEP_CORE_EPLB_MIGRATION_H

#include "core/eplb/placement.h"

G_BEGIN_DECLS

#define EEP_MIGRATION_NO_SENDER (-1)
#define EEP_MIGRATION_STAGED    (-2) /* in place of a slot: the rank's staging */

typedef enum {
    EEP_SENDERS_VLLM,     /* an expert's holders, in order, share its receivers, in order */
    EEP_SENDERS_TOPOLOGY, /* a holder on the receiver's node, of those the one that sends least */
} EepSenders;

typedef struct {
    EepSenders senders;
    guint ranks_per_node; /* ranks fill nodes in order; 0: all on one */
    guint staging_rows;   /* experts that a rank stages at once; 0: as many as it has slots */
} EepMigrationOptions;

typedef struct {
    gint32 from_rank; /* EEP_MIGRATION_NO_SENDER: no rank holds it, load it from a copy outside */
    gint32 to_rank;
    guint32 layer;
    gint32 expert;
    gint32 to_slot;   /* the receiver's first slot for it in the target's numbering; row = to_slot
                         mod S */
    gint32 from_slot; /* the sender's slot that is read; EEP_MIGRATION_NO_SENDER without one */
    guint32 round;
} EepExpertTransfer;

/* One rank's copy, after the transfers of its round. Slots as in the target (rank = slot div S). */
typedef struct {
    guint32 layer, round;
    gint32 expert;
    gint32 from_slot, to_slot; /* one of them may be EEP_MIGRATION_STAGED */
    gboolean frees;            /* out of staging for the last time: the staging row is free again */
} EepExpertCopy;

typedef struct {
    guint n_layers;
    guint n_ranks;      /* the larger of the two placements' */
    guint staging_rows; /* the bound, as a number of rows */
    guint ranks_per_node;
    EepExpertTransfer *transfers; /* by layer, then expert */
    guint *layer_start;           /* [L + 1], into transfers */
    EepExpertCopy *copies;        /* by layer, then round, then rank, then time */
    guint *copy_start;            /* [L + 1], into copies */
    guint *rounds;                /* [L], 0: the layer does not change */
    guint *staged;                /* [L][n_ranks], staging rows in use at once, at most */
    guint *max_staged;            /* [L], highest over ranks */
    guint *max_copied;            /* [L], copies of a rank, highest over ranks */
    guint *received;              /* [n_ranks], experts in, all layers */
    guint *sent;                  /* [n_ranks], experts out, all layers */
    guint *received_nic;          /* [n_ranks], of these, those from another node */
    guint *sent_nic;              /* [n_ranks], of these, those to another node */
    guint *max_received; /* [L], highest over ranks: a layer's exchange waits for this rank */
    guint *max_sent;     /* [L], highest over ranks */
    guint n_transfers;   /* experts moved, all layers; the sum of the three below */
    guint n_lost;        /* without a sender */
    guint n_intra_node;  /* between ranks of a node */
    guint n_inter_node;  /* between nodes */
    guint n_local;       /* slots that their rank fills with what it holds or receives anyway */
    guint n_changed;     /* layers whose map differs, even if only within ranks */
} EepMigration;

/* The placements agree in layers, experts and slots per rank; their numbers of ranks may differ
 * (ranks beyond the shorter one hold nothing there) and slots may be empty; what the target leaves
 * empty may hold anything afterwards. One staging row always suffices (exchange.c has the proof).
 * options NULL: vLLM's senders, one node, staging for all slots. Caller frees. */
EepMigration *eep_migration_new(const EepPlacement *old, const EepPlacement *target,
                                const EepMigrationOptions *options);
void eep_migration_free(EepMigration *migration); /* NULL is allowed */

/* One layer's transfers, owned by the migration. */
const EepExpertTransfer *eep_migration_layer(const EepMigration *migration, guint layer,
                                             guint *ret_n);

/* Carries the plan out on symbols. FALSE with the layer and what is wrong there: a row that does
 * not hold what is read from it (any more), an expert that a rank receives twice or has already,
 * staging beyond the bound, other than told or in use between rounds, a slot that holds something
 * other than the target says at the end, totals that do not add up. */
gboolean eep_migration_check(const EepMigration *migration, const EepPlacement *old,
                             const EepPlacement *target, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMigration, eep_migration_free)

G_END_DECLS

#endif
