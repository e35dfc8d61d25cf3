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

/* Everything is torn down and started at the other size. What operators do today without elastic
 * EP, and the baseline of every comparison. */
static const EepGenerationRow restart_rows[] = {
    PHASE(STOP, DESTROY, REMOVING, .blocks = TRUE),
    PHASE(COMMIT, LAUNCH, NEW, .blocks = TRUE),
    PHASE(COMMIT, STANDBY_GROUPS, NEW, .blocks = TRUE),
    PHASE(COMMIT, WEIGHTS_FROM_DISK, NEW, .blocks = TRUE, .receivers = EEP_WHO_NEW,
          .bytes = EEP_BYTES_ALL_WEIGHTS),
    PHASE(COMMIT, KV_SYNC, NEW, .blocks = TRUE),
    DO(COMMIT, ADOPT, NEW, .blocks = TRUE),
    PHASE(COMMIT, WARM_UP, NEW, .blocks = TRUE),
    PHASE(COMMIT, GRAPH_CAPTURE, NEW, .blocks = TRUE, .when = EEP_WHEN_GRAPHS),
    DO(RESUME, RELEASE, NEW, .blocks = TRUE),
};

/* vLLM of August 2026: prepare in the background, one blocking commit, experts move layer by layer
 * after the group serves again. A new engine takes part in the KV sync while it is constructed and
 * warms its kernels afterwards. (vllm/distributed/elastic_ep/elastic_state.py, elastic_execute.py
 * at d36cc4254e.) */
static const EepGenerationRow g2_1_up[] = {
    PHASE(PREPARE, LAUNCH, NEW),
    PHASE(PREPARE, STANDBY_GROUPS, GROUP),
    PHASE(PREPARE, WEIGHTS_FROM_PEER, GROUP, .receivers = EEP_WHO_NEW,
          .bytes = EEP_BYTES_NON_EXPERT, .when = EEP_WHEN_FROM_PEER),
    PHASE(PREPARE, WEIGHTS_FROM_DISK, NEW, .receivers = EEP_WHO_NEW, .bytes = EEP_BYTES_NON_EXPERT,
          .when = EEP_WHEN_FROM_DISK),
    PHASE(PREPARE, KV_SYNC, GROUP),
    PHASE(PREPARE, KERNEL_WARM_UP, NEW),
    DO(COMMIT, ADOPT, GROUP, .blocks = TRUE),
    PHASE(COMMIT, MAP_BROADCAST, GROUP, .blocks = TRUE, .receivers = EEP_WHO_NEW,
          .bytes = EEP_BYTES_MAP),
    PHASE(COMMIT, SWITCH, GROUP, .blocks = TRUE),
    PHASE(COMMIT, WARM_UP, GROUP, .blocks = TRUE),
    PHASE(COMMIT, GRAPH_CAPTURE, GROUP, .blocks = TRUE, .when = EEP_WHEN_GRAPHS),
    DO(COMMIT, RESHUFFLE, GROUP, .blocks = TRUE, .when = EEP_WHEN_SYNC_EPLB),
    DO(RESUME, RELEASE, GROUP, .blocks = TRUE),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, .in_background = TRUE),
    DO(SETTLE, RESHUFFLE, GROUP, .in_background = TRUE, .when = EEP_WHEN_ASYNC_EPLB),
};

/* Shrinking moves the experts first, since the leaving ranks hold some of them. */
static const EepGenerationRow g2_1_down[] = {
    PHASE(PREPARE, STANDBY_GROUPS, STAYING),
    DO(COMMIT, RESHUFFLE, OLD, .blocks = TRUE),
    DO(COMMIT, ADOPT, OLD, .blocks = TRUE),
    PHASE(COMMIT, DESTROY, REMOVING),
    PHASE(COMMIT, SWITCH, STAYING, .blocks = TRUE),
    PHASE(COMMIT, WARM_UP, STAYING, .blocks = TRUE),
    PHASE(COMMIT, GRAPH_CAPTURE, STAYING, .blocks = TRUE, .when = EEP_WHEN_GRAPHS),
    DO(RESUME, RELEASE, STAYING, .blocks = TRUE),
    PHASE(SETTLE, RETIRE_GROUPS, STAYING, .in_background = TRUE),
};

#define PLAN(list, change)                                                                         \
    {                                                                                              \
        .n_rows = G_N_ELEMENTS(list), .rows = (list), .placement = (change)                        \
    }

static const EepGeneration generations[] = {
    {.name = "restart",
     .help = "stop everything, start anew at the other size",
     .replaces_all = TRUE,
     .up = PLAN(restart_rows, EEP_PLACEMENT_RESET),
     .down = PLAN(restart_rows, EEP_PLACEMENT_RESET)},
    {.name = "g2.1",
     .help = "prepare in the background, commit, move experts after resuming (vLLM, August 2026)",
     .pauses = TRUE,
     .needs_elastic = TRUE,
     .up = PLAN(g2_1_up, EEP_PLACEMENT_WIDEN),
     .down = PLAN(g2_1_down, EEP_PLACEMENT_SHRINK)},
};

/* A row is a bit of a 32-bit mask in the control state, and a phase of the record next to drain and
 * pause. */
G_STATIC_ASSERT(G_N_ELEMENTS(g2_1_up) + 2 <= EEP_RESIZE_MAX_PHASES);
G_STATIC_ASSERT(G_N_ELEMENTS(g2_1_down) + 2 <= EEP_RESIZE_MAX_PHASES);
G_STATIC_ASSERT(G_N_ELEMENTS(restart_rows) + 2 <= EEP_RESIZE_MAX_PHASES);

const char *const eep_stage_names[EEP_STAGE_COUNT] = {
    [EEP_STAGE_PREPARE] = "prepare", [EEP_STAGE_STOP] = "stop",     [EEP_STAGE_COMMIT] = "commit",
    [EEP_STAGE_RESUME] = "resume",   [EEP_STAGE_SETTLE] = "settle",
};

const EepGeneration *eep_generation_find(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(generations); i++)
        if (g_strcmp0(generations[i].name, name) == 0)
            return &generations[i];
    return NULL;
}

const EepGeneration *eep_generation_all(guint *ret_n)
{
    *ret_n = G_N_ELEMENTS(generations);
    return generations;
}

const char *eep_generation_row_name(const EepGenerationRow *row)
{
    static const char *const acts[] = {
        [EEP_ACT_PHASE] = "phase",
        [EEP_ACT_RESHUFFLE] = "reshuffle",
        [EEP_ACT_ADOPT] = "adopt",
        [EEP_ACT_RELEASE] = "release",
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
