/* Policy "deepseek_vec": SGLang's (python/sglang/srt/eplb/eplb_algorithms/deepseek_vec.py). Every
 * further slot goes to the expert that lowers the sum over the windows of the hottest replica most;
 * the replicas are then dealt to the ranks in snake order. Plans on the windows where the problem
 * has them, else on the sum as the only one.
 *
 * For a slot the published program looks at all experts in all windows. Only a window's hottest
 * expert can lower it, so its two highest values tell everything: a heap a window finds them, and
 * the sums are formed for the experts that are hottest in some window, in the same float32. Cost of
 * a layer: O(T*E + slots * T * (log E + hottest experts)). */
#include "core/eplb/float_sum.h"
#include "core/eplb/packing.h"

#include <string.h>

/* Added per expert number, so that no two loads are equal. */
#define TIE_BREAK 1e-4F

typedef struct {
    float value;
    gint32 expert;
} Peak;

/* One placement's sizes and scratch. "mlog" numbers the experts after their groups were dealt to
 * nodes; a chunk is what one node holds: e experts in r slots. */
typedef struct {
    guint n_windows, n_layers, n_experts, n_groups, n_nodes, n_replicas, n_ranks;
    guint e, r;
    const double *windows; /* [T][L][E] */
    EepEplbPacker *packer;
    float *window_load; /* [T][E] of the layer */
    float *total;       /* [E], over the windows */
    double *group_load; /* [G] */
    gint32 *group_at;   /* [G], node * G/N + place within the node */
    gint32 *mlog2log;   /* [E] */
    float *load;        /* [T][e] of the chunk */
    float *distinct;    /* [T][e], load with the tie-break */
    Peak *heaps;        /* [T][e], hottest first; values may be of fewer replicas than now */
    gint32 *count;      /* [e] */
    guint64 *tried;     /* [e], the last slot for which the expert was a candidate */
    guint64 slot_id;    /* of all slots so far, from 1 */
    float *hottest;     /* [T] */
    float *lowered;     /* [T], the hottest once the hottest expert has a replica more */
    gint32 *hottest_of; /* [T] */
    float *peaks;       /* [T], of one candidate */
    gint32 *phy2mlog;   /* [r], within the chunk */
    double *slot_load;  /* [r] */
    gint32 *order;      /* [max(r, G)] */
} Vec;

static inline gboolean is_hotter(Peak a, Peak b)
{
    return a.value > b.value || (a.value == b.value && a.expert < b.expert);
}

static void sift_down(Peak *heap, guint size, guint at)
{
    const Peak item = heap[at];
    for (guint child = 2 * at + 1; child < size; child = 2 * at + 1) {
        if (child + 1 < size && is_hotter(heap[child + 1], heap[child]))
            child++;
        if (!is_hotter(heap[child], item))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

/* Replicas only lower values, so a value that is still right is the highest below its place. */
static Peak refresh(const Vec *v, guint window, guint at)
{
    Peak *heap = v->heaps + (gsize)window * v->e;
    for (;;) {
        const gint32 expert = heap[at].expert;
        const float value = v->distinct[(gsize)window * v->e + expert] / (float)v->count[expert];
        if (value == heap[at].value)
            return heap[at];
        heap[at].value = value;
        sift_down(heap, v->e, at);
    }
}

/* The replica that the hottest expert would get counts without the tie-break. */
static void find_peak(Vec *v, guint window)
{
    const Peak hottest = refresh(v, window, 0);
    float lowered =
        v->load[(gsize)window * v->e + hottest.expert] / (float)(v->count[hottest.expert] + 1);
    for (guint child = 1; child < MIN(3, v->e); child++)
        lowered = MAX(lowered, refresh(v, window, child).value);
    v->hottest[window] = hottest.value;
    v->hottest_of[window] = hottest.expert;
    v->lowered[window] = lowered;
}

static float sum_of_peaks(Vec *v, gint32 expert)
{
    for (guint t = 0; t < v->n_windows; t++)
        v->peaks[t] = v->hottest_of[t] == expert ? v->lowered[t] : v->hottest[t];
    return eep_float_sum_torch_outer(v->peaks, 1, v->n_windows);
}

/* The expert whose further replica gives the lowest sum of peaks, the first on a tie. */
static gint32 choose_expert(Vec *v)
{
    v->slot_id++;
    for (guint t = 0; t < v->n_windows; t++) {
        find_peak(v, t);
        v->tried[v->hottest_of[t]] = v->slot_id;
    }
    gint32 chosen = 0; /* where none is the hottest, all sums are those of the present peaks */
    while (chosen < (gint32)v->e && v->tried[chosen] == v->slot_id)
        chosen++;
    float least = chosen < (gint32)v->e ? sum_of_peaks(v, chosen) : 0.0F;
    for (guint t = 0; t < v->n_windows; t++) {
        const gint32 expert = v->hottest_of[t];
        if (v->tried[expert] != v->slot_id)
            continue;
        v->tried[expert] = 0;
        const float sum = sum_of_peaks(v, expert);
        if (chosen < (gint32)v->e && (sum > least || (sum == least && expert > chosen)))
            continue;
        chosen = expert;
        least = sum;
    }
    return chosen;
}

static void replicate(Vec *v, guint node)
{
    const gint32 *mlog2log = v->mlog2log + (gsize)node * v->e;
    for (guint t = 0; t < v->n_windows; t++) {
        const gsize row = (gsize)t * v->e;
        for (guint i = 0; i < v->e; i++) {
            v->load[row + i] = v->window_load[(gsize)t * v->n_experts + mlog2log[i]];
            v->distinct[row + i] = v->load[row + i] + (float)(node * v->e + i) * TIE_BREAK;
            v->heaps[row + i] = (Peak){v->distinct[row + i], (gint32)i};
        }
        for (guint i = v->e / 2; i-- > 0;)
            sift_down(v->heaps + row, v->e, i);
    }
    for (guint i = 0; i < v->e; i++) {
        v->phy2mlog[i] = (gint32)i;
        v->count[i] = 1;
    }
    for (guint slot = v->e; slot < v->r; slot++) {
        v->phy2mlog[slot] = choose_expert(v);
        v->count[v->phy2mlog[slot]]++;
    }
}

/* One row of replicas after the other, hottest first, over the node's ranks; odd rows from the last
 * rank to the first. With a slot a rank they stay where they are. */
static void deal(Vec *v, guint node, gint32 *ret_phy2log)
{
    const gint32 *mlog2log = v->mlog2log + (gsize)node * v->e;
    const guint width = v->n_ranks / v->n_nodes, S = v->n_replicas / v->n_ranks;
    if (S == 1) {
        for (guint slot = 0; slot < v->r; slot++)
            ret_phy2log[slot] = mlog2log[v->phy2mlog[slot]];
        return;
    }
    for (guint slot = 0; slot < v->r; slot++) {
        const gint32 expert = v->phy2mlog[slot];
        v->slot_load[slot] = v->total[mlog2log[expert]] / (float)v->count[expert];
    }
    eep_eplb_packer_order(v->packer, v->slot_load, v->r, v->order);
    for (guint i = 0; i < v->r; i++) {
        const guint row = i / width, column = i % width;
        const guint rank = row % 2 ? width - 1 - column : column;
        ret_phy2log[rank * S + row] = mlog2log[v->phy2mlog[v->order[i]]];
    }
}

/* DeepSeek's packing, but one group a node is dealt by load, too. */
static void deal_groups(Vec *v)
{
    const guint size = v->n_experts / v->n_groups;
    for (guint group = 0; group < v->n_groups; group++)
        v->group_load[group] = eep_float_sum_torch(v->total + (gsize)group * size, size);
    if (v->n_groups == v->n_nodes) {
        eep_eplb_packer_order(v->packer, v->group_load, v->n_groups, v->order);
        for (guint i = 0; i < v->n_groups; i++)
            v->group_at[v->order[i]] = (gint32)i;
    } else {
        eep_eplb_packer_pack(v->packer, v->group_load, v->n_groups, v->n_nodes, v->group_at);
    }
    for (guint group = 0; group < v->n_groups; group++)
        for (guint i = 0; i < size; i++)
            v->mlog2log[(guint)v->group_at[group] * size + i] = (gint32)(group * size + i);
}

/* The hierarchical form adds the windows in float32. The global one is given whole counts, whose
 * sum is exact and rounded once. */
static void read_layer(Vec *v, guint layer)
{
    const guint E = v->n_experts;
    for (guint i = 0; i < E; i++) {
        double sum = 0.0;
        for (guint t = 0; t < v->n_windows; t++) {
            const double load = v->windows[((gsize)t * v->n_layers + layer) * E + i];
            v->window_load[(gsize)t * E + i] = (float)load;
            sum += load;
        }
        v->total[i] = v->n_groups == 1
                          ? (float)sum
                          : eep_float_sum_torch_outer(v->window_load + i, E, v->n_windows);
    }
}

static void place_layers(Vec *v, gint32 *ret_phy2log)
{
    for (guint layer = 0; layer < v->n_layers; layer++) {
        read_layer(v, layer);
        deal_groups(v);
        for (guint node = 0; node < v->n_nodes; node++, ret_phy2log += v->r) {
            replicate(v, node);
            deal(v, node, ret_phy2log);
        }
    }
}

static gboolean deepseek_vec_place(const EepEplbProblem *problem, gint32 *ret_phy2log,
                                   GError **error)
{
    Vec v = {.n_windows = MAX(problem->n_windows, 1),
             .n_layers = problem->n_layers,
             .n_experts = problem->n_experts,
             .n_replicas = problem->n_replicas,
             .n_ranks = problem->n_ranks,
             .windows = problem->n_windows ? problem->windows : problem->weight};
    if (!eep_eplb_choose_hierarchy(problem, &v.n_groups, &v.n_nodes, error))
        return FALSE;
    const guint E = v.n_experts, T = v.n_windows;
    v.e = E / v.n_nodes;
    v.r = v.n_replicas / v.n_nodes;

    g_autoptr(EepEplbPacker) packer = eep_eplb_packer_new(v.n_replicas, EEP_EPLB_FLOAT32);
    g_autofree float *window_load = v.window_load = g_new(float, (gsize)T *E);
    g_autofree float *load = v.load = g_new(float, (gsize)2 * T * v.e);
    g_autofree Peak *heaps = v.heaps = g_new(Peak, (gsize)T * v.e);
    g_autofree float *floats = v.total = g_new(float, (gsize)E + 3 * (gsize)T);
    g_autofree double *doubles = v.group_load = g_new(double, (gsize)v.n_groups + v.r);
    g_autofree gint32 *maps = v.mlog2log =
        g_new(gint32, (gsize)E + 2 * (gsize)v.n_groups + v.e + 2 * (gsize)v.r + T);
    g_autofree guint64 *tried = v.tried = g_new0(guint64, v.e);
    v.packer = packer;
    v.distinct = load + (gsize)T * v.e;
    v.hottest = floats + E;
    v.lowered = v.hottest + T;
    v.peaks = v.lowered + T;
    v.slot_load = doubles + v.n_groups;
    v.group_at = maps + E;
    v.count = v.group_at + v.n_groups;
    v.phy2mlog = v.count + v.e;
    v.hottest_of = v.phy2mlog + v.r;
    v.order = v.hottest_of + T;
    place_layers(&v, ret_phy2log);
    return TRUE;
}

const EepEplbPolicy eep_eplb_policy_deepseek_vec = {
    .name = "deepseek_vec",
    .help =
        "SGLang's deepseek_vec: lowest sum over time of the hottest replica; dealt in snake order",
    .reads_windows = TRUE,
    .place = deepseek_vec_place,
};
