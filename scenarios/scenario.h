/* EepScenario: everything that a run is told, resolved and checked.
 *
 * A scenario file with its profiles, defaults and overrides. It holds options only, no state of a
 * run, and it does not open traces. Immutable after loading; not thread-safe; owned by whoever
 * loaded it. */
#ifndef EEP_SCENARIOS_SCENARIO_H
#define EEP_SCENARIOS_SCENARIO_H

#include "core/gpu_options.h"
#include "core/measure_options.h"
#include "core/memory_fit.h"
#include "core/run_options.h"
#include "core/skew.h"
#include "core/slo_options.h"
#include "scenarios/event_options.h"
#include "scenarios/profile.h"
#include "scenarios/traffic_options.h"

G_BEGIN_DECLS

#define EEP_SCENARIO_FORMAT    1
#define EEP_SCENARIO_MAX_POOLS 64

typedef struct {
    char *name;
    EepPoolOptions options; /* limits resolved */
    EepMemoryFit memory;    /* at the first size; zeros but num_gpu_blocks under constant-step */
} EepScenarioPool;

typedef struct {
    gint64 format; /* key "eep" */
    char *name;
    gint64 seed;

    EepModel model;
    EepProfile *model_profile;
    EepHardware hardware;
    EepProfile *hardware_profile;
    gint64 nodes;

    EepScenarioPool *pools; /* [n_pools], in the file's order; ids are indexes */
    guint n_pools;
    gboolean has_pool_map; /* FALSE: one pool, "main", from deployment's own keys */

    EepTrafficOptions traffic; /* trace.path NULL: synthetic */
    EepRateStep *rate_steps;   /* [n_rate_steps]; with them synthetic.rate is not looked at */
    guint n_rate_steps;

    EepSkewOptions skew;
    EepSloOptions slo;
    EepMeasureOptions measure;
    EepRunOptions run;
    EepOutputOptions output;
    EepGpuOptions gpu;
    EepEventOptions *events; /* [n_events], by the earliest time that they can come, those of one
                              * time in the file's order */
    guint n_events;
    char **expect; /* NULL-terminated comparisons "KEY OP VALUE"; never NULL */

    GPtrArray *notes; /* char *, what the reader should know although it can run; never NULL */

    EepYamlDocument *document; /* the file with overrides applied, for messages */
} EepScenario;

/* The parts of the file that tables describe, for explain, documentation and schema. */
typedef struct {
    const char *key; /* "deployment"; "" for the top level */
    const EepOptionTable *table;
    const char *help;
} EepScenarioSection;

extern const EepScenarioSection eep_scenario_sections[]; /* ends with a NULL table */

/* Loads the file at `path` with overrides `sets` ("KEY=VALUE", nullable, NULL-terminated) in their
 * order. `seed_override` >= 0 replaces the seed. Profiles are looked for in the scenario's own
 * folder and then in `folders` (NULL-terminated, nullable), each with models/ and hardware/. NULL
 * with a message in the house's form. */
EepScenario *eep_scenario_load(const char *path, const char *const *folders,
                               const char *const *sets, gint64 seed_override, GError **error);

/* The same from text; `name` stands for the file, also for what paths are relative to. */
EepScenario *eep_scenario_parse(const char *name, const char *text, gssize length,
                                const char *const *folders, const char *const *sets,
                                gint64 seed_override, GError **error);

void eep_scenario_free(EepScenario *scenario); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepScenario, eep_scenario_free)

/* The effective scenario, every default and override written out, as YAML. Files are named without
 * their folders. New string. */
char *eep_scenario_write(const EepScenario *scenario);

/* FALSE when the trace is not there, with where to get a published one and the --set to give. */
gboolean eep_scenario_check_files(const EepScenario *scenario, GError **error);

/* FALSE when a pool that caches prefixes cannot hold hashes of so many tokens in whole blocks. 0:
 * the traffic has no hashes. */
gboolean eep_scenario_check_hashes(const EepScenario *scenario, guint32 hash_tokens,
                                   GError **error);

/* The place that gives `key` of pool `pool`, or the nearest level above it that the file has. */
const EepYaml *eep_scenario_where(const EepScenario *scenario, const char *pool, const char *key);

/* Whether the file or an override says `key` of the pool. */
gboolean eep_scenario_is_given(const EepScenario *scenario, const char *pool, const char *key);

/* The pool's index; -1: none of that name. */
gint eep_scenario_find_pool(const EepScenario *scenario, const char *name);

G_END_DECLS

#endif
