/* What the simulated backend remembers of the steps that ran, and the load reports it makes of it.
 */
#include "sim/backend_sim_internal.h"

void eep_sim_load_add(EepSimPool *pool, const EepStepPlan *plan, guint64 sum)
{
    const EepPopularity *popularity = eep_sim_predictor_popularity(pool->predictor);
    EepTokenMix tokens;
    if (pool->load.n_components == 0)
        eep_load_runs_init(&pool->load, eep_popularity_n_components(popularity));
    if (pool->load.n_components == 1)
        tokens.n[0] = sum;
    else
        eep_popularity_count(popularity, plan, &tokens);
    eep_load_runs_add(&pool->load, plan->first_step, &tokens, eep_popularity_version(popularity));
}

static void add_run(EepPredictor *predictor, const EepLoadRun *run, const EepTokenMix *tokens,
                    double *ret_tokens)
{
    if (run->n_steps > 0)
        eep_sim_predictor_add_step_load(predictor, run->version, run->first_step, run->n_steps,
                                        tokens, ret_tokens);
}

static void add_mix(EepTokenMix *sum, const EepTokenMix *tokens, guint64 n_steps)
{
    for (guint i = 0; i < EEP_MAX_COMPONENTS; i++)
        sum->n[i] += tokens->n[i] * n_steps;
}

/* Popularity versions of the runs seen: mixed loads are not proportional. */
typedef struct {
    guint64 version; /* of the last run, 0: none yet */
    gboolean is_mixed;
} Versions;

static void note_version(Versions *versions, guint64 version)
{
    versions->is_mixed |= versions->version != 0 && versions->version != version;
    versions->version = version;
}

/* Adds the counts of the steps [from, to). Those of one popularity version are multiplied out as
 * one step of all their tokens where loads add up. */
static void add_window(const EepSimPool *pool, guint64 from, guint64 to, Versions *versions,
                       double *ret_tokens)
{
    const gboolean adds_up = eep_sim_predictor_loads_add_up(pool->predictor);
    EepLoadRun sum = {0};
    EepTokenMix sum_tokens = {{0}}, tokens;
    for (guint64 i = pool->load.begin; i < pool->load.end; i++) {
        EepLoadRun run = pool->load.runs[i % EEP_LOAD_RUNS];
        guint64 end = MIN(run.first_step + run.n_steps, to);
        run.first_step = MAX(run.first_step, from);
        if (run.first_step >= end)
            continue;
        run.n_steps = end - run.first_step;
        eep_load_runs_tokens(&pool->load, i, &tokens);
        note_version(versions, run.version);
        if (adds_up && sum.n_steps > 0 && run.version == sum.version) {
            add_mix(&sum_tokens, &tokens, run.n_steps);
            continue;
        }
        add_run(pool->predictor, &sum, &sum_tokens, ret_tokens);
        sum = run;
        sum_tokens = tokens;
        if (adds_up) {
            add_mix(&sum_tokens, &tokens, run.n_steps - 1);
            sum.n_steps = 1;
        }
    }
    add_run(pool->predictor, &sum, &sum_tokens, ret_tokens);
}

GBytes *eep_sim_load_report(const EepSimPool *pool, guint64 from_step, guint64 to_step,
                            guint n_windows)
{
    const gsize cells = eep_sim_predictor_load_cells(pool->predictor);
    const gsize size = sizeof(EepLoadReport) + n_windows * cells * sizeof(double);
    EepLoadReport *report = g_malloc0(size);
    Versions versions = {.is_mixed = !eep_sim_predictor_loads_are_proportional(pool->predictor)};
    for (guint i = 0; i < n_windows; i++)
        add_window(pool, eep_load_window_begin(from_step, to_step, n_windows, i),
                   eep_load_window_begin(from_step, to_step, n_windows, i + 1), &versions,
                   report->tokens + i * cells);
    report->version = versions.is_mixed ? 0 : versions.version;
    report->n_windows = n_windows;
    return g_bytes_new_take(report, size);
}
