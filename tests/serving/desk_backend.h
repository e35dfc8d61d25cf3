/* DeskBackend: costs that a test writes down, and a backend that takes exactly that long.
 *
 * A step lasts `step` and, on top, what the engine with the most work adds, so that one engine's
 * long prefill stretches everybody's step. Phases and moves last what the table says on every
 * worker. Predictor and backend read the same table. The backend can be broken (core/fault.h): what
 * a stopped worker takes part in hangs until it is aborted, or fails at once. Not a cost model:
 * times come from the test, so that its expectations can be worked out by hand. Loop thread only.
 */
#ifndef EEP_TESTS_DESK_BACKEND_H
#define EEP_TESTS_DESK_BACKEND_H

#include "core/fault.h"
#include "core/predictor.h"
#include "core/resize/phase.h"

G_BEGIN_DECLS

typedef struct {
    EepTime step, per_prefill_token, per_decode; /* the last two of the busiest engine */
    EepTime all2all;                             /* of `step` */
    EepTime per_expert_token; /* predicted for the busiest rank of a layer; steps do not feel it */
    EepTime phase[EEP_PHASE_COUNT];
    EepTime move; /* of one layer, or of a copy of KV, to which comes: */
    EepTime per_kv_byte;
    gboolean idle_steps_are_free;
    gboolean announces_deaths; /* a phase fails as soon as somebody dies in it beside others */
    guint n_cells;             /* MoE layers * experts; 0: loads are refused */
    const double *load;        /* [n_cells] tokens of each step, dummy ones too; borrowed */
    const double *later_load;  /* nullable [n_cells]; of the steps from later_step on */
    guint64 later_step;
} DeskCosts;

/* Both borrow `costs`. */
EepPredictor *desk_predictor_new(const DeskCosts *costs);
EepBackend *desk_backend_new(const DeskCosts *costs);

/* Makes faults happen in a desk backend, which owns it. */
EepFaultInjector *desk_backend_injector(EepBackend *backend);

G_END_DECLS

#endif
