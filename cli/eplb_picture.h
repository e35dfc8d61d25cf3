/* Pictures of `eep eplb`: where experts lie before and after, and how balance goes over time.
 *
 * Writes tables for plots/expert_rank.gp, plots/layer_imbalance.gp and plots/balance_windows.gp and
 * lets gnuplot draw them (gnuplot.h). Nothing is kept; one thread. */
#ifndef EEP_CLI_EPLB_PICTURE_H
#define EEP_CLI_EPLB_PICTURE_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* expert_rank (heat map of one layer, the least balanced before) and layer_imbalance into `folder`.
 * before, after [L][R]; bound [L]. before_name: what `before` is. */
gboolean eep_eplb_picture_maps(const char *folder, const char *title, const EepEplbProblem *problem,
                               const char *before_name, const gint32 *before, const gint32 *after,
                               const double *bound, GError **error);

/* A line of a picture over windows. */
typedef struct {
    const char *name;
    const double *balance; /* [n_windows], NAN where there is none */
    const guint64 *moved;  /* [n_windows], experts moved before the window; > 0 is marked */
} EepEplbLine;

/* NAME.png and NAME.svg: balancedness by window, reshuffles marked. */
gboolean eep_eplb_picture_windows(const char *folder, const char *name, const char *title,
                                  guint n_windows, const EepEplbLine *lines, guint n_lines,
                                  GError **error);

G_END_DECLS

#endif
