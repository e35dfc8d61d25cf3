#include "core/engine/router.h"

#include <math.h>

#include "core/rng.h"

/* Prefix affinity gives way when its engine has this many more requests than the least loaded one,
 * and this factor (SGLang's cache-aware router: balance_abs_threshold 32,
 * balance_rel_threshold 1.1). */
#define AFFINITY_MAX_MORE   32
#define AFFINITY_MAX_FACTOR 1.1

typedef struct {
    guint32 waiting, running;
    double kv_usage;
} Counts;

/* What an engine's counts and the requests in flight there say of its load. */
typedef double (*Score)(const Counts *counts, guint64 in_flight);

struct EepRouter {
    EepRouterPolicy policy;
    Score score;
    gboolean is_live; /* staleness 0: true counts, no local increment */
    guint client_count;
    guint next; /* round robin; start of the rotating scan */
    EepRng rng;
    Counts *snapshot; /* [n] */
    double *floor;    /* [n] score of the snapshot with nothing in flight; 0 while it is live */
    guint n;
};

/* vLLM 2025-08 to 2026-07: waiting * 4 + running. */
static double score_waiting4_running(const Counts *counts, guint64 in_flight)
{
    return 4.0 * counts->waiting + counts->running;
}

/* vLLM since 2026-07-27 (#49204). */
static double score_in_flight_kv(const Counts *counts, guint64 in_flight)
{
    double seen = (double)counts->waiting + counts->running;

    return MAX((double)in_flight, seen) + counts->waiting * 6.0 * MAX(0.0, counts->kv_usage - 0.5);
}

EepRouter *eep_router_new(const EepPoolOptions *options, guint64 seed)
{
    EepRouter *router = g_new0(EepRouter, 1);

    router->policy = options->router.policy;
    router->score =
        router->policy == EEP_ROUTER_IN_FLIGHT_KV ? score_in_flight_kv : score_waiting4_running;
    router->is_live = options->router.staleness == 0;
    router->client_count = (guint)options->router.client_count;
    eep_rng_init(&router->rng, seed, "router");
    return router;
}

void eep_router_free(EepRouter *router)
{
    if (router == NULL)
        return;
    g_free(router->snapshot);
    g_free(router->floor);
    g_free(router);
}

void eep_router_map_engines(EepRouter *router, const gint32 *source, guint n_engines)
{
    Counts *snapshot = g_new0(Counts, n_engines);
    double *score_floor = g_new0(double, n_engines);

    for (guint i = 0; i < n_engines && source != NULL; i++) {
        if (source[i] < 0)
            continue;
        g_assert((guint)source[i] < router->n);
        snapshot[i] = router->snapshot[source[i]];
        score_floor[i] = router->floor[source[i]];
    }
    g_free(router->snapshot);
    g_free(router->floor);
    router->snapshot = snapshot;
    router->floor = score_floor;
    router->n = n_engines;
}

static Counts counts_of(const EepEngine *engine)
{
    return (Counts){engine->waiting.n, engine->running.n, eep_engine_kv_usage(engine)};
}

void eep_router_publish(EepRouter *router, EepEngine *const *engines, guint n_engines)
{
    for (guint i = 0; i < n_engines; i++) {
        router->snapshot[i] = counts_of(engines[i]);
        router->floor[i] = router->score(&router->snapshot[i], 0);
    }
}

static gboolean is_closed(const EepEngine *engine, guint64 queue_limit)
{
    return !engine->is_routable || (queue_limit > 0 && engine->waiting.n >= queue_limit);
}

static double score_of(const EepRouter *router, const EepEngine *engine, guint i)
{
    Counts counts = router->is_live ? counts_of(engine) : router->snapshot[i];

    /* vLLM takes client_count times one client's own requests in flight, its guess at everybody's;
     * all clients are one here, so everybody's are known. */
    return router->score(&counts, (guint64)engine->waiting.n + engine->running.n);
}

/* Lowest score from `start` on, round the circle; the first of equals. What is in flight only adds
 * to a score, so an engine whose floor is no better than the best score is not looked at. */
static guint pick_lowest(const EepRouter *router, EepEngine *const *engines, guint n,
                         guint64 queue_limit, guint start)
{
    guint best = EEP_ROUTER_NONE;
    double best_score = HUGE_VAL;

    for (guint turn = 0; turn < 2; turn++) {
        guint end = turn == 0 ? n : start;

        for (guint i = turn == 0 ? start : 0; i < end; i++) {
            double score;

            if (router->floor[i] >= best_score || is_closed(engines[i], queue_limit))
                continue;
            score = score_of(router, engines[i], i);
            if (score < best_score) {
                best = i;
                best_score = score;
            }
        }
    }
    return best;
}

static guint pick_round_robin(EepRouter *router, EepEngine *const *engines, guint n,
                              guint64 queue_limit)
{
    for (guint k = 0; k < n; k++) {
        guint i = router->next++ % n;

        if (!is_closed(engines[i], queue_limit))
            return i;
    }
    return EEP_ROUTER_NONE;
}

static guint pick_power_of_two(EepRouter *router, EepEngine *const *engines, guint n,
                               guint64 queue_limit)
{
    guint first = (guint)eep_rng_below(&router->rng, n), second = first;

    if (n > 1)
        second = (first + 1 + (guint)eep_rng_below(&router->rng, n - 1)) % n;
    if (!engines[first]->is_routable ||
        (engines[second]->is_routable &&
         score_of(router, engines[second], second) < score_of(router, engines[first], first)))
        first = second;
    if (is_closed(engines[first], queue_limit))
        return pick_lowest(router, engines, n, queue_limit, 0);
    return first;
}

/* The engine that holds most of the prompt, unless it is overloaded against the least loaded one.
 */
static guint pick_prefix_affinity(EepRouter *router, EepEngine *const *engines, guint n,
                                  const EepRequest *request, guint64 queue_limit)
{
    guint least = pick_lowest(router, engines, n, queue_limit, 0), best = least;
    guint64 n_best = 0;
    double load_least;

    if (least == EEP_ROUTER_NONE || request->n_hashes == 0)
        return least;
    load_least = engines[least]->waiting.n + engines[least]->running.n;
    for (guint i = 0; i < n; i++) {
        guint64 n_idle, n_hit;
        double load = engines[i]->waiting.n + engines[i]->running.n;

        if (engines[i]->kv.prefix == NULL || is_closed(engines[i], queue_limit) ||
            (load > load_least + AFFINITY_MAX_MORE && load > load_least * AFFINITY_MAX_FACTOR))
            continue;
        n_hit = eep_prefix_cache_lookup(engines[i]->kv.prefix, request->hashes, request->n_hashes,
                                        G_MAXUINT64, &n_idle);
        if (n_hit > n_best) {
            best = i;
            n_best = n_hit;
        }
    }
    return best;
}

guint eep_router_pick(EepRouter *router, EepEngine *const *engines, guint n_engines,
                      const EepRequest *request, guint64 queue_limit)
{
    guint picked = EEP_ROUTER_NONE;

    switch (router->policy) {
    case EEP_ROUTER_WAITING4_RUNNING:
        picked = pick_lowest(router, engines, n_engines, queue_limit, 0);
        break;
    case EEP_ROUTER_IN_FLIGHT_KV:
        picked = pick_lowest(router, engines, n_engines, queue_limit, router->next++ % n_engines);
        break;
    case EEP_ROUTER_ROUND_ROBIN:
        picked = pick_round_robin(router, engines, n_engines, queue_limit);
        break;
    case EEP_ROUTER_POWER_OF_TWO:
        picked = pick_power_of_two(router, engines, n_engines, queue_limit);
        break;
    case EEP_ROUTER_PREFIX_AFFINITY:
        picked = pick_prefix_affinity(router, engines, n_engines, request, queue_limit);
        break;
    }
    if (picked != EEP_ROUTER_NONE && !router->is_live) {
        router->snapshot[picked].waiting += router->client_count;
        router->floor[picked] = router->score(&router->snapshot[picked], 0);
    }
    return picked;
}
