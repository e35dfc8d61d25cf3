/* Policy "eep" against "deepseek" over a sequence of recorded windows: each plans anew after every
 * window, from the map that it has. Prints, per sequence and shape, the balancedness of the maps on
 * the window after the plan and on the window of the plan, and the moves. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/eplb/score.h"
#include "eep_data.h"

static const guint shapes[][2] = {{64, 8},  {72, 8},  {80, 8},  {96, 8},  {80, 16},
                                  {96, 16}, {72, 24}, {96, 32}, {128, 32}}; /* slots, ranks */

typedef struct {
    double next, same; /* sums of balancedness */
    double moves;
} Tally;

static void follow(const EepEplbPolicy *policy, const EepEplbPolicy *start, const DataWindows *w,
                   guint past, const guint shape[2], gboolean pieces, Tally *tally)
{
    EepEplbProblem p = {.n_layers = w->n_layers,
                        .n_experts = w->n_experts,
                        .n_replicas = shape[0],
                        .n_groups = 1,
                        .n_nodes = 1,
                        .n_ranks = shape[1],
                        .n_windows = pieces ? past : 0,
                        .max_moves = EEP_EPLB_MOVES_AUTO};
    const gsize n = (gsize)p.n_layers * p.n_replicas;
    g_autofree gint32 *old = g_new(gint32, n), *map = g_new(gint32, n);
    memset(tally, 0, sizeof *tally);
    for (guint t = past; t < w->n_windows; t++) {
        g_autofree double *sum = data_sum(w, t - past, t);
        g_autoptr(GError) error = NULL;
        EepEplbScore score;
        p.weight = sum;
        p.windows = data_at(w, t - past);
        if (t == past) {
            p.old_phy2log = NULL;
            if (!eep_eplb_place(start, &p, old, &error))
                g_error("%s", error->message);
        }
        p.old_phy2log = old;
        if (!eep_eplb_place(policy, &p, map, &error))
            g_error("%s", error->message);
        tally->moves += (double)eep_eplb_count_moves(&p, old, map, NULL);
        memcpy(old, map, n * sizeof *map);
        eep_eplb_score(&p, data_at(w, t), map, NULL, &score);
        tally->next += score.balancedness;
        eep_eplb_score(&p, sum, map, NULL, &score);
        tally->same += score.balancedness;
    }
}

int main(void)
{
    static const struct {
        const char *name;
        guint tokens, past;
        gboolean pieces;
    } cases[] = {{"intent", 512, 1, FALSE}, {"law", 512, 1, FALSE},   {"shift", 512, 1, FALSE},
                 {"intent", 512, 4, FALSE}, {"shift", 512, 4, FALSE}, {"shift", 512, 4, TRUE},
                 {"law", 128, 8, TRUE},     {"shift", 128, 8, TRUE}};
    static const EepEplbPolicy *const starts[] = {&eep_eplb_policy_deepseek,
                                                  &eep_eplb_policy_naive};
    printf("sequence tokens past   start    | next: deepseek eep ratio | same: deepseek eep ratio "
           "| moves: deepseek eep ratio\n");
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        DataWindows a, b, w;
        if (!data_windows("intent", cases[i].tokens, &a) ||
            !data_windows("law", cases[i].tokens, &b)) {
            printf("skipped: no recorded routes\n");
            return DATA_SKIP;
        }
        w = g_str_equal(cases[i].name, "shift") ? data_join(&a, &b)
            : g_str_equal(cases[i].name, "law") ? b
                                                : a;
        for (guint s = 0; s < 2; s++) {
            double worst_next = 9, worst_same = 9, worst_moves = 0;
            for (guint k = 0; k < G_N_ELEMENTS(shapes); k++) {
                Tally x, y;
                const guint n = w.n_windows - cases[i].past;
                follow(&eep_eplb_policy_deepseek, starts[s], &w, cases[i].past, shapes[k],
                       cases[i].pieces, &x);
                follow(&eep_eplb_policy_eep, starts[s], &w, cases[i].past, shapes[k],
                       cases[i].pieces, &y);
                printf("%-7s %4u %2u %d %-8s %4u %3u | %.4f %.4f %.4f | %.4f %.4f %.4f | %7.0f "
                       "%7.0f %.3f\n",
                       cases[i].name, cases[i].tokens, cases[i].past, cases[i].pieces,
                       starts[s]->name, shapes[k][0], shapes[k][1], x.next / n, y.next / n,
                       y.next / x.next, x.same / n, y.same / n, y.same / x.same, x.moves, y.moves,
                       y.moves / x.moves);
                worst_next = fmin(worst_next, y.next / x.next);
                worst_same = fmin(worst_same, y.same / x.same);
                worst_moves = fmax(worst_moves, y.moves / x.moves);
            }
            printf("   worst: next %.4f same %.4f moves %.3f\n", worst_next, worst_same,
                   worst_moves);
        }
    }
    return 0;
}
