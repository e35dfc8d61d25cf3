/* For a threshold t of at most half the load M let s = min(S, floor(M / t)), the most replicas of t
 * or more that a rank can hold, and
 *     u_t(x) = 1 / s * ([x >= t] + sum over k = 1 .. s - 1 of [x > max(M / 2, M - k t)]).
 * What fits on a rank together has sum u_t <= 1: without a replica above M / 2 each costs 1 / s or
 * nothing, and at most s cost anything; there is at most one x above M / 2, which leaves room for
 * floor((M - x) / t) others of t or more and costs 1 - min(floor((M - x) / t), s - 1) / s. With
 * t = 0 and 1 / S each, u_0 counts slots.
 *
 * Any u = sum of lambda_t u_t with lambda >= 0, sum lambda = 1 has the same property, so a map with
 * counts c needs V(c) = sum over e of c_e u(w_e / c_e) <= ranks. That is a sum over experts: its
 * least value over all counts, slots or not, is the sum of each expert's least, and if this exceeds
 * the ranks no map stays at M. lambda is found as one side of a game, the counts (as shares of each
 * expert's choices) as the other; both take multiplicative steps against a forecast of the other's
 * next one (optimistic multiplicative weights), which settles within some ten rounds. */
#include "core/eplb/joint_prices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_THRESHOLDS 192
/* Numbers of replicas of an expert that the game knows; it starts with FIRST, FIRST_LIGHT for one
 * that is LIGHT, a share of the load. */
#define MAX_CHOICES     12
#define FIRST           3
#define FIRST_LIGHT     2
#define LIGHT           0.25
#define LEAST_THRESHOLD 0.01 /* of the load */
#define PROOF_MARGIN    1e-9
#define MAX_ROUNDS      80
#define MAX_CHECKS      12
/* Steps of the two sides and the largest change of a share in one. */
#define STEP_COUNTS     5.0
#define STEP_THRESHOLDS 0.2
#define MOST_UP         1.0
#define MOST_DOWN       (-0.6)
#define LEAST_SHARE     1e-9

typedef struct {
    double size;
    guint choice;
} Sized;

typedef struct {
    double price; /* in the last round */
    double share; /* of the expert */
    guint count;
    guint place; /* among the sizes */
} Choice;

typedef struct {
    double at, part;                           /* part = 1 / n */
    guint n, rise[EEP_JOINT_PRICES_MAX_SLOTS]; /* places from which a replica costs a part more */
    double lambda, excess;                     /* excess: in the last round */
} Threshold;

struct EepJointPrices {
    guint *n_listed; /* [n], choices of each expert */
    guint *first;    /* [n + 1], of an expert's choices */
    Choice *choice;
    Sized *sized;  /* [n_choices], rising */
    double *price; /* [n_choices + 1] by place */
    double *above; /* [n_choices + 1], replicas at the place or above */
    double *candidate;
    Threshold *threshold; /* [n_thresholds], the first is the slots */
    guint n_choices, n_thresholds;
    /* The question. */
    const double *weight;
    const guint *least;
    guint n, n_ranks, S, spare;
    double load;
    gboolean is_new; /* no proof about these experts so far */
};

EepJointPrices *eep_joint_prices_new(guint max_experts)
{
    EepJointPrices *p = g_new0(EepJointPrices, 1);
    const gsize n = (gsize)max_experts * MAX_CHOICES;
    p->n_listed = g_new(guint, max_experts);
    p->first = g_new(guint, max_experts + 1);
    p->choice = g_new(Choice, n);
    p->sized = g_new(Sized, n);
    p->price = g_new(double, n + 1);
    p->above = g_new(double, n + 1);
    p->candidate = g_new(double, n);
    p->threshold = g_new(Threshold, MAX_THRESHOLDS + 1);
    return p;
}

void eep_joint_prices_free(EepJointPrices *p)
{
    if (!p)
        return;
    g_free(p->n_listed);
    g_free(p->first);
    g_free(p->choice);
    g_free(p->sized);
    g_free(p->price);
    g_free(p->above);
    g_free(p->candidate);
    g_free(p->threshold);
    g_free(p);
}

void eep_joint_prices_reset(EepJointPrices *p)
{
    p->is_new = TRUE;
}

static int rising_size(const void *a, const void *b)
{
    const Sized *x = a, *y = b;
    if (x->size != y->size)
        return x->size > y->size ? 1 : -1;
    return (x->choice > y->choice) - (x->choice < y->choice);
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* First place of a size of at least that, or above it; n_choices when there is none. */
static guint place_of(const EepJointPrices *p, double size, gboolean is_above)
{
    guint low = 0, high = p->n_choices;
    while (low < high) {
        const guint middle = (low + high) / 2;
        const double here = p->sized[middle].size;
        if (is_above ? here > size : here >= size)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void list_choices(EepJointPrices *p)
{
    guint n = 0;
    for (guint e = 0; e < p->n; e++) {
        p->first[e] = n;
        for (guint k = 0; k < p->n_listed[e]; k++, n++) {
            const guint count = p->least[e] + k;
            p->choice[n] = (Choice){0.0, 1.0 / p->n_listed[e], count, 0};
            p->sized[n] = (Sized){p->weight[e] / count, n};
        }
    }
    p->first[p->n] = p->n_choices = n;
    qsort(p->sized, n, sizeof *p->sized, rising_size);
    for (guint i = 0; i < n; i++)
        p->choice[p->sized[i].choice].place = i;
}

/* Where a price can jump: at sizes, and at what sizes leave; of too many, every so manieth. */
static void list_thresholds(EepJointPrices *p)
{
    guint n = 0;
    for (guint i = 0; i < p->n_choices; i++) {
        const double size = p->sized[i].size;
        const double at = 2.0 * size <= p->load ? size : (p->load - size) * (1.0 + PROOF_MARGIN);
        if (at > LEAST_THRESHOLD * p->load && 2.0 * at <= p->load)
            p->candidate[n++] = at;
    }
    qsort(p->candidate, n, sizeof *p->candidate, rising);
    const guint taken = MIN(n, MAX_THRESHOLDS);
    p->threshold[0] = (Threshold){.part = 1.0 / p->S, .n = 1};
    p->n_thresholds = 1;
    for (guint i = 0; i < taken; i++) {
        const double at = p->candidate[(gsize)i * n / taken];
        if (at <= p->threshold[p->n_thresholds - 1].at)
            continue;
        Threshold *t = &p->threshold[p->n_thresholds++];
        *t = (Threshold){.at = at, .n = (guint)fmin(p->S, floor(p->load / at))};
        t->part = 1.0 / t->n;
        t->rise[0] = place_of(p, at, FALSE);
        for (guint k = 1; k < t->n; k++)
            t->rise[k] = place_of(p, fmax(p->load / 2.0, p->load - k * at), TRUE);
    }
    for (guint i = 0; i < p->n_thresholds; i++)
        p->threshold[i].lambda = i == 0 ? 0.5 : 0.5 / (p->n_thresholds - 1);
    if (p->n_thresholds == 1)
        p->threshold[0].lambda = 1.0;
}

static void sum_prices(EepJointPrices *p)
{
    memset(p->price, 0, (p->n_choices + 1) * sizeof *p->price);
    for (guint i = 0; i < p->n_thresholds; i++) {
        const Threshold *t = &p->threshold[i];
        for (guint k = 0; k < t->n; k++)
            p->price[t->rise[k]] += t->lambda * t->part;
    }
    for (guint i = 1; i < p->n_choices; i++)
        p->price[i] += p->price[i - 1];
}

static inline double stepped(double share, double step)
{
    const double next = share * (1.0 + CLAMP(step, MOST_DOWN, MOST_UP));
    return MAX(next, LEAST_SHARE);
}

/* One step of an expert's shares towards its cheap counts. Returns its least price. */
static double step_expert(EepJointPrices *p, guint e, gboolean is_first)
{
    double least = G_MAXDOUBLE, mean = 0.0, sum = 0.0, forecast[MAX_CHOICES];
    Choice *choice = p->choice + p->first[e];
    const guint n = p->n_listed[e];
    for (guint i = 0; i < n; i++) {
        const double price = choice[i].count * p->price[choice[i].place];
        least = MIN(least, price);
        forecast[i] = is_first ? price : 2.0 * price - choice[i].price;
        choice[i].price = price;
        mean += choice[i].share * forecast[i];
    }
    for (guint i = 0; i < n; i++) {
        choice[i].share = stepped(choice[i].share, STEP_COUNTS * (mean - forecast[i]));
        sum += choice[i].share;
    }
    for (guint i = 0; i < n; i++) {
        choice[i].share /= sum;
        p->above[choice[i].place] += choice[i].count * choice[i].share;
    }
    return least;
}

/* One step of the prices towards thresholds that the present shares exceed. FALSE when they exceed
 * none: a mixture that no prices of these thresholds refute. */
static gboolean step_thresholds(EepJointPrices *p, gboolean is_first)
{
    double mean = 0.0, sum = 0.0, most = -G_MAXDOUBLE;
    for (guint i = p->n_choices; i-- > 0;)
        p->above[i] += p->above[i + 1];
    for (guint i = 0; i < p->n_thresholds; i++) {
        Threshold *t = &p->threshold[i];
        double excess = 0.0;
        for (guint k = 0; k < t->n; k++)
            excess += p->above[t->rise[k]];
        excess = excess * t->part - p->n_ranks;
        most = MAX(most, excess);
        p->candidate[i] = is_first ? excess : 2.0 * excess - t->excess; /* forecast */
        t->excess = excess;
        mean += t->lambda * p->candidate[i];
    }
    for (guint i = 0; i < p->n_thresholds; i++) {
        Threshold *t = &p->threshold[i];
        t->lambda = stepped(t->lambda, STEP_THRESHOLDS * (p->candidate[i] - mean));
        sum += t->lambda;
    }
    for (guint i = 0; i < p->n_thresholds; i++)
        p->threshold[i].lambda /= sum;
    return most > 0.0;
}

/* Price of a replica of any size, or less: that of the next smaller one that has a place. */
static double price_of(const EepJointPrices *p, double size)
{
    const guint place = place_of(p, size, TRUE);
    return place > 0 ? p->price[place - 1] : p->threshold[0].lambda * p->threshold[0].part;
}

/* The present prices against every number of replicas. Numbers that the game does not know and that
 * cost less are made known: TRUE in ret_grown when there are any. */
static gboolean check(EepJointPrices *p, gboolean *ret_grown)
{
    const double floor_price = p->threshold[0].lambda * p->threshold[0].part;
    double sum = 0.0;
    *ret_grown = FALSE;
    for (guint e = 0; e < p->n; e++) {
        double best = G_MAXDOUBLE;
        guint n_needed = p->n_listed[e];
        for (guint i = p->first[e]; i < p->first[e + 1]; i++)
            best = fmin(best, p->choice[i].count * p->price[p->choice[i].place]);
        for (guint k = p->n_listed[e]; k <= p->spare; k++) {
            const guint count = p->least[e] + k;
            if (count * floor_price >= best)
                break;
            const double price = count * price_of(p, p->weight[e] / count);
            if (price >= best)
                continue;
            best = price;
            n_needed = k + 1;
        }
        sum += best;
        n_needed = MIN(n_needed, MAX_CHOICES);
        *ret_grown = *ret_grown || n_needed > p->n_listed[e];
        p->n_listed[e] = n_needed;
    }
    return sum > p->n_ranks * (1.0 + PROOF_MARGIN);
}

gboolean eep_joint_prices_prove(EepJointPrices *p, const double *weight, const guint *least,
                                guint n, guint n_ranks, guint S, double load)
{
    guint needed = 0, n_checks = 0;
    g_return_val_if_fail(S >= 2 && S <= EEP_JOINT_PRICES_MAX_SLOTS, FALSE);
    for (guint e = 0; e < n; e++)
        needed += least[e];
    p->weight = weight;
    p->least = least;
    p->n = n;
    p->n_ranks = n_ranks;
    p->S = S;
    p->spare = n_ranks * S - needed;
    p->load = load;
    for (guint e = 0; e < n; e++) {
        const guint first = weight[e] < LIGHT * load ? FIRST_LIGHT : FIRST;
        p->n_listed[e] = MIN(p->is_new ? first : MAX(first, p->n_listed[e]), p->spare + 1);
    }
    p->is_new = FALSE;
    gboolean is_first = TRUE;
    for (guint round = 0; round < MAX_ROUNDS; round++) {
        if (is_first) {
            list_choices(p);
            list_thresholds(p);
        }
        double sum = 0.0;
        sum_prices(p);
        memset(p->above, 0, (p->n_choices + 1) * sizeof *p->above);
        for (guint e = 0; e < n; e++)
            sum += step_expert(p, e, is_first);
        if (sum > n_ranks * (1.0 + PROOF_MARGIN)) {
            if (check(p, &is_first))
                return TRUE;
            if (++n_checks == MAX_CHECKS)
                return FALSE;
            if (is_first)
                continue;
        }
        if (!step_thresholds(p, is_first))
            return FALSE;
        is_first = FALSE;
    }
    return FALSE;
}

void eep_joint_prices_counts(const EepJointPrices *p, guint *ret_count)
{
    for (guint e = 0; e < p->n; e++) {
        guint pick = p->first[e];
        for (guint i = pick; i < p->first[e + 1]; i++)
            if (p->choice[i].share > p->choice[pick].share)
                pick = i;
        ret_count[e] = p->choice[pick].count;
    }
}
