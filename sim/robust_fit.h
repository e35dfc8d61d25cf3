/* EepRobustFit: one or two unknowns of a cost formula from points that were seen.
 *
 *   seen = fixed + max(least, per_x * x) + per_y * y,    x, y >= 0
 *
 * The best x and y have the least sum of relative deviations, sum |predicted / seen - 1|: outliers
 * do not pull, and a point of a microsecond counts as much as one of a second. A best solution goes
 * through as many points as there are unknowns (or has an unknown at 0, or at a kink), so all such
 * solutions are tried: exact, and O(n^2) for one unknown, O(n^3) for two. Not a regression with
 * errors of its own. Pure functions, any thread. */
#ifndef EEP_SIM_ROBUST_FIT_H
#define EEP_SIM_ROBUST_FIT_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    double seen; /* > 0 */
    double fixed, least, per_x, per_y;
} EepFitPoint;

/* Mean relative deviation at (x, y); 0 without points. */
double eep_fit_deviation(const EepFitPoint *points, guint n, double x, double y);

/* The best x, with y = 0. FALSE: no x above 0 fits a point. Of equally good ones the first point's.
 */
gboolean eep_fit_one(const EepFitPoint *points, guint n, double *ret_x);

/* Both. FALSE: no solution that is above 0 in x or y. Where the points cannot tell x from y, all is
 * x. */
gboolean eep_fit_two(const EepFitPoint *points, guint n, double *ret_x, double *ret_y);

/* The x in [0, most] at which the increasing `predict` gives `seen`; the nearer end where none
 * does. */
double eep_fit_inverse(double (*predict)(gconstpointer self, double x), gconstpointer self,
                       double seen, double most);

G_END_DECLS

#endif
