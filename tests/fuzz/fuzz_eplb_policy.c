/* Any bytes as a placement problem for every EPLB policy: sizes that may not divide, loads that may
 * be no numbers, windows, dead ranks, a present map. No policy crashes, hangs or writes beyond its
 * map; a refusal has a reason; a map that it returns serves every expert, leaves dead ranks empty
 * and is the same when asked again. */
#include "tests/fuzz/fuzz_target.h"

#include "core/eplb/policy.h"

#include <math.h>
#include <string.h>

typedef struct {
    const uint8_t *data;
    size_t left;
} Bytes;

/* Zeros once there are no more. */
static guint take(Bytes *bytes, guint bound)
{
    if (bytes->left == 0)
        return 0;
    bytes->left--;
    return *bytes->data++ % bound;
}

static double take_load(Bytes *bytes)
{
    static const double unusual[] = {
        0.0,    -0.0,       -1.0,        NAN,        -NAN,   INFINITY,     -INFINITY, 4.9e-324,
        1e-310, G_MAXFLOAT, G_MAXDOUBLE, 16777217.0, 0x1p53, 0x1p53 + 2.0, 1e-45,     1e39,
    };
    const guint kind = take(bytes, 256);
    if (kind < G_N_ELEMENTS(unusual))
        return unusual[kind];
    if (kind == 255) { /* any double */
        guint64 bits = 0;
        double value;
        for (guint i = 0; i < 8; i++)
            bits = bits << 8 | take(bytes, 256);
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    return kind % 4 == 0 ? kind * 1e6 : kind / 7.0;
}

static double *take_loads(Bytes *bytes, gsize n)
{
    double *loads = g_new(double, n);
    for (gsize i = 0; i < n; i++)
        loads[i] = take_load(bytes);
    return loads;
}

static void check_map(const EepEplbProblem *p, const gint32 *map)
{
    const guint S = p->n_replicas / p->n_ranks;
    for (guint layer = 0; layer < p->n_layers; layer++, map += p->n_replicas) {
        guint8 seen[64] = {0};
        guint n_seen = 0;
        for (guint slot = 0; slot < p->n_replicas; slot++) {
            if (!eep_eplb_problem_is_active(p, slot / S)) {
                g_assert(map[slot] == -1);
                continue;
            }
            g_assert(map[slot] >= 0 && map[slot] < (gint32)p->n_experts);
            n_seen += !seen[map[slot]];
            seen[map[slot]] = 1;
        }
        g_assert(n_seen == p->n_experts);
    }
}

static void place(const EepEplbPolicy *policy, const EepEplbProblem *p)
{
    const gsize n = (gsize)p->n_layers * p->n_replicas;
    g_autofree gint32 *map = g_new(gint32, MAX(n, 1)), *again = g_new(gint32, MAX(n, 1));
    g_autoptr(GError) error = NULL;
    const gboolean placed = eep_eplb_place(policy, p, map, &error);
    g_assert(placed == (error == NULL));
    if (!placed)
        return;
    check_map(p, map);
    g_assert(eep_eplb_place(policy, p, again, NULL));
    g_assert(memcmp(map, again, n * sizeof *map) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Bytes bytes = {data, size};
    const guint flags = take(&bytes, 256);
    EepEplbProblem p = {
        .n_layers = take(&bytes, 4),
        .n_experts = take(&bytes, 40),
        .n_groups = take(&bytes, 9),
        .n_nodes = take(&bytes, 5),
        .n_ranks = take(&bytes, 13),
        .n_windows = take(&bytes, 6),
    };
    p.n_replicas = p.n_ranks * take(&bytes, 16) + (flags & 1 ? take(&bytes, 4) : 0);
    p.max_moves = (gint64)take(&bytes, 64) - 8;

    const gsize cells = (gsize)p.n_layers * p.n_experts, slots = (gsize)p.n_layers * p.n_replicas;
    g_autofree double *weight = take_loads(&bytes, MAX(cells, 1));
    g_autofree double *windows = take_loads(&bytes, MAX(cells * p.n_windows, 1));
    g_autofree guint8 *active = g_new(guint8, MAX(p.n_ranks, 1));
    g_autofree gint32 *old = g_new(gint32, MAX(slots, 1));
    p.weight = weight;
    p.windows = windows;
    for (guint rank = 0; rank < p.n_ranks; rank++)
        active[rank] = take(&bytes, 5) != 1;
    for (gsize i = 0; i < slots; i++) {
        const guint value = take(&bytes, 256);
        old[i] = value >= 250 ? (gint32)value - 255 : (gint32)(value % MAX(p.n_experts, 1));
    }
    if (flags & 2)
        p.active = active;
    if (flags & 4)
        p.old_phy2log = old;
    for (gsize i = 0; (flags & 8) && p.n_windows > 0 && i < cells; i++) {
        weight[i] = 0.0;
        for (guint t = 0; t < p.n_windows; t++)
            weight[i] += windows[t * cells + i];
    }

    guint n;
    const EepEplbPolicy *const *policies = eep_eplb_policy_list(&n);
    for (guint i = 0; i < n; i++)
        place(policies[i], &p);
    return 0;
}
