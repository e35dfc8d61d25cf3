/* Step cost: how the cost models combine into one lockstep step of a pool.
 *
 *   GPU  = max over ranks of attention + sum over MoE layers of [all-to-all + expected max over
 *          ranks of experts] + router, dense, shared and head work of the largest rank
 *   step = max(GPU, CPU) with async scheduling, scheduler + launch + GPU without
 *
 * The all-to-all is a barrier, so layers add up and each waits for its slowest rank. Rules of graph
 * modes, padding and micro-batches: graph_mode.h. Idle engines run one dummy token. What depends on
 * token totals alone is memoised until placement or popularity change. Not a clock, knows no
 * engine state. Not thread-safe; one owner. */
#ifndef EEP_SIM_STEP_COST_H
#define EEP_SIM_STEP_COST_H

#include "core/predictor.h"
#include "core/skew.h"
#include "sim/cost.h"
#include "sim/expert_sample.h"
#include "sim/mix_load.h"

G_BEGIN_DECLS

typedef struct EepStepModel EepStepModel;

/* Borrows model, hardware and options for life and takes over skew. `sampled`: draw experts instead
 * of expecting them.
 */
EepStepModel *eep_step_model_new(const EepModel *model, const EepHardware *hardware,
                                 const EepPoolOptions *options, EepSkew *skew, gboolean sampled,
                                 guint64 seed);
void eep_step_model_free(EepStepModel *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepStepModel, eep_step_model_free)

/* What its tokens pick, to be asked; it is the model's. */
const EepPopularity *eep_step_model_popularity(const EepStepModel *self);

/* As eep_popularity_advance(). */
void eep_step_model_advance(EepStepModel *self, EepTime now, guint64 step);

/* Cost of one step of the plan's batch. A plan without placement runs no routed experts. */
void eep_step_model_cost(EepStepModel *self, const EepStepPlan *plan, EepStepCost *ret_cost);

/* What is slower than the profile says, for one step. */
typedef struct {
    const double *engines; /* [n_engines], >= 1: times as long as each one's own work takes */
    double compute, all2all, cpu; /* >= 1: the same of all engines' GPU work, links, CPU work */
    double link; /* (0, 1]: of their bandwidth, what the slowest rank's links carry */
} EepStepSlowness;

/* The slowest engine's; engines may be NULL. */
double eep_step_slowness_worst(const EepStepSlowness *slowness, guint n_engines);

/* The same with some of it slow. The step lasts as long as its slowest engine: of attention and
 * dense work each engine's own, of the experts a slow engine's mean part against the busiest one's,
 * and all exchange at the slowest links' bandwidth. Not memoised. */
void eep_step_model_slowed_cost(EepStepModel *self, const EepStepPlan *plan,
                                const EepStepSlowness *slowness, EepStepCost *ret_cost);

/* The step's graph mode; ret_rows: rows of the largest rank, padding included (nullable). */
EepGraphMode eep_step_model_graph_mode(const EepStepModel *self, const EepStepPlan *plan,
                                       guint *ret_rows);

/* Adds the tokens of each logical expert in steps [first_step, first_step + n_steps) with `tokens`
 * each, of a popularity version: expected ones, or those drawn in the sampled mode. */
void eep_step_model_add_load(EepStepModel *self, guint64 version, guint64 first_step,
                             guint64 n_steps, const EepTokenMix *tokens, double *ret_load);

gboolean eep_step_model_is_sampled(const EepStepModel *self);

G_END_DECLS

#endif
