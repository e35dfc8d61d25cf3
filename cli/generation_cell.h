/* EepGenerationCell: one resize of one generation, simulated to its end; a cell of the table of
 * `eep generations`.
 *
 * A cell is a bundled scenario with overrides, so that `eep run` with the same overrides does the
 * same. What is compared, settings, steps, traffics, backends, are the static tables here. No run
 * folder, no table (generation_grid.h). A result is a plain value without pointers. One thread. */
#ifndef EEP_CLI_GENERATION_CELL_H
#define EEP_CLI_GENERATION_CELL_H

#include "core/resize/generation.h"
#include "core/resize/record.h"
#include "sim/all2all.h"

G_BEGIN_DECLS

/* A model on a machine, and the launch that its slots a rank are those of. */
typedef struct {
    const char *scenario; /* bundled */
    guint launch_engines, launch_redundant;
    const char *light, *heavy; /* rates, heavy's an engine of the smaller size */
    double heavy_rate;
} EepGenerationSetting;

typedef struct {
    const char *name; /* "4-5" */
    guint setting, from, to;
} EepGenerationStep;

typedef enum {
    EEP_GENERATION_IDLE,
    EEP_GENERATION_LIGHT,
    EEP_GENERATION_HEAVY,
    EEP_GENERATION_N_TRAFFICS,
} EepGenerationTraffic;

#define EEP_GENERATION_N_SETTINGS 2
#define EEP_GENERATION_N_STEPS    6
#define EEP_GENERATION_N_BACKENDS 2

extern const EepGenerationSetting eep_generation_settings[EEP_GENERATION_N_SETTINGS];
extern const EepGenerationStep eep_generation_steps[EEP_GENERATION_N_STEPS];
extern const char *const eep_generation_traffics[EEP_GENERATION_N_TRAFFICS];
extern const EepAll2allBackend eep_generation_backends[EEP_GENERATION_N_BACKENDS];

typedef struct {
    const EepGenerationStep *step;
    EepGenerationTraffic traffic;
    EepAll2allBackend backend;
    const EepGeneration *generation;
    gboolean refit; /* of restart: the fewest slots at the new size */
} EepGenerationCell;

typedef struct {
    EepOutcome outcome; /* NONE: not over in time, or, with a reason, it could not run */
    char reason[256];
    EepTime prepare, stall, reject, downtime, settle, total, experts_ready; /* as in the record */
    EepTime max_gap; /* between tokens, until an interval after its end; 0: none were delivered */
    guint64 n_rejected, n_aborted, n_migrated;
    gint64 peak_extra_bytes;
} EepGenerationResult;

/* Whether the backend can do what the generation does. */
gboolean eep_generation_allows(const EepGeneration *generation, const EepAll2all *backend);

/* The generation's name; "restart refit" and "eep *", a design study. Static. */
const char *eep_generation_cell_name(const EepGenerationCell *cell);

/* What `eep run SCENARIO` needs --set for; `constant`, "hardware.KEY=VALUE", is the last of them
 * where not NULL. New NULL-terminated array. */
char **eep_generation_cell_sets(const EepGenerationCell *cell, gint64 n_experts,
                                const char *constant);

void eep_generation_cell_run(const EepGenerationCell *cell, gint64 n_experts, const char *constant,
                             EepGenerationResult *ret_result);

G_END_DECLS

#endif
