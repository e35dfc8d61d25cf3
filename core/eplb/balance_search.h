/* EepBalanceSearch: one layer's map, improved step by step where it is hottest.
 *
 * A step exchanges two replicas between ranks, or makes a replica of one expert one of another
 * (both counts change), so that the hottest rank cools and no other gets as hot. What is heat: the
 * rank's load, plus the square root of its variance where one is given. Not a policy (eep_policy.c
 * is): it knows one layer and no budget. Complexity of a step: O(S * R) exchanges and O(R * S)
 * changes of counts, each of which looks at the ranks of two experts. Owns its memory, borrows the
 * arrays of _begin() until the next one; one thread. */
#ifndef EEP_CORE_EPLB_BALANCE_SEARCH_H
#define EEP_CORE_EPLB_BALANCE_SEARCH_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

typedef struct EepBalanceSearch EepBalanceSearch;

/* Reads the problem's sizes and active ranks, which must stay. */
EepBalanceSearch *eep_balance_search_new(const EepEplbProblem *problem);
void eep_balance_search_free(EepBalanceSearch *search); /* NULL is allowed */

/* Ranks [n_ranks] of one number exchange replicas with each other only; NULL = all with all. */
void eep_balance_search_set_nodes(EepBalanceSearch *search, const guint *node);

/* One layer from now on: mean [E] and, where not NULL, variance [E] of an expert's load; held [R]
 * (nullable): the map that moves are counted from, none without it. Then _load() is due. */
void eep_balance_search_begin(EepBalanceSearch *search, const double *mean, const double *variance,
                              const gint32 *held);

/* map [R], copied: every expert has a slot and every slot of an active rank an expert. */
void eep_balance_search_load(EepBalanceSearch *search, const gint32 *map);

const gint32 *eep_balance_search_map(const EepBalanceSearch *search);   /* [R] */
double eep_balance_search_hottest(const EepBalanceSearch *search);      /* heat */
double eep_balance_search_hottest_load(const EepBalanceSearch *search); /* highest mean load */
double eep_balance_search_mean_heat(const EepBalanceSearch *search);    /* over active ranks */
/* ret_load [D]: mean loads. */
void eep_balance_search_loads(const EepBalanceSearch *search, double *ret_load);
/* Candidates that steps have looked at since _begin() or _run(), long lists of replicas for more.
 */
guint64 eep_balance_search_judged(const EepBalanceSearch *search);
guint eep_balance_search_moves(const EepBalanceSearch *search);

/* The best single step; FALSE when none cools the hottest rank. move_price: heat that a step must
 * gain for every replica that it brings to a rank where it was not held. max_moves: steps that
 * would exceed it are not taken. */
gboolean eep_balance_search_step(EepBalanceSearch *search, double move_price, guint max_moves);

/* Steps until none is left or the hottest rank is at most good_enough; then chains: the steps that
 * overheat another rank least, and what repairs that. effort bounds the candidates looked at. */
void eep_balance_search_run(EepBalanceSearch *search, double good_enough, guint64 effort);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepBalanceSearch, eep_balance_search_free)

G_END_DECLS

#endif
