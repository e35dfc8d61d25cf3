/* Which steps routed how many tokens: a pool's load window, kept as runs.
 *
 * Consecutive steps with equal tokens and popularity version are one run, so that a step costs
 * nothing to remember; per-expert counts are multiplied out only when they are read. Keeps the last
 * EEP_LOAD_RUNS runs. With several components (popularity.h) a run has its tokens of each; the room
 * for them is there only then. One owner, who calls init and clear. */
#ifndef EEP_SIM_LOAD_RUNS_H
#define EEP_SIM_LOAD_RUNS_H

#include <string.h>

#include "sim/popularity.h"

G_BEGIN_DECLS

#define EEP_LOAD_RUNS 8192 /* a power of two; at worst one a step */

typedef struct {
    guint64 first_step, n_steps, tokens, version;
} EepLoadRun;

typedef struct {
    EepLoadRun runs[EEP_LOAD_RUNS];
    guint32 *parts; /* [EEP_LOAD_RUNS][n_components + 1] tokens, then the chunk; NULL with one */
    guint n_components;
    guint64 begin, end; /* counters of runs; index modulo EEP_LOAD_RUNS */
} EepLoadRuns;

/* Of memory that is zero. */
static inline void eep_load_runs_init(EepLoadRuns *self, guint n_components)
{
    self->n_components = n_components;
    if (n_components > 1)
        self->parts = g_new(guint32, (gsize)EEP_LOAD_RUNS * (n_components + 1));
}

static inline void eep_load_runs_clear(EepLoadRuns *self)
{
    g_free(self->parts);
}

static inline guint32 *eep_load_runs_parts(const EepLoadRuns *self, guint64 run)
{
    return self->parts + (run % EEP_LOAD_RUNS) * (self->n_components + 1);
}

/* Tokens of one step of a run. */
static inline void eep_load_runs_tokens(const EepLoadRuns *self, guint64 run,
                                        EepTokenMix *ret_tokens)
{
    *ret_tokens = (EepTokenMix){.n = {self->runs[run % EEP_LOAD_RUNS].tokens}};
    if (self->n_components == 1)
        return;
    const guint32 *parts = eep_load_runs_parts(self, run);
    for (guint i = 0; i < self->n_components; i++)
        ret_tokens->n[i] = parts[i];
    ret_tokens->chunk = parts[self->n_components];
}

/* With one component only tokens->n[0] is read. */
static inline void eep_load_runs_add(EepLoadRuns *self, guint64 step, const EepTokenMix *tokens,
                                     guint64 version)
{
    guint32 parts[EEP_MAX_COMPONENTS + 1];
    guint64 sum = tokens->n[0];
    gsize size = 0;
    if (self->n_components > 1) {
        parts[0] = (guint32)tokens->n[0];
        for (guint i = 1; i < self->n_components; i++)
            sum += parts[i] = (guint32)tokens->n[i];
        parts[self->n_components] = tokens->chunk;
        size = (self->n_components + 1) * sizeof *parts;
    }
    if (self->end > self->begin) {
        EepLoadRun *last = &self->runs[(self->end - 1) % EEP_LOAD_RUNS];
        if (last->tokens == sum && last->version == version &&
            last->first_step + last->n_steps == step &&
            (size == 0 || memcmp(eep_load_runs_parts(self, self->end - 1), parts, size) == 0)) {
            last->n_steps++;
            return;
        }
    }
    if (size > 0)
        memcpy(eep_load_runs_parts(self, self->end), parts, size);
    self->runs[self->end++ % EEP_LOAD_RUNS] = (EepLoadRun){step, 1, sum, version};
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
