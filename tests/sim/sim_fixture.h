/* Shapes and machines for tests of sim/, written out by hand so that they do not move when the
 * profiles do. */
#ifndef EEP_TESTS_SIM_FIXTURE_H
#define EEP_TESTS_SIM_FIXTURE_H

#include "core/predictor.h"
#include "core/skew.h"
#include "sim/cost.h"

G_BEGIN_DECLS

void fixture_deepseek_v3(EepModel *ret_model);
void fixture_h100(EepHardware *ret_hardware);

/* EP over `engines` of TP 1, allgather_reducescatter, CPU side free. */
void fixture_pool(EepPoolOptions *ret_options, guint engines);

/* A plan of `n` engines with `decodes` decodes of `context` cached tokens each. work[n]. */
void fixture_decodes(EepStepPlan *ret_plan, EepEngineWork *work, guint n, guint decodes,
                     guint context);

/* A prefill chunk of `tokens` from the start of a prompt on top of what the engine does. */
void fixture_add_prefill(EepEngineWork *work, guint tokens);

G_END_DECLS

#endif
