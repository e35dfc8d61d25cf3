#include "core/eplb/slot_bound.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/eplb/joint_prices.h"

/* What a computed bound is lowered by: sums of some hundred terms are off by less. */
#define SLACK 1e-12
/* A sum of prices must exceed the ranks by this share before it proves anything. */
#define PROOF_MARGIN 1e-9
/* Slots of a rank up to which these gain anything. */
#define MAX_JOINT_SLOTS 3
#define JOINT_STEP      8e-3 /* gain over the simple bound that they are asked for first */
#define JOINT_PRECISION 1e-3
#define LEAST_THRESHOLD 1e-6 /* of the load */
/* Work on one bound, some 100 ms; what is not proven by then stays unproven. */
#define MAX_WORK              50000000
#define MAX_CHOICES           24
#define MAX_SINGLE_THRESHOLDS 256
/* Below this relative gain over the simple bound no search is begun. */
#define LEAST_GAIN 2e-4
#define PRECISION  1e-5

struct EepSlotBound {
    guint max_experts, n, n_ranks, S;
    double sum;
    double *weight; /* [n], falling */
    guint *least;   /* [n], replicas that keep each of a size of at most the trial */
    double *saved;  /* [max_saved], by slots beyond these */
    guint max_saved;
    guint64 work;          /* prices and sums of one bound */
    guint last;            /* expert whose threshold proved last */
    EepJointPrices *joint; /* NULL: too many experts for it */
};

EepSlotBound *eep_slot_bound_new(guint max_experts)
{
    EepSlotBound *bound = g_new0(EepSlotBound, 1);
    bound->max_experts = max_experts;
    bound->weight = g_new(double, max_experts);
    bound->least = g_new(guint, max_experts);
    if (max_experts <= EEP_JOINT_PRICES_MAX_EXPERTS)
        bound->joint = eep_joint_prices_new(max_experts);
    return bound;
}

void eep_slot_bound_free(EepSlotBound *bound)
{
    if (!bound)
        return;
    g_free(bound->weight);
    g_free(bound->least);
    g_free(bound->saved);
    eep_joint_prices_free(bound->joint);
    g_free(bound);
}

static int falling(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

void eep_slot_bound_set(EepSlotBound *bound, const double *weight, guint n_experts, guint n_ranks,
                        guint S)
{
    g_return_if_fail(n_experts <= bound->max_experts && n_ranks > 0 && S > 0);
    bound->n = n_experts;
    bound->n_ranks = n_ranks;
    bound->S = S;
    bound->sum = 0.0;
    bound->last = 0;
    memcpy(bound->weight, weight, n_experts * sizeof(double));
    qsort(bound->weight, n_experts, sizeof(double), falling);
    for (guint i = 0; i < n_experts; i++)
        bound->sum += bound->weight[i];
}

/* Replicas that an expert needs for none to exceed size. */
static inline guint least_count(double weight, double size)
{
    const double count = ceil(weight / size * (1.0 - SLACK));
    return count > 1.0 ? (guint)count : 1;
}

/* Slots that all experts need for no replica to exceed size; stops beyond limit. */
static guint64 slots_for(const EepSlotBound *b, double size, guint64 limit)
{
    guint64 slots = b->n;
    for (guint i = 0; i < b->n && b->weight[i] > size && slots <= limit; i++)
        slots += least_count(b->weight[i], size) - 1;
    return slots;
}

double eep_slot_bound_simple(const EepSlotBound *b)
{
    const guint64 slots = (guint64)b->n_ranks * b->S;
    if (slots < b->n)
        return G_MAXDOUBLE;
    double low = b->sum / b->n_ranks;
    if (low <= 0.0)
        return 0.0;
    /* The smallest size that the slots suffice for, by halving; low always counts too few. */
    if (slots_for(b, low, slots) > slots) {
        double high = b->weight[0];
        for (guint i = 0; i < 52 && high - low > low * 1e-13; i++) {
            const double middle = low + (high - low) / 2.0;
            if (slots_for(b, middle, slots) > slots)
                low = middle;
            else
                high = middle;
        }
    }
    return low * (1.0 - SLACK);
}

typedef enum { LINEAR, STAIRS, PLACES, N_SHAPES } Shape;

/* A dual feasible function for the trial load: any replicas that fit on one rank together have
 * prices of at most 1 in sum. */
typedef struct {
    Shape shape;
    double load, threshold;
    double steps; /* whole thresholds in the load; PLACES: at most S */
} Prices;

/* LINEAR: Martello and Toth's L2. STAIRS: Carlier, Clautiaux and Moukrim's f1. PLACES: the like for
 * S places, 1 / S each but for the one replica above half the load, which gets the places that it
 * leaves no room for. All give 0 below the threshold and 1 to what leaves less than it. */
static inline double price_of(const Prices *p, double size)
{
    if (size < p->threshold)
        return 0.0;
    const double rest = p->load - size;
    if (rest < p->threshold)
        return 1.0;
    if (p->shape == LINEAR)
        return size / p->load;
    if (2.0 * size > p->load)
        return 1.0 - fmin(floor(rest / p->threshold), p->steps - 1.0) / p->steps;
    if (p->shape == PLACES)
        return 1.0 / p->steps;
    if (2.0 * size < p->load)
        return floor(size / p->threshold) / p->steps;
    return 0.5;
}

/* Adds to saved[j], the most that j further slots save, what further replicas of one expert save:
 * each number of them is a choice, and at most one is taken. */
static void add_choices(EepSlotBound *b, const Prices *p, double weight, guint least, guint spare)
{
    double *saved = b->saved;
    const double base = least * price_of(p, weight / least);
    double best = 0.0, choice[MAX_CHOICES];
    guint more[MAX_CHOICES], n = 0;
    for (guint extra = 1; extra <= spare && best < base; extra++) {
        const double count = least + extra;
        b->work++;
        const double saving = base - count * price_of(p, weight / count);
        if (saving <= best + 1e-12)
            continue;
        best = saving;
        if (n == MAX_CHOICES) { /* more than is looked at: the last may take fewer slots */
            choice[n - 1] = saving;
            continue;
        }
        more[n] = extra;
        choice[n++] = saving;
    }
    b->work += (guint64)n * spare;
    for (guint j = spare; n > 0 && j >= more[0]; j--)
        for (guint i = 0; i < n && more[i] <= j; i++)
            saved[j] = fmax(saved[j], saved[j - more[i]] + choice[i]);
}

/* Whether prices prove that no map stays at the load: the cheapest counts within the slots need
 * more ranks than there are. */
static gboolean prices_prove(EepSlotBound *b, const Prices *p, guint spare)
{
    const double ranks = b->n_ranks * (1.0 + PROOF_MARGIN);
    double sum = 0.0;
    guint n = 0; /* experts that cost anything */
    for (; n < b->n && b->weight[n] >= p->threshold; n++)
        sum += b->least[n] * price_of(p, b->weight[n] / b->least[n]);
    b->work += n;
    if (sum <= ranks) /* these counts are within the slots and cost too little */
        return FALSE;
    memset(b->saved, 0, (spare + 1) * sizeof *b->saved);
    for (guint i = 0; i < n && sum - b->saved[spare] > ranks; i++)
        add_choices(b, p, b->weight[i], b->least[i], spare);
    return sum - b->saved[spare] > ranks;
}

/* With the threshold that the i-th expert gives. */
static gboolean threshold_proves(EepSlotBound *b, double load, guint i, guint spare)
{
    const double size = b->weight[i] / b->least[i];
    const double threshold = 2.0 * size <= load ? size : (load - size) * (1.0 + PROOF_MARGIN);
    if (threshold <= load * LEAST_THRESHOLD || b->work > MAX_WORK)
        return FALSE;
    const double steps = floor(load / threshold);
    for (guint shape = LINEAR; shape < N_SHAPES; shape++) {
        if (shape == PLACES && steps <= b->S) /* as STAIRS */
            continue;
        const Prices prices = {shape, load, threshold, shape == PLACES ? b->S : steps};
        if (prices_prove(b, &prices, spare))
            return TRUE;
    }
    return FALSE;
}

/* Replicas that each expert needs to stay at the load: ret_spare, the slots that are left. FALSE
 * when there are none. */
static gboolean need(EepSlotBound *b, double load, guint *ret_spare)
{
    const guint64 slots = (guint64)b->n_ranks * b->S;
    guint64 needed = 0;
    for (guint i = 0; i < b->n; i++)
        needed += b->least[i] = least_count(b->weight[i], load);
    *ret_spare = needed <= slots ? (guint)(slots - needed) : 0;
    return needed <= slots;
}

/* Whether no map can stay at the load. */
static gboolean is_proven(EepSlotBound *b, double load)
{
    guint spare;
    if (!need(b, load, &spare))
        return TRUE;
    if (spare >= b->max_saved) {
        b->max_saved = spare + 1;
        b->saved = g_renew(double, b->saved, b->max_saved);
    }
    /* Thresholds where a price jumps: at sizes, and at what sizes leave. The one that proved last
     * comes first. */
    const guint stride = b->n / MAX_SINGLE_THRESHOLDS + 1;
    if (threshold_proves(b, load, b->last, spare))
        return TRUE;
    for (guint i = 0; i < b->n; i += stride) {
        if (!threshold_proves(b, load, i, spare))
            continue;
        b->last = i;
        return TRUE;
    }
    return FALSE;
}

/* The same with prices of many thresholds. */
static gboolean is_proven_jointly(EepSlotBound *b, double load)
{
    guint spare;
    return !need(b, load, &spare) ||
           eep_joint_prices_prove(b->joint, b->weight, b->least, b->n, b->n_ranks, b->S, load);
}

/* The largest gain over simple that is found proven, from low on, which is; within precision. step:
 * what is tried first. */
static double raise_gain(EepSlotBound *b, double simple, double low, double step, double precision,
                         gboolean (*proven)(EepSlotBound *, double))
{
    double high = low + step;
    while (proven(b, simple * (1.0 + high))) {
        step = 2.0 * (high - low);
        low = high;
        high += step;
    }
    while (high - low > precision) {
        const double middle = low + (high - low) / 2.0;
        if (proven(b, simple * (1.0 + middle)))
            low = middle;
        else
            high = middle;
    }
    return low;
}

double eep_slot_bound_proven(EepSlotBound *b)
{
    const double simple = eep_slot_bound_simple(b);
    double gain = 0.0;
    b->work = 0;
    if (b->S == 1 || simple <= 0.0 || simple == G_MAXDOUBLE)
        return simple;
    if (b->joint && b->S <= MAX_JOINT_SLOTS) {
        eep_joint_prices_reset(b->joint);
        gain = raise_gain(b, simple, gain, JOINT_STEP, JOINT_PRECISION, is_proven_jointly);
    }
    if (is_proven(b, simple * (1.0 + gain + LEAST_GAIN)))
        gain = raise_gain(b, simple, gain + LEAST_GAIN, LEAST_GAIN, PRECISION, is_proven);
    return gain > 0.0 ? simple * (1.0 + gain) * (1.0 - SLACK) : simple;
}
