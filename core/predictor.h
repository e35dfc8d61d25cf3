/* EepPredictor: how long things would take.
 *
 * The second seam: sim/ implements it from the cost models, and cli/ hands it to the deployment in
 * every mode, hardware and replay included, so that a policy decides the same everywhere. The
 * simulator's backend uses the same object to make time pass. Not a clock: it never looks at now.
 * Not thread-safe; owned by whoever made it. Results are pure functions of the arguments, the
 * placement's versions and the popularity told by popularity(), so calling it twice gives the same
 * answer. */
#ifndef EEP_CORE_PREDICTOR_H
#define EEP_CORE_PREDICTOR_H

#include "core/loop/backend.h"

G_BEGIN_DECLS

typedef struct EepPredictor EepPredictor;

typedef struct {
    EepTime step; /* the whole step, begin to end, CPU included as the scheduling mode says */
    double attention_s, all2all_s, experts_s, other_s, cpu_s; /* its parts on the critical path */
    double imbalance; /* expected max/mean of expert tokens over ranks, mean over MoE layers; >= 1;
                         0 for a dummy step */
} EepStepCost;

typedef struct {
    gsize size;
    const char *name;
    /* Time of plan->max_steps == 1 step. Hot: no allocation, O(engines) plus layers on a memo miss.
     */
    void (*step)(EepPredictor *self, const EepStepPlan *plan, EepStepCost *ret_cost);
    /* Duration of the phase on its slowest worker; ret_each[n_workers] (nullable) each worker's
     * own. */
    EepTime (*phase)(EepPredictor *self, const EepPhase *phase, EepTime *ret_each);
    /* Duration of a move with nothing else on the links; ret_link (nullable): of it, the part that
     * uses them. core/link_share.h has what steps beside it lose. */
    EepTime (*move)(EepPredictor *self, const EepMove *move, EepTime *ret_link);
    /* Seconds of one step's routed experts under the placement: the sum over MoE layers of the
     * busiest rank's, at the mean of the `load` [n_layers][n_experts] tokens that n_steps > 0 steps
     * brought, each expert's split evenly over its replicas. To compare placements by, not to add
     * up a step: the chance by which one rank of a single step is busier is not in it. O(layers *
     * slots). */
    double (*experts)(EepPredictor *self, const EepPlacement *placement, const double *load,
                      double n_steps);
    /* Expected tokens of each logical expert, [n_layers][n_experts], for `tokens` routed tokens of
     * popularity version `version` (0: the current one); adds to ret_load. */
    void (*add_load)(EepPredictor *self, guint64 version, double tokens, double *ret_load);
    guint64 (*popularity_version)(
        const EepPredictor *self); /* changes when popularity does; never 0 */
    gboolean (*idle_steps_are_free)(
        const EepPredictor *self); /* constant-step: an idle pool performs no steps */
    void (*free)(EepPredictor *self);
} EepPredictorOps;

struct EepPredictor {
    const EepPredictorOps *ops;
};

void eep_predictor_free(EepPredictor *predictor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepPredictor, eep_predictor_free)

G_END_DECLS

#endif
