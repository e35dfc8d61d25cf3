/* EPLB policies: from expert loads to a placement. One file per policy; naive.c is the one to copy.
 *
 * A policy is a pure function: no state, no clock, no random numbers; the same problem gives the
 * same map everywhere. It does not decide when to run (eplb.h) or how weights travel (migration.h).
 * Callers go through eep_eplb_place(), which checks both the problem and the map. Any thread. To
 * add one: a file with its EepEplbPolicy, a declaration here and a line in policy.c's table. */
#ifndef EEP_CORE_EPLB_POLICY_H
#define EEP_CORE_EPLB_POLICY_H

#include <glib.h>

G_BEGIN_DECLS

#define EEP_EPLB_ERROR (eep_eplb_error_quark())
GQuark eep_eplb_error_quark(void);

typedef enum {
    EEP_EPLB_ERROR_SIZES,       /* sizes that do not divide, or too few slots */
    EEP_EPLB_ERROR_LOAD,        /* a load that is negative, not a number or beyond float32 */
    EEP_EPLB_ERROR_POLICY,      /* no such policy, or one that returned a map that cannot serve */
    EEP_EPLB_ERROR_BUSY,        /* a rearrangement is under way */
    EEP_EPLB_ERROR_RANKS,       /* that many ranks cannot hold all experts */
    EEP_EPLB_ERROR_EXPERT_LOST, /* an expert has no slot */
    EEP_EPLB_ERROR_PLAN,        /* a migration plan that does not do what it should */
} EepEplbError;

typedef struct {
    guint n_layers;        /* L */
    guint n_experts;       /* E, logical */
    guint n_replicas;      /* R, slots to fill, >= E */
    guint n_groups;        /* expert groups of the model's router, vLLM's num_groups; 1 = none */
    guint n_nodes;         /* hosts that the ranks lie on, in equal blocks of ranks */
    guint n_ranks;         /* D, GPUs; slots of rank r are [r * R/D, (r+1) * R/D) */
    const double *weight;  /* [L][E], load of each expert, >= 0, any unit */
    guint n_windows;       /* T, pieces of time that the load is also known for; 0: only the sum */
    const double *windows; /* nullable [T][L][E], in order of time, of which weight is the sum */
    const gint32 *old_phy2log; /* nullable [L][R], what these slots hold now, -1 = empty */
    const guint8 *active;      /* nullable [D], 0 = the rank is dead and its slots stay empty */
    gint64 max_moves; /* (layer, rank, expert) to bring to ranks that lack them, over all layers;
                         EEP_EPLB_MOVES_AUTO, or any number. For policies that limit moves. */
} EepEplbProblem;

/* As few as the balance that they buy is worth, by the policy's own measure. Without a present map
 * every move is free. */
#define EEP_EPLB_MOVES_AUTO (-1)

typedef struct {
    const char *name;
    const char *help;           /* one line */
    gboolean takes_dead_ranks;  /* leaves the slots of inactive ranks empty */
    gboolean reads_windows;     /* plans on the pieces of time, not on their sum alone */
    gboolean reads_present_map; /* plans from what the slots hold now */
    gboolean limits_moves;      /* keeps to max_moves */
    /* Fills ret_phy2log [L][R]: every slot of an active rank holds an expert, every expert has
     * a slot. The problem has passed eep_eplb_problem_check(). FALSE with error set when the sizes
     * or loads are not ones that the policy defines; ret_phy2log is then undefined. */
    gboolean (*place)(const EepEplbProblem *problem, gint32 *ret_phy2log, GError **error);
} EepEplbPolicy;

extern const EepEplbPolicy eep_eplb_policy_naive;
extern const EepEplbPolicy eep_eplb_policy_deepseek;
extern const EepEplbPolicy eep_eplb_policy_deepseek_vec;
extern const EepEplbPolicy eep_eplb_policy_elasticity_aware;
extern const EepEplbPolicy eep_eplb_policy_vllm;
extern const EepEplbPolicy eep_eplb_policy_eep;

/* By name or alias ("default" is vllm, as in vLLM's own configuration); NULL with the known names
 * in error. */
const EepEplbPolicy *eep_eplb_policy_find(const char *name, GError **error);

/* All policies, aliases not repeated; static. */
const EepEplbPolicy *const *eep_eplb_policy_list(guint *ret_n);

/* What every policy demands: sizes > 0, R a multiple of D, slots of active ranks >= E, loads
 * finite, >= 0 and in float32's range, old_phy2log in [-1, E). */
gboolean eep_eplb_problem_check(const EepEplbProblem *problem, GError **error);

/* Ranks that serve, and the slots on them. */
guint eep_eplb_problem_n_active(const EepEplbProblem *problem);

static inline gboolean eep_eplb_problem_is_active(const EepEplbProblem *problem, guint rank)
{
    return problem->active == NULL || problem->active[rank] != 0;
}

/* The policy's map of the problem. Refuses what eep_eplb_problem_check() refuses, dead ranks where
 * the policy knows of none, what the policy refuses, and a map that could not serve: a policy is
 * somebody else's code. */
gboolean eep_eplb_place(const EepEplbPolicy *policy, const EepEplbProblem *problem,
                        gint32 *ret_phy2log, GError **error);

G_END_DECLS

#endif
