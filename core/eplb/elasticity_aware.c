/* Policy "elasticity_aware": SGLang's (eplb_algorithms/elasticity_aware.py). With dead ranks,
 * DeepSeek's global form over the slots of the live ones; the slots of the dead stay empty, so that
 * a rank that comes back finds its numbers free. SGLang writes expert 0 into them and lists them
 * nowhere. Without dead ranks it is the policy deepseek. */
#include "core/eplb/packing.h"

#include <string.h>

static void spread(const EepEplbProblem *problem, const gint32 *live, gint32 *ret_phy2log)
{
    const guint S = problem->n_replicas / problem->n_ranks;
    for (guint layer = 0; layer < problem->n_layers; layer++)
        for (guint rank = 0; rank < problem->n_ranks; rank++, ret_phy2log += S) {
            if (!eep_eplb_problem_is_active(problem, rank)) {
                for (guint i = 0; i < S; i++)
                    ret_phy2log[i] = -1;
                continue;
            }
            memcpy(ret_phy2log, live, S * sizeof *live);
            live += S;
        }
}

static gboolean elasticity_aware_place(const EepEplbProblem *problem, gint32 *ret_phy2log,
                                       GError **error)
{
    const guint n_live = eep_eplb_problem_n_active(problem);
    if (n_live == problem->n_ranks)
        return eep_eplb_place_balanced(problem, EEP_EPLB_FLOAT32, ret_phy2log, error);
    EepEplbProblem reduced = *problem;
    reduced.n_ranks = n_live;
    reduced.n_replicas = problem->n_replicas / problem->n_ranks * n_live;
    reduced.n_groups = reduced.n_nodes = 1;
    reduced.active = NULL;
    reduced.old_phy2log = NULL;
    g_autofree gint32 *live = g_new(gint32, (gsize)reduced.n_layers * reduced.n_replicas);
    if (!eep_eplb_place_balanced(&reduced, EEP_EPLB_FLOAT32, live, error))
        return FALSE;
    spread(problem, live, ret_phy2log);
    return TRUE;
}

const EepEplbPolicy eep_eplb_policy_elasticity_aware = {
    .name = "elasticity_aware",
    .help =
        "SGLang's elasticity_aware: deepseek; slots of dead ranks stay empty, the rest is global",
    .takes_dead_ranks = TRUE,
    .place = elasticity_aware_place,
};
