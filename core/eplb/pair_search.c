#include "core/eplb/pair_search.h"

#include <math.h>
#include <stdlib.h>

/* Experts that may get a replica more: those of the hottest pairs, and light ones, whose halves
 * give heavy replicas a lighter partner. */
#define N_HEAVY    4
#define N_LIGHT    28
#define LEAST_GAIN 1e-9

typedef struct {
    double share;
    guint expert;
} Replica;

typedef struct {
    const double *weight;
    guint n_experts, n_ranks;
    guint *count;
    Replica *replica; /* [2 * n_ranks], falling */
    double hottest;
    guint at;   /* pair that is hottest */
    guint left; /* candidates */
} PairSearch;

static int falling(const void *a, const void *b)
{
    const Replica *x = a, *y = b;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    return (x->expert > y->expert) - (x->expert < y->expert);
}

static void list_replicas(const double *weight, guint n_experts, const guint *count, Replica *list)
{
    guint n = 0;
    for (guint e = 0; e < n_experts; e++)
        for (guint i = 0; i < count[e]; i++)
            list[n++] = (Replica){weight[e] / count[e], e};
    qsort(list, n, sizeof *list, falling);
}

static void sort_replicas(PairSearch *s)
{
    const guint n = 2 * s->n_ranks;
    list_replicas(s->weight, s->n_experts, s->count, s->replica);
    s->hottest = 0.0;
    for (guint i = 0; i < s->n_ranks; i++) {
        const double load = s->replica[i].share + s->replica[n - 1 - i].share;
        if (load > s->hottest) {
            s->hottest = load;
            s->at = i;
        }
    }
}

/* The replicas in order as they would be, from one end: the present ones without two experts',
 * merged with these two's new ones. */
typedef struct {
    const PairSearch *s;
    guint skip[2];
    double share[2];
    guint n[2]; /* left of each */
    gint at, step;
} Merge;

static double next_share(Merge *m)
{
    const Replica *list = m->s->replica;
    const gint end = (gint)(2 * m->s->n_ranks);
    while (m->at >= 0 && m->at < end &&
           (list[m->at].expert == m->skip[0] || list[m->at].expert == m->skip[1]))
        m->at += m->step;
    gint pick = -1; /* a present one */
    double best = m->at >= 0 && m->at < end ? list[m->at].share : -m->step * G_MAXDOUBLE;
    for (gint i = 0; i < 2; i++) {
        if (m->n[i] == 0 || (m->share[i] - best) * m->step <= 0.0)
            continue;
        best = m->share[i];
        pick = i;
    }
    if (pick < 0)
        m->at += m->step;
    else
        m->n[pick]--;
    return best;
}

/* Hottest pair with one replica more of `more` and one fewer of `fewer`; anything from limit up
 * when it is not below limit. */
static double judge(PairSearch *s, guint more, guint fewer, double limit)
{
    Merge top = {
        .s = s,
        .skip = {more, fewer},
        .share = {s->weight[more] / (s->count[more] + 1), s->weight[fewer] / (s->count[fewer] - 1)},
        .n = {s->count[more] + 1, s->count[fewer] - 1},
        .at = 0,
        .step = 1};
    Merge bottom = top;
    double hottest = 0.0;
    bottom.at = (gint)(2 * s->n_ranks) - 1;
    bottom.step = -1;
    s->left--;
    for (guint i = 0; i < s->n_ranks && hottest < limit; i++)
        hottest = fmax(hottest, next_share(&top) + next_share(&bottom));
    return hottest;
}

/* Takes the best change that gives `more` a replica; FALSE when none helps. */
static gboolean add_replica(PairSearch *s, guint more)
{
    double best = s->hottest * (1.0 - LEAST_GAIN);
    guint pick = s->n_experts;
    for (guint fewer = 0; fewer < s->n_experts && s->left > 0; fewer++) {
        if (fewer == more || s->count[fewer] < 2)
            continue;
        const double hottest = judge(s, more, fewer, best);
        if (hottest >= best)
            continue;
        best = hottest;
        pick = fewer;
    }
    if (pick == s->n_experts)
        return FALSE;
    s->count[more]++;
    s->count[pick]--;
    sort_replicas(s);
    return TRUE;
}

/* One change that helps. */
static gboolean improve(PairSearch *s)
{
    const guint n = 2 * s->n_ranks;
    guint tried = 0, last = s->n_experts;
    for (guint i = MIN(s->at + 1, s->n_ranks); i-- > 0 && tried < N_HEAVY;) {
        if (s->replica[i].expert == last)
            continue;
        last = s->replica[i].expert;
        tried++;
        if (add_replica(s, last))
            return TRUE;
    }
    last = s->n_experts;
    tried = 0;
    for (guint i = n; i-- > s->n_ranks && tried < N_LIGHT && s->left > 0;) {
        if (s->replica[i].expert == last)
            continue;
        last = s->replica[i].expert;
        tried++;
        if (add_replica(s, last))
            return TRUE;
    }
    return FALSE;
}

double eep_pair_search_run(const double *weight, guint n_experts, guint n_ranks, double good_enough,
                           guint max_candidates, guint *count)
{
    g_autofree Replica *replica = g_new(Replica, 2 * (gsize)n_ranks);
    PairSearch s = {.weight = weight,
                    .n_experts = n_experts,
                    .n_ranks = n_ranks,
                    .count = count,
                    .replica = replica,
                    .left = max_candidates};
    sort_replicas(&s);
    while (s.hottest > good_enough && s.left > 0 && improve(&s))
        ;
    return s.hottest;
}

void eep_pair_search_place(const double *weight, guint n_experts, guint n_ranks, const guint *count,
                           gint32 *ret_map)
{
    const guint n = 2 * n_ranks;
    g_autofree Replica *replica = g_new(Replica, n);
    list_replicas(weight, n_experts, count, replica);
    for (guint i = 0; i < n_ranks; i++) {
        ret_map[2 * i] = (gint32)replica[i].expert;
        ret_map[2 * i + 1] = (gint32)replica[n - 1 - i].expert;
    }
}
