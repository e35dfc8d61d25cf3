/* Policy "eep": balance for as few moved experts as it takes.
 *
 * With a present map it improves that map step by step where a layer is hottest (balance_search.h),
 * which gives each layer a curve of heat over moves, and spends the moves where they buy most
 * (eep_budget.h). Without one, or when the moves are not limited, it also plans anew: from
 * DeepSeek's placement and, where groups bind, from the best packing of groups to nodes
 * (node_groups.h), each improved by the same search. So it is never worse than DeepSeek's
 * placement then, and never worse than the present one (planned load of the hottest rank, every
 * layer).
 *
 * Windows: with two or more, planning anew takes a rank for as hot as its load plus NOISE_WEIGHT
 * standard deviations of its load in one window (window_noise.h). With a present map the loads
 * alone count: what noise would eat, the price of moves keeps out.
 *
 * What it does with sizes that do not divide: groups bind when there are several groups on several
 * nodes and groups % nodes, experts % groups and ranks % nodes are 0 and each node's active ranks
 * can hold its share of the experts; else nodes are ignored. It refuses only what would not fit
 * into memory: more than MAX_PAIRS pairs of a rank and an expert.
 *
 * A present map that breaks binding groups cannot be kept: such a layer is planned anew whatever
 * the budget, renumbered to move little. Empty slots of active ranks are filled whatever the budget
 * too, at the least cost (present_map.h); only this may leave a layer hotter than it was.
 *
 * Time: O(L * effort) with a fixed effort a layer, beside DeepSeek's own. */
#include <string.h>

#include "core/eplb/balance_search.h"
#include "core/eplb/count_pack.h"
#include "core/eplb/eep_budget.h"
#include "core/eplb/group_exchange.h"
#include "core/eplb/node_groups.h"
#include "core/eplb/pair_search.h"
#include "core/eplb/policy.h"
#include "core/eplb/present_map.h"
#include "core/eplb/slot_bound.h"
#include "core/eplb/window_noise.h"

/* A layer is good enough within this share of its simple bound. */
#define TOLERANCE 4e-4
/* The same with noise, whose least heat is not known. */
#define NOISY_TOLERANCE 2e-3
/* Candidates that a search from one map looks at; from a present map that is nearly good enough. */
#define EFFORT       80000
#define AUTO_EFFORT  20000
#define MAX_PACKINGS 6    /* of groups to nodes */
#define PAIR_EFFORT  2000 /* changes of numbers of replicas, where ranks have two slots */
/* Ranks of three slots: the load that numbers of replicas are sought for, in that of the best map.
 */
#define COUNT_TARGET 0.96
/* Standard deviations of one window's load that count as heat. */
#define NOISE_WEIGHT 1.0
/* What moving every replica must gain, in shares of the layer's mean rank load, where the policy
 * itself says how many moves are worth it; one move, a like part of that. */
#define TURNOVER_PRICE 0.3
/* Of a rank and an expert, about which the search keeps a few bytes each. */
#define MAX_PAIRS (G_GUINT64_CONSTANT(1) << 26)
/* Steps along a layer's curve, and candidates that they look at. */
#define MAX_STEPS    400
#define STEPS_EFFORT 1000000

typedef struct {
    const EepEplbProblem *p;
    EepNodeGroups *groups; /* NULL: groups do not bind */
    EepBalanceSearch *search;
    EepEplbBudget *budget;
    gint32 *published; /* [L][R] DeepSeek's, NULL where it has none */
    guint *group_node; /* [G] */
    double *variance;  /* [E], in use when is_noisy */
    gboolean is_noisy;
    guint *present_node; /* [G] */
    gint32 *row;         /* [R] */
    EepSlotBound *slot_bound;
    /* One layer. */
    guint layer;
    const double *weight;
    const gint32 *old;     /* nullable */
    double target;         /* load that numbers of replicas are sought for */
    double price;          /* of a move, in mean rank loads */
    double mean;           /* load of an active rank */
    double bound;          /* simple, of the hottest rank */
    double published_load; /* of DeepSeek's hottest rank */
} Planner;

static guint slots_of_rank(const EepEplbProblem *p)
{
    return p->n_replicas / p->n_ranks;
}

/* For ranks of two slots: better numbers of replicas than those of map, and their pairs. */
static void pair_part(const Planner *planner, const EepEplbProblem *part, gint32 *map)
{
    g_autofree guint *count = g_new0(guint, part->n_experts);
    for (guint slot = 0; slot < part->n_replicas; slot++)
        count[map[slot]]++;
    eep_pair_search_run(part->weight, part->n_experts, part->n_ranks,
                        planner->bound * (1.0 + TOLERANCE), PAIR_EFFORT, count);
    eep_pair_search_place(part->weight, part->n_experts, part->n_ranks, count, map);
}

/* DeepSeek's placement of some experts on some ranks, all that there are of both, or a better one
 * where ranks have two slots. ids [n]; fills the ranks' slots of row. */
static void place_part(const Planner *planner, const guint *ids, guint n, guint first_rank,
                       guint end_rank, gint32 *row)
{
    const EepEplbProblem *p = planner->p;
    const guint S = slots_of_rank(p);
    guint n_active = 0;
    for (guint rank = first_rank; rank < end_rank; rank++)
        n_active += eep_eplb_problem_is_active(p, rank);
    g_autofree double *weight = g_new(double, n);
    g_autofree gint32 *map = g_new(gint32, (gsize)n_active * S);
    for (guint i = 0; i < n; i++)
        weight[i] = planner->weight[ids[i]];
    const EepEplbProblem part = {.n_layers = 1,
                                 .n_experts = n,
                                 .n_replicas = n_active * S,
                                 .n_groups = 1,
                                 .n_nodes = 1,
                                 .n_ranks = n_active,
                                 .weight = weight};
    const gboolean placed = eep_eplb_policy_deepseek.place(&part, map, NULL);
    g_assert(placed);
    if (S == 2)
        pair_part(planner, &part, map);
    if (S == 3)
        eep_count_pack_place(&part, planner->target, map);
    const gint32 *from = map;
    for (guint rank = first_rank; rank < end_rank; rank++) {
        for (guint i = 0; i < S; i++) {
            const gboolean is_active = eep_eplb_problem_is_active(p, rank);
            row[(gsize)rank * S + i] = is_active ? (gint32)ids[*from++] : -1;
        }
    }
}

/* A map from nothing but the loads: the groups as packed, then each node placed. */
static void build(Planner *planner, gint32 *row)
{
    const EepEplbProblem *p = planner->p;
    const guint n_nodes = planner->groups ? p->n_nodes : 1, ranks = p->n_ranks / n_nodes;
    g_autofree guint *ids = g_new(guint, p->n_experts);
    for (guint node = 0; node < n_nodes; node++) {
        guint n = 0;
        for (guint e = 0; e < p->n_experts; e++)
            if (!planner->groups || planner->group_node[e / (p->n_experts / p->n_groups)] == node)
                ids[n++] = e;
        place_part(planner, ids, n, node * ranks, (node + 1) * ranks, row);
    }
}

/* Heat that the loaded map need not go below: the layer's bound, and with noise what its ranks have
 * on average. */
static double good_enough(const Planner *planner)
{
    return planner->is_noisy
               ? eep_balance_search_mean_heat(planner->search) * (1.0 + NOISY_TOLERANCE)
               : planner->bound * (1.0 + TOLERANCE);
}

/* Improves row in place and returns its heat. Where that would take the planned load of the hottest
 * rank above limit, by the planned load alone. */
static double improve(Planner *planner, double limit, gint32 *row)
{
    EepBalanceSearch *search = planner->search;
    const gsize bytes = planner->p->n_replicas * sizeof *row;
    eep_balance_search_load(search, row);
    eep_balance_search_run(search, good_enough(planner), EFFORT);
    if (planner->is_noisy && eep_balance_search_hottest_load(search) > limit) {
        eep_balance_search_begin(search, planner->weight, NULL, planner->old);
        eep_balance_search_load(search, row);
        eep_balance_search_run(search, planner->bound * (1.0 + TOLERANCE), EFFORT);
        memcpy(row, eep_balance_search_map(search), bytes);
        eep_balance_search_begin(search, planner->weight, planner->variance, planner->old);
        eep_balance_search_load(search, row);
    }
    memcpy(row, eep_balance_search_map(search), bytes);
    return eep_balance_search_hottest(search);
}

/* Planned load of DeepSeek's hottest rank. */
static double published_load(const Planner *planner)
{
    if (!planner->published)
        return G_MAXDOUBLE;
    eep_balance_search_load(planner->search,
                            planner->published + (gsize)planner->layer * planner->p->n_replicas);
    return eep_balance_search_hottest_load(planner->search);
}

/* Packs the groups again, now that the loaded map shows what the last packing reaches; FALSE when
 * no other can do better than best. */
static gboolean repack(Planner *planner, double best)
{
    const EepEplbProblem *p = planner->p;
    if (!planner->groups)
        return FALSE;
    g_autofree double *load = g_new(double, p->n_ranks);
    g_autofree double *reached = g_new0(double, p->n_nodes);
    eep_balance_search_loads(planner->search, load);
    for (guint rank = 0; rank < p->n_ranks; rank++) {
        double *node = &reached[rank / (p->n_ranks / p->n_nodes)];
        *node = MAX(*node, load[rank]);
    }
    return eep_node_groups_repack(planner->groups, reached, planner->group_node) *
               (1.0 + TOLERANCE) <
           best;
}

/* The best map of the layer that owes nothing to the present one. Where groups bind, their first
 * packing has been chosen. */
static void plan_anew(Planner *planner, gint32 *row)
{
    const EepEplbProblem *p = planner->p;
    const gsize bytes = p->n_replicas * sizeof *row;
    const double limit = planner->published_load;
    double best = G_MAXDOUBLE;
    if (planner->published) {
        const gboolean builds_better =
            planner->groups || slots_of_rank(p) == 2 || slots_of_rank(p) == 3;
        memcpy(row, planner->published + (gsize)planner->layer * p->n_replicas, bytes);
        best = improve(planner, limit, row);
        if (!builds_better || best <= good_enough(planner))
            return;
    }
    g_autofree gint32 *other = g_new(gint32, p->n_replicas);
    for (guint i = 0; i < MAX_PACKINGS; i++) {
        planner->target = best < G_MAXDOUBLE ? best * COUNT_TARGET : planner->bound;
        build(planner, other);
        const double heat = improve(planner, limit, other);
        if ((i == 0 && !planner->published) ||
            (heat < best && eep_balance_search_hottest_load(planner->search) <= limit)) {
            best = heat;
            memcpy(row, other, bytes);
        }
        if (best <= good_enough(planner) || !repack(planner, best))
            return;
    }
}

/* A map of the layer among those that the budget chooses from, unless it is hotter than allowed. */
static void offer(Planner *planner, double limit)
{
    const EepBalanceSearch *search = planner->search;
    if (eep_balance_search_hottest_load(search) > limit)
        return;
    const double load = eep_balance_search_hottest_load(search);
    eep_eplb_budget_add(planner->budget, planner->layer, eep_balance_search_moves(search),
                        planner->mean > 0.0 ? load / planner->mean : 0.0,
                        eep_balance_search_map(search));
}

static void offer_anew(Planner *planner, double limit)
{
    plan_anew(planner, planner->row);
    if (planner->old)
        eep_present_map_relabel(planner->p, planner->groups != NULL, planner->old, planner->row);
    eep_balance_search_load(planner->search, planner->row);
    offer(planner, limit);
}

/* The loaded map, and what steps make of it, each time that its hottest rank cools. */
static void offer_steps(Planner *planner, double limit, gboolean is_auto)
{
    EepBalanceSearch *search = planner->search;
    double coolest = eep_balance_search_hottest(search), price = planner->price * planner->mean;
    const guint64 begun = eep_balance_search_judged(search);
    for (guint i = 0; i < MAX_STEPS && eep_balance_search_judged(search) - begun < STEPS_EFFORT;
         i++) {
        if (coolest <= good_enough(planner) && (is_auto || coolest <= planner->published_load))
            return;
        if (!eep_balance_search_step(search, price, G_MAXINT)) {
            if (is_auto || price == 0.0)
                break;
            price = 0.0;
        }
        if (eep_balance_search_hottest(search) < coolest) {
            coolest = eep_balance_search_hottest(search);
            offer(planner, limit);
        }
    }
    eep_balance_search_run(search, good_enough(planner), is_auto ? AUTO_EFFORT : EFFORT);
    offer(planner, limit);
}

/* The present map without what the groups' nodes do not allow, completed. */
static void load_present(Planner *planner, const guint *group_node)
{
    const EepEplbProblem *p = planner->p;
    const guint size = p->n_experts / p->n_groups, slots = p->n_replicas / p->n_nodes;
    g_autofree gint32 *left = g_new(gint32, p->n_replicas);
    for (guint slot = 0; slot < p->n_replicas; slot++) {
        const gint32 e = planner->old[slot];
        left[slot] = group_node && e >= 0 && group_node[(guint)e / size] != slot / slots ? -1 : e;
    }
    eep_present_map_complete(p, planner->weight, group_node, left, planner->row);
    eep_balance_search_load(planner->search, planner->row);
}

/* The present map, completed, and what becomes of it. Where groups bind, a packing that the loads
 * have left behind limits what steps can do, while planning anew moves nearly everything; in
 * between lie packings that differ in few groups. */
static void offer_present(Planner *planner, gboolean is_auto)
{
    load_present(planner, planner->groups ? planner->present_node : NULL);
    const double limit = eep_balance_search_hottest_load(planner->search);
    offer(planner, G_MAXDOUBLE);
    offer_steps(planner, limit, is_auto);
    for (guint i = 0; planner->groups && i < planner->p->n_groups; i++) {
        if (eep_balance_search_hottest(planner->search) <= good_enough(planner) ||
            !eep_group_exchange(planner->p, planner->weight, planner->present_node))
            break;
        load_present(planner, planner->present_node);
        offer(planner, limit);
        offer_steps(planner, limit, is_auto);
    }
    if (!is_auto)
        offer_anew(planner, limit);
}

/* Sums of the layer, and where groups bind their best packing. */
static void measure_layer(Planner *planner)
{
    const EepEplbProblem *p = planner->p;
    const guint n_active = eep_eplb_problem_n_active(p);
    planner->mean = 0.0;
    for (guint e = 0; e < p->n_experts; e++)
        planner->mean += planner->weight[e] / n_active;
    if (planner->groups) {
        planner->bound =
            eep_node_groups_pack(planner->groups, planner->weight, planner->group_node);
        return;
    }
    eep_slot_bound_set(planner->slot_bound, planner->weight, p->n_experts, n_active,
                       slots_of_rank(p));
    planner->bound = eep_slot_bound_simple(planner->slot_bound);
}

static void plan_layer(Planner *planner)
{
    const EepEplbProblem *p = planner->p;
    const gboolean is_kept =
        planner->old &&
        (!planner->groups || eep_present_map_groups(p, planner->old, planner->present_node));
    measure_layer(planner);
    planner->is_noisy = !is_kept && eep_window_noise(p, planner->layer, planner->variance);
    for (guint e = 0; e < p->n_experts && planner->is_noisy; e++)
        planner->variance[e] *= NOISE_WEIGHT * NOISE_WEIGHT;
    eep_balance_search_begin(planner->search, planner->weight,
                             planner->is_noisy ? planner->variance : NULL, planner->old);
    planner->published_load = published_load(planner);
    if (!is_kept) {
        offer_anew(planner, G_MAXDOUBLE);
        return;
    }
    offer_present(planner, p->max_moves < 0);
}

/* DeepSeek's placement of all layers; NULL where its sizes or dead ranks are not for it. */
static gint32 *place_published(const EepEplbProblem *p)
{
    const gsize n = (gsize)p->n_layers * p->n_replicas;
    gint32 *map = g_new(gint32, n);
    if (eep_eplb_problem_n_active(p) == p->n_ranks && eep_eplb_policy_deepseek.place(p, map, NULL))
        return map;
    g_free(map);
    return NULL;
}

static void planner_init(Planner *planner, const EepEplbProblem *p)
{
    *planner = (Planner){.p = p,
                         .groups = eep_node_groups_new(p),
                         .search = eep_balance_search_new(p),
                         .slot_bound = eep_slot_bound_new(p->n_experts),
                         .budget = eep_eplb_budget_new(p->n_layers, p->n_replicas),
                         .published = place_published(p),
                         .group_node = g_new0(guint, p->n_groups),
                         .present_node = g_new0(guint, p->n_groups),
                         .variance = g_new(double, p->n_experts),
                         .row = g_new(gint32, p->n_replicas)};
    planner->price = TURNOVER_PRICE / (eep_eplb_problem_n_active(p) * (double)slots_of_rank(p));
    if (!planner->groups)
        return;
    g_autofree guint *node = g_new(guint, p->n_ranks);
    for (guint rank = 0; rank < p->n_ranks; rank++)
        node[rank] = rank / (p->n_ranks / p->n_nodes);
    eep_balance_search_set_nodes(planner->search, node);
}

static void planner_clear(Planner *planner)
{
    eep_node_groups_free(planner->groups);
    eep_balance_search_free(planner->search);
    eep_slot_bound_free(planner->slot_bound);
    eep_eplb_budget_free(planner->budget);
    g_free(planner->published);
    g_free(planner->group_node);
    g_free(planner->present_node);
    g_free(planner->variance);
    g_free(planner->row);
}

static gboolean eep_place(const EepEplbProblem *p, gint32 *ret_phy2log, GError **error)
{
    if ((guint64)p->n_ranks * p->n_experts > MAX_PAIRS) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "policy eep plans at most %" G_GUINT64_FORMAT
                    " pairs of a rank and an expert, not %u ranks x %u experts: another policy",
                    MAX_PAIRS, p->n_ranks, p->n_experts);
        return FALSE;
    }
    Planner planner;
    planner_init(&planner, p);
    for (planner.layer = 0; planner.layer < p->n_layers; planner.layer++) {
        planner.weight = p->weight + (gsize)planner.layer * p->n_experts;
        planner.old = p->old_phy2log ? p->old_phy2log + (gsize)planner.layer * p->n_replicas : NULL;
        plan_layer(&planner);
    }
    if (p->max_moves < 0)
        eep_eplb_budget_choose(planner.budget, planner.price);
    else
        eep_eplb_budget_spend(planner.budget, (guint64)p->max_moves);
    for (guint layer = 0; layer < p->n_layers; layer++) {
        gint32 *row = ret_phy2log + (gsize)layer * p->n_replicas;
        memcpy(row, eep_eplb_budget_map(planner.budget, layer), p->n_replicas * sizeof *row);
        if (p->old_phy2log)
            eep_present_map_keep_slots(p, p->old_phy2log + (gsize)layer * p->n_replicas, row);
    }
    planner_clear(&planner);
    return TRUE;
}

const EepEplbPolicy eep_eplb_policy_eep = {
    .name = "eep",
    .help = "from the present map, as many moves as pay; else DeepSeek's, improved by search",
    .takes_dead_ranks = TRUE,
    .reads_windows = TRUE,
    .reads_present_map = TRUE,
    .limits_moves = TRUE,
    .place = eep_place,
};
