#include "core/eplb/present_map.h"

#include <string.h>

static guint slots_of_rank(const EepEplbProblem *p)
{
    return p->n_replicas / p->n_ranks;
}

gboolean eep_present_map_groups(const EepEplbProblem *p, const gint32 *old, guint *ret_node)
{
    const guint S = slots_of_rank(p), size = p->n_experts / p->n_groups;
    const guint ranks = p->n_ranks / p->n_nodes, share = p->n_groups / p->n_nodes;
    g_autofree guint *held = g_new0(guint, p->n_nodes);
    for (guint group = 0; group < p->n_groups; group++)
        ret_node[group] = p->n_nodes;
    for (guint slot = 0; slot < p->n_replicas; slot++) {
        if (old[slot] < 0 || !eep_eplb_problem_is_active(p, slot / S))
            continue;
        const guint group = (guint)old[slot] / size, node = slot / S / ranks;
        if (ret_node[group] == p->n_nodes) {
            ret_node[group] = node;
            held[node]++;
        }
        if (ret_node[group] != node || held[node] > share)
            return FALSE;
    }
    for (guint group = 0, node = 0; group < p->n_groups; group++) {
        if (ret_node[group] < p->n_nodes)
            continue;
        while (held[node] == share)
            node++;
        ret_node[group] = node;
        held[node]++;
    }
    return TRUE;
}

/* A map being completed. */
typedef struct {
    const EepEplbProblem *p;
    const double *weight;
    const guint *group_node;
    guint S;
    gint32 *map;
    guint *count; /* [E] */
    double *load; /* [D], as the shares are at the time of asking */
} Completion;

static gboolean may_hold(const Completion *c, guint rank, guint expert)
{
    if (!eep_eplb_problem_is_active(c->p, rank))
        return FALSE;
    return !c->group_node || c->group_node[expert / (c->p->n_experts / c->p->n_groups)] ==
                                 rank / (c->p->n_ranks / c->p->n_nodes);
}

static void sum_loads(Completion *c)
{
    for (guint rank = 0, slot = 0; rank < c->p->n_ranks; rank++) {
        c->load[rank] = 0.0;
        for (guint end = slot + c->S; slot < end; slot++)
            if (c->map[slot] >= 0)
                c->load[rank] += c->weight[c->map[slot]] / c->count[c->map[slot]];
    }
}

static void set_slot(Completion *c, guint slot, guint expert)
{
    if (c->map[slot] >= 0)
        c->count[c->map[slot]]--;
    c->map[slot] = (gint32)expert;
    c->count[expert]++;
    sum_loads(c);
}

/* The empty slot of the coldest rank that may hold the expert, else the replica whose expert's
 * other replicas stay smallest. There is one: active slots are as many as experts, on each node. */
static guint slot_for_missing(const Completion *c, guint expert)
{
    guint empty = c->p->n_replicas, spare = c->p->n_replicas;
    double smallest = G_MAXDOUBLE;
    for (guint slot = 0; slot < c->p->n_replicas; slot++) {
        const guint rank = slot / c->S;
        if (!may_hold(c, rank, expert))
            continue;
        const gint32 held = c->map[slot];
        if (held < 0) {
            if (empty == c->p->n_replicas || c->load[rank] < c->load[empty / c->S])
                empty = slot;
        } else if (c->count[held] > 1 && c->weight[held] / (c->count[held] - 1) < smallest) {
            smallest = c->weight[held] / (c->count[held] - 1);
            spare = slot;
        }
    }
    return empty < c->p->n_replicas ? empty : spare;
}

static void place_missing(Completion *c)
{
    for (;;) {
        guint missing = c->p->n_experts; /* the heaviest */
        for (guint e = 0; e < c->p->n_experts; e++)
            if (!c->count[e] && (missing == c->p->n_experts || c->weight[e] > c->weight[missing]))
                missing = e;
        if (missing == c->p->n_experts)
            return;
        set_slot(c, slot_for_missing(c, missing), missing);
    }
}

/* Load that a rank with `here` of the expert's replicas has of it once it has n more. */
static double load_with(const Completion *c, guint expert, guint here, guint n)
{
    return c->weight[expert] * (here + n) / (c->count[expert] + n);
}

/* For a rank that holds something: the expert of its own that brings it closest to the mean. */
static guint repeat_of(const Completion *c, guint rank, double mean)
{
    const gint32 *slots = c->map + (gsize)rank * c->S;
    guint best = 0;
    double best_off = G_MAXDOUBLE;
    for (guint i = 0; i < c->S; i++) {
        if (slots[i] < 0)
            continue;
        const guint e = (guint)slots[i];
        guint here = 0;
        for (guint j = 0; j < c->S; j++)
            here += slots[j] == slots[i];
        const double load = c->load[rank] + load_with(c, e, here, 1) - load_with(c, e, here, 0);
        const double off = load > mean ? load - mean : mean - load;
        if (off < best_off) {
            best_off = off;
            best = e;
        }
    }
    return best;
}

/* For a rank that holds nothing and gets one expert in all its slots: the one with the largest
 * replicas of those that leave it no hotter than the hottest; else the lightest. */
static guint first_of(const Completion *c, guint rank)
{
    double hottest = 0.0, largest = -1.0;
    guint best = c->p->n_experts, lightest = c->p->n_experts;
    for (guint r = 0; r < c->p->n_ranks; r++)
        hottest = MAX(hottest, c->load[r]);
    for (guint e = 0; e < c->p->n_experts; e++) {
        if (!may_hold(c, rank, e))
            continue;
        if (lightest == c->p->n_experts || c->weight[e] < c->weight[lightest])
            lightest = e;
        if (load_with(c, e, 0, c->S) <= hottest && c->weight[e] / c->count[e] > largest) {
            largest = c->weight[e] / c->count[e];
            best = e;
        }
    }
    return best < c->p->n_experts ? best : lightest;
}

static void fill_rank(Completion *c, guint rank, double mean)
{
    gint32 *slots = c->map + (gsize)rank * c->S;
    gboolean is_bare = TRUE;
    for (guint i = 0; i < c->S; i++)
        is_bare = is_bare && slots[i] < 0;
    const guint first = is_bare ? first_of(c, rank) : 0;
    for (guint i = 0; i < c->S; i++)
        if (slots[i] < 0)
            set_slot(c, rank * c->S + i, is_bare ? first : repeat_of(c, rank, mean));
}

void eep_present_map_complete(const EepEplbProblem *p, const double *weight,
                              const guint *group_node, const gint32 *old, gint32 *ret_map)
{
    g_autofree guint *count = g_new0(guint, p->n_experts);
    g_autofree double *load = g_new(double, p->n_ranks);
    Completion c = {p, weight, group_node, slots_of_rank(p), ret_map, count, load};
    double mean = 0.0;
    for (guint slot = 0; slot < p->n_replicas; slot++) {
        ret_map[slot] = eep_eplb_problem_is_active(p, slot / c.S) ? old[slot] : -1;
        if (ret_map[slot] >= 0)
            count[ret_map[slot]]++;
    }
    for (guint e = 0; e < p->n_experts; e++)
        mean += weight[e] / eep_eplb_problem_n_active(p);
    sum_loads(&c);
    place_missing(&c);
    for (guint rank = 0; rank < p->n_ranks; rank++)
        if (eep_eplb_problem_is_active(p, rank))
            fill_rank(&c, rank, mean);
}

/* Experts that a block of n slots of a has in common with one of b; seen [E] is zero between calls.
 */
static guint count_common(const gint32 *a, const gint32 *b, guint n, guint8 *seen)
{
    guint common = 0;
    for (guint i = 0; i < n; i++)
        if (a[i] >= 0)
            seen[a[i]] = 1;
    for (guint i = 0; i < n; i++) {
        if (b[i] < 0 || !seen[b[i]])
            continue;
        seen[b[i]] = 0;
        common++;
    }
    for (guint i = 0; i < n; i++)
        if (a[i] >= 0)
            seen[a[i]] = 0;
    return common;
}

/* Moves blocks of size slots, those that may move, so that common experts are many: the pair with
 * the most in common first, lower indices on a tie. */
static void relabel_blocks(const gint32 *old, gint32 *map, guint n_blocks, guint size,
                           const guint8 *fixed, guint n_experts)
{
    g_autofree guint8 *seen = g_new0(guint8, n_experts);
    g_autofree guint *common = g_new(guint, (gsize)n_blocks * n_blocks);
    g_autofree guint *target = g_new(guint, n_blocks); /* of each block of map */
    g_autofree guint8 *taken = g_new0(guint8, n_blocks);
    g_autofree gint32 *copy = g_memdup2(map, (gsize)n_blocks * size * sizeof *map);
    guint most = 0;
    for (guint i = 0; i < n_blocks; i++) {
        target[i] = fixed[i] ? i : n_blocks;
        taken[i] = fixed[i];
    }
    for (guint i = 0; i < n_blocks; i++) {
        for (guint j = 0; j < n_blocks; j++) {
            guint *value = &common[(gsize)i * n_blocks + j];
            *value = fixed[i] || fixed[j]
                         ? 0
                         : count_common(map + (gsize)i * size, old + (gsize)j * size, size, seen);
            most = MAX(most, *value);
        }
    }
    for (guint level = most + 1; level-- > 0;)
        for (guint i = 0; i < n_blocks; i++)
            for (guint j = 0; j < n_blocks && target[i] == n_blocks; j++) {
                if (taken[j] || common[(gsize)i * n_blocks + j] != level)
                    continue;
                target[i] = j;
                taken[j] = 1;
            }
    for (guint i = 0; i < n_blocks; i++)
        memcpy(map + (gsize)target[i] * size, copy + (gsize)i * size, size * sizeof *map);
}

void eep_present_map_relabel(const EepEplbProblem *p, gboolean groups_bind, const gint32 *old,
                             gint32 *map)
{
    const guint S = slots_of_rank(p);
    const guint n_nodes = groups_bind ? p->n_nodes : 1, ranks = p->n_ranks / n_nodes;
    g_autofree guint8 *fixed = g_new0(guint8, MAX(p->n_ranks, n_nodes));
    for (guint rank = 0; rank < p->n_ranks; rank++)
        if (!eep_eplb_problem_is_active(p, rank))
            fixed[rank / ranks] = 1;
    if (n_nodes > 1)
        relabel_blocks(old, map, n_nodes, ranks * S, fixed, p->n_experts);
    for (guint node = 0; node < n_nodes; node++) {
        const gsize at = (gsize)node * ranks * S;
        for (guint i = 0; i < ranks; i++)
            fixed[i] = !eep_eplb_problem_is_active(p, node * ranks + i);
        relabel_blocks(old + at, map + at, ranks, S, fixed, p->n_experts);
    }
}

void eep_present_map_keep_slots(const EepEplbProblem *p, const gint32 *old, gint32 *map)
{
    const guint S = slots_of_rank(p);
    for (guint start = 0; start < p->n_replicas; start += S) {
        gint32 *now = map + start;
        const gint32 *then = old + start;
        /* Slots before i are settled where they agree; a replica that agrees with no slot of its
         * own is exchanged into the first that held its expert. */
        for (guint i = 0; i < S; i++) {
            if (then[i] < 0 || now[i] == then[i])
                continue;
            for (guint j = 0; j < S; j++) {
                if (now[j] != then[i] || now[j] == then[j])
                    continue;
                now[j] = now[i];
                now[i] = then[i];
                break;
            }
        }
    }
}
