/* Policy "deepseek": DeepSeek's published EPLB (deepseek-ai/EPLB, eplb.py) in its float32
 * arithmetic, with a stable sort. Knows nothing of the present placement, so a small change of load
 * can move many experts. */
#include "core/eplb/packing.h"

static gboolean deepseek_place(const EepEplbProblem *problem, gint32 *ret_phy2log, GError **error)
{
    return eep_eplb_place_balanced(problem, EEP_EPLB_FLOAT32, ret_phy2log, error);
}

const EepEplbPolicy eep_eplb_policy_deepseek = {
    .name = "deepseek",
    .help = "DeepSeek's EPLB: hierarchical when groups divide over nodes, else global; float32",
    .place = deepseek_place,
};
