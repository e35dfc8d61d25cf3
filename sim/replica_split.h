/* One drawn batch in one MoE layer: which slot each (token, expert) pair goes to, and which rank
 * runs each token's shared expert.
 *
 * The literal form of every EepReplicaChoice and of waterfill, token by token, for the sampled mode
 * (expert_sample.h); expert_load.h expects what this draws. Tokens of source s that stand at index
 * t of its batch are those of EP rank s * tp + t % tp, with tp ranks a source, as sequence-parallel
 * ranks of an engine share its tokens. Not thread-safe; one owner. */
#ifndef EEP_SIM_REPLICA_SPLIT_H
#define EEP_SIM_REPLICA_SPLIT_H

#include "core/eplb/placement.h"
#include "core/eplb/replica_choice.h"

G_BEGIN_DECLS

/* How a deployment dispatches; all zero is vLLM's way. */
typedef struct {
    gint choice;          /* EepReplicaChoice */
    guint ranks_per_node; /* for static; 0: all ranks are on one */
    gboolean waterfill;   /* the shared expert runs where there is slack */
    double shared_row_s;  /* seconds that a shared row then takes, weights apart */
} EepExpertDispatch;

typedef struct EepReplicaSplit EepReplicaSplit;

EepReplicaSplit *eep_replica_split_new(const EepExpertDispatch *dispatch);
void eep_replica_split_free(EepReplicaSplit *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepReplicaSplit, eep_replica_split_free)

/* The layer that batches go to; reads the placement only now. */
void eep_replica_split_set_layer(EepReplicaSplit *self, const EepPlacement *placement, guint layer);

#define EEP_REPLICA_NOWHERE G_MAXUINT32

/* picks[sum of tokens][top_k] in order of source and token: experts in, slots out
 * (EEP_REPLICA_NOWHERE for an expert without a slot). tokens[n_sources] of each local batch. `key`:
 * eep_replica_key(). */
void eep_replica_split_batch(EepReplicaSplit *self, guint64 key, const guint32 *tokens,
                             guint n_sources, guint top_k, guint32 *picks);

/* Adds waterfill's shared rows to ret_rows[n_ranks]; routed[n_ranks]: pairs of the whole batch on
 * each rank; picks: slots. */
void eep_replica_split_waterfill(EepReplicaSplit *self, guint64 key, const guint32 *tokens,
                                 guint n_sources, guint top_k, const guint32 *picks,
                                 const double *routed, double *ret_rows);

G_END_DECLS

#endif
