/* Which steps routed how many tokens: a pool's load window, kept as runs.
 *
 * Consecutive steps with equal token totals and popularity version are one run, so that a step
 * costs nothing to remember; per-expert counts are multiplied out only when they are read. Keeps
 * the last EEP_LOAD_RUNS runs. Plain struct, no allocation, one owner. */
#ifndef EEP_SIM_LOAD_RUNS_H
#define EEP_SIM_LOAD_RUNS_H

#include <glib.h>

G_BEGIN_DECLS

#define EEP_LOAD_RUNS 8192 /* a power of two; at worst one a step */

typedef struct {
    guint64 first_step, n_steps, tokens, version;
} EepLoadRun;

typedef struct {
    EepLoadRun runs[EEP_LOAD_RUNS];
    guint64 begin, end; /* counters of runs; index modulo EEP_LOAD_RUNS */
} EepLoadRuns;

static inline void eep_load_runs_add(EepLoadRuns *self, guint64 step, guint64 tokens,
                                     guint64 version)
{
    if (self->end > self->begin) {
        EepLoadRun *last = &self->runs[(self->end - 1) % EEP_LOAD_RUNS];
        if (last->tokens == tokens && last->version == version &&
            last->first_step + last->n_steps == step) {
            last->n_steps++;
            return;
        }
    }
    self->runs[self->end++ % EEP_LOAD_RUNS] = (EepLoadRun){step, 1, tokens, version};
    if (self->end - self->begin > EEP_LOAD_RUNS)
        self->begin++;
}

/* Forgets `step` and what follows: it did not happen. */
static inline void eep_load_runs_drop_from(EepLoadRuns *self, guint64 step)
{
    while (self->end > self->begin) {
        EepLoadRun *last = &self->runs[(self->end - 1) % EEP_LOAD_RUNS];
        if (last->first_step + last->n_steps <= step)
            return;
        if (last->first_step < step) {
            last->n_steps = step - last->first_step;
            return;
        }
        self->end--;
    }
}

G_END_DECLS

#endif
