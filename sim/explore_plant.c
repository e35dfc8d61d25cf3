#include "sim/explore_plant.h"

#include "core/resize/coordinator.h"

static EepExploreRig *rig_of(gpointer self)
{
    return (EepExploreRig *)self;
}

/* -- participants do not wait for the end of the step -- */

static gboolean no_boundary_is_stepping(gpointer self)
{
    return FALSE;
}

static void no_boundary(EepResizeHost *host)
{
    host->is_stepping = no_boundary_is_stepping;
}

/* -- maps name the new places while the experts are under way -- */

static gboolean early_map_reshuffle(gpointer self, const EepGroup *target, EepReshuffleMode mode)
{
    EepExploreWorld *world = &rig_of(self)->world;
    gboolean is_done = eep_explore_world_host()->reshuffle(self, target, mode);

    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (world->reshuffle_members & 1u << i)
            world->lines[i].mapped = EEP_EXPLORE_EXPERTS;
    return is_done;
}

static void early_map(EepResizeHost *host)
{
    host->reshuffle = early_map_reshuffle;
}

/* -- 503 ends with a resize that succeeds only -- */

static void stuck_503_set_refusing(gpointer self, gboolean is_refusing)
{
    const EepControl *control = eep_resize_control(rig_of(self)->resize);

    if (!is_refusing && eep_control_serving(control)->epoch != eep_control_target(control)->epoch)
        return;
    eep_explore_world_host()->set_refusing(self, is_refusing);
}

static void stuck_503(EepResizeHost *host)
{
    host->set_refusing = stuck_503_set_refusing;
}

/* -- after the switch, rank r is looked for where rank r - 1 is -- */

static void shifted_ranks_adopt(gpointer self, const EepGroup *group, EepPlacementChange placement)
{
    EepExploreWorld *world = &rig_of(self)->world;
    guint8 before = 0;

    eep_explore_world_host()->adopt_group(self, group, placement);
    for (guint rank = 0; rank < group->n_engines; rank++) {
        guint line = eep_explore_line(world, eep_group_worker(group, rank));
        guint8 mapped = world->lines[line].mapped;

        world->lines[line].mapped = before;
        before = mapped;
    }
}

static void shifted_ranks(EepResizeHost *host)
{
    host->adopt_group = shifted_ranks_adopt;
}

/* -- the first engine that has cleared its pause lets everybody step -- */

static void early_resume_set_pause(gpointer self, EepWorkerId worker, EepPause pause)
{
    eep_explore_world_host()->set_pause(self, worker, pause);
    if (pause == EEP_PAUSE_NONE)
        rig_of(self)->world.is_blocked = FALSE;
}

static void early_resume(EepResizeHost *host)
{
    host->set_pause = early_resume_set_pause;
}

/* -- no timer ever fires -- */

static void lost_timeout_start_timer(gpointer self, guint64 timer, EepTime delay)
{
}

static void lost_timeout(EepResizeHost *host)
{
    host->start_timer = lost_timeout_start_timer;
}

/* -- a leaving engine's process ends with its requests -- */

static guint unanswered_abort_requests(gpointer self, EepWorkerId worker, const char *reason)
{
    return 0;
}

static void unanswered(EepResizeHost *host)
{
    host->abort_requests = unanswered_abort_requests;
}

/* -- new engines go by the maps of the day they were launched -- */

static void stale_map_adopt(gpointer self, const EepGroup *group, EepPlacementChange placement)
{
    EepExploreWorld *world = &rig_of(self)->world;
    guint8 versions[EEP_EXPLORE_MAX_LINES];

    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        versions[i] = world->lines[i].version;
    eep_explore_world_host()->adopt_group(self, group, placement);
    for (guint i = 0; i < EEP_EXPLORE_MAX_LINES; i++)
        if (versions[i] == 0)
            world->lines[i].version = 0;
}

static void stale_map(EepResizeHost *host)
{
    host->adopt_group = stale_map_adopt;
}

static const EepExplorePlant plants[] = {
    {.name = "skipped_barrier",
     .help = "a collective phase is over for all when its first worker has ended it",
     .generation = "g2.1",
     .skips_barrier = TRUE},
    {.name = "skipped_boundary",
     .help = "engines act on notes in the middle of a step",
     .generation = "g2.1",
     .decorate = no_boundary},
    {.name = "early_map_switch",
     .help = "maps name the new places of experts before the weights have arrived",
     .generation = "g2.1",
     .decorate = early_map},
    {.name = "stuck_503",
     .help = "503 is not cleared when a resize fails",
     .generation = "g2.1",
     .drains = TRUE,
     .decorate = stuck_503},
    {.name = "lost_replica",
     .help = "a reshuffle drops an expert's last replica",
     .generation = "g2.1",
     .drops_replica = TRUE},
    {.name = "shifted_ranks",
     .help = "renumbering is off by one when a group is adopted",
     .generation = "g2.1",
     .decorate = shifted_ranks},
    {.name = "early_resume",
     .help = "steps begin when the first engine has cleared its pause",
     .generation = "g2.1",
     .decorate = early_resume},
    {.name = "double_completion",
     .help = "a moved request is answered by its old engine too",
     .generation = "eep",
     .completes_twice = TRUE},
    {.name = "lost_timeout",
     .help = "timers never fire",
     .generation = "g2.1",
     .drains = TRUE,
     .decorate = lost_timeout},
    {.name = "unanswered_requests",
     .help = "a leaving engine's process ends with its requests",
     .generation = "g2.1",
     .decorate = unanswered},
    {.name = "stale_map",
     .help = "new engines keep the maps of the day they were launched",
     .generation = "g2.1",
     .decorate = stale_map},
};

const EepExplorePlant *eep_explore_plant_all(guint *ret_n)
{
    *ret_n = G_N_ELEMENTS(plants);
    return plants;
}

const EepExplorePlant *eep_explore_plant_find(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(plants); i++)
        if (g_strcmp0(plants[i].name, name) == 0)
            return &plants[i];
    return NULL;
}
