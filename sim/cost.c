#include "sim/cost.h"

const EepCostOps *const eep_cost_models[] = {
    &eep_cost_attention,      &eep_cost_allreduce, &eep_cost_dense_ffn, &eep_cost_router,
    &eep_cost_replica_choice, &eep_cost_all2all,   &eep_cost_experts,   &eep_cost_shared_expert,
    &eep_cost_head,           &eep_cost_cpu,       &eep_cost_constant,  NULL,
};
