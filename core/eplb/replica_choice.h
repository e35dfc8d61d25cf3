/* Which replica of an expert a token goes to.
 *
 * hash          vLLM (fused_moe/router/base_router.py): Knuth's multiplicative hash of the token's
 *               index in its rank's batch. The only one in vLLM; no communication.
 * random        SGLang's `dynamic`: uniform, a draw for each (token, expert).
 * static        SGLang's `static` (eplb/expert_location.py): each source rank always takes the same
 *               one: on its own GPU, else on its node, else dealt out fairly among the sources.
 * least_loaded  each source balances what it sends: the replica on the rank that it has sent the
 *               fewest (token, expert) pairs of this batch. In no engine's release (SGLang had it
 *               as `balance` in pull request 6739, closed).
 * lp            the batch's counts, summed over all ranks, are split so that the hottest rank has
 *               as little as possible (dispatch_lp.h); SGLang's `lp`, DeepSeek's LPLB.
 *
 * Pure functions of one layer. Replicas are counted in ascending order of slot. Not a policy
 * (policy.h says where replicas lie) and not their cost (sim/cost_replica_choice.c). Any thread,
 * nothing owned. */
#ifndef EEP_CORE_EPLB_REPLICA_CHOICE_H
#define EEP_CORE_EPLB_REPLICA_CHOICE_H

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    EEP_REPLICA_HASH,
    EEP_REPLICA_RANDOM,
    EEP_REPLICA_STATIC,
    EEP_REPLICA_LEAST_LOADED,
    EEP_REPLICA_LP,
    EEP_REPLICA_COUNT
} EepReplicaChoice;

/* "hash", "random", …; as in scenarios. */
const char *eep_replica_choice_name(gint choice);

/* `local_index`: of the token in its rank's batch. */
static inline guint eep_replica_hash(guint32 local_index, guint n_replicas)
{
    return (guint)(local_index * G_GUINT64_CONSTANT(2654435769) & 0xFFFFFFFF) % n_replicas;
}

/* The same draw each time for the same arguments; `key` is of the (run, step, layer), see
 * eep_replica_key(); k: which of the token's choices. Uniform up to n_replicas / 2^32. */
guint64 eep_replica_key(guint64 seed, guint64 step, guint layer);
guint eep_replica_random(guint64 key, guint source, guint32 local_index, guint k, guint n_replicas);

/* For each source rank the replica of one expert that it always takes, into ret_replica[n_ranks].
 * slots[n_replicas] ascending, n_replicas >= 1. A node's replica is preferred only where the
 * replicas are not all on that node, and of several the first is taken. What neither GPU nor node
 * decides is dealt out in turn, so that any two replicas get equally many of these sources or one
 * more; SGLang shuffles the turns, here (layer, expert) says who begins. */
void eep_replica_static(guint layer, guint expert, const guint32 *slots, guint n_replicas,
                        guint slots_per_rank, guint n_ranks, guint ranks_per_node,
                        guint16 *ret_replica);

/* sent[n_ranks]: pairs that the source has sent so far; the caller counts. ranks[n_replicas]: where
 * the replicas lie. The lowest replica on a tie. */
static inline guint eep_replica_least_loaded(const guint32 *sent, const guint32 *ranks,
                                             guint n_replicas)
{
    guint best = 0;
    guint32 least = sent[ranks[0]];
    for (guint j = 1; j < n_replicas; j++)
        if (sent[ranks[j]] < least) {
            best = j;
            least = sent[ranks[j]];
        }
    return best;
}

G_END_DECLS

#endif
