/* Placement: which logical expert lies in which slot of which EP rank, for every MoE layer.
 *
 * A slot (physical expert) p of a layer belongs to rank p / slots_per_rank, row p mod
 * slots_per_rank. slots_per_rank is constant for life, over resizes too, as in vLLM: a wider group
 * has more redundant slots, a narrower one fewer. An empty slot holds -1, which is what ranks have
 * that just joined.
 *
 * Not a policy (policy.h decides) and not a plan of transfers (migration.h). It owns its arrays;
 * others may read the fields but change them only through the functions. No locking: one thread
 * owns it. */
#ifndef EEP_CORE_EPLB_PLACEMENT_H
#define EEP_CORE_EPLB_PLACEMENT_H

#include <glib.h>

G_BEGIN_DECLS

#define EEP_PLACEMENT_EMPTY (-1)

typedef struct EepPlacement EepPlacement;

struct EepPlacement {
    guint n_layers;       /* L, MoE layers only */
    guint n_experts;      /* E, logical experts */
    guint n_ranks;        /* EP size */
    guint slots_per_rank; /* S, constant */
    guint n_slots;        /* P = S * n_ranks */
    gint32 *phy2log;      /* [L][P], logical expert or EEP_PLACEMENT_EMPTY */
    gint32 *logcnt;       /* [L][E], replicas; 0 = the expert is nowhere */
    guint32 *version;     /* [L], changes whenever the layer's map does; never goes back */
    guint64 generation;   /* changes whenever any layer's version does */
    guint64 n_missing;    /* (layer, expert) pairs without a slot, over all layers */
};

/* vLLM's initial map, the same in all layers: slot p < E holds expert p, a redundant one (p - E)
 * mod E. All sizes > 0 and slots_per_rank * n_ranks >= n_experts. Caller frees. */
EepPlacement *eep_placement_new(guint n_layers, guint n_experts, guint n_ranks,
                                guint slots_per_rank);
EepPlacement *eep_placement_copy(const EepPlacement *placement);
void eep_placement_free(EepPlacement *placement); /* NULL is allowed */

/* The layer's row, n_slots long. */
static inline const gint32 *eep_placement_layer(const EepPlacement *placement, guint layer)
{
    return placement->phy2log + (gsize)layer * placement->n_slots;
}

/* Takes over phy2log [n_slots], values in [-1, n_experts). A row equal to the present one changes
 * no version. */
void eep_placement_set_layer(EepPlacement *placement, guint layer, const gint32 *phy2log);

/* Renumbers: new rank r gets the slots of old rank source[r], or empty ones where source[r] is -1.
 * No old rank may be named twice. For ranks that join, leave and die; the caller makes sure that
 * those not named hold no expert's last replica. */
void eep_placement_map_ranks(EepPlacement *placement, const gint32 *source, guint new_ranks);

/* FALSE with the first (layer, expert) that has no slot anywhere; such a map serves degraded: what
 * picks that expert is computed without it. */
gboolean eep_placement_check(const EepPlacement *placement, GError **error);

/* Experts of one layer that have no slot anywhere. */
guint eep_placement_n_missing(const EepPlacement *placement, guint layer);

/* The slots of one expert in ascending order. ret_slots has room for logcnt[layer][expert]; returns
 * how many. */
guint eep_placement_replicas(const EepPlacement *placement, guint layer, guint expert,
                             gint32 *ret_slots);

/* Over sizes and maps, not over versions: equal placements hash alike on every machine. FNV-1a, 64
 * bits. */
guint64 eep_placement_hash(const EepPlacement *placement);

/* Balancedness for loads [L][E] (any unit, >= 0), each expert's load split evenly over its
 * replicas: vLLM's sum over layers of the mean rank load / sum over layers of the highest rank load
 * (eplb_state.py). In (0, 1]; 0 when there is no load. Experts without a slot count nowhere. */
double eep_placement_balancedness(const EepPlacement *placement, const double *load);

/* The same of one layer, load [E]; ret_mean and ret_max (nullable) are the rank loads. A layer
 * without load is perfectly balanced, 1, as in DeepSeek's evaluation. */
double eep_placement_layer_balancedness(const EepPlacement *placement, guint layer,
                                        const double *load, double *ret_mean, double *ret_max);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepPlacement, eep_placement_free)

G_END_DECLS

#endif
