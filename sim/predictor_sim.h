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

G_BEGIN_DECLS

/* Borrows model, hardware and options for life and takes over skew. `sampled`: draw each token's
 * experts (slow reference) instead of expecting them. `seed` is the run's. */
EepPredictor *eep_sim_predictor_new(const EepModel *model, const EepHardware *hardware,
                                    const EepPoolOptions *options, EepSkew *skew, gboolean sampled,
                                    guint64 seed);

/* As the seam's add_load, for `n_steps` steps from `first_step` with `tokens` routed tokens each;
 * in the sampled mode the counts that those steps drew. For predictors of this kind only. */
void eep_sim_predictor_add_step_load(EepPredictor *predictor, guint64 version, guint64 first_step,
                                     guint64 n_steps, double tokens, double *ret_load);

/* Whether two loads of one popularity version are proportional to each other: not when each step
 * draws its own. For predictors of this kind only. */
gboolean eep_sim_predictor_loads_are_proportional(const EepPredictor *predictor);

/* The pool's options, as given. For predictors of this kind only. */
const EepPoolOptions *eep_sim_predictor_options(const EepPredictor *predictor);

/* Cells of a load: MoE layers * experts. For predictors of this kind only. */
gsize eep_sim_predictor_load_cells(const EepPredictor *predictor);

G_END_DECLS

#endif
