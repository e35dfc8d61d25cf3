#include "core/eplb/policy.h"

#include <string.h>

G_DEFINE_QUARK(eep - eplb - error - quark, eep_eplb_error)

static const EepEplbPolicy *const policies[] = {
    &eep_eplb_policy_vllm,         &eep_eplb_policy_deepseek,
    &eep_eplb_policy_deepseek_vec, &eep_eplb_policy_elasticity_aware,
    &eep_eplb_policy_naive,        &eep_eplb_policy_eep,
};

static const struct {
    const char *alias, *name;
} aliases[] = {
    {"default", "vllm"},
};

const EepEplbPolicy *const *eep_eplb_policy_list(guint *ret_n)
{
    if (ret_n)
        *ret_n = G_N_ELEMENTS(policies);
    return policies;
}

const EepEplbPolicy *eep_eplb_policy_find(const char *name, GError **error)
{
    g_return_val_if_fail(name != NULL, NULL);
    const char *wanted = name;
    for (guint i = 0; i < G_N_ELEMENTS(aliases); i++)
        if (g_str_equal(name, aliases[i].alias))
            wanted = aliases[i].name;
    for (guint i = 0; i < G_N_ELEMENTS(policies); i++)
        if (g_str_equal(wanted, policies[i]->name))
            return policies[i];

    g_autoptr(GString) known = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(policies); i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", policies[i]->name);
    g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_POLICY,
                "no EPLB policy is called \"%s\": known are %s", name, known->str);
    return NULL;
}

guint eep_eplb_problem_n_active(const EepEplbProblem *problem)
{
    guint n = 0;
    for (guint rank = 0; rank < problem->n_ranks; rank++)
        n += eep_eplb_problem_is_active(problem, rank);
    return n;
}

static gboolean check_sizes(const EepEplbProblem *p, GError **error)
{
    if (!p->n_layers || !p->n_experts || !p->n_groups || !p->n_nodes || !p->n_ranks) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "layers (%u), experts (%u), groups (%u), nodes (%u) and ranks (%u) must be at "
                    "least 1",
                    p->n_layers, p->n_experts, p->n_groups, p->n_nodes, p->n_ranks);
        return FALSE;
    }
    if (p->n_replicas < p->n_experts) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "%u slots cannot hold %u experts: at least one slot per expert is needed",
                    p->n_replicas, p->n_experts);
        return FALSE;
    }
    if (p->n_replicas % p->n_ranks != 0) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "%u slots do not divide evenly over %u ranks", p->n_replicas, p->n_ranks);
        return FALSE;
    }
    const guint n_active = eep_eplb_problem_n_active(p), S = p->n_replicas / p->n_ranks;
    if ((guint64)n_active * S < p->n_experts) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "%u active ranks of %u slots cannot hold %u experts: at least %u ranks",
                    n_active, S, p->n_experts, (p->n_experts - 1) / S + 1);
        return FALSE;
    }
    return TRUE;
}

/* FALSE with the first of n loads that is not one. */
static gboolean check_loads(const EepEplbProblem *p, const double *load, gsize n, GError **error)
{
    for (gsize i = 0; i < n; i++) {
        if (load[i] >= 0.0 && load[i] <= G_MAXFLOAT) /* false for NaN */
            continue;
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_LOAD,
                    "layer %u, expert %u: load %g is not a finite number from 0 up",
                    (guint)(i / p->n_experts % p->n_layers), (guint)(i % p->n_experts), load[i]);
        return FALSE;
    }
    return TRUE;
}

gboolean eep_eplb_problem_check(const EepEplbProblem *problem, GError **error)
{
    g_return_val_if_fail(problem != NULL && problem->weight != NULL, FALSE);
    g_return_val_if_fail(problem->n_windows == 0 || problem->windows != NULL, FALSE);
    const EepEplbProblem *p = problem;
    const gsize cells = (gsize)p->n_layers * p->n_experts;
    if (!check_sizes(p, error) || !check_loads(p, p->weight, cells, error) ||
        !check_loads(p, p->windows, cells * p->n_windows, error))
        return FALSE;
    const gsize n_slots = p->old_phy2log ? (gsize)p->n_layers * p->n_replicas : 0;
    for (gsize i = 0; i < n_slots; i++) {
        if (p->old_phy2log[i] >= -1 && p->old_phy2log[i] < (gint32)p->n_experts)
            continue;
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "layer %u, slot %u: the present map has expert %d of %u",
                    (guint)(i / p->n_replicas), (guint)(i % p->n_replicas), p->old_phy2log[i],
                    p->n_experts);
        return FALSE;
    }
    return TRUE;
}

/* Every layer must serve on its own. */
static gboolean check_map(const EepEplbPolicy *policy, const EepEplbProblem *p, const gint32 *map,
                          GError **error)
{
    const guint S = p->n_replicas / p->n_ranks;
    g_autofree guint8 *seen = g_new(guint8, p->n_experts);
    for (guint layer = 0; layer < p->n_layers; layer++) {
        guint n_seen = 0;
        memset(seen, 0, p->n_experts);
        for (guint slot = 0; slot < p->n_replicas; slot++) {
            const gint32 expert = *map++;
            const gboolean is_active = eep_eplb_problem_is_active(p, slot / S);
            if (is_active ? expert < 0 || expert >= (gint32)p->n_experts : expert != -1) {
                g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_POLICY,
                            "policy %s, layer %u: slot %u got expert %d of %u", policy->name, layer,
                            slot, expert, p->n_experts);
                return FALSE;
            }
            if (is_active) {
                n_seen += !seen[expert];
                seen[expert] = 1;
            }
        }
        if (n_seen < p->n_experts) {
            g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_POLICY,
                        "policy %s, layer %u: only %u of %u experts got a slot", policy->name,
                        layer, n_seen, p->n_experts);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean eep_eplb_place(const EepEplbPolicy *policy, const EepEplbProblem *problem,
                        gint32 *ret_phy2log, GError **error)
{
    g_return_val_if_fail(policy != NULL && ret_phy2log != NULL, FALSE);
    if (!eep_eplb_problem_check(problem, error))
        return FALSE;
    if (!policy->takes_dead_ranks && eep_eplb_problem_n_active(problem) < problem->n_ranks) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_RANKS,
                    "policy %s knows no dead ranks: one that does, for example elasticity_aware",
                    policy->name);
        return FALSE;
    }
    return policy->place(problem, ret_phy2log, error) &&
           check_map(policy, problem, ret_phy2log, error);
}
