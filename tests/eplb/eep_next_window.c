/* Policy "eep" against "deepseek" on recorded routing: planned on past windows, scored on the next.
 * Prints a line a shape and exits 1 when a target of the issue is missed: mean balancedness at
 * least DeepSeek's in each task, no window of the mean over layers more than 2 % below. */
#include <math.h>
#include <stdio.h>

#include "core/eplb/score.h"
#include "eep_data.h"

static const guint shapes[][2] = {{64, 8},  {72, 8},  {80, 8},  {96, 8},  {80, 16},
                                  {96, 16}, {72, 24}, {96, 32}, {128, 32}}; /* slots, ranks */
static const struct {
    guint tokens, past;
} pasts[] = {{512, 1}, {512, 2}, {512, 4}, {512, 8}, {128, 8}, {128, 16}, {256, 4}, {256, 16}};

typedef struct {
    double deepseek, eep; /* sums of balancedness */
    double worst;         /* lowest eep / deepseek of a window */
    double worst_deepseek, worst_eep;
    guint n;
} Tally;

static double score_next(const EepEplbPolicy *policy, const EepEplbProblem *p, const double *next,
                         gint32 *map)
{
    EepEplbScore score;
    g_autoptr(GError) error = NULL;
    if (!eep_eplb_place(policy, p, map, &error))
        g_error("%s", error->message);
    eep_eplb_score(p, next, map, NULL, &score);
    return score.balancedness;
}

static void roll(const DataWindows *w, guint past, const guint shape[2], Tally *tally)
{
    EepEplbProblem p = {.n_layers = w->n_layers,
                        .n_experts = w->n_experts,
                        .n_replicas = shape[0],
                        .n_groups = 1,
                        .n_nodes = 1,
                        .n_ranks = shape[1],
                        .n_windows = past,
                        .max_moves = EEP_EPLB_MOVES_AUTO};
    g_autofree gint32 *map = g_new(gint32, (gsize)p.n_layers * p.n_replicas);
    for (guint t = past; t < w->n_windows; t++) {
        g_autofree double *sum = data_sum(w, t - past, t);
        p.weight = sum;
        p.windows = data_at(w, t - past);
        const double a = score_next(&eep_eplb_policy_deepseek, &p, data_at(w, t), map);
        const double b = score_next(&eep_eplb_policy_eep, &p, data_at(w, t), map);
        tally->deepseek += a;
        tally->eep += b;
        tally->worst = fmin(tally->worst, b / a);
        tally->worst_deepseek = fmin(tally->worst_deepseek, a);
        tally->worst_eep = fmin(tally->worst_eep, b);
        tally->n++;
    }
}

int main(void)
{
    static const char *const tasks[] = {"intent", "law"};
    gboolean failed = FALSE;
    printf("task    tokens past slots ranks  deepseek     eep  ratio  worst: deepseek    eep  "
           "worst window's ratio\n");
    for (guint i = 0; i < 2; i++) {
        for (guint j = 0; j < G_N_ELEMENTS(pasts); j++) {
            DataWindows w;
            if (!data_windows(tasks[i], pasts[j].tokens, &w)) {
                printf("skipped: no recorded routes\n");
                return DATA_SKIP;
            }
            Tally all = {.worst = 9.0, .worst_deepseek = 9.0, .worst_eep = 9.0};
            for (guint k = 0; k < G_N_ELEMENTS(shapes); k++) {
                Tally tally = {.worst = 9.0, .worst_deepseek = 9.0, .worst_eep = 9.0};
                roll(&w, pasts[j].past, shapes[k], &tally);
                printf("%-7s %6u %4u %5u %5u    %.4f  %.4f %.4f           %.4f %.4f  %.4f\n",
                       tasks[i], pasts[j].tokens, pasts[j].past, shapes[k][0], shapes[k][1],
                       tally.deepseek / tally.n, tally.eep / tally.n, tally.eep / tally.deepseek,
                       tally.worst_deepseek, tally.worst_eep, tally.worst);
                all.deepseek += tally.deepseek;
                all.eep += tally.eep;
                all.worst = fmin(all.worst, tally.worst);
            }
            printf("%-7s %6u %4u all shapes: ratio %.4f, worst window %.4f\n", tasks[i],
                   pasts[j].tokens, pasts[j].past, all.eep / all.deepseek, all.worst);
            g_free(w.tokens);
        }
    }
    return failed;
}
