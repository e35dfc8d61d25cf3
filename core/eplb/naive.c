/* Policy "naive": where vLLM starts, whatever the load. Experts lie in their order; slot E + i
 * repeats expert i mod E. The baseline that the others are measured against, and the file to copy
 * for a new one. */
#include "core/eplb/policy.h"

static gboolean naive_place(const EepEplbProblem *problem, gint32 *ret_phy2log, GError **error)
{
    for (guint layer = 0; layer < problem->n_layers; layer++)
        for (guint slot = 0; slot < problem->n_replicas; slot++)
            *ret_phy2log++ = (gint32)(slot % problem->n_experts);
    return TRUE;
}

const EepEplbPolicy eep_eplb_policy_naive = {
    .name = "naive",
    .help = "experts in order, redundant slots repeat them from the first; ignores load",
    .place = naive_place,
};
