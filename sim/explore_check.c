#include "sim/explore_check.h"

#include <string.h>

#include "core/resize/coordinator.h"
#include "core/resize/participant.h"

static EepCoordinatorState state_of(const EepExploreRig *rig)
{
    return (EepCoordinatorState)eep_resize_control(rig->resize)->coordinator.state;
}

/* -- known flaws -- */

static gboolean is_stuck_refusing(const EepExploreRig *rig)
{
    return state_of(rig) == EEP_COORDINATOR_STUCK && rig->world.is_refusing;
}

static gboolean is_stuck(const EepExploreRig *rig)
{
    return state_of(rig) == EEP_COORDINATOR_STUCK;
}

static gboolean is_prepared(const EepExploreRig *rig)
{
    return state_of(rig) == EEP_COORDINATOR_PREPARED && !rig->world.is_refusing;
}

static gboolean is_unrecovered(const EepExploreRig *rig)
{
    if (rig->setting->recovery != EEP_RECOVERY_NONE && rig->setting->recovery != EEP_RECOVERY_RETRY)
        return FALSE;
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (rig->world.lines[i].is_lost)
            return TRUE;
    return FALSE;
}

static gboolean is_recovery_stuck(const EepExploreRig *rig)
{
    return is_stuck(rig) && eep_resize_control(rig->resize)->coordinator.scheme != 0;
}

/* The first that holds is the one that is told. */
const EepExploreFlaw eep_explore_flaws[] = {
    {"a dead rank ends the deployment", "vllm #27774", " restart m1 g1 g2 g2.1 g3 masked eep ",
     is_unrecovered},
    {"a recovery that fails is the end", "vllm #46370, a failed scale_down is terminal",
     " restart m1 g1 g2 g2.1 g3 masked ", is_recovery_stuck},
    {"503 left after a failed commit", "vllm #50778", " m1 g2 g2.1 g3 ", is_stuck_refusing,
     EEP_EXPLORE_STUCK_503},
    {"no way back from a failed resize, later ones are refused", "vllm #53947",
     " m1 g1 g2 g2.1 g3 ", is_stuck, EEP_EXPLORE_STUCK_FOR_GOOD},
    {"what was prepared is kept after a drain ran out of time", "vllm #53947",
     " m1 g1 g2 g2.1 g3 masked ", is_prepared},
    {"down until somebody starts it again", "the nature of a restart", " restart ", is_stuck,
     EEP_EXPLORE_STUCK_FOR_GOOD},
    {"no way back from a failed resize", "sglang #30164, phases failed and recovery_unsupported",
     " masked ", is_stuck, EEP_EXPLORE_STUCK_FOR_GOOD},
};
const guint eep_explore_n_flaws = G_N_ELEMENTS(eep_explore_flaws);
G_STATIC_ASSERT(G_N_ELEMENTS(eep_explore_flaws) <= EEP_EXPLORE_MAX_FLAWS);

static gboolean is_of(const EepExploreFlaw *flaw, const char *generation)
{
    g_autofree char *word = g_strdup_printf(" %s ", generation);

    return strstr(flaw->generations, word) != NULL;
}

static guint find_flaw(const EepExploreRig *rig)
{
    guint i = 0;

    while (i < eep_explore_n_flaws &&
           (!is_of(&eep_explore_flaws[i], rig->setting->params.generation) ||
            !eep_explore_flaws[i].holds(rig)))
        i++;
    return i;
}

const EepExploreFlaw *eep_explore_flaw_of_stuck(const char *generation, gboolean is_refusing)
{
    for (guint i = 0; i < eep_explore_n_flaws; i++) {
        const EepExploreFlaw *flaw = &eep_explore_flaws[i];

        if ((flaw->stuck == EEP_EXPLORE_STUCK_FOR_GOOD ||
             (flaw->stuck == EEP_EXPLORE_STUCK_503 && is_refusing)) &&
            is_of(flaw, generation))
            return flaw;
    }
    return NULL;
}

/* -- any state -- */

typedef struct {
    guint n_members, n_acting, n_lost, n_routable;
    guint n_requests; /* wherever they are */
    guint8 mapped;
    gboolean has_zombie; /* a process that is in no group */
} Census;

static void count(const EepExploreRig *rig, Census *ret_census)
{
    const EepGroup *group = eep_resize_group(rig->resize);

    *ret_census = (Census){.n_members = group->n_engines};
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        const EepExploreLine *line = &rig->world.lines[i];
        gboolean is_member =
            line->worker != 0 && eep_group_rank(group, line->worker) != EEP_RANK_NONE;

        ret_census->n_requests += line->n_requests;
        ret_census->mapped |= is_member ? line->mapped : 0;
        ret_census->has_zombie |= line->is_alive && !is_member && !line->is_lost;
        ret_census->n_lost += is_member && line->is_lost;
        ret_census->n_acting += is_member && line->is_alive && !line->is_stopped;
        ret_census->n_routable += is_member && line->is_alive && line->is_routable;
    }
}

static void check_member(EepExploreRig *rig, const EepExploreLine *line)
{
    const EepControl *control = eep_resize_control(rig->resize);
    guint slot = eep_control_find(control, line->worker);

    if (line->mapped & (guint8)~line->held)
        eep_explore_violate(rig, "I1: in a step the maps name an expert that e%u does not hold",
                            line->worker);
    if (line->version != rig->world.version)
        eep_explore_violate(rig, "I2: in a step e%u goes by older maps and counters than others",
                            line->worker);
    if (line->pause != EEP_PAUSE_NONE && slot != EEP_SLOT_NONE &&
        eep_control_participant(control, slot)->state != EEP_PARTICIPANT_PAUSING)
        eep_explore_violate(rig, "I4: a step runs and e%u has not cleared its pause", line->worker);
}

void eep_explore_check_forward(EepExploreRig *rig)
{
    const EepGroup *group = eep_resize_group(rig->resize);
    guint8 mapped = rig->world.degraded;

    for (guint rank = 0; rank < group->n_engines; rank++) {
        guint line = eep_explore_line(&rig->world, eep_group_worker(group, rank));

        if (line == EEP_EXPLORE_NO_LINE || !rig->world.lines[line].is_alive) {
            eep_explore_violate(rig, "I4: a step runs with e%u, which is gone",
                                eep_group_worker(group, rank));
            return;
        }
        /* The step hangs, and nothing comes of it. */
        if (rig->world.lines[line].is_stopped)
            return;
        mapped |= rig->world.lines[line].mapped;
    }
    for (guint rank = 0; rank < group->n_engines; rank++)
        check_member(
            rig, &rig->world.lines[eep_explore_line(&rig->world, eep_group_worker(group, rank))]);
    if (mapped != EEP_EXPLORE_EXPERTS)
        eep_explore_violate(rig, "I1: in a step an expert has no slot");
}

static void check_requests(EepExploreRig *rig, const Census *census)
{
    const EepExploreWorld *world = &rig->world;
    guint n = rig->setting->n_engines * rig->setting->n_requests;
    guint sum = census->n_requests + world->n_finished + world->n_aborted + world->n_died;

    if (sum > n)
        eep_explore_violate(rig, "I6: %u requests are answered and %u were asked", sum, n);
    if (sum < n)
        eep_explore_violate(rig, "I6: %u requests are nowhere", n - sum);
}

void eep_explore_check(EepExploreRig *rig)
{
    const EepControl *control = eep_resize_control(rig->resize);
    g_autoptr(GError) error = NULL;
    Census census;

    count(rig, &census);
    if (!eep_resize_check(rig->resize, &error)) {
        eep_explore_violate(rig, "%s", error->message);
        return;
    }
    if (rig->world.is_blocked != (control->blocked_by != 0))
        eep_explore_violate(rig,
                            "I4: the pool and the machine disagree on whether steps may begin");
    if (rig->world.is_stepping && rig->world.is_blocked)
        eep_explore_violate(rig, "I4: a step is in flight while none may be");
    if (rig->world.is_stepping)
        eep_explore_check_forward(rig);
    check_requests(rig, &census);
    if (!rig->world.is_refusing && census.n_acting > 0 && census.n_routable == 0 &&
        !is_unrecovered(rig))
        eep_explore_violate(rig, "I6: requests are admitted and no engine may get them");
}

/* -- at rest -- */

static void check_served(EepExploreRig *rig)
{
    const EepExploreWorld *world = &rig->world;
    const EepGroup *group = eep_resize_group(rig->resize);

    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++) {
        const EepExploreLine *line = &world->lines[i];
        gboolean is_member =
            line->worker != 0 && eep_group_rank(group, line->worker) != EEP_RANK_NONE;

        if (line->n_requests > 0 && (!is_member || line->pause != EEP_PAUSE_NONE))
            eep_explore_violate(rig, "I6: at rest, %u requests of e%u are never answered",
                                line->n_requests, line->worker);
        if (is_member && line->is_alive && !line->is_routable)
            eep_explore_violate(rig, "I8: at rest, e%u serves and gets no requests", line->worker);
        if (is_member && line->is_alive && line->pause != EEP_PAUSE_NONE)
            eep_explore_violate(rig, "I8: at rest, e%u is paused", line->worker);
    }
}

guint eep_explore_check_rest(EepExploreRig *rig)
{
    const EepExploreWorld *world = &rig->world;
    EepCoordinatorState state = state_of(rig);
    guint flaw = find_flaw(rig);
    Census census;

    if (flaw < eep_explore_n_flaws)
        return flaw;
    count(rig, &census);
    if (census.n_lost == census.n_members)
        return flaw;
    if (world->is_refusing)
        eep_explore_violate(rig, "I8: at rest, new requests get 503");
    if (state != EEP_COORDINATOR_IDLE)
        eep_explore_violate(rig, "I8: at rest, the coordinator is %s",
                            eep_coordinator_state_names[state]);
    if (world->is_blocked)
        eep_explore_violate(rig, "I8: at rest, no step may begin");
    if (world->is_eplb_suspended)
        eep_explore_violate(rig, "I8: at rest, EPLB is suspended");
    if (world->is_open)
        eep_explore_violate(rig, "I8: at rest, the end of a resize has not been told");
    if (census.has_zombie)
        eep_explore_violate(rig, "I8: at rest, a process is left that is in no group");
    if (world->outcome == EEP_OUTCOME_ROLLED_BACK && world->n_aborted > 0 &&
        rig->setting->recovery != EEP_RECOVERY_RESTART)
        eep_explore_violate(rig, "I8: rolled back, yet %u requests were aborted", world->n_aborted);
    check_served(rig);
    eep_explore_check_forward(rig);
    return flaw;
}
