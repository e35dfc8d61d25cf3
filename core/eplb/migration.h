/* Migration: the expert transfers that turn one placement into another, layer by layer.
 *
 * Senders are assigned as in vLLM (vllm/distributed/eplb/rebalance_execute.py): for each expert the
 * ranks that hold it, in order, share the ranks that need it, in order. A rank receives an expert
 * at most once per layer; further slots for it on that rank, and moves between slots of one rank,
 * are local copies and appear nowhere here. Not the transfer itself (the backend's) and not bytes
 * or times (the predictor's). Immutable once made. */
#ifndef EEP_CORE_EPLB_MIGRATION_H
#define EEP_CORE_EPLB_MIGRATION_H

#include "core/eplb/placement.h"

G_BEGIN_DECLS

#define EEP_MIGRATION_NO_SENDER (-1)

typedef struct {
    gint32 from_rank; /* EEP_MIGRATION_NO_SENDER: no rank holds it, load it from a copy outside */
    gint32 to_rank;
    guint32 layer;
    gint32 expert;
    gint32 to_slot; /* the receiver's first slot for it in the target's numbering; row = to_slot mod
                       S */
} EepExpertTransfer;

typedef struct {
    guint n_layers;
    guint n_ranks;                /* the larger of the two placements' */
    EepExpertTransfer *transfers; /* by layer, then expert, then sender */
    guint *layer_start;           /* [L + 1], into transfers */
    guint *received;              /* [n_ranks], experts in, all layers */
    guint *sent;                  /* [n_ranks], experts out, all layers */
    guint *max_received; /* [L], highest over ranks: a layer's exchange waits for this rank */
    guint *max_sent;     /* [L], highest over ranks */
    guint n_transfers;   /* experts moved, all layers */
    guint n_lost;        /* of these, without a sender */
    guint n_changed;     /* layers whose map differs, even if only within ranks */
} EepMigration;

/* The placements agree in layers, experts and slots per rank; their numbers of ranks may differ
 * (ranks beyond the shorter one hold nothing there) and slots may be empty. Caller frees. */
EepMigration *eep_migration_new(const EepPlacement *old, const EepPlacement *target);
void eep_migration_free(EepMigration *migration); /* NULL is allowed */

/* One layer's transfers, owned by the migration. */
const EepExpertTransfer *eep_migration_layer(const EepMigration *migration, guint layer,
                                             guint *ret_n);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMigration, eep_migration_free)

G_END_DECLS

#endif
