#include "core/skew_drift.h"

#include <math.h>
#include <stdlib.h>

#include "core/math.h"
#include "core/rng.h"

/* Knots that a random walk looks back: a share of 2^-8 lies before them. */
#define LOOK_BACK 8

/* Levels of midpoints between two knots. */
#define LEVELS 5

/* A domain's share in a later one below which it is forgotten, and how many are looked at where
 * correlation is so near to 1 that none is. */
#define FORGOTTEN   (1.0 / 256)
#define MAX_DOMAINS 1000

#define MAX_TAG 64

/* Whose scores are asked for. */
typedef struct {
    const EepScores *scores;
    guint request_class;
    gboolean is_decode;
    guint layer;
    const guint *base_rank; /* nullable */
} Whose;

void eep_scores_normal(guint n, double *ret_scores)
{
    double sum = 0.0;
    for (guint r = 0; r < n; r++) {
        ret_scores[r] = -eep_normal_quantile((r + 0.5) / n);
        sum += ret_scores[r] * ret_scores[r];
    }
    for (guint r = 0; sum > 0.0 && r < n; r++)
        ret_scores[r] /= sqrt(sum / n);
}

void eep_scores_init(EepScores *scores, const EepSkewOptions *options, guint64 seed,
                     guint n_experts)
{
    *scores =
        (EepScores){.seed = seed,
                    .n_experts = n_experts,
                    .n_classes = (guint)options->classes,
                    .layer_correlation =
                        options->layers == EEP_SKEW_LAYERS_SAME ? 1.0 : options->layer_correlation,
                    .class_correlation = options->class_correlation,
                    .decode_correlation = options->decode_correlation,
                    .normal = g_new(double, n_experts)};
    eep_scores_normal(n_experts, scores->normal);
}

void eep_scores_clear(EepScores *scores)
{
    g_free(scores->normal);
}

/* Adds weight times the field that the stream's order makes of the quantiles. */
static void add_order(const EepScores *scores, const char *stream, double weight, double *sums)
{
    const guint n = scores->n_experts;
    g_autofree guint *rank = g_new(guint, n);
    EepRng rng;

    for (guint e = 0; e < n; e++)
        rank[e] = e;
    eep_rng_init(&rng, scores->seed, stream);
    for (guint e = n - 1; e > 0; e--) {
        const guint other = (guint)eep_rng_below(&rng, e + 1), moved = rank[e];
        rank[e] = rank[other];
        rank[other] = moved;
    }
    for (guint e = 0; e < n; e++)
        sums[e] += weight * scores->normal[rank[e]];
}

/* What all layers share and what is the layer's own. Streams are named after what they are for, so
 * that nothing depends on what else was asked. `part` "" and `tag` "" are the ones at time 0:
 * "skew" and "skew/LAYER". */
static void add_layer(const Whose *whose, const char *tag, const char *part, double weight,
                      double *sums)
{
    const EepScores *scores = whose->scores;
    const double shared = scores->layer_correlation;
    char stream[MAX_TAG + 48];

    if (whose->base_rank != NULL && *tag == '\0' && *part == '\0') {
        for (guint e = 0; e < scores->n_experts; e++)
            sums[e] += weight * scores->normal[whose->base_rank[e]];
        return;
    }
    g_snprintf(stream, sizeof stream, "skew%s%s", tag, part);
    if (shared > 0.0)
        add_order(scores, stream, weight * sqrt(shared), sums);
    if (shared >= 1.0)
        return;
    g_snprintf(stream, sizeof stream, "skew%s%s/%u", tag, part, whose->layer);
    add_order(scores, stream, weight * sqrt(1.0 - shared), sums);
}

/* What all classes share and what is the class's own. */
static void add_class(const Whose *whose, const char *tag, const char *phase, double weight,
                      double *sums)
{
    const double shared = whose->scores->n_classes > 1 ? whose->scores->class_correlation : 1.0;
    char part[32];

    if (shared > 0.0)
        add_layer(whose, tag, phase, weight * sqrt(shared), sums);
    if (shared >= 1.0)
        return;
    g_snprintf(part, sizeof part, "%s/class%u", phase, whose->request_class);
    add_layer(whose, tag, part, weight * sqrt(1.0 - shared), sums);
}

/* Adds weight times the field of that tag, as whose scores are asked for. */
static void add_field(const Whose *whose, const char *tag, double weight, double *sums)
{
    const double r = whose->is_decode ? whose->scores->decode_correlation : 1.0;

    if (r > 0.0)
        add_class(whose, tag, "", weight * r, sums);
    if (r < 1.0)
        add_class(whose, tag, "/decode", weight * sqrt(1.0 - r * r), sums);
}

/* Adds knot k of the walk: the sum over j < k of sqrt(3/4) 2^-j noise(k - j), and 2^-k of the
 * start, which also stands for what lies further back than LOOK_BACK. */
static void add_knot(const Whose *whose, guint64 k, double *sums)
{
    const guint64 back = MIN(k, LOOK_BACK);
    double share = 1.0;
    char tag[MAX_TAG];

    for (guint64 j = 0; j < back; j++, share /= 2.0) {
        g_snprintf(tag, sizeof tag, "/walk/%" G_GUINT64_FORMAT, k - j);
        add_field(whose, tag, sqrt(0.75) * share, sums);
    }
    add_field(whose, "", share, sums);
}

/* The walk at `x` in [0, 1) between knots k and k + 1. The midpoint of two values that are
 * correlated by r is, given both, their sum times sqrt(r) / (1 + r) with variance (1 - r) / (1 +
 * r), and is correlated by sqrt(r) with each. */
static void walk_at(const Whose *whose, guint64 k, double x, double *ret_scores)
{
    const guint n = whose->scores->n_experts;
    g_autofree double *scratch = g_new0(double, 3 * n);
    double *low = scratch, *high = scratch + n, *mid = scratch + 2 * n;
    double r = 0.5;
    char tag[MAX_TAG];

    add_knot(whose, k, low);
    add_knot(whose, k + 1, high);
    for (guint level = 1, node = 0; level <= LEVELS; level++, r = sqrt(r)) {
        const double both = sqrt(r) / (1.0 + r), fresh = sqrt((1.0 - r) / (1.0 + r));
        const gboolean upper = x >= 0.5;
        for (guint e = 0; e < n; e++)
            mid[e] = both * (low[e] + high[e]);
        g_snprintf(tag, sizeof tag, "/walk/%" G_GUINT64_FORMAT "/%u/%u", k, level, node);
        add_field(whose, tag, fresh, mid);
        double **end = upper ? &low : &high, *old = *end;
        *end = mid;
        mid = old;
        x = 2.0 * x - (upper ? 1.0 : 0.0);
        node = 2 * node + (upper ? 1 : 0);
    }
    const double norm = sqrt((1.0 - x) * (1.0 - x) + x * x + 2.0 * r * x * (1.0 - x));
    for (guint e = 0; e < n; e++)
        ret_scores[e] = ((1.0 - x) * low[e] + x * high[e]) / norm;
}

guint64 eep_drift_domain(const EepSkewOptions *options, EepTime at)
{
    if (options->drift.kind != EEP_DRIFT_SHIFT || at < options->drift.at)
        return 0;
    return options->drift.every > 0 ? 1 + (guint64)((at - options->drift.at) / options->drift.every)
                                    : 1;
}

/* Domain j is c times domain j - 1 plus sqrt(1 - c^2) of its own; the first one also stands for
 * what is too far back. */
static void add_domain(const Whose *whose, double c, guint64 domain, double *sums)
{
    const double fresh = sqrt(1.0 - c * c);
    double share = 1.0;
    guint looked = 0;
    char tag[MAX_TAG];

    for (; domain > 0 && share > FORGOTTEN && looked < MAX_DOMAINS;
         domain--, looked++, share *= c) {
        g_snprintf(tag, sizeof tag, "/domain%" G_GUINT64_FORMAT, domain);
        add_field(whose, tag, fresh * share, sums);
    }
    add_field(whose, "", share, sums);
}

void eep_scores_at(const EepScores *scores, const EepSkewOptions *options, EepTime at,
                   guint component, guint layer, const guint *base_rank, double *ret_scores)
{
    const Whose whose = {scores, component / 2, component % 2 != 0, layer, base_rank};
    const guint64 domain = options->drift.correlation < 1.0 ? eep_drift_domain(options, at) : 0;

    if (options->drift.kind == EEP_DRIFT_RANDOM_WALK && at > 0) {
        const EepTime half_life = options->drift.half_life;
        walk_at(&whose, (guint64)(at / half_life), (double)(at % half_life) / (double)half_life,
                ret_scores);
        return;
    }
    for (guint e = 0; e < scores->n_experts; e++)
        ret_scores[e] = 0.0;
    if (domain > 0)
        add_domain(&whose, options->drift.correlation, domain, ret_scores);
    else
        add_field(&whose, "", 1.0, ret_scores);
}

typedef struct {
    double score;
    guint expert;
} Scored;

static int higher_first(const void *x, const void *y)
{
    const Scored *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->expert < b->expert ? -1 : 1;
}

void eep_scores_rank(const double *scores, guint n_experts, guint *ret_rank)
{
    g_autofree Scored *sorted = g_new(Scored, n_experts);
    for (guint e = 0; e < n_experts; e++)
        sorted[e] = (Scored){scores[e], e};
    qsort(sorted, n_experts, sizeof *sorted, higher_first);
    for (guint r = 0; r < n_experts; r++)
        ret_rank[sorted[r].expert] = r;
}
