/* Policy "vllm" (alias "default"): vLLM's default (vllm/distributed/eplb/policy/default.py).
 * DeepSeek's steps with float64 sums; then, per rank, an expert that stays on its rank stays in its
 * slot, so that it is not copied. */
#include "core/eplb/packing.h"

#include <string.h>

/* Within one rank of one layer: each old slot, in order, takes the first unused new slot with the
 * same expert; what is left fills the holes in index order. fresh [S] is rewritten; scratch holds 2
 * * S values. */
static void preserve_slots(gint32 *fresh, const gint32 *old, guint S, gint32 *scratch)
{
    gint32 *kept = scratch, *used = scratch + S;
    memset(used, 0, S * sizeof(gint32));
    for (guint slot = 0; slot < S; slot++) {
        kept[slot] = -1;
        for (guint i = 0; i < S && kept[slot] < 0; i++) {
            if (used[i] || fresh[i] != old[slot])
                continue;
            kept[slot] = fresh[i];
            used[i] = 1;
        }
    }
    guint next = 0;
    for (guint slot = 0; slot < S; slot++) {
        if (kept[slot] >= 0)
            continue;
        while (used[next])
            next++;
        kept[slot] = fresh[next++];
    }
    memcpy(fresh, kept, S * sizeof(gint32));
}

static gboolean vllm_place(const EepEplbProblem *problem, gint32 *ret_phy2log, GError **error)
{
    /* One node when the ranks do not divide over the nodes (eplb_state.py, rearrange); without
     * nodes in the game, the global form, it makes no difference. */
    EepEplbProblem whole = *problem;
    if (whole.n_groups % whole.n_nodes == 0 && whole.n_ranks % whole.n_nodes != 0)
        whole.n_nodes = 1;
    if (!eep_eplb_place_balanced(&whole, EEP_EPLB_FLOAT64, ret_phy2log, error))
        return FALSE;
    if (!problem->old_phy2log)
        return TRUE;
    const guint S = problem->n_replicas / problem->n_ranks;
    const gsize n = (gsize)problem->n_layers * problem->n_replicas;
    g_autofree gint32 *scratch = g_new(gint32, 2 * (gsize)S);
    for (gsize start = 0; start < n; start += S)
        preserve_slots(ret_phy2log + start, problem->old_phy2log + start, S, scratch);
    return TRUE;
}

const EepEplbPolicy eep_eplb_policy_vllm = {
    .name = "vllm",
    .help =
        "vLLM's default: DeepSeek's EPLB in float64; experts that stay on a rank keep their slot",
    .reads_present_map = TRUE,
    .place = vllm_place,
};
