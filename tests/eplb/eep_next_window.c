/* Policy "eep" against "deepseek" on recorded routing: planned on past windows, scored on the next.
 * Prints a line a shape and exits 1 when, for a task and length, mean balancedness over the shapes
 * is below DeepSeek's or the shapes' worst windows are in the mean more than 2 % below DeepSeek's
 * worst. A single shape's worst window is one draw of some dozen; the lowest is printed, no target.
 */
#include <math.h>
#include <stdio.h>

#include "core/eplb/score.h"
#include "tests/eplb/eep_data.h"

static const guint shapes[][2] = {{64, 8},  {72, 8},  {80, 8},  {96, 8},  {80, 16},
                                  {96, 16}, {72, 24}, {96, 32}, {128, 32}}; /* slots, ranks */
static const struct {
    guint tokens, past;
} pasts[] = {{512, 1}, {512, 4}, {512, 8}, {256, 8}, {128, 16}};

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

/* One task in windows of one length; FALSE when a target is missed. */
static gboolean compare(const char *task, const DataWindows *w, guint tokens, guint past)
{
    Tally all = {.worst = 9.0};
    double lowest = 9.0, sum = 0.0; /* of the shapes' worst windows, eep / deepseek */
    for (guint k = 0; k < G_N_ELEMENTS(shapes); k++) {
        Tally tally = {.worst = 9.0, .worst_deepseek = 9.0, .worst_eep = 9.0};
        roll(w, past, shapes[k], &tally);
        printf("%-7s %6u %4u %5u %5u | %8.4f %7.4f %7.4f | %8.4f %7.4f %7.4f | %7.4f\n", task,
               tokens, past, shapes[k][0], shapes[k][1], tally.deepseek / tally.n,
               tally.eep / tally.n, tally.eep / tally.deepseek, tally.worst_deepseek,
               tally.worst_eep, tally.worst_eep / tally.worst_deepseek, tally.worst);
        all.deepseek += tally.deepseek;
        all.eep += tally.eep;
        all.worst = fmin(all.worst, tally.worst);
        lowest = fmin(lowest, tally.worst_eep / tally.worst_deepseek);
        sum += tally.worst_eep / tally.worst_deepseek;
    }
    const double worst = sum / G_N_ELEMENTS(shapes);
    printf("%-7s %6u %4u  all shapes |                  %7.4f | mean %.4f lowest %.4f | %7.4f\n",
           task, tokens, past, all.eep / all.deepseek, worst, lowest, all.worst);
    return all.eep >= all.deepseek && worst >= 0.98;
}

int main(void)
{
    static const char *const tasks[] = {"intent", "law"};
    gboolean reached = TRUE;
    printf("%-32s |           mean window      |          worst window      | same window\n", "");
    printf(
        "task    tokens past slots ranks | deepseek     eep   ratio | deepseek     eep   ratio | "
        "lowest ratio\n");
    for (guint i = 0; i < G_N_ELEMENTS(tasks); i++) {
        for (guint j = 0; j < G_N_ELEMENTS(pasts); j++) {
            DataWindows w;
            if (!data_windows(tasks[i], pasts[j].tokens, &w)) {
                printf("skipped: no recorded routes\n");
                return DATA_SKIP;
            }
            reached = compare(tasks[i], &w, pasts[j].tokens, pasts[j].past) && reached;
            g_free(w.tokens);
        }
    }
    return reached ? 0 : 1;
}
