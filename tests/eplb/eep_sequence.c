/* Policy "eep" against "deepseek" over a sequence of recorded windows: each plans anew after every
 * window, from the map that it has, "eep" with as many moves as it likes. Prints a line a shape:
 * the balancedness on the window after the plan and on what was planned for, and the moves. Exits 1
 * when over all shapes of a sequence eep has less than 99 % of DeepSeek's balancedness on the next
 * window or more than a quarter of its moves. "shift" is intent, then law. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/eplb/score.h"
#include "tests/eplb/eep_data.h"

static const guint shapes[][2] = {{64, 8},  {72, 8},  {80, 8},  {96, 8},  {80, 16},
                                  {96, 16}, {72, 24}, {96, 32}, {128, 32}}; /* slots, ranks */

typedef struct {
    double next, same; /* sums of balancedness */
    double moves;
} Tally;

static void follow(const EepEplbPolicy *policy, const EepEplbPolicy *start, const DataWindows *w,
                   guint past, const guint shape[2], Tally *tally)
{
    EepEplbProblem p = {.n_layers = w->n_layers,
                        .n_experts = w->n_experts,
                        .n_replicas = shape[0],
                        .n_groups = 1,
                        .n_nodes = 1,
                        .n_ranks = shape[1],
                        .n_windows = past,
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

/* FALSE when a target is missed. */
static gboolean compare(const char *name, const EepEplbPolicy *start, const DataWindows *w,
                        guint tokens, guint past)
{
    const guint n = w->n_windows - past;
    Tally all_a = {0}, all_b = {0};
    double next = 9.0, same = 9.0, moves = 0.0;
    for (guint k = 0; k < G_N_ELEMENTS(shapes); k++) {
        Tally a, b;
        follow(&eep_eplb_policy_deepseek, start, w, past, shapes[k], &a);
        follow(&eep_eplb_policy_eep, start, w, past, shapes[k], &b);
        printf("%-7s %6u %4u %-8s %5u %5u | %8.4f %7.4f %7.4f | %8.4f %7.4f %7.4f | %8.0f %7.0f "
               "%6.3f\n",
               name, tokens, past, start->name, shapes[k][0], shapes[k][1], a.next / n, b.next / n,
               b.next / a.next, a.same / n, b.same / n, b.same / a.same, a.moves, b.moves,
               b.moves / a.moves);
        next = fmin(next, b.next / a.next);
        same = fmin(same, b.same / a.same);
        moves = fmax(moves, b.moves / a.moves);
        all_a = (Tally){all_a.next + a.next, all_a.same + a.same, all_a.moves + a.moves};
        all_b = (Tally){all_b.next + b.next, all_b.same + b.same, all_b.moves + b.moves};
    }
    printf("%-7s %6u %4u %-8s  all shapes | lowest %.4f mean %.4f | lowest %.4f mean %.4f | "
           "highest %.3f all %.3f\n",
           name, tokens, past, start->name, next, all_b.next / all_a.next, same,
           all_b.same / all_a.same, moves, all_b.moves / all_a.moves);
    return all_b.next >= 0.99 * all_a.next && all_b.moves <= 0.25 * all_a.moves;
}

int main(void)
{
    static const struct {
        guint tokens, past;
    } lengths[] = {{512, 1}, {512, 4}, {256, 4}};
    static const EepEplbPolicy *const starts[] = {&eep_eplb_policy_deepseek,
                                                  &eep_eplb_policy_naive};
    gboolean reached = TRUE;
    printf("%-42s |        next window         |        planned load        | moves\n", "");
    printf("task    tokens past start    slots ranks | deepseek     eep   ratio | deepseek     "
           "eep   ratio | deepseek     eep  ratio\n");
    for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
        DataWindows intent, law;
        if (!data_windows("intent", lengths[i].tokens, &intent) ||
            !data_windows("law", lengths[i].tokens, &law)) {
            printf("skipped: no recorded routes\n");
            return DATA_SKIP;
        }
        DataWindows shift = data_join(&intent, &law);
        for (guint s = 0; s < G_N_ELEMENTS(starts); s++) {
            const guint tokens = lengths[i].tokens, past = lengths[i].past;
            reached = compare("intent", starts[s], &intent, tokens, past) && reached;
            reached = compare("law", starts[s], &law, tokens, past) && reached;
            reached = compare("shift", starts[s], &shift, tokens, past) && reached;
        }
        g_free(intent.tokens);
        g_free(law.tokens);
        g_free(shift.tokens);
    }
    return reached ? 0 : 1;
}
