/* The predictor seam (core/predictor.h) from the cost models.
 *
 * One object a pool: steps from step_cost.h, phases and moves from phase_cost.h. Under the profile
 * constant-step every step lasts exactly that and nothing else costs anything. A placement is known
 * by its address and generation: candidates that are compared must be alive at the same time. */
#ifndef EEP_SIM_PREDICTOR_SIM_H
#define EEP_SIM_PREDICTOR_SIM_H

#include "core/engine/pool_options.h"
#include "core/hardware.h"
#include "core/model.h"
#include "core/predictor.h"
#include "core/skew.h"
#include "sim/popularity.h"
#include "sim/step_cost.h"

G_BEGIN_DECLS

/* Borrows model, hardware and options for life and takes over skew. `sampled`: draw each token's
 * experts (slow reference) instead of expecting them. `seed` is the run's. */
EepPredictor *eep_sim_predictor_new(const EepModel *model, const EepHardware *hardware,
                                    const EepPoolOptions *options, EepSkew *skew, gboolean sampled,
                                    guint64 seed);

/* What follows is for predictors of this kind only. */

/* Step `step` of the pool is about to be costed at `now`: popularity follows (popularity.h). */
void eep_sim_predictor_advance(EepPredictor *predictor, EepTime now, guint64 step);

/* How its tokens are counted. */
const EepPopularity *eep_sim_predictor_popularity(const EepPredictor *predictor);

/* As the seam's add_load, for `n_steps` steps from `first_step` with `tokens` each; in the sampled
 * mode the counts that those steps drew. */
void eep_sim_predictor_add_step_load(EepPredictor *predictor, guint64 version, guint64 first_step,
                                     guint64 n_steps, const EepTokenMix *tokens, double *ret_load);

/* Whether steps of one popularity version load as one step of all their tokens does: not when each
 * draws its own. */
gboolean eep_sim_predictor_loads_add_up(const EepPredictor *predictor);

/* Whether two loads of one popularity version are proportional to each other: they add up, and all
 * tokens pick alike. */
gboolean eep_sim_predictor_loads_are_proportional(const EepPredictor *predictor);

/* As the seam's step, phase and move when something is broken (backend_faults.c) or loaded
 * (phase_load.h). link: what the links of the slowest rank carry of their bandwidth, in (0, 1].
 * Under constant-step only a slow engine counts. */
void eep_sim_predictor_slowed_step(EepPredictor *predictor, const EepStepPlan *plan,
                                   const EepStepSlowness *slowness, EepStepCost *ret_cost);
EepTime eep_sim_predictor_slowed_phase(EepPredictor *predictor, const EepPhase *phase, double link,
                                       EepTime *ret_each);
EepTime eep_sim_predictor_slowed_move(EepPredictor *predictor, const EepMove *move, double link,
                                      EepTime *ret_link);

const EepHardware *eep_sim_predictor_hardware(const EepPredictor *predictor);

/* The pool's options, as given. */
const EepPoolOptions *eep_sim_predictor_options(const EepPredictor *predictor);

/* Cells of a load: MoE layers * experts. */
gsize eep_sim_predictor_load_cells(const EepPredictor *predictor);

G_END_DECLS

#endif
