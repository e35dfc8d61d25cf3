#include "core/skew_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/math.h"
#include "core/skew_drift.h"
#include "core/skew_law.h"

/* Correlation below which a lag says nothing about the half-life, and the fall over the lags that
 * may still be the noise of a single layer. */
#define LEAST_CORRELATION 0.15
#define LEAST_FALL        0.02

typedef struct {
    const EepLoadRecord *record;
    guint n;          /* experts */
    double *loads;    /* [L][E], all windows */
    double *p;        /* [L][E], popularity */
    gboolean counted; /* whole numbers, so that their sampling noise is known */
    double inflation; /* of that noise by consecutive tokens that choose alike */
} Fit;

static int rising(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static double sum_of(const double *values, guint n)
{
    double sum = 0.0;
    for (guint i = 0; i < n; i++)
        sum += values[i];
    return sum;
}

static double dot(const double *x, const double *y, guint n)
{
    double sum = 0.0;
    for (guint i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Share of tokens that choose an expert with this share of the choices. */
static double inclusion_of(const EepLoadRecord *record, double share)
{
    return fmin(MAX(record->top_k, 1) * share, 1.0);
}

/* Sums over windows, checked; new array [L][E]. */
static double *loads_of(const EepLoadRecord *record, GError **error)
{
    const guint n = record->n_experts;
    double *loads = g_new(double, (gsize)record->n_layers *n);
    eep_load_record_sum(record, 0, record->n_windows, loads);
    for (guint l = 0; l < record->n_layers; l++)
        if (!(sum_of(loads + (gsize)l * n, n) > 0.0)) {
            g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
                        "layer %u of the record has no counts: one above 0 in every layer", l);
            g_free(loads);
            return NULL;
        }
    return loads;
}

/* ---- laws: one layer, `falling` values ---- */

/* Least squares of log value on log rank over the first n ranks; minus the slope. */
static double zipf_slope(const double *values, guint n, double *ret_r2)
{
    double x = 0.0, y = 0.0, xx = 0.0, xy = 0.0, yy = 0.0;
    guint used = 0;
    for (guint r = 0; r < n && values[r] > 0.0; r++, used++) {
        const double a = eep_log(r + 1.0), b = eep_log(values[r]);
        x += a, y += b, xx += a * a, xy += a * b, yy += b * b;
    }
    const double vxx = xx - x * x / used, vxy = xy - x * y / used, vyy = yy - y * y / used;
    if (ret_r2 != NULL)
        *ret_r2 = used > 1 && vyy > 0.0 ? vxy * vxy / (vxx * vyy) : 1.0;
    return used > 1 ? -vxy / vxx : 0.0;
}

/* Mean of y in [0, width] with a density in proportion to exp(theta y). */
static double tilted_mean(double theta, double width)
{
    const double t = theta * width;
    if (fabs(t) < 1e-4)
        return width * (0.5 + t / 12.0);
    return width / (1.0 - eep_exp(-t)) - 1.0 / theta;
}

/* log x of a density x^-alpha is tilted by exp((1 - alpha) log x). Maximum likelihood of the tilt,
 * by its mean; the support is wider than the values by what n draws leave at its ends. */
static void power_law(const double *values, guint n, double *ret_alpha, double *ret_spread)
{
    const double top = eep_log(values[0]), low = eep_log(values[n - 1]);
    const double end = n > 1 ? (top - low) / (n - 1.0) : 0.0, width = top - low + 2.0 * end;
    double mean = 0.0;

    *ret_alpha = 0.0;
    *ret_spread = eep_exp(width);
    if (!(width > 1e-9))
        return;
    for (guint r = 0; r < n; r++)
        mean += (eep_log(values[r]) - low + end) / n;
    double least = -500.0 / width, most = 500.0 / width;
    for (int i = 0; i < 100; i++) {
        const double theta = 0.5 * (least + most);
        if (tilted_mean(theta, width) < mean)
            least = theta;
        else
            most = theta;
    }
    *ret_alpha = 1.0 - 0.5 * (least + most);
}

/* Variance of log popularity over experts, less the variance that sampling adds: pi / ((1 - pi) T
 * log^2(1 - pi)) for an expert that T tokens choose with probability pi, and 1 / count where
 * choices stand for themselves. */
static double lognormal_sigma(const Fit *fit, guint layer)
{
    const guint n = fit->n;
    const double *p = fit->p + (gsize)layer * n, *loads = fit->loads + (gsize)layer * n;
    const double choices = sum_of(loads, n), k = MAX(fit->record->top_k, 1);
    double mean = 0.0, variance = 0.0, noise = 0.0;

    for (guint e = 0; e < n; e++)
        mean += eep_log(p[e]) / n;
    for (guint e = 0; e < n; e++) {
        const double away = eep_log(p[e]) - mean;
        const double pi = fmin(fmax(loads[e], 0.5) * k / choices, 0.999);
        const double none = -eep_log(1.0 - pi);
        variance += away * away / MAX(n - 1, 1);
        if (fit->record->top_k > 0)
            noise += pi / ((1.0 - pi) * none * none * (choices / k)) / n;
        else
            noise += (1.0 - pi) / fmax(loads[e], 0.5) / n;
    }
    return sqrt(fmax(0.0, variance - (fit->counted ? fit->inflation * noise : 0.0)));
}

static double misfit(const double *values, double *law, guint n)
{
    const double sum = sum_of(law, n);
    double away = 0.0;
    for (guint r = 0; r < n; r++)
        away += fabs(values[r] - law[r] / sum);
    return 0.5 * away;
}

static void fit_layer_laws(const Fit *fit, guint layer, const double *falling, double *scratch,
                           EepSkewFit *sums)
{
    const guint n = fit->n;
    double r2, alpha, spread;
    const double exponent = zipf_slope(falling, n, &r2);
    const double sigma = lognormal_sigma(fit, layer);

    power_law(falling, n, &alpha, &spread);
    sums->exponent += exponent;
    sums->exponent_r2 += r2;
    sums->alpha += alpha;
    sums->spread += eep_log(spread);
    sums->sigma += sigma;
    eep_law_zipf(exponent, n, scratch);
    sums->zipf_misfit += misfit(falling, scratch, n);
    for (guint r = 0; r < n; r++)
        scratch[r] = eep_law_power_quantile(alpha, spread, 1.0 - (r + 0.5) / n);
    sums->power_law_misfit += misfit(falling, scratch, n);
    for (guint r = 0; r < n; r++)
        scratch[r] = eep_exp(-sigma * eep_normal_quantile((r + 0.5) / n));
    sums->lognormal_misfit += misfit(falling, scratch, n);
}

/* Returns max over mean. */
static double fit_layer_counts(const double *falling, guint n, EepSkewFit *sums)
{
    const double all = sum_of(falling, n);
    double gini = 0.0;

    for (guint r = 0; r < n; r++)
        gini += (n - 1.0 - 2.0 * r) * falling[r];
    sums->gini += gini / (n * all);
    sums->counts_exponent += zipf_slope(falling, n, NULL);
    sums->counts_exponent_top += zipf_slope(falling, MAX(n / 2, 1), NULL);
    sums->tokens += all / MAX(sums->top_k, 1);
    return falling[0] * n / all;
}

static void sort_falling(const double *values, guint n, double *ret_falling)
{
    memcpy(ret_falling, values, n * sizeof *values);
    qsort(ret_falling, n, sizeof *ret_falling, rising);
    for (guint r = 0; r < n / 2; r++) {
        const double low = ret_falling[r];
        ret_falling[r] = ret_falling[n - 1 - r];
        ret_falling[n - 1 - r] = low;
    }
}

static void fit_laws(const Fit *fit, EepSkewFit *ret)
{
    const guint n = fit->n, n_layers = fit->record->n_layers;
    g_autofree double *falling = g_new(double, n), *scratch = g_new(double, n);
    g_autofree double *ratios = g_new(double, n_layers);

    for (guint l = 0; l < n_layers; l++) {
        sort_falling(fit->loads + (gsize)l * n, n, falling);
        ratios[l] = fit_layer_counts(falling, n, ret);
        sort_falling(fit->p + (gsize)l * n, n, falling);
        fit_layer_laws(fit, l, falling, scratch, ret);
    }
    double *const means[] = {&ret->tokens,      &ret->counts_exponent,  &ret->counts_exponent_top,
                             &ret->gini,        &ret->exponent,         &ret->exponent_r2,
                             &ret->alpha,       &ret->spread,           &ret->sigma,
                             &ret->zipf_misfit, &ret->power_law_misfit, &ret->lognormal_misfit};
    for (guint i = 0; i < G_N_ELEMENTS(means); i++)
        *means[i] /= n_layers;
    ret->spread = eep_exp(ret->spread);
    qsort(ratios, n_layers, sizeof *ratios, rising);
    ret->max_over_mean_min = ratios[0];
    ret->max_over_mean_median = 0.5 * (ratios[(n_layers - 1) / 2] + ratios[n_layers / 2]);
    ret->max_over_mean_max = ratios[n_layers - 1];
    ret->law = EEP_SKEW_ZIPF;
    if (ret->power_law_misfit < ret->zipf_misfit)
        ret->law = EEP_SKEW_POWER_LAW;
    if (ret->lognormal_misfit < fmin(ret->zipf_misfit, ret->power_law_misfit))
        ret->law = EEP_SKEW_LOGNORMAL;
}

/* ---- scores ---- */

static void scores_of(const double *values, const double *normal, guint n, double *ret_scores)
{
    g_autofree guint *rank = g_new(guint, n);
    eep_scores_rank(values, n, rank);
    for (guint e = 0; e < n; e++)
        ret_scores[e] = normal[rank[e]];
}

/* Scores have variance 1, so that their sum over L layers has L + L (L - 1) times the mean
 * correlation of two. */
static double layer_correlation(const Fit *fit)
{
    const guint n = fit->n, n_layers = fit->record->n_layers;
    g_autofree double *normal = g_new(double, n), *scores = g_new(double, n);
    g_autofree double *sums = g_new0(double, n);

    if (n_layers < 2 || n < 2)
        return 0.0;
    eep_scores_normal(n, normal);
    for (guint l = 0; l < n_layers; l++) {
        scores_of(fit->p + (gsize)l * n, normal, n, scores);
        for (guint e = 0; e < n; e++)
            sums[e] += scores[e];
    }
    return (dot(sums, sums, n) / n - n_layers) / ((double)n_layers * (n_layers - 1));
}

/* ---- tokens ---- */

static double stickiness(const EepLoadRecord *record)
{
    const gsize k = record->top_k, token = record->n_layers * k;
    guint64 shared = 0;

    if (record->routes == NULL || k == 0 || record->n_tokens < 2)
        return 0.0;
    for (gsize t = 1; t < record->n_tokens; t++)
        for (gsize l = 0; l < record->n_layers; l++) {
            const guint8 *now = record->routes + t * token + l * k, *before = now - token;
            for (gsize i = 0; i < k; i++)
                shared += memchr(before, now[i], k) != NULL;
        }
    return (double)shared / ((double)(record->n_tokens - 1) * token);
}

static double chance_overlap(const Fit *fit)
{
    const EepLoadRecord *record = fit->record;
    double overlap = 0.0;

    if (record->top_k == 0)
        return 0.0;
    for (guint l = 0; l < record->n_layers; l++) {
        const double *loads = fit->loads + (gsize)l * fit->n;
        const double all = sum_of(loads, fit->n);
        for (guint e = 0; e < fit->n; e++) {
            const double pi = inclusion_of(record, loads[e] / all);
            overlap += pi * pi / record->top_k / record->n_layers;
        }
    }
    return overlap;
}

/* ---- drift ---- */

/* A layer's windows as shares of the layer's load, and the sampling variance that the sum of their
 * squares holds. */
typedef struct {
    guint n_used;
    double *shares; /* [n_used][E] */
    double *noise;  /* [n_used] */
    gint *window;   /* [n_used] */
} Windows;

static void windows_of(const Fit *fit, guint layer, Windows *windows)
{
    const EepLoadRecord *record = fit->record;
    const guint n = fit->n;
    double most = 0.0;

    windows->n_used = 0;
    for (guint w = 0; w < record->n_windows; w++)
        most = fmax(most, sum_of(record->tokens + ((gsize)w * record->n_layers + layer) * n, n));
    for (guint w = 0; w < record->n_windows; w++) {
        const double *row = record->tokens + ((gsize)w * record->n_layers + layer) * n;
        double *shares = windows->shares + (gsize)windows->n_used * n, noise = 0.0;
        const double all = sum_of(row, n);
        if (all < 0.5 * most)
            continue;
        for (guint e = 0; e < n; e++) {
            shares[e] = row[e] / all;
            noise += shares[e] * (1.0 - inclusion_of(record, shares[e])) / all;
        }
        windows->noise[windows->n_used] = fit->counted ? fit->inflation * noise : 0.0;
        windows->window[windows->n_used++] = (gint)w;
    }
}

/* Adds a layer's means over pairs of windows at each lag; FALSE where a lag has no pair. Score
 * correlation r is had from that of shares, c, as for lognormal loads: 1 + c v = (1 + v)^r, with v
 * the squared coefficient of variation. */
static gboolean add_lags(const Windows *windows, guint n, guint n_lags, EepSkewFit *sums,
                         double *ret_correlation)
{
    for (guint lag = 1; lag <= n_lags; lag++) {
        double cosine = 0.0, clean = 0.0, covariance = 0.0, variance = 0.0;
        guint pairs = 0;
        for (guint i = 0; i < windows->n_used; i++)
            for (guint j = i + 1; j < windows->n_used; j++) {
                if (windows->window[j] - windows->window[i] != (gint)lag)
                    continue;
                const double *a = windows->shares + (gsize)i * n,
                             *b = windows->shares + (gsize)j * n;
                const double aa = dot(a, a, n), bb = dot(b, b, n), ab = dot(a, b, n);
                const double ca = aa - windows->noise[i], cb = bb - windows->noise[j];
                cosine += ab / sqrt(aa * bb);
                clean += ca > 0.0 && cb > 0.0 ? fmin(1.0, ab / sqrt(ca * cb)) : 1.0;
                covariance += ab - 1.0 / n;
                variance += 0.5 * (ca + cb) - 1.0 / n;
                pairs++;
            }
        if (pairs == 0)
            return FALSE;
        sums->counts_cosine[lag - 1] += cosine / pairs;
        sums->cosine[lag - 1] += clean / pairs;
        const double v = variance / pairs * n;
        const double c = variance > 0.0 ? fmin(1.0, fmax(-1.0, covariance / variance)) : 1.0;
        ret_correlation[lag - 1] =
            v > 0.0 && c * v > -1.0 ? eep_log(1.0 + c * v) / eep_log(1.0 + v) : 1.0;
    }
    return TRUE;
}

/* From the slope of log2 correlation over the lags that still say something. A start below 1 is
 * noise that was not taken out, so that the line need not begin at 1. `by_layer` [L][MAX_LAG]. */
static double half_life(const EepSkewFit *fit, const double *by_layer)
{
    const double *r = fit->score_correlation;
    double w = 0.0, x = 0.0, y = 0.0, xx = 0.0, xy = 0.0, fall = 0.0, squares = 0.0;
    guint used = 0;

    while (used < fit->n_lags && r[used] > LEAST_CORRELATION) {
        const double weight = r[used] * r[used], level = eep_log(r[used]) / eep_log(2.0);
        used++;
        w += weight, x += weight * used, xx += weight * used * used;
        y += weight * level, xy += weight * used * level;
    }
    if (used < 2)
        return fit->n_lags < 2 ? INFINITY : -eep_log(2.0) / eep_log(fmax(r[0], 1e-3));
    for (guint l = 0; l < fit->n_layers; l++) {
        const double *row = by_layer + (gsize)l * EEP_SKEW_FIT_MAX_LAG;
        const double d = row[0] - row[used - 1];
        fall += d / fit->n_layers;
        squares += d * d / fit->n_layers;
    }
    const double error = sqrt(fmax(0.0, squares - fall * fall) / MAX(fit->n_layers - 1, 1));
    const double slope = (xy - x * y / w) / (xx - x * x / w);
    return fall > fmax(LEAST_FALL, 3.0 * error) && slope < 0.0 ? -1.0 / slope : INFINITY;
}

static void fit_drift(const Fit *fit, EepSkewFit *ret)
{
    const guint n = fit->n, n_windows = fit->record->n_windows;
    g_autofree double *shares = g_new(double, (gsize)n_windows *n);
    g_autofree double *noise = g_new(double, n_windows);
    g_autofree gint *window = g_new(gint, n_windows);
    g_autofree double *by_layer =
        g_new0(double, (gsize)fit->record->n_layers *EEP_SKEW_FIT_MAX_LAG);
    Windows windows = {0, shares, noise, window};

    ret->half_life_windows = INFINITY;
    windows_of(fit, 0, &windows);
    guint n_lags = windows.n_used > 1
                       ? MIN((guint)(window[windows.n_used - 1] - window[0]), EEP_SKEW_FIT_MAX_LAG)
                       : 0;
    for (guint l = 0; l < fit->record->n_layers && n_lags > 0; l++) {
        windows_of(fit, l, &windows);
        if (!add_lags(&windows, n, n_lags, ret, by_layer + (gsize)l * EEP_SKEW_FIT_MAX_LAG))
            n_lags = 0;
    }
    ret->n_lags = n_lags;
    for (guint i = 0; i < EEP_SKEW_FIT_MAX_LAG; i++) {
        for (guint l = 0; l < ret->n_layers; l++)
            ret->score_correlation[i] +=
                by_layer[(gsize)l * EEP_SKEW_FIT_MAX_LAG + i] / ret->n_layers;
        ret->counts_cosine[i] = i < n_lags ? ret->counts_cosine[i] / ret->n_layers : 0.0;
        ret->cosine[i] = i < n_lags ? ret->cosine[i] / ret->n_layers : 0.0;
        ret->score_correlation[i] = i < n_lags ? ret->score_correlation[i] : 0.0;
    }
    if (n_lags > 0)
        ret->half_life_windows = half_life(ret, by_layer);
}

static gboolean is_counted(const EepLoadRecord *record)
{
    const gsize cells = (gsize)record->n_windows * record->n_layers * record->n_experts;
    for (gsize i = 0; i < cells; i++)
        if (record->tokens[i] != floor(record->tokens[i]))
            return FALSE;
    return TRUE;
}

gboolean eep_skew_fit(const EepLoadRecord *record, EepSkewFit *ret_fit, GError **error)
{
    const guint n = record->n_experts;
    g_autofree double *loads = loads_of(record, error);
    if (loads == NULL)
        return FALSE;
    g_autofree double *p = g_new(double, (gsize)record->n_layers *n);
    for (guint l = 0; l < record->n_layers; l++)
        eep_law_recorded(loads + (gsize)l * n, n, record->top_k, p + (gsize)l * n);

    Fit fit = {record, n, loads, p, is_counted(record), 1.0};
    EepSkewFit ret = {.n_windows = record->n_windows,
                      .n_layers = record->n_layers,
                      .n_experts = n,
                      .top_k = record->top_k};
    ret.chance_overlap = chance_overlap(&fit);
    ret.stickiness = stickiness(record);
    /* Choices that are kept with probability q carry over (1 + q) / (1 - q) times the variance. */
    if (ret.stickiness > ret.chance_overlap)
        fit.inflation = (1.0 + ret.stickiness - 2.0 * ret.chance_overlap) / (1.0 - ret.stickiness);
    fit_laws(&fit, &ret);
    ret.layer_correlation = layer_correlation(&fit);
    fit_drift(&fit, &ret);
    *ret_fit = ret;
    return TRUE;
}

gboolean eep_skew_fit_likeness(const EepLoadRecord *a, const EepLoadRecord *b,
                               EepSkewLikeness *ret_likeness, GError **error)
{
    const guint n = a->n_experts, n_layers = a->n_layers;
    if (b->n_experts != n || b->n_layers != n_layers) {
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
                    "one record has %u layers of %u experts, the other %u of %u: the same model",
                    n_layers, n, b->n_layers, b->n_experts);
        return FALSE;
    }
    g_autofree double *x = loads_of(a, error), *y = x != NULL ? loads_of(b, error) : NULL;
    if (y == NULL)
        return FALSE;
    g_autofree double *normal = g_new(double, n), *scores = g_new(double, 2 * n);
    g_autofree guint *rank = g_new(guint, 2 * n);
    EepSkewLikeness ret = {0};
    eep_scores_normal(n, normal);
    for (guint l = 0; l < n_layers; l++) {
        const double *p = x + (gsize)l * n, *q = y + (gsize)l * n;
        scores_of(p, normal, n, scores);
        scores_of(q, normal, n, scores + n);
        eep_scores_rank(p, n, rank);
        eep_scores_rank(q, n, rank + n);
        ret.cosine += dot(p, q, n) / sqrt(dot(p, p, n) * dot(q, q, n)) / n_layers;
        ret.score_correlation += dot(scores, scores + n, n) / n / n_layers;
        for (guint e = 0; e < n; e++)
            ret.shared_top8 += (rank[e] < 8 && rank[n + e] < 8) / (double)n_layers;
    }
    *ret_likeness = ret;
    return TRUE;
}
