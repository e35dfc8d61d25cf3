#include "core/eplb/balance_search.h"

#include <math.h>
#include <string.h>

/* A step must cool the hottest rank by this share, so that rounding cannot make a circle. */
#define LEAST_GAIN  1e-9
#define N_KICKS     12   /* chains tried from one map */
#define KICK_LIMIT  1.25 /* heat, in that of the hottest rank, that a chain may begin with */
#define CHAIN_STEPS 6    /* steps that a chain may take to repair its beginning */

/* Mean load and variance of one replica or rank. */
typedef struct {
    double mean, variance;
} Heat;

/* Slot a gets expert b's and back (exchange), or slot a gets expert (recount). */
typedef struct {
    gint32 slot;
    gint32 other;  /* slot of an exchange, else -1 */
    gint32 expert; /* of a recount */
    double value;  /* heat of the hottest rank that it touches, afterwards */
    double score;  /* value and the price of its moves */
} Step;

struct EepBalanceSearch {
    guint n_experts, n_ranks, S, n_slots;
    guint8 *active;
    guint *node;
    const double *mean, *variance;
    gint32 *map;          /* [R] */
    gint32 *first, *next; /* [E], [R]: the slots of each expert as a list */
    guint *count;         /* [E] */
    Heat *share;          /* [E], of one replica now */
    Heat *load;           /* [D] */
    double *heat;         /* [D] */
    guint16 *present;     /* [D][E], replicas on the rank */
    guint8 *held;         /* [D][E], in the map that moves are counted from */
    gboolean counts_moves;
    gint moves;
    guint hottest;
    Heat *change; /* [D], of the step being judged */
    guint *touched;
    guint64 *seen; /* [D], judgement that touched the rank last */
    guint64 judgement;
    guint n_touched;
    gint32 *saved; /* [R] */
    Step kicks[N_KICKS];
    guint n_kicks;
    gboolean keeps_kicks;
    guint64 n_judged;
};

static inline double heat_of(Heat load)
{
    return load.variance > 0.0 ? load.mean + sqrt(load.variance) : load.mean;
}

EepBalanceSearch *eep_balance_search_new(const EepEplbProblem *p)
{
    EepBalanceSearch *s = g_new0(EepBalanceSearch, 1);
    s->n_experts = p->n_experts;
    s->n_ranks = p->n_ranks;
    s->n_slots = p->n_replicas;
    s->S = p->n_replicas / p->n_ranks;
    s->active = g_new(guint8, p->n_ranks);
    for (guint rank = 0; rank < p->n_ranks; rank++)
        s->active[rank] = eep_eplb_problem_is_active(p, rank);
    s->node = g_new0(guint, p->n_ranks);
    s->map = g_new(gint32, p->n_replicas);
    s->saved = g_new(gint32, p->n_replicas);
    s->next = g_new(gint32, p->n_replicas);
    s->first = g_new(gint32, p->n_experts);
    s->count = g_new(guint, p->n_experts);
    s->share = g_new(Heat, p->n_experts);
    s->load = g_new(Heat, p->n_ranks);
    s->heat = g_new(double, p->n_ranks);
    s->change = g_new(Heat, p->n_ranks);
    s->touched = g_new(guint, p->n_ranks);
    s->seen = g_new0(guint64, p->n_ranks);
    s->present = g_new(guint16, (gsize)p->n_ranks * p->n_experts);
    s->held = g_new(guint8, (gsize)p->n_ranks * p->n_experts);
    return s;
}

void eep_balance_search_free(EepBalanceSearch *s)
{
    if (!s)
        return;
    g_free(s->active);
    g_free(s->node);
    g_free(s->map);
    g_free(s->saved);
    g_free(s->next);
    g_free(s->first);
    g_free(s->count);
    g_free(s->share);
    g_free(s->load);
    g_free(s->heat);
    g_free(s->change);
    g_free(s->touched);
    g_free(s->seen);
    g_free(s->present);
    g_free(s->held);
    g_free(s);
}

void eep_balance_search_set_nodes(EepBalanceSearch *s, const guint *node)
{
    if (node)
        memcpy(s->node, node, s->n_ranks * sizeof *node);
    else
        memset(s->node, 0, s->n_ranks * sizeof *node);
}

void eep_balance_search_begin(EepBalanceSearch *s, const double *mean, const double *variance,
                              const gint32 *held)
{
    s->n_judged = 0;
    s->mean = mean;
    s->variance = variance;
    s->counts_moves = held != NULL;
    if (!held)
        return;
    memset(s->held, 0, (gsize)s->n_ranks * s->n_experts);
    for (guint slot = 0; slot < s->n_slots; slot++)
        if (held[slot] >= 0)
            s->held[(gsize)(slot / s->S) * s->n_experts + (guint)held[slot]] = 1;
}

static inline Heat share_at(const EepBalanceSearch *s, guint expert, guint count)
{
    const double n = count;
    return (Heat){s->mean[expert] / n, s->variance ? s->variance[expert] / (n * n) : 0.0};
}

static inline gint32 *slot_of(EepBalanceSearch *s, guint rank)
{
    return s->map + (gsize)rank * s->S;
}

/* Sums anew, so that no rounding gathers. */
static void sum_rank(EepBalanceSearch *s, guint rank)
{
    Heat sum = {0.0, 0.0};
    const gint32 *slots = slot_of(s, rank);
    for (guint i = 0; i < s->S && s->active[rank]; i++) {
        sum.mean += s->share[slots[i]].mean;
        sum.variance += s->share[slots[i]].variance;
    }
    s->load[rank] = sum;
    s->heat[rank] = heat_of(sum);
}

static void find_hottest(EepBalanceSearch *s)
{
    s->hottest = 0;
    for (guint rank = 1; rank < s->n_ranks; rank++)
        if (s->heat[rank] > s->heat[s->hottest])
            s->hottest = rank;
}

static inline gboolean is_move(const EepBalanceSearch *s, guint rank, gint32 expert)
{
    return s->counts_moves && !s->held[(gsize)rank * s->n_experts + (guint)expert];
}

static void add_slot(EepBalanceSearch *s, guint slot, gint32 expert)
{
    const guint rank = slot / s->S;
    guint16 *present = &s->present[(gsize)rank * s->n_experts + (guint)expert];
    s->map[slot] = expert;
    s->next[slot] = s->first[expert];
    s->first[expert] = (gint32)slot;
    s->count[expert]++;
    if ((*present)++ == 0)
        s->moves += is_move(s, rank, expert);
}

static void remove_slot(EepBalanceSearch *s, guint slot)
{
    const guint rank = slot / s->S;
    const gint32 expert = s->map[slot];
    guint16 *present = &s->present[(gsize)rank * s->n_experts + (guint)expert];
    gint32 *at = &s->first[expert];
    while (*at != (gint32)slot)
        at = &s->next[*at];
    *at = s->next[slot];
    s->count[expert]--;
    if (--(*present) == 0)
        s->moves -= is_move(s, rank, expert);
}

void eep_balance_search_load(EepBalanceSearch *s, const gint32 *map)
{
    s->moves = 0;
    memset(s->count, 0, s->n_experts * sizeof *s->count);
    memset(s->first, 0xff, s->n_experts * sizeof *s->first);
    memset(s->present, 0, (gsize)s->n_ranks * s->n_experts * sizeof *s->present);
    memcpy(s->map, map, s->n_slots * sizeof *map);
    for (guint slot = s->n_slots; slot-- > 0;)
        if (s->active[slot / s->S])
            add_slot(s, slot, map[slot]);
    for (guint e = 0; e < s->n_experts; e++)
        s->share[e] = share_at(s, e, MAX(s->count[e], 1));
    for (guint rank = 0; rank < s->n_ranks; rank++)
        sum_rank(s, rank);
    find_hottest(s);
}

const gint32 *eep_balance_search_map(const EepBalanceSearch *s)
{
    return s->map;
}

double eep_balance_search_hottest(const EepBalanceSearch *s)
{
    return s->heat[s->hottest];
}

double eep_balance_search_hottest_load(const EepBalanceSearch *s)
{
    double highest = 0.0;
    for (guint rank = 0; rank < s->n_ranks; rank++)
        highest = fmax(highest, s->load[rank].mean);
    return highest;
}

guint64 eep_balance_search_judged(const EepBalanceSearch *s)
{
    return s->n_judged;
}

void eep_balance_search_loads(const EepBalanceSearch *s, double *ret_load)
{
    for (guint rank = 0; rank < s->n_ranks; rank++)
        ret_load[rank] = s->load[rank].mean;
}

double eep_balance_search_mean_heat(const EepBalanceSearch *s)
{
    double sum = 0.0;
    guint n = 0;
    for (guint rank = 0; rank < s->n_ranks; rank++) {
        sum += s->heat[rank];
        n += s->active[rank];
    }
    return sum / MAX(n, 1);
}

guint eep_balance_search_moves(const EepBalanceSearch *s)
{
    return (guint)MAX(s->moves, 0);
}

static void resum_expert(EepBalanceSearch *s, gint32 expert)
{
    s->share[expert] = share_at(s, (guint)expert, s->count[expert]);
    for (gint32 slot = s->first[expert]; slot >= 0; slot = s->next[slot])
        sum_rank(s, (guint)slot / s->S);
}

static void apply(EepBalanceSearch *s, const Step *step)
{
    const guint slot = (guint)step->slot;
    const gint32 old = s->map[slot];
    remove_slot(s, slot);
    if (step->other >= 0) {
        const guint other = (guint)step->other;
        const gint32 expert = s->map[other];
        remove_slot(s, other);
        add_slot(s, slot, expert);
        add_slot(s, other, old);
        sum_rank(s, slot / s->S);
        sum_rank(s, other / s->S);
    } else {
        add_slot(s, slot, step->expert);
        s->share[old] = share_at(s, (guint)old, s->count[old]);
        resum_expert(s, step->expert);
        resum_expert(s, old);
        sum_rank(s, slot / s->S);
    }
    find_hottest(s);
}

/* Moves that a rank's getting and losing an expert adds. */
static gint moves_of(const EepBalanceSearch *s, guint rank, gint32 gets, gint32 loses)
{
    if (!s->counts_moves || gets == loses)
        return 0;
    const guint16 *present = s->present + (gsize)rank * s->n_experts;
    return (present[gets] == 0 && is_move(s, rank, gets)) -
           (present[loses] == 1 && is_move(s, rank, loses));
}

static void keep_kick(EepBalanceSearch *s, const Step *step)
{
    if (s->n_kicks == N_KICKS && step->value >= s->kicks[N_KICKS - 1].value)
        return;
    guint at = s->n_kicks < N_KICKS ? s->n_kicks++ : N_KICKS - 1;
    for (; at > 0 && step->value < s->kicks[at - 1].value; at--)
        s->kicks[at] = s->kicks[at - 1];
    s->kicks[at] = *step;
}

/* A step was judged: the best so far, or a beginning of chains. */
static inline void offer(EepBalanceSearch *s, Step *step, gint moves, double price, guint max_moves,
                         Step *best)
{
    const double now = s->heat[s->hottest];
    if (step->value >= now * (1.0 - LEAST_GAIN)) {
        if (s->keeps_kicks)
            keep_kick(s, step);
        return;
    }
    if (moves > 0 && (s->moves + moves > (gint)max_moves || now - step->value < price * moves))
        return;
    step->score = step->value + price * moves;
    if (step->score < best->score)
        *best = *step;
}

/* Heat that a step must stay below to be of any use. */
static inline double bar_of(const EepBalanceSearch *s, const Step *best)
{
    const double now = s->heat[s->hottest];
    if (!s->keeps_kicks)
        return fmin(now, best->score);
    return s->n_kicks == N_KICKS ? s->kicks[N_KICKS - 1].value : KICK_LIMIT * now;
}

/* Exchanges of the replica in slot mine of the hottest rank with those of another rank. */
static void judge_exchanges_with(EepBalanceSearch *s, guint mine, guint rank, double price,
                                 guint max_moves, Step *best)
{
    const guint hot = s->hottest;
    const gint32 *theirs = slot_of(s, rank), given = s->map[mine];
    const Heat give = s->share[given];
    const double now = s->heat[hot] * (1.0 - LEAST_GAIN);
    const Heat without = {s->load[hot].mean - give.mean, s->load[hot].variance - give.variance};
    const Heat with = {s->load[rank].mean + give.mean, s->load[rank].variance + give.variance};
    double bar = bar_of(s, best);
    for (guint j = 0; j < s->S; j++) {
        const Heat get = s->share[theirs[j]];
        if (with.mean - get.mean >= bar || without.mean + get.mean >= now)
            continue;
        const double me = heat_of((Heat){without.mean + get.mean, without.variance + get.variance});
        const double them = heat_of((Heat){with.mean - get.mean, with.variance - get.variance});
        if (me >= now || fmax(me, them) >= bar)
            continue;
        Step step = {(gint32)mine, (gint32)(rank * s->S + j), -1, fmax(me, them), 0.0};
        offer(s, &step, moves_of(s, hot, theirs[j], given) + moves_of(s, rank, given, theirs[j]),
              price, max_moves, best);
        bar = bar_of(s, best);
    }
}

static void judge_exchanges(EepBalanceSearch *s, double price, guint max_moves, Step *best)
{
    const guint hot = s->hottest;
    for (guint rank = 0; rank < s->n_ranks; rank++) {
        if (rank == hot || !s->active[rank] || s->node[rank] != s->node[hot])
            continue;
        for (guint i = 0; i < s->S; i++)
            judge_exchanges_with(s, hot * s->S + i, rank, price, max_moves, best);
        s->n_judged += (guint64)s->S * s->S;
    }
}

static inline void touch(EepBalanceSearch *s, guint rank, Heat from, Heat to)
{
    if (s->seen[rank] != s->judgement) {
        s->seen[rank] = s->judgement;
        s->touched[s->n_touched++] = rank;
        s->change[rank] = (Heat){0.0, 0.0};
    }
    s->change[rank].mean += to.mean - from.mean;
    s->change[rank].variance += to.variance - from.variance;
}

/* The replica in slot becomes one of expert. */
static void judge_recount(EepBalanceSearch *s, guint slot, gint32 expert, double price,
                          guint max_moves, Step *best)
{
    const gint32 old = s->map[slot];
    const guint rank = slot / s->S, hot = s->hottest;
    const Heat more = share_at(s, (guint)expert, s->count[expert] + 1);
    const Heat fewer = share_at(s, (guint)old, s->count[old] - 1);
    const double now = s->heat[hot];
    s->n_judged += 1 + (s->count[expert] + s->count[old]) / 16;
    if (s->load[rank].mean - s->share[old].mean + more.mean >= bar_of(s, best))
        return;
    s->n_touched = 0;
    s->judgement++;
    for (gint32 at = s->first[expert]; at >= 0; at = s->next[at])
        touch(s, (guint)at / s->S, s->share[expert], more);
    for (gint32 at = s->first[old]; at >= 0; at = s->next[at])
        if (at != (gint32)slot)
            touch(s, (guint)at / s->S, s->share[old], fewer);
    touch(s, rank, s->share[old], more);
    double value = 0.0, hot_heat = now;
    for (guint i = 0; i < s->n_touched; i++) {
        const guint r = s->touched[i];
        const double heat = heat_of((Heat){s->load[r].mean + s->change[r].mean,
                                           s->load[r].variance + s->change[r].variance});
        value = fmax(value, heat);
        if (r == hot)
            hot_heat = heat;
    }
    if (hot_heat >= now * (1.0 - LEAST_GAIN))
        return;
    Step step = {(gint32)slot, -1, expert, value, 0.0};
    offer(s, &step, moves_of(s, rank, expert, old), price, max_moves, best);
}

/* Replicas that leave the hottest rank for another expert's, and further replicas, anywhere on its
 * node, of the experts that it holds. */
static void judge_recounts(EepBalanceSearch *s, double price, guint max_moves, Step *best)
{
    const guint hot = s->hottest, node = s->node[hot];
    const gint32 *mine = slot_of(s, hot);
    for (guint slot = 0; slot < s->n_slots; slot++) {
        const guint rank = slot / s->S;
        if (!s->active[rank] || s->node[rank] != node || s->count[s->map[slot]] < 2)
            continue;
        const gint32 old = s->map[slot];
        if (rank == hot) {
            for (guint e = 0; e < s->n_experts; e++)
                if ((gint32)e != old && s->node[(guint)s->first[e] / s->S] == node &&
                    s->mean[e] < s->share[old].mean * (s->count[e] + 1))
                    judge_recount(s, slot, (gint32)e, price, max_moves, best);
            continue;
        }
        for (guint i = 0; i < s->S; i++)
            if (mine[i] != old && s->mean[mine[i]] > 0.0)
                judge_recount(s, slot, mine[i], price, max_moves, best);
    }
}

gboolean eep_balance_search_step(EepBalanceSearch *s, double move_price, guint max_moves)
{
    Step best = {.slot = -1, .score = G_MAXDOUBLE};
    judge_exchanges(s, move_price, max_moves, &best);
    judge_recounts(s, move_price, max_moves, &best);
    if (best.slot < 0)
        return FALSE;
    apply(s, &best);
    return TRUE;
}

static void descend(EepBalanceSearch *s, double good_enough, guint64 effort)
{
    while (s->heat[s->hottest] > good_enough && s->n_judged < effort &&
           eep_balance_search_step(s, 0.0, G_MAXINT))
        ;
}

/* Ranks as hot as the hottest. */
static guint count_hot(const EepBalanceSearch *s)
{
    guint n = 0;
    for (guint rank = 0; rank < s->n_ranks; rank++)
        n += s->heat[rank] >= s->heat[s->hottest] * (1.0 - LEAST_GAIN);
    return n;
}

/* Tries what begins with each kick; TRUE = a better map is loaded, else the same as before. */
static gboolean chain(EepBalanceSearch *s, double good_enough, guint64 effort)
{
    Step best = {.slot = -1, .score = G_MAXDOUBLE}, kicks[N_KICKS];
    const double before = s->heat[s->hottest];
    const guint hot_before = count_hot(s);
    s->n_kicks = 0;
    s->keeps_kicks = TRUE;
    judge_exchanges(s, 0.0, G_MAXINT, &best);
    judge_recounts(s, 0.0, G_MAXINT, &best);
    s->keeps_kicks = FALSE;
    const guint n = s->n_kicks;
    memcpy(kicks, s->kicks, sizeof kicks);
    memcpy(s->saved, s->map, s->n_slots * sizeof *s->map);
    for (guint i = 0; i < n && s->n_judged < effort; i++) {
        apply(s, &kicks[i]);
        for (guint k = 0; k < CHAIN_STEPS && s->heat[s->hottest] >= before * (1.0 - LEAST_GAIN);
             k++)
            if (!eep_balance_search_step(s, 0.0, G_MAXINT))
                break;
        const double now = s->heat[s->hottest];
        if (now < before * (1.0 - LEAST_GAIN) || (now <= before && count_hot(s) < hot_before)) {
            descend(s, good_enough, effort);
            return TRUE;
        }
        eep_balance_search_load(s, s->saved);
    }
    return FALSE;
}

void eep_balance_search_run(EepBalanceSearch *s, double good_enough, guint64 effort)
{
    s->n_judged = 0;
    descend(s, good_enough, effort);
    while (s->heat[s->hottest] > good_enough && s->n_judged < effort &&
           chain(s, good_enough, effort))
        ;
}
