/* Link share: how fast a step and a move of experts go on while both want the links.
 *
 * A step spends the fraction a of its time, evenly spread, in the all-to-all; a move's transfers
 * want the links all the time. While both want them, moves have the share s of the links and the
 * all-to-all 1 - s. For a unit of a step's own time, with q = s / (1 - s):
 *
 *     it takes (1 - a) + a / (1 - s) = 1 + a q,
 *     in which the move gets (1 - a) + a q of its own time done.
 *
 * So a step that overlaps moves for the fraction f of its time is longer by f q times its
 * all-to-all seconds, and at s = 1/2 (fair shares) a move of m seconds lasts m (1 + a) beside steps
 * and costs them m a. The all-to-all's seconds are taken whole: of a small batch much of it is
 * latency, which a move would not lengthen, so the effect on small steps is an upper bound. s = 0
 * switches it off: neither slows the other. Pure; any thread. */
#ifndef EEP_CORE_LINK_SHARE_H
#define EEP_CORE_LINK_SHARE_H

#include <glib.h>

G_BEGIN_DECLS

/* Own seconds done in a second. */
typedef struct {
    double step, move; /* in [0, 1]; 1: as if alone */
} EepLinkRates;

/* share: s; all2all: a; both in [0, 1]. */
static inline EepLinkRates eep_link_share_rates(double share, double all2all)
{
    if (share <= 0.0 || all2all <= 0.0)
        return (EepLinkRates){1.0, 1.0};
    const double rest = 1.0 - share, both = rest + all2all * share;
    return (EepLinkRates){rest / both, (rest * (1.0 - all2all) + all2all * share) / both};
}

/* Seconds that steps lose by a move whose transfers take `link_s` on idle links, when steps run
 * without a pause: link_s * a q / ((1 - a) + a q). */
static inline double eep_link_share_steps_lose_s(double share, double all2all, double link_s)
{
    const EepLinkRates rates = eep_link_share_rates(share, all2all);
    return link_s / rates.move * (1.0 - rates.step);
}

/* Seconds that such transfers last beside steps. */
static inline double eep_link_share_move_lasts_s(double share, double all2all, double link_s)
{
    return link_s / eep_link_share_rates(share, all2all).move;
}

G_END_DECLS

#endif
