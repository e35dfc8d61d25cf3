#include "core/eplb/policy.h"

G_DEFINE_QUARK(eep - eplb - error - quark, eep_eplb_error)

static const EepEplbPolicy *const policies[] = {
    &eep_eplb_policy_vllm,
    &eep_eplb_policy_deepseek,
    &eep_eplb_policy_naive,
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

gboolean eep_eplb_problem_check(const EepEplbProblem *problem, GError **error)
{
    g_return_val_if_fail(problem != NULL && problem->weight != NULL, FALSE);
    const EepEplbProblem *p = problem;
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
    const gsize n = (gsize)p->n_layers * p->n_experts;
    for (gsize i = 0; i < n; i++) {
        if (p->weight[i] >= 0.0 && p->weight[i] <= G_MAXFLOAT) /* false for NaN */
            continue;
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_LOAD,
                    "layer %u, expert %u: load %g is not a finite number from 0 up",
                    (guint)(i / p->n_experts), (guint)(i % p->n_experts), p->weight[i]);
        return FALSE;
    }
    return TRUE;
}
