#include "sim/robust_fit.h"

#include <math.h>

#define HALVINGS 100

static double predicted(const EepFitPoint *point, double x, double y)
{
    return point->fixed + fmax(point->least, point->per_x * x) + point->per_y * y;
}

double eep_fit_deviation(const EepFitPoint *points, guint n, double x, double y)
{
    double sum = 0.0;
    for (guint i = 0; i < n; i++)
        sum += fabs(predicted(&points[i], x, y) / points[i].seen - 1.0);
    return n > 0 ? sum / n : 0.0;
}

typedef struct {
    const EepFitPoint *points;
    guint n;
    gboolean has;
    double x, y, deviation;
} Search;

static void consider(Search *search, double x, double y)
{
    if (!(x >= 0.0 && y >= 0.0 && x + y > 0.0))
        return;
    double deviation = eep_fit_deviation(search->points, search->n, x, y);
    if (search->has && deviation >= search->deviation)
        return;
    search->has = TRUE;
    search->x = x;
    search->y = y;
    search->deviation = deviation;
}

static void consider_one(Search *search)
{
    for (guint i = 0; i < search->n; i++) {
        const EepFitPoint *point = &search->points[i];
        if (point->per_x > 0.0)
            consider(search, (point->seen - point->fixed) / point->per_x, 0.0);
        if (point->per_x > 0.0 && point->least > 0.0)
            consider(search, point->least / point->per_x, 0.0);
    }
}

gboolean eep_fit_one(const EepFitPoint *points, guint n, double *ret_x)
{
    Search search = {.points = points, .n = n};
    consider_one(&search);
    if (search.has)
        *ret_x = search.x;
    return search.has;
}

gboolean eep_fit_two(const EepFitPoint *points, guint n, double *ret_x, double *ret_y)
{
    Search search = {.points = points, .n = n};
    consider_one(&search);
    for (guint i = 0; i < n; i++)
        if (points[i].per_y > 0.0)
            consider(&search, 0.0, (points[i].seen - points[i].fixed) / points[i].per_y);
    for (guint i = 0; i < n; i++)
        for (guint k = i + 1; k < n; k++) {
            const EepFitPoint *a = &points[i], *b = &points[k];
            double d = a->per_x * b->per_y - b->per_x * a->per_y;
            double u = a->seen - a->fixed, v = b->seen - b->fixed;
            if (d != 0.0)
                consider(&search, (u * b->per_y - v * a->per_y) / d,
                         (a->per_x * v - b->per_x * u) / d);
        }
    if (!search.has)
        return FALSE;
    *ret_x = search.x;
    *ret_y = search.y;
    return TRUE;
}

double eep_fit_inverse(double (*predict)(gconstpointer self, double x), gconstpointer self,
                       double seen, double most)
{
    double low = 0.0, high = most;
    for (guint i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2.0;
        if (predict(self, middle) < seen)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2.0;
}
