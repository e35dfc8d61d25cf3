/* Loads that the tests of the policy "eep" share: the reference vectors, the recorded routes cut
 * into windows of any length, drawn problems.
 *
 * Test code: ends the program on data that it cannot read. The caller owns what is returned. */
#ifndef EEP_TESTS_EPLB_EEP_DATA_H
#define EEP_TESTS_EPLB_EEP_DATA_H

#include "core/eplb/policy.h"
#include "core/rng.h"

G_BEGIN_DECLS

#define DATA_SKIP 77

/* Names of the vectors in ../shared/eplb, sorted; empty when absent. */
GPtrArray *data_vectors(void);

/* The vector's problem; its weight is handed to ret_weight. */
EepEplbProblem data_vector(const char *name, double **ret_weight);

/* Recorded tokens by window, layer and expert. */
typedef struct {
    guint n_windows, n_layers, n_experts;
    double *tokens; /* [T][L][E] */
} DataWindows;

/* ../shared/expert-load, task "intent" or "law", in windows of that many tokens, the last one only
 * if full; FALSE when the data are absent. */
gboolean data_windows(const char *task, guint tokens, DataWindows *ret_windows);

/* One after the other. */
DataWindows data_join(const DataWindows *first, const DataWindows *second);

/* Sum over windows [from, to): [L][E]. */
double *data_sum(const DataWindows *windows, guint from, guint to);

static inline const double *data_at(const DataWindows *windows, guint window)
{
    return windows->tokens + (gsize)window * windows->n_layers * windows->n_experts;
}

/* Loads of one layer of one of a few kinds: Zipf, log-normal, one hot expert, ties, zeros. */
void data_draw(EepRng *rng, guint n_experts, double *ret_weight);

G_END_DECLS

#endif
