#include "core/eplb/packing.h"

#include "core/eplb/float_sum.h"

#include <string.h>

#define INSERTION_RUN 8

/* Ordered by key, then index. Weights enter negated where the heaviest comes first. */
typedef struct {
    double key;
    gint32 index;
} Item;

struct EepEplbPacker {
    EepEplbPrecision precision;
    guint max_items;
    Item *items, *spare; /* [max_items], the two sides of the merge sort */
    Item *heap;          /* [max_items] */
    gint32 *held;        /* [max_items], items per pack */
};

EepEplbPacker *eep_eplb_packer_new(guint max_items, EepEplbPrecision precision)
{
    EepEplbPacker *packer = g_new0(EepEplbPacker, 1);
    packer->precision = precision;
    packer->max_items = max_items;
    packer->items = g_new(Item, max_items);
    packer->spare = g_new(Item, max_items);
    packer->heap = g_new(Item, max_items);
    packer->held = g_new(gint32, max_items);
    return packer;
}

void eep_eplb_packer_free(EepEplbPacker *packer)
{
    if (!packer)
        return;
    g_free(packer->items);
    g_free(packer->spare);
    g_free(packer->heap);
    g_free(packer->held);
    g_free(packer);
}

/* One + or / of float32 operands computed in double and rounded once equals the float32 operation:
 * 53 bits are more than 2 * 24 + 2 (Figueroa, "When is double rounding innocuous?", 1995). */
static inline double round_to(double value, EepEplbPrecision precision)
{
    return precision == EEP_EPLB_FLOAT32 ? (double)(float)value : value;
}

static inline gboolean before(Item a, Item b)
{
    return a.key < b.key || (a.key == b.key && a.index < b.index);
}

static void sift_down(Item *heap, guint size, guint at)
{
    const Item item = heap[at];
    for (guint child = 2 * at + 1; child < size; child = 2 * at + 1) {
        if (child + 1 < size && before(heap[child + 1], heap[child]))
            child++;
        if (!before(heap[child], item))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

static void merge(const Item *left, const Item *middle, const Item *end, Item *out)
{
    const Item *a = left, *b = middle;
    while (a < middle && b < end)
        *out++ = b->key < a->key ? *b++ : *a++;
    memcpy(out, a, (gsize)(middle - a) * sizeof(Item));
    out += middle - a;
    memcpy(out, b, (gsize)(end - b) * sizeof(Item));
}

/* Stable, by key only. Returns the side of the packer's memory that holds the result. */
static const Item *sort_items(EepEplbPacker *packer, guint n)
{
    Item *from = packer->items, *to = packer->spare;
    for (guint start = 0; start < n; start += INSERTION_RUN) {
        const guint end = MIN(start + INSERTION_RUN, n);
        for (guint i = start + 1; i < end; i++) {
            const Item item = from[i];
            guint at = i;
            for (; at > start && item.key < from[at - 1].key; at--)
                from[at] = from[at - 1];
            from[at] = item;
        }
    }
    for (guint width = INSERTION_RUN; width < n; width *= 2) {
        for (guint start = 0; start < n; start += 2 * width)
            merge(from + start, from + MIN(start + width, n), from + MIN(start + 2 * width, n),
                  to + start);
        Item *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

static const Item *sort_falling(EepEplbPacker *packer, const double *weight, guint n)
{
    for (guint i = 0; i < n; i++)
        packer->items[i] = (Item){-weight[i], (gint32)i};
    return sort_items(packer, n);
}

void eep_eplb_packer_order(EepEplbPacker *packer, const double *weight, guint n_items,
                           gint32 *ret_order)
{
    g_return_if_fail(packer != NULL && n_items <= packer->max_items);
    const Item *order = sort_falling(packer, weight, n_items);
    for (guint i = 0; i < n_items; i++)
        ret_order[i] = order[i].index;
}

void eep_eplb_packer_pack(EepEplbPacker *packer, const double *weight, guint n_items, guint n_packs,
                          gint32 *ret_position)
{
    g_return_if_fail(packer != NULL && n_items <= packer->max_items);
    g_return_if_fail(n_packs > 0 && n_items % n_packs == 0);
    const guint per_pack = n_items / n_packs;
    if (per_pack == 1) {
        for (guint i = 0; i < n_items; i++)
            ret_position[i] = (gint32)i;
        return;
    }
    const Item *order = sort_falling(packer, weight, n_items);

    Item *heap =
        packer->heap; /* the packs that are not full, by sum; ascending indices are a heap */
    guint size = n_packs;
    for (guint pack = 0; pack < n_packs; pack++)
        heap[pack] = (Item){0.0, (gint32)pack};
    memset(packer->held, 0, n_packs * sizeof(gint32));
    for (guint i = 0; i < n_items; i++) {
        const gint32 pack = heap[0].index;
        ret_position[order[i].index] = pack * (gint32)per_pack + packer->held[pack];
        packer->held[pack]++;
        if (packer->held[pack] == (gint32)per_pack)
            heap[0] = heap[--size];
        else
            heap[0].key = round_to(heap[0].key - order[i].key, packer->precision);
        if (size > 1)
            sift_down(heap, size, 0);
    }
}

void eep_eplb_packer_replicate(EepEplbPacker *packer, const double *weight, guint n_experts,
                               guint n_slots, gint32 *ret_phy2log, gint32 *ret_count)
{
    g_return_if_fail(packer != NULL && n_experts > 0 && n_experts <= packer->max_items);
    g_return_if_fail(n_slots >= n_experts);
    for (guint i = 0; i < n_experts; i++) {
        ret_phy2log[i] = (gint32)i;
        ret_count[i] = 1;
    }
    if (n_slots == n_experts)
        return;
    Item *heap = packer->heap;
    for (guint i = 0; i < n_experts; i++)
        heap[i] = (Item){-weight[i], (gint32)i};
    for (guint i = n_experts / 2; i-- > 0;)
        sift_down(heap, n_experts, i);
    for (guint slot = n_experts; slot < n_slots; slot++) {
        const gint32 expert = heap[0].index;
        ret_phy2log[slot] = expert;
        ret_count[expert]++;
        heap[0].key = -round_to(weight[expert] / ret_count[expert], packer->precision);
        sift_down(heap, n_experts, 0);
    }
}

/* One placement's sizes and scratch. "mlog" numbers the experts after their groups were dealt to
 * nodes. */
typedef struct {
    guint n_experts, n_groups, n_nodes, n_ranks, n_replicas;
    EepEplbPacker *packer;
    float *weight;      /* [E] */
    double *group_load; /* [G] */
    gint32 *group_at;   /* [G], node * G/N + place within the node */
    gint32 *mlog2log;   /* [E] */
    double *node_load;  /* [E/N], then per replica [R/N] */
    gint32 *phy2mlog;   /* [R/N], within the node */
    gint32 *count;      /* [E/N] */
    gint32 *position;   /* [R/N] */
    double *slot_load;  /* [R/N] */
} Balance;

static void pack_groups(Balance *b)
{
    const guint size = b->n_experts / b->n_groups;
    const gboolean is_torch = b->packer->precision == EEP_EPLB_FLOAT32;
    for (guint group = 0; group < b->n_groups; group++) {
        const float *load = b->weight + (gsize)group * size;
        b->group_load[group] =
            is_torch ? eep_float_sum_torch(load, size) : eep_float_sum_numpy(load, size);
    }
    eep_eplb_packer_pack(b->packer, b->group_load, b->n_groups, b->n_nodes, b->group_at);
    for (guint group = 0; group < b->n_groups; group++)
        for (guint i = 0; i < size; i++)
            b->mlog2log[(guint)b->group_at[group] * size + i] = (gint32)(group * size + i);
}

static void place_node(Balance *b, const gint32 *mlog2log, gint32 *ret_phy2log)
{
    const guint experts = b->n_experts / b->n_nodes, slots = b->n_replicas / b->n_nodes;
    for (guint i = 0; i < experts; i++)
        b->node_load[i] = b->weight[mlog2log[i]];
    eep_eplb_packer_replicate(b->packer, b->node_load, experts, slots, b->phy2mlog, b->count);
    for (guint i = 0; i < experts; i++)
        b->node_load[i] = round_to(b->node_load[i] / b->count[i], b->packer->precision);
    for (guint slot = 0; slot < slots; slot++)
        b->slot_load[slot] = b->node_load[b->phy2mlog[slot]];
    eep_eplb_packer_pack(b->packer, b->slot_load, slots, b->n_ranks / b->n_nodes, b->position);
    for (guint slot = 0; slot < slots; slot++)
        ret_phy2log[b->position[slot]] = mlog2log[b->phy2mlog[slot]];
}

static void place_layer(Balance *b, const double *weight, gint32 *ret_phy2log)
{
    for (guint i = 0; i < b->n_experts; i++)
        b->weight[i] = (float)weight[i];
    pack_groups(b);
    for (guint node = 0; node < b->n_nodes; node++)
        place_node(b, b->mlog2log + node * (b->n_experts / b->n_nodes),
                   ret_phy2log + node * (b->n_replicas / b->n_nodes));
}

gboolean eep_eplb_choose_hierarchy(const EepEplbProblem *p, guint *ret_n_groups, guint *ret_n_nodes,
                                   GError **error)
{
    if (p->n_groups % p->n_nodes != 0) {
        *ret_n_groups = *ret_n_nodes = 1;
        return TRUE;
    }
    if (p->n_experts % p->n_groups != 0) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "%u experts do not divide evenly into %u groups", p->n_experts, p->n_groups);
        return FALSE;
    }
    if (p->n_ranks % p->n_nodes != 0) {
        g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_SIZES,
                    "%u ranks do not divide evenly over %u nodes", p->n_ranks, p->n_nodes);
        return FALSE;
    }
    *ret_n_groups = p->n_groups;
    *ret_n_nodes = p->n_nodes;
    return TRUE;
}

gboolean eep_eplb_place_balanced(const EepEplbProblem *problem, EepEplbPrecision precision,
                                 gint32 *ret_phy2log, GError **error)
{
    Balance b = {.n_experts = problem->n_experts,
                 .n_ranks = problem->n_ranks,
                 .n_replicas = problem->n_replicas};
    if (!eep_eplb_choose_hierarchy(problem, &b.n_groups, &b.n_nodes, error))
        return FALSE;

    const guint E = b.n_experts, slots = b.n_replicas / b.n_nodes;
    g_autoptr(EepEplbPacker) packer = eep_eplb_packer_new(b.n_replicas, precision);
    g_autofree float *weight = g_new(float, E);
    g_autofree double *loads = g_new(double, (gsize)E + b.n_groups + slots);
    g_autofree gint32 *maps = g_new(gint32, (gsize)2 * E + b.n_groups + 2 * slots);
    b.packer = packer;
    b.weight = weight;
    b.node_load = loads;
    b.group_load = loads + E;
    b.slot_load = loads + E + b.n_groups;
    b.mlog2log = maps;
    b.count = maps + E;
    b.group_at = maps + 2 * E;
    b.phy2mlog = maps + 2 * E + b.n_groups;
    b.position = maps + 2 * E + b.n_groups + slots;
    for (guint layer = 0; layer < problem->n_layers; layer++)
        place_layer(&b, problem->weight + (gsize)layer * E,
                    ret_phy2log + (gsize)layer * b.n_replicas);
    return TRUE;
}
