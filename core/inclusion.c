#include "core/inclusion.h"

#include <math.h>

#include "core/math.h"

void eep_inclusion(const double *p, guint n, guint k, double *ret_pi)
{
    g_return_if_fail(k > 0 && k <= n);
    if (k == n) {
        for (guint e = 0; e < n; e++)
            ret_pi[e] = 1.0;
        return;
    }
    /* Newton from below: the sum is concave and increasing in tau, so the steps never overshoot. */
    double tau = k;
    for (int i = 0; i < 100; i++) {
        double sum = 0.0, slope = 0.0;
        for (guint e = 0; e < n; e++) {
            double none = eep_exp(-p[e] * tau);
            ret_pi[e] = 1.0 - none;
            sum += ret_pi[e];
            slope += p[e] * none;
        }
        if (fabs(k - sum) < 1e-10 * k)
            break;
        tau += (k - sum) / slope;
    }
}
