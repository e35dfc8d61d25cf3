/* Which requests of a pool move where (pool_migrate.c says how): to the engine with most room when
 * theirs leaves, from the fullest to the emptiest to even out. Requests that have no KV, because
 * they wait or because nobody has room for it, move at once. */
#include "core/engine/pool_internal.h"

/* Of one batch, for each pair of source and target: so many that a batch's fixed costs are shared,
 * so few that its second copy, which all of them wait for, is short. */
#define MOVES_PER_PAIR 8

/* Evening out moves no request with fewer tokens to come: it will make room by itself soon. */
#define MIN_TOKENS_LEFT 64

/* Engines are even when the KV in use differs by no more than this share of the fullest's. The
 * whole group waits for the engine that reads most of it. */
#define EVEN_KV_USAGE 0.05

static EepMigrationJob *job_nth(const EepPool *pool, guint i)
{
    return &g_array_index(pool->migration.jobs, EepMigrationJob, i);
}

EepMigrationJob *eep_pool_migrate_find_job(const EepPool *pool, EepWorkerId worker)
{
    for (guint i = 0; i < pool->migration.jobs->len; i++)
        if (job_nth(pool, i)->worker == worker)
            return job_nth(pool, i);
    return NULL;
}

EepEngine *eep_pool_migrate_find_engine(const EepPool *pool, EepWorkerId worker)
{
    for (guint i = 0; i < pool->n_engines; i++)
        if (pool->engines[i]->worker == worker)
            return pool->engines[i];
    for (guint i = 0; i < pool->leaving->len; i++)
        if (((EepEngine *)g_ptr_array_index(pool->leaving, i))->worker == worker)
            return g_ptr_array_index(pool->leaving, i);
    return NULL;
}

static gboolean is_target(const EepPool *pool, const EepMigrationJob *job, const EepEngine *engine)
{
    if (job->worker == engine->worker ||
        (job->worker != 0 && eep_pool_migrate_find_job(pool, engine->worker)))
        return FALSE;
    for (guint i = 0; i < job->n_targets; i++)
        if (job->targets[i] == engine->worker)
            return TRUE;
    return FALSE;
}

static guint32 n_to_be(const EepEngine *engine)
{
    return engine->running.n + engine->waiting.n + engine->seats.n;
}

/* -- requests without KV ---------------------------------------------------------------------- */

/* Of the job's targets the one with the fewest requests, then the most free blocks, then the lowest
 * index; NULL: it has none. */
static EepEngine *least_loaded(const EepPool *pool, const EepMigrationJob *job)
{
    EepEngine *best = NULL;

    for (guint i = 0; i < pool->n_engines; i++) {
        EepEngine *engine = pool->engines[i];

        if (is_target(pool, job, engine) &&
            (best == NULL || n_to_be(engine) < n_to_be(best) ||
             (n_to_be(engine) == n_to_be(best) && engine->kv.n_free > best->kv.n_free)))
            best = engine;
    }
    return best;
}

/* The request waits at another engine; what it had computed is lost. A seat of one that was
 * preempted while it was copied is not wanted any more. */
static void requeue(EepPool *pool, EepMigrationJob *job, EepEngine *source, EepEngine *target,
                    EepRequest *request)
{
    if (request->flags & EEP_REQUEST_FLAG_SEATED)
        eep_pool_migrate_forget(pool, request);
    eep_engine_remove(source, request);
    eep_engine_add_by_arrival(target, request);
    request->n_migrated++;
    job->n_requests++;
    pool->counts.n_rerouted++;
    pool->is_running = TRUE;
    eep_loop_record_action(pool->services->loop, EEP_ACTION_ROUTE, request->id, target->index);
}

static void reroute_waiting(EepPool *pool, EepMigrationJob *job)
{
    EepEngine *source = eep_pool_migrate_find_engine(pool, job->worker), *target;

    while (source != NULL && source->waiting.head != NULL &&
           (target = least_loaded(pool, job)) != NULL)
        requeue(pool, job, source, target, source->waiting.head);
}

void eep_pool_migrate_reroute(EepPool *pool)
{
    for (guint i = 0; i < pool->migration.jobs->len; i++)
        if (job_nth(pool, i)->worker != 0)
            reroute_waiting(pool, job_nth(pool, i));
}

/* Last come, first moved, from the engine with the most requests that has any waiting. */
static void spread_waiting(EepPool *pool, EepMigrationJob *job)
{
    for (;;) {
        EepEngine *target = least_loaded(pool, job), *source = NULL;

        for (guint i = 0; i < pool->n_engines; i++) {
            EepEngine *engine = pool->engines[i];

            if (is_target(pool, job, engine) && engine->waiting.n > 0 &&
                (source == NULL || n_to_be(engine) > n_to_be(source)))
                source = engine;
        }
        if (source == NULL || n_to_be(source) < n_to_be(target) + 2)
            return;
        requeue(pool, job, source, target, source->waiting.tail);
    }
}

/* -- planning a batch ------------------------------------------------------------------------- */

static gboolean can_move(const EepPool *pool, const EepRequest *request)
{
    return request->state == EEP_REQUEST_DECODE && !(request->flags & EEP_REQUEST_FLAG_SEATED) &&
           pool->migration.moves_kv;
}

static gboolean add_seat(EepPool *pool, EepEngine *source, EepEngine *target, EepRequest *request)
{
    EepSeat *seat = eep_seat_new(source, target, request);

    if (seat != NULL)
        g_ptr_array_add(pool->migration.seats, seat);
    return seat != NULL;
}

/* At the target with the most free blocks that has room, then the fewest requests, then the lowest
 * index. `n_seats` counts this source's, by engine; those that are no targets have all they may. */
static void seat_somewhere(EepPool *pool, EepEngine *source, EepRequest *request, guint *n_seats)
{
    guint n_blocks = eep_kv_cache_blocks_for(&source->kv, eep_engine_computed(source, request));
    EepEngine *best = NULL;

    for (guint i = 0; i < pool->n_engines; i++) {
        EepEngine *engine = pool->engines[i];

        if (n_seats[i] >= MOVES_PER_PAIR || engine->kv.n_free < n_blocks ||
            engine->running.n + engine->seats.n >= engine->max_num_seqs)
            continue;
        if (best == NULL || engine->kv.n_free > best->kv.n_free ||
            (engine->kv.n_free == best->kv.n_free && n_to_be(engine) < n_to_be(best)))
            best = engine;
    }
    if (best != NULL && add_seat(pool, source, best, request))
        n_seats[best->index]++;
}

static void plan_leaving(EepPool *pool, EepMigrationJob *job)
{
    EepEngine *source = eep_pool_migrate_find_engine(pool, job->worker);
    g_autofree guint *n_seats = g_new(guint, pool->n_engines);

    if (source == NULL)
        return;
    for (guint i = 0; i < pool->n_engines; i++)
        n_seats[i] = is_target(pool, job, pool->engines[i]) ? 0 : MOVES_PER_PAIR;
    for (EepRequest *request = source->running.head; request != NULL; request = request->next)
        if (can_move(pool, request))
            seat_somewhere(pool, source, request, n_seats);
}

/* An engine as it will be once the batch has moved. */
typedef struct {
    gint64 used; /* blocks */
    guint32 n_requests;
    gboolean is_target, is_done; /* is_done: gives no more */
} Balance;

/* Of those that fit into half the difference, the one that will decode longest; the first of
 * equals.
 */
static EepRequest *choose_to_even(const EepPool *pool, EepEngine *source, gint64 difference)
{
    EepRequest *best = NULL;
    guint64 most = MIN_TOKENS_LEFT - 1;

    for (EepRequest *request = source->running.head; request != NULL; request = request->next) {
        gint64 n_blocks;

        if (!can_move(pool, request) || request->due - source->counter <= most)
            continue;
        n_blocks = eep_kv_cache_blocks_for(&source->kv, eep_engine_computed(source, request));
        if (2 * n_blocks > difference)
            continue;
        best = request;
        most = request->due - source->counter;
    }
    return best;
}

static guint n_of_pair(const EepPool *pool, const EepEngine *source, const EepEngine *target)
{
    guint n = 0;

    for (guint i = 0; i < pool->migration.seats->len; i++) {
        const EepSeat *seat = g_ptr_array_index(pool->migration.seats, i);

        n += seat->source == source && seat->target == target;
    }
    return n;
}

/* FALSE: the source gives nothing to the target. */
static gboolean even_pair(EepPool *pool, Balance *source, EepEngine *from, Balance *target,
                          EepEngine *to)
{
    gint64 n_free = (gint64)to->kv.n_free, n_blocks;
    EepRequest *request;

    if (source->n_requests <= target->n_requests + 1 || n_of_pair(pool, from, to) >= MOVES_PER_PAIR)
        return FALSE;
    request = choose_to_even(pool, from, source->used - target->used);
    if (request == NULL || !add_seat(pool, from, to, request))
        return FALSE;
    n_blocks = eep_kv_cache_blocks_for(&from->kv, eep_engine_computed(from, request));
    source->used -= n_blocks;
    source->n_requests--;
    target->used += n_free - (gint64)to->kv.n_free;
    target->n_requests++;
    return TRUE;
}

/* One request from the fullest engine that may give one to the emptiest, lowest indices first;
 * FALSE: they are even. */
static gboolean even_once(EepPool *pool, EepMigrationJob *job, Balance *balance)
{
    guint fullest = G_MAXUINT, emptiest = G_MAXUINT;

    for (guint i = 0; i < pool->n_engines; i++) {
        if (!balance[i].is_target)
            continue;
        if (!balance[i].is_done &&
            (fullest == G_MAXUINT || balance[i].used > balance[fullest].used))
            fullest = i;
        if (emptiest == G_MAXUINT || balance[i].used < balance[emptiest].used)
            emptiest = i;
    }
    if (fullest == G_MAXUINT || (double)(balance[fullest].used - balance[emptiest].used) <=
                                    EVEN_KV_USAGE * (double)balance[fullest].used)
        return FALSE;
    if (even_pair(pool, &balance[fullest], pool->engines[fullest], &balance[emptiest],
                  pool->engines[emptiest]))
        job->n_left--;
    else
        balance[fullest].is_done = TRUE;
    return TRUE;
}

static void plan_even(EepPool *pool, EepMigrationJob *job)
{
    g_autofree Balance *balance = g_new0(Balance, pool->n_engines);

    spread_waiting(pool, job);
    for (guint i = 0; i < pool->n_engines; i++) {
        const EepEngine *engine = pool->engines[i];

        balance[i] = (Balance){.used = (gint64)(engine->kv.n_blocks - engine->kv.n_free),
                               .n_requests = n_to_be(engine),
                               .is_target = is_target(pool, job, engine)};
    }
    while (job->n_left > 0 && even_once(pool, job, balance))
        continue;
}

void eep_pool_migrate_plan(EepPool *pool)
{
    for (guint i = 0; i < pool->migration.jobs->len; i++) {
        EepMigrationJob *job = job_nth(pool, i);

        if (job->worker != 0)
            plan_leaving(pool, job);
        else
            plan_even(pool, job);
    }
}

/* -- what finds no room ----------------------------------------------------------------------- */

/* The engine steps, so a prefill there will be complete. */
static gboolean goes_on(const EepPool *pool, const EepEngine *engine)
{
    return pool->n_holds == 0 && engine->pause != EEP_PAUSE_ALL &&
           engine->index < pool->n_engines && pool->engines[engine->index] == engine;
}

void eep_pool_migrate_recompute(EepPool *pool, EepMigrationJob *job)
{
    EepEngine *source = eep_pool_migrate_find_engine(pool, job->worker), *target;

    for (EepRequest *request = source->running.head, *next; request != NULL; request = next) {
        next = request->next;
        if ((request->state == EEP_REQUEST_PREFILL && goes_on(pool, source)) ||
            (target = least_loaded(pool, job)) == NULL)
            continue;
        request->n_preemptions++;
        source->n_preemptions++;
        pool->counts.n_migrations_recomputed++;
        requeue(pool, job, source, target, request);
        pool->counts.n_rerouted--;
    }
}
