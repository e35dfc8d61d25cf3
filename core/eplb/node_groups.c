#include "core/eplb/node_groups.h"

#include <math.h>
#include <string.h>

#include "core/eplb/slot_bound.h"

/* Packings are searched whole while (sets of packed groups) * (shares of a node) is below this. */
#define MAX_WORK     400000
#define MAX_GROUPS   16
#define MAX_EXCHANGE 64 /* rounds of the heuristic */

/* One node's share of the groups, as a set of bits, and its bound on nodes of one kind. */
typedef struct {
    guint32 set;
    double *bound;   /* [n_kinds] */
    guint8 *is_firm; /* [n_kinds], the proven bound, not the simple one */
} Share;

struct EepNodeGroups {
    guint n_experts, n_groups, n_nodes, S;
    guint per_node, size; /* groups of a node, experts of a group */
    guint n_kinds;        /* nodes that differ in their active ranks */
    guint *kind_ranks;    /* [n_kinds] active ranks */
    guint *kind;          /* [n_nodes] */
    gboolean is_small;
    guint n_shares;
    Share *shares;     /* [n_shares], rising sets; small only */
    double *share_mem; /* the bounds of all shares */
    guint8 *firm_mem;
    double *best;  /* [2^G], least bound of the nodes that are left when this set is packed */
    guint16 *pick; /* [2^G], share that reaches it */
    double *loads; /* [E], experts of one share */
    EepSlotBound *bound;
};

static double binomial(guint n, guint k)
{
    double value = 1.0;
    for (guint i = 0; i < k; i++)
        value = value * (n - i) / (i + 1);
    return value;
}

static gboolean is_small(const EepNodeGroups *g)
{
    if (g->n_groups > MAX_GROUPS)
        return FALSE;
    double sets = 0.0;
    for (guint node = 0; node < g->n_nodes; node++)
        sets += binomial(g->n_groups, node * g->per_node);
    return sets * binomial(g->n_groups, g->per_node) <= MAX_WORK;
}

static guint count_bits(guint32 set)
{
    return (guint)__builtin_popcount(set);
}

static void list_shares(EepNodeGroups *g)
{
    const guint32 end = (guint32)1 << g->n_groups;
    g->shares = g_new(Share, (gsize)binomial(g->n_groups, g->per_node));
    for (guint32 set = 0; set < end; set++)
        if (count_bits(set) == g->per_node)
            g->shares[g->n_shares++].set = set;
    g->share_mem = g_new(double, (gsize)g->n_shares * g->n_kinds);
    g->firm_mem = g_new(guint8, (gsize)g->n_shares * g->n_kinds);
    for (guint i = 0; i < g->n_shares; i++) {
        g->shares[i].bound = g->share_mem + (gsize)i * g->n_kinds;
        g->shares[i].is_firm = g->firm_mem + (gsize)i * g->n_kinds;
    }
    g->best = g_new(double, end);
    g->pick = g_new(guint16, end);
}

/* FALSE when a node cannot hold its experts. */
static gboolean find_kinds(EepNodeGroups *g, const EepEplbProblem *p)
{
    const guint ranks = p->n_ranks / p->n_nodes;
    g->kind = g_new(guint, p->n_nodes);
    g->kind_ranks = g_new(guint, p->n_nodes);
    for (guint node = 0; node < p->n_nodes; node++) {
        guint n_active = 0, kind = 0;
        for (guint rank = node * ranks; rank < (node + 1) * ranks; rank++)
            n_active += eep_eplb_problem_is_active(p, rank);
        if (n_active * g->S < g->per_node * g->size)
            return FALSE;
        while (kind < g->n_kinds && g->kind_ranks[kind] != n_active)
            kind++;
        if (kind == g->n_kinds)
            g->kind_ranks[g->n_kinds++] = n_active;
        g->kind[node] = kind;
    }
    return TRUE;
}

EepNodeGroups *eep_node_groups_new(const EepEplbProblem *p)
{
    if (p->n_nodes < 2 || p->n_groups < 2 || p->n_groups % p->n_nodes != 0 ||
        p->n_experts % p->n_groups != 0 || p->n_ranks % p->n_nodes != 0)
        return NULL;
    EepNodeGroups *g = g_new0(EepNodeGroups, 1);
    g->n_experts = p->n_experts;
    g->n_groups = p->n_groups;
    g->n_nodes = p->n_nodes;
    g->S = p->n_replicas / p->n_ranks;
    g->per_node = p->n_groups / p->n_nodes;
    g->size = p->n_experts / p->n_groups;
    if (!find_kinds(g, p)) {
        eep_node_groups_free(g);
        return NULL;
    }
    g->is_small = is_small(g);
    if (g->is_small)
        list_shares(g);
    g->loads = g_new(double, p->n_experts);
    g->bound = eep_slot_bound_new(p->n_experts);
    return g;
}

void eep_node_groups_free(EepNodeGroups *g)
{
    if (!g)
        return;
    g_free(g->kind_ranks);
    g_free(g->kind);
    g_free(g->shares);
    g_free(g->share_mem);
    g_free(g->firm_mem);
    g_free(g->best);
    g_free(g->pick);
    g_free(g->loads);
    eep_slot_bound_free(g->bound);
    g_free(g);
}

static double bound_of_set(EepNodeGroups *g, const double *weight, guint32 set, guint kind,
                           gboolean is_firm)
{
    guint n = 0;
    for (guint group = 0; group < g->n_groups; group++) {
        if (!(set >> group & 1))
            continue;
        memcpy(g->loads + n, weight + (gsize)group * g->size, g->size * sizeof(double));
        n += g->size;
    }
    eep_slot_bound_set(g->bound, g->loads, n, g->kind_ranks[kind], g->S);
    return is_firm ? eep_slot_bound_proven(g->bound) : eep_slot_bound_simple(g->bound);
}

/* The best packing of the nodes from the one that comes after packed, by the shares' present
 * bounds. Nodes of one kind can be swapped, so where there is but one kind a node takes the first
 * free group. */
static void solve_from(EepNodeGroups *g, guint32 packed)
{
    const guint node = count_bits(packed) / g->per_node, kind = g->kind[node];
    const guint32 first = g->n_kinds == 1 ? ~packed & (packed + 1) : 0;
    double best = G_MAXDOUBLE;
    guint16 pick = 0;
    for (guint i = 0; i < g->n_shares; i++) {
        const Share *share = &g->shares[i];
        if ((share->set & packed) || (share->set & first) != first)
            continue;
        const double value = fmax(share->bound[kind], g->best[packed | share->set]);
        if (value < best) {
            best = value;
            pick = (guint16)i;
        }
    }
    g->best[packed] = best;
    g->pick[packed] = pick;
}

/* Supersets have larger numbers, so falling order has them solved first. */
static double solve(EepNodeGroups *g)
{
    const guint32 all = ((guint32)1 << g->n_groups) - 1;
    g->best[all] = 0.0;
    for (guint32 packed = all; packed-- > 0;)
        if (count_bits(packed) % g->per_node == 0)
            solve_from(g, packed);
    return g->best[0];
}

static void set_simple_bounds(EepNodeGroups *g, const double *weight)
{
    for (guint i = 0; i < g->n_shares; i++) {
        for (guint kind = 0; kind < g->n_kinds; kind++) {
            g->shares[i].bound[kind] = bound_of_set(g, weight, g->shares[i].set, kind, FALSE);
            g->shares[i].is_firm[kind] = FALSE;
        }
    }
}

/* Proven bounds cost most, so only shares of a packing that looks best get theirs, until the best
 * packing has them all. */
static double solve_firmly(EepNodeGroups *g, const double *weight)
{
    const guint32 all = ((guint32)1 << g->n_groups) - 1;
    set_simple_bounds(g, weight);
    for (;;) {
        const double value = solve(g);
        gboolean was_firm = TRUE;
        guint node = 0;
        for (guint32 packed = 0; packed != all; node++) {
            Share *share = &g->shares[g->pick[packed]];
            const guint kind = g->kind[node];
            if (!share->is_firm[kind]) {
                share->is_firm[kind] = TRUE;
                share->bound[kind] = bound_of_set(g, weight, share->set, kind, TRUE);
                was_firm = FALSE;
            }
            packed |= share->set;
        }
        if (was_firm)
            return value;
    }
}

/* Group loads in falling order, by index on a tie. */
static void order_groups(const EepNodeGroups *g, const double *weight, double *ret_load,
                         guint *ret_order)
{
    for (guint group = 0; group < g->n_groups; group++) {
        ret_load[group] = 0.0;
        for (guint i = 0; i < g->size; i++)
            ret_load[group] += weight[(gsize)group * g->size + i];
        guint at = group;
        for (; at > 0 && ret_load[ret_order[at - 1]] < ret_load[group]; at--)
            ret_order[at] = ret_order[at - 1];
        ret_order[at] = group;
    }
}

/* Many packings: a group alone on a node beside experts of no load; and by the pigeonhole, of the
 * heaviest j * N + 1 groups some node has j + 1, at least the lightest of them. */
static double bound_of_heaviest(EepNodeGroups *g, const double *weight)
{
    guint most = 0;
    for (guint kind = 0; kind < g->n_kinds; kind++)
        if (g->kind_ranks[kind] > g->kind_ranks[most])
            most = kind;
    double value = 0.0;
    const guint n = g->per_node * g->size;
    for (guint group = 0; group < g->n_groups; group++) {
        memset(g->loads, 0, n * sizeof(double));
        memcpy(g->loads, weight + (gsize)group * g->size, g->size * sizeof(double));
        eep_slot_bound_set(g->bound, g->loads, n, g->kind_ranks[most], g->S);
        value = fmax(value, eep_slot_bound_simple(g->bound));
    }
    g_autofree double *load = g_new(double, g->n_groups);
    g_autofree guint *order = g_new(guint, g->n_groups);
    order_groups(g, weight, load, order);
    for (guint j = 0; j < g->per_node; j++) {
        double sum = 0.0;
        for (guint i = 0; i <= j; i++)
            sum += load[order[j * g->n_nodes - i]];
        value = fmax(value, sum / g->kind_ranks[most] * (1.0 - 1e-12));
    }
    return value;
}

double eep_node_groups_bound(EepNodeGroups *g, const double *weight)
{
    return g->is_small ? solve_firmly(g, weight) : bound_of_heaviest(g, weight);
}

/* Heaviest groups first, each to the node with the least load a rank that has room. */
static void pack_heaviest_first(EepNodeGroups *g, const double *weight, guint *ret_node)
{
    g_autofree double *load = g_new(double, g->n_groups);
    g_autofree guint *order = g_new(guint, g->n_groups);
    g_autofree double *sum = g_new0(double, g->n_nodes);
    g_autofree guint *held = g_new0(guint, g->n_nodes);
    order_groups(g, weight, load, order);
    for (guint i = 0; i < g->n_groups; i++) {
        guint best = g->n_nodes;
        double least = G_MAXDOUBLE;
        for (guint node = 0; node < g->n_nodes; node++) {
            const double value = sum[node] / g->kind_ranks[g->kind[node]];
            if (held[node] < g->per_node && value < least) {
                least = value;
                best = node;
            }
        }
        ret_node[order[i]] = best;
        held[best]++;
        sum[best] += load[order[i]];
    }
}

static double node_bound(EepNodeGroups *g, const double *weight, const guint *at, guint node)
{
    guint n = 0;
    for (guint group = 0; group < g->n_groups; group++) {
        if (at[group] != node)
            continue;
        memcpy(g->loads + n, weight + (gsize)group * g->size, g->size * sizeof(double));
        n += g->size;
    }
    eep_slot_bound_set(g->bound, g->loads, n, g->kind_ranks[g->kind[node]], g->S);
    return eep_slot_bound_simple(g->bound);
}

/* One exchange of a group of the hottest node that leaves both nodes below it. */
static gboolean exchange_groups(EepNodeGroups *g, const double *weight, guint *at, double *bound)
{
    guint hottest = 0;
    for (guint node = 1; node < g->n_nodes; node++)
        if (bound[node] > bound[hottest])
            hottest = node;
    for (guint a = 0; a < g->n_groups; a++) {
        for (guint b = 0; b < g->n_groups && at[a] == hottest; b++) {
            const guint other = at[b];
            if (other == hottest)
                continue;
            at[a] = other;
            at[b] = hottest;
            const double mine = node_bound(g, weight, at, hottest);
            const double theirs =
                mine < bound[hottest] ? node_bound(g, weight, at, other) : G_MAXDOUBLE;
            if (fmax(mine, theirs) < bound[hottest]) {
                bound[hottest] = mine;
                bound[other] = theirs;
                return TRUE;
            }
            at[a] = hottest;
            at[b] = other;
        }
    }
    return FALSE;
}

/* The best packing by the shares' present bounds. */
static double take_best(EepNodeGroups *g, guint *ret_node)
{
    const guint32 all = ((guint32)1 << g->n_groups) - 1;
    const double value = solve(g);
    guint node = 0;
    for (guint32 packed = 0; packed != all; node++) {
        const guint32 set = g->shares[g->pick[packed]].set;
        for (guint group = 0; group < g->n_groups; group++)
            if (set >> group & 1)
                ret_node[group] = node;
        packed |= set;
    }
    return value;
}

double eep_node_groups_repack(EepNodeGroups *g, const double *reached, guint *ret_node)
{
    const guint32 all = ((guint32)1 << g->n_groups) - 1;
    guint node = 0;
    if (!g->is_small)
        return G_MAXDOUBLE;
    for (guint32 packed = 0; packed != all; node++) {
        Share *share = &g->shares[g->pick[packed]];
        double *bound = &share->bound[g->kind[node]];
        *bound = fmax(*bound, reached[node]);
        packed |= share->set;
    }
    return take_best(g, ret_node);
}

double eep_node_groups_pack(EepNodeGroups *g, const double *weight, guint *ret_node)
{
    if (g->is_small) {
        set_simple_bounds(g, weight);
        return take_best(g, ret_node);
    }
    g_autofree double *bound = g_new(double, g->n_nodes);
    double highest = 0.0;
    pack_heaviest_first(g, weight, ret_node);
    for (guint node = 0; node < g->n_nodes; node++)
        bound[node] = node_bound(g, weight, ret_node, node);
    for (guint i = 0; i < MAX_EXCHANGE && exchange_groups(g, weight, ret_node, bound); i++)
        ;
    for (guint node = 0; node < g->n_nodes; node++)
        highest = fmax(highest, bound[node]);
    return highest;
}
