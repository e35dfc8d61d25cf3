/* EPLB of one pool: vLLM's cadence, its options, the placement and a rearrangement under way.
 *
 * It decides when a rearrangement is due and what it moves; it does not move anything, keeps no
 * loads and knows no time but steps. The caller counts every forward, reads the load from the
 * backend when one is due, moves the transfers of one layer after the other and commits each layer
 * at a step boundary:
 *
 *     if (eep_eplb_count_step(eplb))                          every forward, dummy ones too
 *         ... load arrives ... eep_eplb_begin(eplb, load, version, n_ranks, &error);
 *     while (eep_eplb_running(eplb))                          async: one layer per step; sync: all
 * at once move eep_eplb_transfers(eplb, layer), then eep_eplb_commit_layer(eplb, layer);
 *
 * A resize drains, then: up = widen, begin(new size); down = begin(new size), commit all, shrink.
 * While a resize runs vLLM suppresses EPLB: the caller does not count. Owns the placement. One
 * thread, deterministic, no global state. Cadence: vllm/distributed/eplb/eplb_state.py. */
#ifndef EEP_CORE_EPLB_EPLB_H
#define EEP_CORE_EPLB_EPLB_H

#include "core/eplb/migration.h"
#include "core/eplb/placement.h"
#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* vLLM's EPLBConfig, with its names and defaults. */
typedef struct {
    gboolean enabled;            /* enable_eplb; off: placement is fixed, no redundant experts */
    const char *policy;          /* name or alias, read only by eep_eplb_new() */
    guint window_size;           /* steps of load that a rearrangement looks at */
    guint step_interval;         /* steps between rearrangements, >= 1 */
    guint num_redundant_experts; /* slots beyond one per expert, over all ranks, at launch */
    gboolean use_async;          /* layer by layer between steps; else all while serving stands */
    gboolean log_balancedness;
    guint log_balancedness_interval; /* steps, >= 1 */
} EepEplbOptions;

/* enabled off, policy "default", window 1000, interval 3000, no redundant experts, async on,
 * logging off, every 1. */
void eep_eplb_options_init(EepEplbOptions *options);

/* What model and deployment give. */
typedef struct {
    guint n_layers;       /* MoE layers */
    guint n_experts;      /* logical */
    guint n_ranks;        /* EP size at launch */
    guint n_groups;       /* the model's expert groups, 1 = none */
    guint ranks_per_node; /* GPUs of the EP group on one host, 0 = all on one host */
} EepEplbShape;

typedef struct {
    /*< private >*/
    guint64 counter; /* steps since the last rearrangement was due */
    guint64 due_at;  /* step_interval, or never while disabled or a rearrangement runs */
    EepEplbOptions options;
    EepEplbShape shape;
    const EepEplbPolicy *policy;
    EepPlacement *placement;
    EepPlacement *target;    /* of the running rearrangement, in the present numbering; else NULL */
    EepMigration *migration; /* likewise */
    guint next_layer;        /* first layer not committed */
    guint target_ranks;
    guint64 target_load_version;
    guint64 made_from_load;  /* load version of the present placement, 0 = unknown */
    guint made_for_ranks;    /* the size it was made for */
    guint64 made_generation; /* the placement's generation then: others may change it */
} EepEplb;

/* Refuses, with the allowed values in the message: an unknown policy, an interval of 0, redundant
 * experts without EPLB, E + R not divisible by the ranks (EPLB on), sizes that the policy refuses.
 * Without EPLB experts need not divide: the first E mod ranks ranks hold one more (vLLM's linear
 * placement) and the others an empty slot. */
EepEplb *eep_eplb_new(const EepEplbOptions *options, const EepEplbShape *shape, GError **error);
void eep_eplb_free(EepEplb *eplb); /* NULL is allowed */

/* Counts one forward; TRUE = a rearrangement is due now, and counting starts again from 0. While
 * one still runs nothing is due; counting goes on, so the next is due with the first step after its
 * end. */
static inline gboolean eep_eplb_count_step(EepEplb *eplb)
{
    if (G_LIKELY(++eplb->counter < eplb->due_at))
        return FALSE;
    eplb->counter = 0;
    return TRUE;
}

/* For leaps: how many steps may be counted until one is due, that one included (>= 1); G_MAXUINT64
 * = never while nothing changes. */
guint64 eep_eplb_steps_until_due(const EepEplb *eplb);

/* n times eep_eplb_count_step(), n <= eep_eplb_steps_until_due(); the last call's result. */
gboolean eep_eplb_count_steps(EepEplb *eplb, guint64 n);

/* Whether the next forward records expert loads: the next rearrangement is at most window_size
 * steps away, or the balancedness of this forward is to be logged. */
gboolean eep_eplb_recording(const EepEplb *eplb);

/* Whether the next forward's balancedness is to be logged (an all-reduce of its own in vLLM). */
gboolean eep_eplb_log_due(const EepEplb *eplb);

/* Computes the placement for the first n_ranks_target ranks (at most the present number; fewer
 * before ranks leave) and the transfers to it. load [L][E], >= 0. load_version: 0, or a number that
 * is equal only for loads that are proportional to each other; when it and the target size are
 * those that made the present placement, nothing is computed. TRUE: eep_eplb_running() tells
 * whether there is anything to do; when no layer changes, it is over already. The counter is 0
 * afterwards. FALSE leaves everything as it was. */
gboolean eep_eplb_begin(EepEplb *eplb, const double *load, guint64 load_version,
                        guint n_ranks_target, GError **error);

static inline gboolean eep_eplb_running(const EepEplb *eplb)
{
    return eplb->target != NULL;
}

/* The layer to move and commit next; only while running. */
static inline guint eep_eplb_next_layer(const EepEplb *eplb)
{
    return eplb->next_layer;
}

/* Transfers of one layer; the whole migration for totals. Valid until the rearrangement ends; only
 * while running. */
const EepExpertTransfer *eep_eplb_transfers(const EepEplb *eplb, guint layer, guint *ret_n);
const EepMigration *eep_eplb_migration(const EepEplb *eplb);

/* The layer's weights have arrived everywhere: its map switches. layer == eep_eplb_next_layer();
 * the last one ends the rearrangement. */
void eep_eplb_commit_layer(EepEplb *eplb, guint layer);
void eep_eplb_commit_all(EepEplb *eplb);

/* Ends a running rearrangement without its uncommitted layers (their old maps stay valid). Returns
 * how many were dropped, 0 when none ran. */
guint eep_eplb_drain(EepEplb *eplb);

/* Whether n_ranks ranks, with the slots per rank of the launch, can hold all experts and suit the
 * policy. */
gboolean eep_eplb_check_ranks(const EepEplb *eplb, guint n_ranks, GError **error);

/* Group grown to new_ranks: the new ranks' slots are empty. Refused while a rearrangement runs. */
gboolean eep_eplb_widen(EepEplb *eplb, guint new_ranks, GError **error);

/* Group cut to its first new_ranks. Refused while a rearrangement runs, when eep_eplb_check_ranks()
 * refuses, and when an expert would be lost because nothing was moved off the leaving ranks. */
gboolean eep_eplb_shrink(EepEplb *eplb, guint new_ranks, GError **error);

/* Changing it (dead ranks: eep_placement_map_ranks()) is allowed while no rearrangement runs. */
static inline EepPlacement *eep_eplb_placement(EepEplb *eplb)
{
    return eplb->placement;
}

/* As given, with the policy's own name for its alias; the caller acts on use_async. */
static inline const EepEplbOptions *eep_eplb_options(const EepEplb *eplb)
{
    return &eplb->options;
}

/* Redundant experts at the present size: S * ranks - E. */
guint eep_eplb_num_redundant(const EepEplb *eplb);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepEplb, eep_eplb_free)

G_END_DECLS

#endif
