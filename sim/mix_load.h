/* Expert tables for steps whose tokens are of several kinds.
 *
 * One expert_load.h for each mix of components (popularity.h) that occurs, the last 64 of them. A
 * mix counts in eighths, by largest remainder, so that there are few; a token of it picks like the
 * mean of its components, and counts add up over components, hence so do their moments. With
 * stickiness the tokens of a chunk are no longer independent: an expert's picks by n of them have
 * (1 + keep) / (1 - keep) times the variance, those of a compound Poisson process of geometric
 * bursts. With one component without stickiness there is one table, as if mixes did not exist. Not
 * thread-safe; one owner. */
#ifndef EEP_SIM_MIX_LOAD_H
#define EEP_SIM_MIX_LOAD_H

#include "sim/expert_load.h"
#include "sim/popularity.h"

G_BEGIN_DECLS

#define EEP_MIX_SHARES 8

/* Eighths of the tokens by component, four bits each, component 0 lowest. */
typedef guint32 EepMix;

typedef struct EepMixLoad EepMixLoad;

/* Borrows `popularity` for life; the rest is as for eep_expert_load_new(). */
EepMixLoad *eep_mix_load_new(const EepPopularity *popularity, guint n_layers, guint n_experts,
                             guint top_k, const EepSlotCost *cost, guint64 max_tokens);
void eep_mix_load_free(EepMixLoad *self); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMixLoad, eep_mix_load_free)

/* How tokens choose replicas, and waterfill, in all tables; before the first update. */
void eep_mix_load_set_dispatch(EepMixLoad *self, const EepExpertDispatch *dispatch);

/* The mix of these tokens; with none in it that of decodes of class 0. Components that are alike
 * count as the first of them. */
EepMix eep_mix_load_mix_of(const EepMixLoad *self, const EepTokenMix *tokens);

/* The tables of `mix`, up to date with the present popularity, `placement` and `n_sources`;
 * *ret_changed: whether they were not before. They are valid until the next call. */
EepExpertLoad *eep_mix_load_update(EepMixLoad *self, EepMix mix, const EepPlacement *placement,
                                   guint n_sources, gboolean *ret_changed);

G_END_DECLS

#endif
