/* The steps that DeepSeek's EPLB and vLLM's default policy share: balanced packing, replication,
 * and the hierarchical placement made of them (deepseek-ai/EPLB eplb.py;
 * vllm/distributed/eplb/policy/default.py).
 *
 * The published programs scan for the lightest pack and the hottest expert; heaps with the same
 * total order (value, then lowest index) find the same ones. Not a policy: deepseek.c and vllm.c
 * are. A packer owns its scratch memory and serves one thread. */
#ifndef EEP_CORE_EPLB_PACKING_H
#define EEP_CORE_EPLB_PACKING_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* How loads per replica and sums per pack are rounded: torch's float32 in DeepSeek's program,
 * numpy's float64 in vLLM's. Loads and group sums are float32 in both; groups are summed in the
 * order of torch or numpy (float_sum.h). */
typedef enum { EEP_EPLB_FLOAT32, EEP_EPLB_FLOAT64 } EepEplbPrecision;

typedef struct EepEplbPacker EepEplbPacker;

/* max_items bounds the items, packs and experts of any later call. */
EepEplbPacker *eep_eplb_packer_new(guint max_items, EepEplbPrecision precision);
void eep_eplb_packer_free(EepEplbPacker *packer); /* NULL is allowed */

/* Spreads n_items (a multiple of n_packs) so that each pack gets k = n_items / n_packs: in the
 * order of falling weight (stable), each to the lightest pack that is not full (lowest index on a
 * tie). k == 1 sorts nothing: item i goes to pack i. ret_position [n_items] = pack * k + items that
 * the pack held before. */
void eep_eplb_packer_pack(EepEplbPacker *packer, const double *weight, guint n_items, guint n_packs,
                          gint32 *ret_position);

/* Item numbers in the order of falling weight, stable; ret_order [n_items]. */
void eep_eplb_packer_order(EepEplbPacker *packer, const double *weight, guint n_items,
                           gint32 *ret_order);

/* One slot per expert, then each further slot to the expert with the highest weight / replicas
 * (lowest index on a tie). n_slots >= n_experts. ret_phy2log [n_slots], ret_count [n_experts]. */
void eep_eplb_packer_replicate(EepEplbPacker *packer, const double *weight, guint n_experts,
                               guint n_slots, gint32 *ret_phy2log, gint32 *ret_count);

/* The groups and nodes to place by: the problem's own where groups divide over nodes, else the
 * global form, one group on one node. Refuses, in the hierarchical form, n_experts not divisible by
 * n_groups or n_ranks by n_nodes; a node's experts and slots are then whole, too. */
gboolean eep_eplb_choose_hierarchy(const EepEplbProblem *problem, guint *ret_n_groups,
                                   guint *ret_n_nodes, GError **error);

/* Expert groups to nodes, replicas within each node, replicas to the node's GPUs; refuses what
 * eep_eplb_choose_hierarchy() refuses. ret_phy2log [L][R]. */
gboolean eep_eplb_place_balanced(const EepEplbProblem *problem, EepEplbPrecision precision,
                                 gint32 *ret_phy2log, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepEplbPacker, eep_eplb_packer_free)

G_END_DECLS

#endif
