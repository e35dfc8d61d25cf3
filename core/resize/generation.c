#include "core/resize/generation.h"

#define PHASE(at, what, takes_part, ...)                                                           \
    {                                                                                              \
        .stage = EEP_STAGE_##at, .act = EEP_ACT_PHASE, .kind = EEP_PHASE_##what,                   \
        .who = EEP_WHO_##takes_part, __VA_ARGS__                                                   \
    }
#define DO(at, what, takes_part, ...)                                                              \
    {                                                                                              \
        .stage = EEP_STAGE_##at, .act = EEP_ACT_##what, .who = EEP_WHO_##takes_part, __VA_ARGS__   \
    }

/* What stands at the end of a row whose forwards stand still. */
#define STILL .blocks = TRUE
#define BACK  .in_background = TRUE

/* What new engines load that get nothing from their peers. */
#define WEIGHTS_FROM_STORAGE                                                                       \
    PHASE(PREPARE, WEIGHTS_FROM_DISK, NEW, .receivers = EEP_WHO_NEW,                               \
          .bytes = EEP_BYTES_NON_EXPERT, .when = EEP_WHEN_FROM_DISK),                              \
        PHASE(PREPARE, WEIGHTS_FROM_CACHE, NEW, .receivers = EEP_WHO_NEW,                          \
              .bytes = EEP_BYTES_NON_EXPERT, .when = EEP_WHEN_FROM_CACHE)

/* The new group's first forwards, always, or only where graphs do not outlive a change of ranks. */
#define WARM_UP_AND_CAPTURE(takes_part)                                                            \
    PHASE(COMMIT, WARM_UP, takes_part, STILL),                                                     \
        PHASE(COMMIT, GRAPH_CAPTURE, takes_part, STILL, .when = EEP_WHEN_GRAPHS)
#define RECAPTURE(takes_part)                                                                      \
    PHASE(COMMIT, WARM_UP, takes_part, STILL, .when = EEP_WHEN_RECAPTURE),                         \
        PHASE(COMMIT, GRAPH_CAPTURE, takes_part, STILL,                                            \
              .when = EEP_WHEN_GRAPHS | EEP_WHEN_RECAPTURE)

/* Everything is torn down and started at the other size. What operators do today without elastic
 * EP, and the baseline of every comparison. */
static const EepGenerationRow restart_rows[] = {
    PHASE(STOP, DESTROY, REMOVING, STILL),
    PHASE(COMMIT, LAUNCH, NEW, STILL),
    PHASE(COMMIT, STANDBY_GROUPS, NEW, STILL),
    PHASE(COMMIT, WEIGHTS_FROM_DISK, NEW, STILL, .receivers = EEP_WHO_NEW,
          .bytes = EEP_BYTES_ALL_WEIGHTS),
    PHASE(COMMIT, KV_SYNC, NEW, STILL),
    DO(COMMIT, ADOPT, NEW, STILL),
    WARM_UP_AND_CAPTURE(NEW),
    DO(RESUME, RELEASE, NEW, STILL),
};

/* The first version: requests are drained, all traffic is dropped, and the group is built anew
 * around the engines that stay. New engines load a whole checkpoint's share from disk. (vLLM
 * #20775, 2025-07-18.) */
static const EepGenerationRow m1_up[] = {
    PHASE(COMMIT, LAUNCH, NEW, STILL),
    PHASE(COMMIT, STANDBY_GROUPS, GROUP, STILL),
    PHASE(COMMIT, WEIGHTS_FROM_DISK, NEW, STILL, .receivers = EEP_WHO_NEW,
          .bytes = EEP_BYTES_ALL_WEIGHTS),
    PHASE(COMMIT, KV_SYNC, GROUP, STILL),
    PHASE(COMMIT, MAP_BROADCAST, GROUP, STILL, .receivers = EEP_WHO_NEW, .bytes = EEP_BYTES_MAP),
    DO(COMMIT, ADOPT, GROUP, STILL),
    PHASE(COMMIT, SWITCH, GROUP, STILL),
    DO(COMMIT, RESHUFFLE, GROUP, STILL),
    WARM_UP_AND_CAPTURE(GROUP),
    DO(RESUME, RELEASE, GROUP, STILL),
};

static const EepGenerationRow m1_down[] = {
    DO(COMMIT, RESHUFFLE, OLD, STILL),
    PHASE(COMMIT, STANDBY_GROUPS, STAYING, STILL),
    DO(COMMIT, ADOPT, OLD, STILL),
    /* Forwards wait for the exits. */
    PHASE(COMMIT, DESTROY, REMOVING, STILL),
    PHASE(COMMIT, SWITCH, STAYING, STILL),
    WARM_UP_AND_CAPTURE(STAYING),
    DO(RESUME, RELEASE, STAYING, STILL),
};

/* The one of the 2026-05-14 blog: a stage at a time between forwards, entered through a two-stage
 * barrier. The old groups are torn down when the switch begins. (vllm/distributed/elastic_ep/
 * elastic_state.py at 44e6b44a21.) */
static const EepGenerationRow g1_up[] = {
    PHASE(PREPARE, LAUNCH, NEW),
    PHASE(PREPARE, STANDBY_GROUPS, GROUP, STILL, .is_staged = TRUE),
    PHASE(PREPARE, MAP_BROADCAST, GROUP, STILL, .receivers = EEP_WHO_NEW, .bytes = EEP_BYTES_MAP),
    PHASE(PREPARE, WEIGHTS_FROM_PEER, GROUP, STILL, .is_staged = TRUE, .receivers = EEP_WHO_NEW,
          .bytes = EEP_BYTES_NON_EXPERT, .when = EEP_WHEN_FROM_PEER),
    WEIGHTS_FROM_STORAGE,
    PHASE(PREPARE, KV_SYNC, GROUP, STILL),
    DO(COMMIT, ADOPT, GROUP, STILL),
    PHASE(COMMIT, SWITCH, GROUP, STILL),
    WARM_UP_AND_CAPTURE(GROUP),
    DO(RESUME, RELEASE, GROUP, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
    DO(SETTLE, RESHUFFLE, GROUP, STILL, .is_staged = TRUE),
};

static const EepGenerationRow g1_down[] = {
    DO(COMMIT, RESHUFFLE, OLD, STILL, .is_staged = TRUE),
    PHASE(COMMIT, STANDBY_GROUPS, STAYING, STILL),
    DO(COMMIT, ADOPT, OLD, STILL),
    PHASE(COMMIT, DESTROY, REMOVING),
    PHASE(COMMIT, SWITCH, STAYING, STILL),
    WARM_UP_AND_CAPTURE(STAYING),
    DO(RESUME, RELEASE, STAYING, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
};

/* What g2, g2.1 and g3 prepare in the background. A new engine takes part in the KV sync while it
 * is constructed and warms its kernels afterwards. */
#define BACKGROUND_PREPARE                                                                         \
    PHASE(PREPARE, LAUNCH, NEW), PHASE(PREPARE, STANDBY_GROUPS, GROUP),                            \
        PHASE(PREPARE, WEIGHTS_FROM_PEER, GROUP, .receivers = EEP_WHO_NEW,                         \
              .bytes = EEP_BYTES_NON_EXPERT, .when = EEP_WHEN_FROM_PEER),                          \
        WEIGHTS_FROM_STORAGE, PHASE(PREPARE, KV_SYNC, GROUP), PHASE(PREPARE, KERNEL_WARM_UP, NEW)

/* vLLM of July 2026: prepare in the background, then one blocking commit with everything in it.
 * (vllm #47288; elastic_execute.py at 017e9f4448.) */
static const EepGenerationRow g2_up[] = {
    BACKGROUND_PREPARE,
    DO(COMMIT, ADOPT, GROUP, STILL),
    PHASE(COMMIT, MAP_BROADCAST, GROUP, STILL, .receivers = EEP_WHO_NEW, .bytes = EEP_BYTES_MAP),
    PHASE(COMMIT, SWITCH, GROUP, STILL),
    DO(COMMIT, RESHUFFLE, GROUP, STILL),
    WARM_UP_AND_CAPTURE(GROUP),
    DO(RESUME, RELEASE, GROUP, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
};

/* vLLM of August 2026: experts move layer by layer after the group serves again. (vllm #51885;
 * elastic_state.py, elastic_execute.py at d36cc4254e.) */
static const EepGenerationRow g2_1_up[] = {
    BACKGROUND_PREPARE,
    DO(COMMIT, ADOPT, GROUP, STILL),
    PHASE(COMMIT, MAP_BROADCAST, GROUP, STILL, .receivers = EEP_WHO_NEW, .bytes = EEP_BYTES_MAP),
    PHASE(COMMIT, SWITCH, GROUP, STILL),
    WARM_UP_AND_CAPTURE(GROUP),
    DO(COMMIT, RESHUFFLE, GROUP, STILL, .when = EEP_WHEN_SYNC_EPLB),
    DO(RESUME, RELEASE, GROUP, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
    DO(SETTLE, RESHUFFLE, GROUP, BACK, .when = EEP_WHEN_ASYNC_EPLB),
};

/* Shrinking moves the experts first, since the leaving ranks hold some of them. */
static const EepGenerationRow g2_1_down[] = {
    PHASE(PREPARE, STANDBY_GROUPS, STAYING),
    DO(COMMIT, RESHUFFLE, OLD, STILL),
    DO(COMMIT, ADOPT, OLD, STILL),
    /* Nothing waits for the exits. */
    PHASE(COMMIT, DESTROY, REMOVING),
    PHASE(COMMIT, SWITCH, STAYING, STILL),
    WARM_UP_AND_CAPTURE(STAYING),
    DO(RESUME, RELEASE, STAYING, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
};

/* vLLM of September 2026: with nixl_ep the existing ranks keep their graphs, and new ones warm up
 * and capture while they prepare, with all others masked. Other backends recapture. (vllm #54985,
 * its description; the code was not read.) */
static const EepGenerationRow g3_up[] = {
    BACKGROUND_PREPARE,
    PHASE(PREPARE, GRAPH_CAPTURE, NEW, .when = EEP_WHEN_GRAPHS | EEP_WHEN_REUSE),
    DO(COMMIT, ADOPT, GROUP, STILL),
    PHASE(COMMIT, MAP_BROADCAST, GROUP, STILL, .receivers = EEP_WHO_NEW, .bytes = EEP_BYTES_MAP),
    PHASE(COMMIT, SWITCH, GROUP, STILL),
    RECAPTURE(GROUP),
    DO(COMMIT, RESHUFFLE, GROUP, STILL, .when = EEP_WHEN_SYNC_EPLB),
    DO(RESUME, RELEASE, GROUP, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
    DO(SETTLE, RESHUFFLE, GROUP, BACK, .when = EEP_WHEN_ASYNC_EPLB),
};

static const EepGenerationRow g3_down[] = {
    PHASE(PREPARE, STANDBY_GROUPS, STAYING),
    DO(COMMIT, RESHUFFLE, OLD, STILL),
    DO(COMMIT, ADOPT, OLD, STILL),
    /* Nothing waits for the exits. */
    PHASE(COMMIT, DESTROY, REMOVING),
    PHASE(COMMIT, SWITCH, STAYING, STILL),
    RECAPTURE(STAYING),
    DO(RESUME, RELEASE, STAYING, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
};

/* All ranks there will ever be run from the start, those not needed masked, their weights in host
 * memory. (SGLang #30164 and #33111; vLLM prototypes #43788, #44994 with ncclCommSplit.) */
static const EepGenerationRow masked_up[] = {
    PHASE(PREPARE, WEIGHTS_FROM_HOST, NEW, .receivers = EEP_WHO_NEW,
          .bytes = EEP_BYTES_ALL_WEIGHTS),
    PHASE(PREPARE, KV_SYNC, GROUP),
    DO(COMMIT, ADOPT, GROUP, STILL),
    PHASE(COMMIT, COMM_SPLIT, GROUP, STILL),
    PHASE(COMMIT, MASK, GROUP, STILL),
    DO(COMMIT, RESHUFFLE, GROUP, STILL, .when = EEP_WHEN_SYNC_EPLB),
    DO(RESUME, RELEASE, GROUP, STILL),
    DO(SETTLE, RESHUFFLE, GROUP, BACK, .when = EEP_WHEN_ASYNC_EPLB),
};

static const EepGenerationRow masked_down[] = {
    DO(PREPARE, DRAIN, REMOVING),
    DO(COMMIT, RESHUFFLE, OLD, STILL),
    DO(COMMIT, ADOPT, OLD, STILL),
    PHASE(COMMIT, OFFLOAD, REMOVING, .receivers = EEP_WHO_REMOVING, .bytes = EEP_BYTES_ALL_WEIGHTS),
    PHASE(COMMIT, COMM_SPLIT, STAYING, STILL),
    PHASE(COMMIT, MASK, STAYING, STILL),
    DO(RESUME, RELEASE, STAYING, STILL),
};

/* A design study. All that can be done beside serving is done before the pause, experts included;
 * adopting the group is the last act of the commit, so that everything before it can be undone. */
#define UNDO_ROWS                                                                                  \
    DO(UNDO, RELEASE, OLD, STILL), PHASE(UNDO, DESTROY, NEW), PHASE(UNDO, RETIRE_GROUPS, OLD, BACK)

static const EepGenerationRow eep_up[] = {
    PHASE(PREPARE, LAUNCH, NEW),
    PHASE(PREPARE, STANDBY_GROUPS, GROUP),
    PHASE(PREPARE, WEIGHTS_TREE, GROUP, .receivers = EEP_WHO_NEW, .bytes = EEP_BYTES_NON_EXPERT,
          .when = EEP_WHEN_FROM_PEER),
    WEIGHTS_FROM_STORAGE,
    PHASE(PREPARE, KV_SYNC, GROUP),
    PHASE(PREPARE, KERNEL_WARM_UP, NEW),
    PHASE(PREPARE, GRAPH_CAPTURE, NEW, .when = EEP_WHEN_GRAPHS | EEP_WHEN_REUSE),
    DO(PREPARE, PRELOAD, GROUP),
    PHASE(PREPARE, MAP_BROADCAST, GROUP, .receivers = EEP_WHO_NEW, .bytes = EEP_BYTES_MAP),
    PHASE(COMMIT, SWITCH, GROUP, STILL),
    RECAPTURE(GROUP),
    DO(COMMIT, ADOPT, GROUP, STILL),
    DO(RESUME, RELEASE, GROUP, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
    DO(SETTLE, SPREAD, GROUP, BACK),
    DO(SETTLE, RESHUFFLE, GROUP, BACK, .when = EEP_WHEN_ASYNC_EPLB),
    UNDO_ROWS,
};

static const EepGenerationRow eep_down[] = {
    PHASE(PREPARE, STANDBY_GROUPS, STAYING, BACK),
    DO(PREPARE, RESHUFFLE, OLD),
    DO(PREPARE, DRAIN, REMOVING),
    DO(PREPARE, MIGRATE, REMOVING),
    PHASE(COMMIT, SWITCH, STAYING, STILL),
    RECAPTURE(STAYING),
    DO(COMMIT, ADOPT, OLD, STILL),
    PHASE(COMMIT, DESTROY, REMOVING),
    DO(RESUME, RELEASE, STAYING, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
    UNDO_ROWS,
};

/* -- recoveries; the forwards stand still when they begin -- */

/* Survivors mask the lost ranks, take their experts over and go on. Backends that cannot mask build
 * their groups anew. (Hypothetical; closest: vllm #38862 closed, #46370 open.) */
static const EepGenerationRow shrink_rows[] = {
    PHASE(COMMIT, MASK, STAYING, STILL, .when = EEP_WHEN_REUSE),
    PHASE(COMMIT, STANDBY_GROUPS, STAYING, STILL, .when = EEP_WHEN_RECAPTURE),
    DO(COMMIT, RESHUFFLE, STAYING, STILL),
    PHASE(COMMIT, SWITCH, STAYING, STILL),
    RECAPTURE(STAYING),
    DO(COMMIT, ADOPT, STAYING, STILL),
    DO(RESUME, RELEASE, STAYING, STILL),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, BACK),
};

/* vLLM's `retry`: groups of the control plane are rebuilt, masks and buffers cleared; request state
 * is dropped. (vllm #44428.) */
static const EepGenerationRow retry_rows[] = {
    PHASE(COMMIT, STANDBY_GROUPS, STAYING, STILL),
    PHASE(COMMIT, MASK, STAYING, STILL),
    DO(COMMIT, ADOPT, STAYING, STILL),
    DO(RESUME, RELEASE, STAYING, STILL),
};

static const EepGenerationRow mask_only_rows[] = {
    PHASE(COMMIT, MASK, STAYING, STILL),
    PHASE(COMMIT, SWITCH, STAYING, STILL),
    DO(COMMIT, ADOPT, STAYING, STILL),
    DO(RESUME, RELEASE, STAYING, STILL),
};

/* The other size at once, for the twin that a resize is measured against: the pool prices nothing
 * of it. */
static const EepGenerationRow instant_up[] = {
    DO(COMMIT, ADOPT, GROUP, STILL),
    DO(COMMIT, RESHUFFLE, GROUP, STILL),
    DO(RESUME, RELEASE, GROUP, STILL),
    DO(SETTLE, SPREAD, GROUP, BACK),
};

static const EepGenerationRow instant_down[] = {
    DO(COMMIT, RESHUFFLE, OLD, STILL),
    DO(COMMIT, MIGRATE, REMOVING, STILL),
    DO(COMMIT, ADOPT, OLD, STILL),
    DO(RESUME, RELEASE, STAYING, STILL),
};

#define PLAN(list, change)                                                                         \
    {                                                                                              \
        .n_rows = G_N_ELEMENTS(list), .rows = (list), .placement = (change)                        \
    }

static const EepGeneration generations[] = {
    {.name = "restart",
     .help = "stop everything, start anew at the other size",
     .source = "what operators do without elastic EP",
     .replaces_all = TRUE,
     .up = PLAN(restart_rows, EEP_PLACEMENT_RESET),
     .down = PLAN(restart_rows, EEP_PLACEMENT_RESET)},
    {.name = "m1",
     .help = "drain, stop the world, rebuild the groups (vLLM, July 2025)",
     .source = "vllm #20775",
     .needs_elastic = TRUE,
     .drains_all = TRUE,
     .refuses = EEP_REFUSES_WHOLE,
     .up = PLAN(m1_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(m1_down, EEP_PLACEMENT_SHRINK)},
    {.name = "g1",
     .help = "stage by stage between forwards, two-stage barriers (vLLM, February 2026)",
     .source = "vllm #34861, blog of 2026-05-14",
     .needs_elastic = TRUE,
     .refuses = EEP_REFUSES_WHOLE,
     .clears_503 = TRUE,
     .up = PLAN(g1_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(g1_down, EEP_PLACEMENT_SHRINK)},
    {.name = "g2",
     .help = "prepare in the background, commit with a synchronous reshuffle (vLLM, July 2026)",
     .source = "vllm #47288",
     .pauses = TRUE,
     .needs_elastic = TRUE,
     .up = PLAN(g2_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(g2_1_down, EEP_PLACEMENT_SHRINK)},
    {.name = "g2.1",
     .help = "prepare in the background, commit, move experts after resuming (vLLM, August 2026)",
     .source = "vllm #51885, #52702",
     .pauses = TRUE,
     .needs_elastic = TRUE,
     .up = PLAN(g2_1_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(g2_1_down, EEP_PLACEMENT_SHRINK)},
    {.name = "g3",
     .help = "as g2.1, but CUDA graphs are kept, with nixl_ep only (vLLM, September 2026)",
     .source = "vllm #54985",
     .pauses = TRUE,
     .needs_elastic = TRUE,
     .up = PLAN(g3_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(g3_down, EEP_PLACEMENT_SHRINK)},
    {.name = "masked",
     .help = "all ranks run from the start, those not needed masked (SGLang; vLLM prototypes)",
     .source = "sglang #30164, #33111; vllm #43788, #44994",
     .pauses = TRUE,
     .needs_elastic = TRUE,
     .needs = EEP_NEEDS_MASK,
     .has_reserve = TRUE,
     .up = PLAN(masked_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(masked_down, EEP_PLACEMENT_SHRINK)},
    {.name = "eep",
     .help = "all that can be is done beside serving; rolls back; moves requests (design study)",
     .source = "docs/resize.md",
     .pauses = TRUE,
     .agrees_each_step = TRUE,
     .needs_elastic = TRUE,
     .refuses = EEP_REFUSES_NEVER,
     .rolls_back = TRUE,
     .chooses_leaving = TRUE,
     .keeps_requests = TRUE,
     .up = PLAN(eep_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(eep_down, EEP_PLACEMENT_SHRINK)},
    {.name = EEP_GENERATION_INSTANT,
     .help = "at once and at no cost (a twin's)",
     .source = "docs/metrics.md",
     .refuses = EEP_REFUSES_NEVER,
     .keeps_requests = TRUE,
     .up = PLAN(instant_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(instant_down, EEP_PLACEMENT_SHRINK)},
    /* Recoveries, EEP_RECOVERY_* from here on. */
    {.name = "restart",
     .help = "start everything anew at the same size",
     .source = "what operators do",
     .replaces_all = TRUE,
     .refuses = EEP_REFUSES_WHOLE,
     .is_recovery = TRUE,
     .up = PLAN(restart_rows, EEP_PLACEMENT_RESET),
     .down = PLAN(restart_rows, EEP_PLACEMENT_RESET)},
    {.name = "retry",
     .help = "rebuild the groups among the same members",
     .source = "vllm #44428",
     .is_recovery = TRUE,
     .up = PLAN(retry_rows, EEP_PLACEMENT_WIDEN),
     .down = PLAN(retry_rows, EEP_PLACEMENT_WIDEN)},
    {.name = "shrink",
     .help = "survivors take over the lost experts",
     .source = "hypothetical; vllm #38862 (closed), #46370 (open)",
     .refuses = EEP_REFUSES_NEVER,
     .is_recovery = TRUE,
     .up = PLAN(shrink_rows, EEP_PLACEMENT_SHRINK),
     .down = PLAN(shrink_rows, EEP_PLACEMENT_SHRINK)},
    {.name = "mask_only",
     .help = "survivors go on without the lost experts",
     .source = "hypothetical; SGLang masks ranks so (#8961, #10606)",
     .refuses = EEP_REFUSES_NEVER,
     .is_recovery = TRUE,
     .up = PLAN(mask_only_rows, EEP_PLACEMENT_MASK),
     .down = PLAN(mask_only_rows, EEP_PLACEMENT_MASK)},
};

/* A row is a bit of a 32-bit mask in the control state, and a phase of the record next to drain and
 * pause. */
G_STATIC_ASSERT(G_N_ELEMENTS(eep_up) + 2 <= EEP_RESIZE_MAX_PHASES);

#define N_RECOVERIES 4
#define N_FOUND      (G_N_ELEMENTS(generations) - N_RECOVERIES)
#define N_LISTED     (N_FOUND - 1) /* but `instant` */

const char *const eep_recovery_names[EEP_RECOVERY_COUNT] = {
    [EEP_RECOVERY_NONE] = "none",       [EEP_RECOVERY_RESTART] = "restart",
    [EEP_RECOVERY_RETRY] = "retry",     [EEP_RECOVERY_SHRINK] = "shrink",
    [EEP_RECOVERY_REPLACE] = "replace", [EEP_RECOVERY_MASK_ONLY] = "mask_only",
};

const char *const eep_stage_names[EEP_STAGE_COUNT] = {
    [EEP_STAGE_PREPARE] = "prepare", [EEP_STAGE_STOP] = "stop",     [EEP_STAGE_COMMIT] = "commit",
    [EEP_STAGE_RESUME] = "resume",   [EEP_STAGE_SETTLE] = "settle", [EEP_STAGE_UNDO] = "undo",
};

const EepGeneration *eep_generation_find(const char *name)
{
    for (guint i = 0; i < N_FOUND; i++)
        if (g_strcmp0(generations[i].name, name) == 0)
            return &generations[i];
    return NULL;
}

const EepGeneration *eep_generation_of_recovery(EepRecovery recovery)
{
    static const guint8 index[EEP_RECOVERY_COUNT] = {
        [EEP_RECOVERY_RESTART] = 0, [EEP_RECOVERY_RETRY] = 1,     [EEP_RECOVERY_SHRINK] = 2,
        [EEP_RECOVERY_REPLACE] = 2, [EEP_RECOVERY_MASK_ONLY] = 3,
    };

    return recovery == EEP_RECOVERY_NONE ? NULL : &generations[N_FOUND + index[recovery]];
}

const EepGeneration *eep_generation_all(guint *ret_n)
{
    *ret_n = N_LISTED;
    return generations;
}

const char *eep_recovery_status(const EepGeneration *generation, EepRecovery recovery)
{
    gboolean is_vllm = generation->name[0] == 'm' || generation->name[0] == 'g';

    switch (recovery) {
    case EEP_RECOVERY_NONE:
        return "upstream: what happens without fault tolerance";
    case EEP_RECOVERY_RESTART:
        return "upstream: by the operator or the orchestrator";
    case EEP_RECOVERY_RETRY:
        return is_vllm && generation->needs != EEP_NEEDS_MASK
                   ? "upstream (vllm #44428), but not together with elastic EP"
                   : "hypothetical";
    case EEP_RECOVERY_MASK_ONLY:
        return generation->has_reserve ? "upstream (SGLang)" : "hypothetical";
    default:
        return "hypothetical";
    }
}

const char *eep_generation_row_name(const EepGenerationRow *row)
{
    static const char *const acts[EEP_ACT_COUNT] = {
        [EEP_ACT_PHASE] = "phase", [EEP_ACT_RESHUFFLE] = "reshuffle", [EEP_ACT_PRELOAD] = "preload",
        [EEP_ACT_DRAIN] = "drain", [EEP_ACT_MIGRATE] = "migrate",     [EEP_ACT_SPREAD] = "spread",
        [EEP_ACT_ADOPT] = "adopt", [EEP_ACT_RELEASE] = "release",
    };
    return row->act == EEP_ACT_PHASE ? eep_phase_names[row->kind] : acts[row->act];
}

const char *eep_who_name(EepWho who, gboolean is_up)
{
    switch (who) {
    case EEP_WHO_NOBODY:
        return "coordinator";
    case EEP_WHO_STAYING:
        return is_up ? "existing" : "remaining";
    case EEP_WHO_NEW:
        return "new";
    case EEP_WHO_REMOVING:
        return "removing";
    default:
        return "all";
    }
}
