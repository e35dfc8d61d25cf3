/* The dispatch-time split against the formula over all sets of ranks, and against simpler splits.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/dispatch_lp.h"
#include "core/eplb/replica_choice.h"
#include "core/rng.h"

#define MAX_SLOTS 256 /* 64 ranks of 4 */

typedef struct {
    guint n_experts, n_ranks, slots_per_rank, n_slots;
    gint32 row[MAX_SLOTS];
    guint32 tokens[MAX_SLOTS];
    guint32 count[MAX_SLOTS];
} Layer;

/* A drawn layer: some slots empty, replicas anywhere (twice on a rank, too), counts of any size. */
static void draw_layer(Layer *layer, EepRng *rng, guint max_ranks)
{
    layer->n_ranks = 1 + (guint)eep_rng_below(rng, max_ranks);
    layer->slots_per_rank = 1 + (guint)eep_rng_below(rng, 4);
    layer->n_slots = layer->n_ranks * layer->slots_per_rank;
    layer->n_experts = 1 + (guint)eep_rng_below(rng, layer->n_slots);
    memset(layer->count, 0, sizeof layer->count);
    const gboolean holes = eep_rng_below(rng, 4) == 0;
    for (guint p = 0; p < layer->n_slots; p++) {
        gint32 e = p < layer->n_experts ? (gint32)p : (gint32)eep_rng_below(rng, layer->n_experts);
        layer->row[p] = holes && eep_rng_below(rng, 4) == 0 ? -1 : e;
    }
    for (guint p = layer->n_slots; p > 1; p--) {
        guint other = (guint)eep_rng_below(rng, p);
        gint32 e = layer->row[p - 1];
        layer->row[p - 1] = layer->row[other];
        layer->row[other] = e;
    }
    for (guint p = 0; p < layer->n_slots; p++)
        if (layer->row[p] >= 0)
            layer->count[layer->row[p]]++;
    static const guint64 sizes[] = {1, 2, 5, 100, 10000, G_MAXUINT32};
    const guint64 size = sizes[eep_rng_below(rng, G_N_ELEMENTS(sizes))];
    for (guint e = 0; e < layer->n_experts; e++)
        layer->tokens[e] = eep_rng_below(rng, 3) == 0 ? 0 : (guint32)eep_rng_below(rng, size + 1);
}

/* max over sets T of ranks of tokens of experts that lie in T alone, over the size of T. */
static void brute_force(const Layer *layer, guint64 *ret_numerator, guint64 *ret_denominator)
{
    guint32 where[MAX_SLOTS] = {0};
    for (guint p = 0; p < layer->n_slots; p++)
        if (layer->row[p] >= 0)
            where[layer->row[p]] |= 1u << (p / layer->slots_per_rank);
    *ret_numerator = 0;
    *ret_denominator = 1;
    for (guint32 set = 1; set < 1u << layer->n_ranks; set++) {
        guint64 sum = 0, n = (guint64)__builtin_popcount(set);
        for (guint e = 0; e < layer->n_experts; e++)
            if (where[e] != 0 && (where[e] & ~set) == 0)
                sum += layer->tokens[e];
        if (sum * *ret_denominator > *ret_numerator * n) {
            *ret_numerator = sum;
            *ret_denominator = n;
        }
    }
}

static void check_flow(const Layer *layer, const EepDispatchLp *lp)
{
    guint64 numerator, denominator, sum[MAX_SLOTS] = {0}, most = 0;
    eep_dispatch_lp_optimum(lp, &numerator, &denominator);
    const guint64 *flow = eep_dispatch_lp_flow(lp);
    for (guint r = 0, p = 0; r < layer->n_ranks; r++) {
        guint64 load = 0;
        for (guint end = p + layer->slots_per_rank; p < end; p++) {
            load += flow[p];
            if (layer->row[p] >= 0)
                sum[layer->row[p]] += flow[p];
            else
                ck_assert_uint_eq(flow[p], 0);
        }
        most = MAX(most, load);
    }
    ck_assert_uint_eq(most, numerator); /* attained, and by nobody exceeded */
    for (guint e = 0; e < layer->n_experts; e++)
        if (layer->count[e] > 0)
            ck_assert_uint_eq(sum[e], layer->tokens[e] * denominator);
}

START_TEST(test_optimum_equals_brute_force)
{
    EepRng rng;
    eep_rng_init(&rng, (guint64)_i, "dispatch_lp");
    static Layer layer;
    for (guint i = 0; i < 1000; i++) {
        draw_layer(&layer, &rng, 9);
        g_autoptr(EepDispatchLp) lp =
            eep_dispatch_lp_new(layer.n_experts, layer.n_ranks, layer.slots_per_rank);
        eep_dispatch_lp_set_layer(lp, layer.row);
        for (guint again = 0; again < 2; again++) { /* an object may be used again */
            eep_dispatch_lp_solve(lp, layer.tokens);
            guint64 numerator, denominator, expected, over;
            eep_dispatch_lp_optimum(lp, &numerator, &denominator);
            brute_force(&layer, &expected, &over);
            ck_assert_uint_eq(numerator * over, expected * denominator);
            check_flow(&layer, lp);
            for (guint e = 0; e < layer.n_experts; e++)
                layer.tokens[e] /= 3;
        }
    }
}
END_TEST

/* Larger layers, where sets are too many: a certificate instead. No split can be better, as the
 * ranks at the level hold among them all replicas of what makes their load; see below. */
static void check_certificate(const Layer *layer, const EepDispatchLp *lp)
{
    guint64 numerator, denominator;
    eep_dispatch_lp_optimum(lp, &numerator, &denominator);
    const guint64 *flow = eep_dispatch_lp_flow(lp);
    g_autofree guint64 *load = g_new0(guint64, layer->n_ranks);
    g_autofree gboolean *in = g_new0(gboolean, layer->n_ranks);
    for (guint p = 0; p < layer->n_slots; p++)
        load[p / layer->slots_per_rank] += flow[p];
    /* The largest set of full ranks from which no flow can leave. */
    for (guint r = 0; r < layer->n_ranks; r++)
        in[r] = load[r] == numerator;
    for (gboolean changed = TRUE; changed;) {
        changed = FALSE;
        for (guint p = 0; p < layer->n_slots; p++) {
            if (!in[p / layer->slots_per_rank] || flow[p] == 0)
                continue;
            for (guint q = 0; q < layer->n_slots; q++)
                if (layer->row[q] == layer->row[p] && !in[q / layer->slots_per_rank]) {
                    in[p / layer->slots_per_rank] = FALSE;
                    changed = TRUE;
                    break;
                }
        }
    }
    guint n = 0;
    for (guint r = 0; r < layer->n_ranks; r++)
        n += in[r];
    ck_assert_uint_gt(n, 0);
}

/* A batch of the layer's ranks: tokens of each (source, expert), and of each slot under the hash.
 */
typedef struct {
    guint32 tokens[64][MAX_SLOTS], hash[MAX_SLOTS];
} Batch;

static void draw_batch(Layer *layer, EepRng *rng, Batch *ret_batch)
{
    const guint top_k = 1 + (guint)eep_rng_below(rng, MIN(8, layer->n_experts));
    const guint per_source = (guint)eep_rng_below(rng, 40);
    memset(ret_batch, 0, sizeof *ret_batch);
    memset(layer->tokens, 0, sizeof layer->tokens);
    for (guint s = 0; s < layer->n_ranks; s++)
        for (guint t = 0; t < per_source; t++)
            for (guint k = 0; k < top_k; k++) {
                double u = eep_rng_uniform(rng); /* skewed */
                guint e = (guint)(u * u * layer->n_experts);
                if (layer->count[e] == 0)
                    continue;
                ret_batch->tokens[s][e]++;
                layer->tokens[e]++;
                guint replica = eep_replica_hash(t, layer->count[e]), p = 0;
                for (;; p++)
                    if (layer->row[p] == (gint32)e && replica-- == 0)
                        break;
                ret_batch->hash[p]++;
            }
}

/* Never above the hottest rank under the hash, nor with even shares. */
static void check_is_lowest(const Layer *layer, const EepDispatchLp *lp, const Batch *batch)
{
    guint64 numerator, denominator, hottest = 0;
    double even = 0.0;
    eep_dispatch_lp_optimum(lp, &numerator, &denominator);
    for (guint r = 0, p = 0; r < layer->n_ranks; r++) {
        guint64 sum = 0;
        double share = 0.0;
        for (guint end = p + layer->slots_per_rank; p < end; p++) {
            sum += batch->hash[p];
            if (layer->row[p] >= 0)
                share += (double)layer->tokens[layer->row[p]] / layer->count[layer->row[p]];
        }
        hottest = MAX(hottest, sum);
        even = MAX(even, share);
    }
    ck_assert(numerator <= hottest * denominator);
    ck_assert((double)numerator / denominator <= even * (1 + 1e-12));
}

/* Rounded, every token goes somewhere, each (source, replica) gets its share down or up, and a rank
 * has less than one token more for each of these. */
static void check_rounding(const Layer *layer, const EepDispatchLp *lp, const Batch *batch)
{
    guint64 numerator, denominator;
    g_autofree guint32 *share = g_new(guint32, layer->n_slots);
    g_autofree guint64 *placed = g_new0(guint64, layer->n_slots);
    const guint64 *flow = eep_dispatch_lp_flow(lp);
    eep_dispatch_lp_optimum(lp, &numerator, &denominator);
    for (guint s = 0; s < layer->n_ranks; s++)
        for (guint e = 0; e < layer->n_experts; e++) {
            if (layer->count[e] == 0)
                continue;
            const guint32 n = batch->tokens[s][e];
            guint64 sum = 0, whole = layer->tokens[e] * denominator;
            eep_dispatch_lp_round(lp, e, n, eep_dispatch_lp_offset(s, e), share);
            for (guint p = 0, j = 0; p < layer->n_slots; p++) {
                if (layer->row[p] != (gint32)e)
                    continue;
                if (whole > 0) {
                    ck_assert_uint_ge(share[j], flow[p] * n / whole);
                    ck_assert_uint_le(share[j], (flow[p] * n + whole - 1) / whole);
                }
                placed[p] += share[j];
                sum += share[j++];
            }
            ck_assert_uint_eq(sum, n);
        }
    for (guint r = 0, p = 0; r < layer->n_ranks; r++) {
        guint64 sum = 0, pairs = 0;
        for (guint end = p + layer->slots_per_rank; p < end; p++) {
            sum += placed[p];
            pairs += layer->row[p] >= 0 && layer->count[layer->row[p]] > 1 ? layer->n_ranks : 0;
        }
        ck_assert(sum * denominator <= numerator + pairs * denominator);
    }
}

START_TEST(test_against_hash_and_rounding)
{
    EepRng rng;
    eep_rng_init(&rng, (guint64)_i, "dispatch_rounding");
    static Layer layer;
    static Batch batch;
    for (guint i = 0; i < 200; i++) {
        do
            draw_layer(&layer, &rng, 64);
        while (layer.n_experts < 2);
        draw_batch(&layer, &rng, &batch);
        g_autoptr(EepDispatchLp) lp =
            eep_dispatch_lp_new(layer.n_experts, layer.n_ranks, layer.slots_per_rank);
        eep_dispatch_lp_set_layer(lp, layer.row);
        eep_dispatch_lp_solve(lp, layer.tokens);
        check_flow(&layer, lp);
        check_certificate(&layer, lp);
        check_is_lowest(&layer, lp, &batch);
        check_rounding(&layer, lp, &batch);
    }
}
END_TEST

/* Worked by hand. Ranks {a, b}, {b, c}, {c, d}: a 10, b 6, c 2, d 0. Rank 0 alone has 10; b goes to
 * rank 1 whole. */
START_TEST(test_worked_example)
{
    const gint32 row[] = {0, 1, 1, 2, 2, 3};
    guint32 tokens[] = {10, 6, 2, 0};
    g_autoptr(EepDispatchLp) lp = eep_dispatch_lp_new(4, 3, 2);
    eep_dispatch_lp_set_layer(lp, row);
    eep_dispatch_lp_solve(lp, tokens);
    guint64 numerator, denominator;
    eep_dispatch_lp_optimum(lp, &numerator, &denominator);
    ck_assert_uint_eq(numerator, 10 * denominator);
    ck_assert_double_eq(eep_dispatch_lp_share(lp, 1), 0.0);
    ck_assert_double_eq(eep_dispatch_lp_share(lp, 0), 1.0);
    ck_assert_double_eq(eep_dispatch_lp_share(lp, 5), 1.0);
    /* a 1, b 7, c 2: ranks 0 and 1 alone hold a and b, 8, which is more than 10 over three. */
    tokens[0] = 1;
    tokens[1] = 7;
    eep_dispatch_lp_solve(lp, tokens);
    eep_dispatch_lp_optimum(lp, &numerator, &denominator);
    ck_assert_uint_eq(numerator, 4 * denominator);
    ck_assert_double_eq_tol(eep_dispatch_lp_share(lp, 1), 3.0 / 7, 1e-12);
    ck_assert_double_eq(eep_dispatch_lp_share(lp, 3), 0.0);
    /* No tokens at all: even shares. */
    memset(tokens, 0, sizeof tokens);
    eep_dispatch_lp_solve(lp, tokens);
    eep_dispatch_lp_optimum(lp, &numerator, &denominator);
    ck_assert_uint_eq(numerator, 0);
    ck_assert_double_eq(eep_dispatch_lp_share(lp, 2), 0.5);
}
END_TEST

/* Sources that round alone come out near the shares together: within 2 of 32 sources' sum. */
START_TEST(test_offsets_spread)
{
    const gint32 row[] = {0, 0};
    const guint32 tokens[] = {32};
    g_autoptr(EepDispatchLp) lp = eep_dispatch_lp_new(1, 2, 1);
    eep_dispatch_lp_set_layer(lp, row);
    eep_dispatch_lp_solve(lp, tokens);
    guint32 sum[2] = {0}, part[2];
    for (guint s = 0; s < 32; s++) {
        eep_dispatch_lp_round(lp, 0, 1, eep_dispatch_lp_offset(s, 0), part);
        sum[0] += part[0];
        sum[1] += part[1];
    }
    ck_assert_uint_eq(sum[0] + sum[1], 32);
    ck_assert_uint_ge(sum[0], 14);
    ck_assert_uint_le(sum[0], 18);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dispatch_lp");
    TCase *tcase = tcase_create("all");
    tcase_add_loop_test(tcase, test_optimum_equals_brute_force, 0, 5);
    tcase_add_loop_test(tcase, test_against_hash_and_rounding, 0, 5);
    tcase_add_test(tcase, test_worked_example);
    tcase_add_test(tcase, test_offsets_spread);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
