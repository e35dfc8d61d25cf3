/* EPLB of one pool: when to look at the load, the placement, a plan for another and its moves.
 *
 * It decides when a look is due and what a rearrangement moves; it does not move anything, keeps no
 * loads and knows no time but steps. The caller counts every forward, reads the load from the
 * backend when a look is due, asks the trigger whether it calls for a plan and whether the plan is
 * worth it, moves the transfers of one layer after the other and commits each layer at a step
 * boundary:
 *
 *     eep_eplb_note_step(eplb, step);
 *     if (eep_eplb_count_step(eplb))                      every forward, dummy ones too
 *         ... load of eep_eplb_window() arrives ... eep_eplb_plan(eplb, &request, &error);
 *     if (eep_eplb_has_plan(eplb))
 *         eep_eplb_start_moves(eplb), or eep_eplb_drop_plan(eplb);
 *     while (eep_eplb_running(eplb))                      async: a layer per step; sync: all at
 * once move eep_eplb_transfers(eplb, layer), then eep_eplb_commit_layer(eplb, layer);
 *
 * Looks: with the trigger `interval` every step_interval steps, which is vLLM's cadence; with the
 * others every check_interval. The counter starts at three quarters, so that the first comes early.
 * A resize drains, then: up = map ranks, plan(new size); down = plan(those that stay), commit all,
 * map ranks; no trigger is asked. Or up = plan preload, commit all, map ranks, and the new ranks
 * hold experts at once. What no live rank holds comes from a copy outside, or is left without a
 * slot: then the placement serves degraded. While a resize runs vLLM suppresses EPLB: the caller
 * does not count. Owns the placement. One thread, deterministic, no global state. Cadence and
 * recording: vllm/distributed/eplb/eplb_state.py. */
#ifndef EEP_CORE_EPLB_EPLB_H
#define EEP_CORE_EPLB_EPLB_H

#include "core/eplb/migration.h"
#include "core/eplb/placement.h"
#include "core/eplb/policy.h"
#include "core/eplb/trigger.h"

G_BEGIN_DECLS

/* vLLM's EPLBConfig, with its names and defaults; the triggers are ours. */
typedef struct {
    gboolean enabled;            /* enable_eplb; off: placement is fixed, no redundant experts */
    const char *policy;          /* name or alias, read only by eep_eplb_new() */
    guint window_size;           /* steps of load that a look takes in */
    guint step_interval;         /* steps between rearrangements, >= 1 */
    guint num_redundant_experts; /* slots beyond one per expert, over all ranks, at launch */
    gboolean use_async;          /* layer by layer between steps; else all while serving stands */
    gboolean log_balancedness;
    guint log_balancedness_interval; /* steps, >= 1 */
    EepEplbTriggerKind trigger;
    double trigger_threshold; /* see trigger.h */
    guint trigger_windows;    /* >= 1 */
    guint check_interval;     /* steps between looks but of the trigger interval; 0: window_size */
    EepSenders senders;
    guint staging_experts; /* that a rank buffers while a layer moves; 0: as many as it has slots */
} EepEplbOptions;

/* enabled off, policy "default", window 1000, interval 3000, no redundant experts, async on,
 * logging off, every 1; trigger interval, 0.9, 2 windows, check interval 0. */
void eep_eplb_options_init(EepEplbOptions *options);

/* What model and deployment give. */
typedef struct {
    guint n_layers;       /* MoE layers */
    guint n_experts;      /* logical */
    guint n_ranks;        /* EP size at launch */
    guint n_groups;       /* the model's expert groups, 1 = none */
    guint ranks_per_node; /* GPUs of the EP group on one host, 0 = all on one host */
} EepEplbShape;

/* What becomes of a rank in a rearrangement. */
typedef enum {
    EEP_EPLB_RANK_HOLDS,  /* gets experts */
    EEP_EPLB_RANK_LEAVES, /* is emptied; sends what it holds */
    EEP_EPLB_RANK_DEAD,   /* is emptied; sends nothing any more */
} EepEplbRank;

/* What a placement is asked for. Arrays are borrowed for the call. */
typedef struct {
    const double *load;    /* [L][E], >= 0 */
    guint n_windows;       /* pieces of time that the load is also known for; 0: the sum alone */
    const double *windows; /* nullable [n_windows][L][E], for policies that read them */
    guint64 load_version;  /* 0, or equal only for loads that are proportional to each other */
    guint n_ranks;         /* that get the experts: at most the present number; fewer before ranks
                              leave */
    const guint8 *ranks;   /* nullable [present number], EepEplbRank, n_ranks of which hold; NULL:
                              the first ones */
    gboolean loses_unheld; /* what no live rank holds is gone; else it comes from outside, by
                              transfers without a sender */
    gint64 max_moves;      /* EEP_EPLB_MOVES_AUTO, or experts moved at most, for policies that limit
                              moves */
} EepEplbRequest;

typedef struct {
    /*< private >*/
    guint64 counter;  /* steps since the last look was due */
    guint64 due_at;   /* interval, or never while disabled or a rearrangement runs */
    guint64 interval; /* steps between looks, >= 1 */
    guint64 recorded_from, recorded_to; /* the last steps in a row that were recorded */
    EepEplbOptions options;
    EepEplbShape shape;
    const EepEplbPolicy *policy;
    EepEplbTrigger trigger;
    EepPlacement *placement;
    EepPlacement *target;    /* planned or being moved to, in the present numbering; else NULL */
    EepMigration *migration; /* likewise */
    gboolean is_moving;
    gboolean is_preload; /* the target is in the numbering of a wider group, and no map switches */
    EepPlacement *kept;  /* nullable: a preload's target that has arrived */
    gint32 *source;      /* of the preload, kept or not: eep_eplb_map_ranks()'s */
    gboolean is_plannable; /* the present ranks can hold all experts */
    guint8 *is_lost;       /* nullable [L][E], experts that may be without a slot */
    guint next_layer;      /* first layer not committed */
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

/* Counts one forward; TRUE = a look is due now, and counting starts again from 0. While a
 * rearrangement still runs nothing is due; counting goes on, so the next is due with the first step
 * after its end. */
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

/* Whether the next forward records expert loads: the next look is at most window_size steps away,
 * or the balancedness of this forward is to be logged. */
gboolean eep_eplb_recording(const EepEplb *eplb);

/* The forward that is counted next is this step of the caller's: remembers whether it was recorded.
 * Steps ascend. */
void eep_eplb_note_step(EepEplb *eplb, guint64 step);

/* Steps [from, to) whose loads count: the last ones in a row that were recorded, window_size of
 * them at most. Empty before any was. Like vLLM's ring buffer it outlives a look: a resize between
 * two looks is planned by the window of the one before. */
void eep_eplb_window(const EepEplb *eplb, guint64 *ret_from, guint64 *ret_to);

/* Whether the next forward's balancedness is to be logged (an all-reduce of its own in vLLM). */
gboolean eep_eplb_log_due(const EepEplb *eplb);

/* Computes a placement and the transfers to it. When version and size are those that made the
 * present placement, nothing is computed. TRUE: eep_eplb_has_plan() tells whether there is anything
 * to do. The counter is 0 afterwards. FALSE leaves everything as it was. */
gboolean eep_eplb_plan(EepEplb *eplb, const EepEplbRequest *request, GError **error);

/* A plan waits for one of the two: its moves begin, or it is forgotten, which changes nothing but
 * the trigger's and the cadence's counters. */
static inline gboolean eep_eplb_has_plan(const EepEplb *eplb)
{
    return eplb->target != NULL && !eplb->is_moving;
}

void eep_eplb_start_moves(EepEplb *eplb);
void eep_eplb_drop_plan(EepEplb *eplb);

/* Plans what ranks that join are to hold (preload.h) in the group that eep_eplb_map_ranks(source,
 * new_ranks) would make. Its layers are moved and committed as any plan's, but no map switches:
 * when the last has arrived they are kept aside for that call. Replaces what was kept before. */
gboolean eep_eplb_plan_preload(EepEplb *eplb, const double *load, const gint32 *source,
                               guint new_ranks, GError **error);

/* Forgets what has been preloaded. */
void eep_eplb_forget_preload(EepEplb *eplb);

/* The wider group's placement, as it was when that was planned, with what has been preloaded; NULL:
 * nothing is kept. */
static inline const EepPlacement *eep_eplb_preloaded(const EepEplb *eplb)
{
    return eplb->kept;
}

static inline gboolean eep_eplb_running(const EepEplb *eplb)
{
    return eplb->is_moving;
}

/* The placement that is planned or being moved to; slots of ranks that leave are empty. A preload's
 * is that of the wider group. */
static inline const EepPlacement *eep_eplb_target(const EepEplb *eplb)
{
    return eplb->target;
}

/* The layer to move and commit next; only while running. */
static inline guint eep_eplb_next_layer(const EepEplb *eplb)
{
    return eplb->next_layer;
}

/* Transfers of one layer; the whole migration for totals. Valid until the plan is dropped or the
 * rearrangement ends; only with a plan or while running. */
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

/* The group has changed: rank r has the slots that rank source[r] had, or where that is -1 those
 * preloaded for this very change, else empty ones. Refused while a rearrangement runs; and, unless
 * experts may be lost by it, when eep_eplb_check_ranks() refuses, or an expert would go with the
 * ranks that go. Where that leaves too few slots for all experts, no look is due any more. */
gboolean eep_eplb_map_ranks(EepEplb *eplb, const gint32 *source, guint new_ranks, gboolean may_lose,
                            GError **error);

/* FALSE with the first expert that has no slot although it has not been lost. */
gboolean eep_eplb_check(const EepEplb *eplb, GError **error);

/* To be asked at a look; starting moves resets it. */
static inline EepEplbTrigger *eep_eplb_trigger(EepEplb *eplb)
{
    return &eplb->trigger;
}

/* Changing it is allowed without a plan and while no rearrangement runs. */
static inline EepPlacement *eep_eplb_placement(EepEplb *eplb)
{
    return eplb->placement;
}

/* As given, with the policy's own name for its alias; the caller acts on use_async. */
static inline const EepEplbOptions *eep_eplb_options(const EepEplb *eplb)
{
    return &eplb->options;
}

static inline const EepEplbPolicy *eep_eplb_policy(const EepEplb *eplb)
{
    return eplb->policy;
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepEplb, eep_eplb_free)

G_END_DECLS

#endif
