/* Waterfill: the shared expert's tokens go to ranks that have less than their part of the routed
 * ones.
 *
 * A shared expert is on every rank, and without this each rank runs it on its own tokens. With it
 * every token's shared row may be run by any rank that the token visits anyway, so that nothing is
 * sent that was not, or by the token's own. With L_r routed rows on rank r and N tokens in all,
 *   H   = ceil((sum L_r + N) / R)        the level that all ranks would have
 *   S_r = max(H - L_r, 0)                slack
 *   P(token's shared row goes to r) ~ S_r on its own rank, S_r / 1.1 on the others that it visits
 * Without slack anywhere among them it stays, unless a visited rank has less than its own's load
 * even times 1.1. Source: SGLang (layers/moe/deepep_waterfill.py, pull request 19290; LMSYS blog,
 * 2026-06-26), its dynamic mode, where L comes from an all-reduce of the batch's counts; in no
 * other engine. SGLang draws in whole tokens, here slacks are weighed as they are.
 *
 * Pure functions of one layer's batch. Any thread, nothing owned. */
#ifndef EEP_CORE_EPLB_WATERFILL_H
#define EEP_CORE_EPLB_WATERFILL_H

#include <glib.h>

G_BEGIN_DECLS

/* ret_slack[n_ranks] of routed[n_ranks] rows and `tokens` in all. Returns the level H. */
double eep_waterfill_slack(const double *routed, guint n_ranks, double tokens, double *ret_slack);

/* The rank that runs one token's shared row: visited[n_visited] ranks (its own may be among them,
 * a rank may stand twice), u uniform in [0, 1). */
guint eep_waterfill_rank(const double *routed, const double *slack, const guint32 *visited,
                         guint n_visited, guint own, double u);

/* Expected shared rows of each rank, ret_rows[n_ranks], which sum to the tokens. own[n_ranks]:
 * tokens of each rank's batch; visit[n_ranks]: probability that a token visits the rank, taken to
 * be independent of the others. `scratch`: 3 * n_ranks. The expectation of 1 / (sum of a random
 * set of slacks) is the integral of the slacks' Laplace transforms. Against draws: within 2 % of
 * the mean rank's rows where tokens visit ranks independently (tests). */
void eep_waterfill_expect(const double *routed, const double *slack, const double *own,
                          const double *visit, guint n_ranks, double *scratch, double *ret_rows);

G_END_DECLS

#endif
