/* How much experts' loads scatter between windows, from an EepEplbProblem's windows.
 *
 * Not a forecast of where popularity drifts: the scatter around the mean, as of draws. Pure, any
 * thread. */
#ifndef EEP_CORE_EPLB_WINDOW_NOISE_H
#define EEP_CORE_EPLB_WINDOW_NOISE_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* Variance of each expert's load in one window of the layer, in the unit of the problem's weight
 * (T windows' load) squared: ret_variance [E]. FALSE, with ret_variance undefined, below two
 * windows with load, where nothing scatters, and where it scatters beyond what a double holds.
 *
 * Overdispersed counts: variance = dispersion * mean with one dispersion a layer (Pearson's chi
 * square over its degrees of freedom, McCullagh & Nelder, "Generalized Linear Models", 1989, 4.5),
 * mixed with the expert's own by the number of windows. */
gboolean eep_window_noise(const EepEplbProblem *problem, guint layer, double *ret_variance);

G_END_DECLS

#endif
