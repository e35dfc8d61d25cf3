/* Requests of a pool that move between its engines with their KV.
 *
 * What is to be done is a list of jobs: empty one engine (which leaves), or even out. Requests go
 * in batches, one at a time. First what each of a batch has computed is copied while it decodes on;
 * then, at a step boundary, all of them stop and what they have computed since is copied; at the
 * first boundary after that they decode on at their targets. So a move stalls a request for the
 * second copy, rounded up to a step. Llumnix (arXiv 2406.03243) copies in more stages; here the
 * second has no more tokens of a request than steps ended during the first.
 *
 *     IDLE --(a batch is planned)--> COPYING --(copied)--> STOPPED --(copied)--> IDLE
 *
 * Whatever goes wrong in COPYING or STOPPED leads back to IDLE with every request at its source,
 * where its KV still is. Requests that wait have no KV and move at the next boundary. Who moves
 * where is pool_migrate_plan.c's business. */
#include "core/engine/pool_fault.h"

/* Copies that may fail one after another before requests are no longer moved with their KV. */
#define MAX_FAILURES 3

static void job_clear(gpointer data)
{
    g_free(((EepMigrationJob *)data)->targets);
}

static EepMigrationJob *job_nth(const EepPool *pool, guint i)
{
    return &g_array_index(pool->migration.jobs, EepMigrationJob, i);
}

/* The job that moves requests off the engine. */
static EepMigrationJob *job_of(const EepPool *pool, const EepEngine *source)
{
    EepMigrationJob *job = eep_pool_migrate_find_job(pool, source->worker);

    return job != NULL ? job : eep_pool_migrate_find_job(pool, 0);
}

/* -- a batch under way ------------------------------------------------------------------------ */

static void drop_seat(EepPool *pool, guint i, void (*end)(EepSeat *seat))
{
    end(g_ptr_array_index(pool->migration.seats, i));
    g_ptr_array_remove_index(pool->migration.seats, i);
}

/* Everybody stays. */
static void undo_batch(EepPool *pool)
{
    while (pool->migration.seats->len > 0)
        drop_seat(pool, 0, eep_seat_cancel);
    pool->migration.state = EEP_MIGRATION_IDLE;
    pool->migration.must_undo = FALSE;
}

static void abort_copy(EepPool *pool)
{
    EepPoolServices *services = pool->services;
    EepScope scope = {.op = pool->migration.op};
    EepOp op;

    if (scope.op == 0)
        return;
    pool->migration.op = 0;
    op = eep_operations_begin(services->operations, EEP_OP_ABORT, pool->id, pool->epoch, 0,
                              EEP_TIME_NEVER);
    services->backend->ops->abort(services->backend, &op, &scope);
}

/* Sends what the batch has not sent, each TP rank's part to its fellow. A state of bounded size
 * (window and linear layers) changes with every token and goes with the last copy. */
static void copy_batch(EepPool *pool)
{
    EepPoolMigration *migration = &pool->migration;
    EepPoolServices *services = pool->services;
    const guint tp = (guint)pool->options.tensor_parallel_size, n = migration->seats->len * tp;
    g_autofree EepTransfer *transfers = g_new0(EepTransfer, n);
    g_autofree gint64 *bytes = g_new(gint64, n);
    gint64 n_tokens = 0, sum = 0;
    EepMove move = {.is_kv = TRUE,
                    .n_transfers = n,
                    .transfers = transfers,
                    .bytes = bytes,
                    .n_ranks = pool->n_engines * tp,
                    .to_pool = pool->id};

    for (guint i = 0; i < migration->seats->len; i++) {
        EepSeat *seat = g_ptr_array_index(migration->seats, i);
        gint64 here = eep_seat_n_to_copy(seat) * pool->shape.kv_bytes_per_token +
                      (seat->has_left ? pool->shape.kv_bytes_bounded : 0);

        n_tokens += eep_seat_n_to_copy(seat);
        eep_seat_note_copied(seat);
        job_of(pool, seat->source)->bytes += here * tp;
        for (guint k = 0; k < tp; k++) {
            transfers[i * tp + k].from_rank = seat->source->index * tp + k;
            transfers[i * tp + k].to_rank = seat->target->index * tp + k;
            bytes[i * tp + k] = here;
            sum += here;
        }
    }
    pool->counts.kv_bytes_moved += (guint64)sum;
    migration->batch_bytes += sum;
    migration->has_arrived = migration->is_instant || (n_tokens == 0 && sum == 0);
    if (migration->has_arrived)
        return;
    move.op = eep_operations_begin(services->operations, EEP_OP_MOVE_KV, pool->id, pool->epoch, 0,
                                   EEP_TIME_NEVER);
    migration->op = move.op.id;
    eep_loop_record_action(services->loop, EEP_ACTION_MOVE, n, (guint64)sum);
    services->backend->ops->move(services->backend, &move);
    if (G_UNLIKELY(pool->n_silent > 0))
        eep_pool_fault_collective_waits(pool);
}

static void stop_batch(EepPool *pool)
{
    for (guint i = 0; i < pool->migration.seats->len;) {
        EepSeat *seat = g_ptr_array_index(pool->migration.seats, i);

        if (seat->request->state == EEP_REQUEST_DECODE && eep_seat_leave(seat))
            i++;
        else
            drop_seat(pool, i, eep_seat_cancel);
    }
    pool->migration.state = EEP_MIGRATION_STOPPED;
    pool->migration.stopped_at = eep_loop_now(pool->services->loop);
    copy_batch(pool);
}

/* One line of events.jsonl for each batch. */
static void tell_batch(EepPool *pool)
{
    EepObserver *observer = pool->services->observer;
    const EepFact facts[] = {EEP_FACT_I("requests", pool->migration.n_taken),
                             EEP_FACT_I("bytes_moved", pool->migration.batch_bytes),
                             EEP_FACT_T("stopped_ns", pool->migration.stopped_at)};

    if (pool->migration.n_taken > 0)
        observer->ops->decision(observer, eep_loop_now(pool->services->loop), pool->id, "kv_moved",
                                facts, G_N_ELEMENTS(facts));
}

/* Whoever finds no place in the target's batch waits for the next boundary. */
static void take_seats(EepPool *pool)
{
    EepPoolMigration *migration = &pool->migration;

    for (guint i = 0; i < migration->seats->len;) {
        EepSeat *seat = g_ptr_array_index(migration->seats, i);

        if (!eep_engine_can_attach(seat->target)) {
            i++;
            continue;
        }
        job_of(pool, seat->source)->n_requests++;
        pool->counts.n_migrated++;
        pool->is_running = TRUE;
        migration->n_taken++;
        eep_loop_record_action(pool->services->loop, EEP_ACTION_ROUTE, seat->request->id,
                               seat->target->index);
        drop_seat(pool, i, eep_seat_take);
    }
    if (migration->seats->len > 0)
        return;
    tell_batch(pool);
    migration->state = EEP_MIGRATION_IDLE;
}

/* -- jobs ------------------------------------------------------------------------------------- */

/* No batch is under way and none can be made. */
static gboolean is_over(EepPool *pool, EepMigrationJob *job)
{
    EepEngine *source = eep_pool_migrate_find_engine(pool, job->worker);

    if (job->worker == 0 || source == NULL)
        return TRUE;
    eep_pool_migrate_recompute(pool, job);
    return eep_engine_n_requests(source) == 0;
}

/* Tells the ends; who is told may begin other jobs, or stop all. */
static void end_jobs(EepPool *pool)
{
    for (guint i = 0; i < pool->migration.jobs->len;) {
        EepMigrationJob job;

        if (!is_over(pool, job_nth(pool, i))) {
            i++;
            continue;
        }
        job = *job_nth(pool, i);
        g_array_remove_index(pool->migration.jobs, i);
        pool->migration.ended(pool, job.worker, job.n_requests, job.bytes);
        i = 0;
    }
}

/* No step is in flight. */
static void advance(EepPool *pool)
{
    EepPoolMigration *migration = &pool->migration;

    if (migration->must_undo)
        undo_batch(pool);
    eep_pool_migrate_reroute(pool);
    while (eep_pool_is_migrating(pool)) {
        if (migration->state == EEP_MIGRATION_IDLE) {
            eep_pool_migrate_plan(pool);
            if (migration->seats->len == 0) {
                end_jobs(pool);
                break;
            }
            migration->state = EEP_MIGRATION_COPYING;
            migration->batch_bytes = 0;
            migration->n_taken = 0;
            copy_batch(pool);
        }
        if (!migration->has_arrived)
            break;
        if (migration->state == EEP_MIGRATION_COPYING) {
            stop_batch(pool);
        } else {
            take_seats(pool);
            if (migration->state == EEP_MIGRATION_STOPPED)
                break;
        }
    }
    eep_pool_queue_plan(pool);
}

/* -- what the pool hands in ------------------------------------------------------------------- */

void eep_pool_migrate_init(EepPool *pool)
{
    const char *generation = pool->options.resize.generation;

    pool->migration.jobs = g_array_new(FALSE, FALSE, sizeof(EepMigrationJob));
    g_array_set_clear_func(pool->migration.jobs, job_clear);
    pool->migration.seats = g_ptr_array_new();
    pool->migration.is_instant = g_strcmp0(generation, EEP_GENERATION_INSTANT) == 0;
    pool->migration.ended = eep_pool_resize_migrated;
}

void eep_pool_migrate_clear(EepPool *pool)
{
    while (pool->migration.seats->len > 0)
        drop_seat(pool, 0, eep_seat_forget);
    g_ptr_array_free(pool->migration.seats, TRUE);
    g_array_free(pool->migration.jobs, TRUE);
}

/* Acts at this instant if no step is in flight; else the end of the step does. */
static void kick(EepPool *pool)
{
    EepLoop *loop = pool->services->loop;
    EepEvent event = {.source = EEP_SOURCE(EEP_SOURCE_CONTROL, pool->id),
                      .event_class = EEP_CLASS_TIMER,
                      .kind = EEP_EVENT_TIMER,
                      .a = pool->id,
                      .b = EEP_POOL_TIMER_MIGRATE};

    if (pool->migration.is_kicked)
        return;
    pool->migration.is_kicked = TRUE;
    eep_loop_schedule(loop, eep_loop_now(loop), &event);
}

gboolean eep_pool_migrate(EepPool *pool, EepWorkerId worker, const EepGroup *target)
{
    EepBackend *backend = pool->services->backend;
    const EepEngine *source = worker != 0 ? eep_pool_migrate_find_engine(pool, worker) : NULL;
    EepMigrationJob job = {.worker = worker, .n_targets = target->n_engines};
    EepBackendCaps caps;

    if (eep_pool_fault_is_broken(pool, worker == 0 ? EEP_BREAKABLE_SPREAD : EEP_BREAKABLE_MIGRATE))
        return FALSE;
    for (guint i = 0; i < pool->n_engines && worker == 0; i++)
        job.n_left += eep_engine_n_requests(pool->engines[i]);
    if (worker == 0 ? job.n_left == 0 : source == NULL || eep_engine_n_requests(source) == 0)
        return TRUE;
    backend->ops->query_caps(backend, &caps);
    pool->migration.moves_kv = caps.moves_kv;
    pool->migration.n_failures = 0;
    job.targets = g_memdup2(target->workers, target->n_engines * sizeof *target->workers);
    g_array_append_val(pool->migration.jobs, job);
    kick(pool);
    return FALSE;
}

void eep_pool_stop_migration(EepPool *pool)
{
    if (!eep_pool_is_migrating(pool))
        return;
    g_array_set_size(pool->migration.jobs, 0);
    abort_copy(pool);
    pool->migration.must_undo = TRUE;
    kick(pool);
}

void eep_pool_migrate_boundary(EepPool *pool)
{
    if (pool->n_in_flight == 0 && eep_pool_is_migrating(pool))
        advance(pool);
}

void eep_pool_migrate_timer(EepPool *pool)
{
    pool->migration.is_kicked = FALSE;
    eep_pool_migrate_boundary(pool);
}

void eep_pool_migrate_completion(EepPool *pool, const EepCompletion *completion)
{
    EepPoolMigration *migration = &pool->migration;

    if (migration->op == 0 || completion->id != migration->op)
        return;
    migration->op = 0;
    if (completion->done == EEP_DONE_OK) {
        migration->has_arrived = TRUE;
        migration->n_failures = 0;
    } else {
        migration->must_undo = TRUE;
        migration->moves_kv &= ++migration->n_failures < MAX_FAILURES;
    }
    eep_pool_migrate_boundary(pool);
}

void eep_pool_migrate_forget(EepPool *pool, const EepRequest *request)
{
    for (guint i = 0; i < pool->migration.seats->len; i++)
        if (((const EepSeat *)g_ptr_array_index(pool->migration.seats, i))->request == request) {
            drop_seat(pool, i, eep_seat_forget);
            return;
        }
}

/* Whether the batch sends anything to or from the engine. */
static gboolean has_part(const EepPool *pool, const EepEngine *engine)
{
    for (guint i = 0; i < pool->migration.seats->len; i++) {
        const EepSeat *seat = g_ptr_array_index(pool->migration.seats, i);

        if (seat->source == engine || seat->target == engine)
            return TRUE;
    }
    return FALSE;
}

void eep_pool_migrate_lost(EepPool *pool, const EepEngine *engine)
{
    for (guint i = 0; i < pool->migration.jobs->len; i++)
        if (engine->worker == job_nth(pool, i)->worker) {
            g_array_remove_index(pool->migration.jobs, i);
            break;
        }
    for (guint i = 0; i < pool->migration.jobs->len; i++) {
        EepMigrationJob *job = job_nth(pool, i);

        for (guint k = 0; k < job->n_targets; k++)
            if (job->targets[k] == engine->worker)
                job->targets[k] = 0;
    }
    if (!has_part(pool, engine))
        return;
    g_assert(pool->n_in_flight == 0);
    abort_copy(pool);
    undo_batch(pool);
    kick(pool);
}

gboolean eep_pool_migrate_check(const EepPool *pool, GError **error)
{
    const EepPoolMigration *migration = &pool->migration;
    guint n_seats = 0, n_departing = 0, n_left = 0;

    for (guint i = 0; i < pool->n_engines; i++) {
        n_seats += pool->engines[i]->seats.n;
        n_departing += pool->engines[i]->departing.n;
    }
    for (guint i = 0; i < pool->leaving->len; i++)
        n_departing += ((const EepEngine *)g_ptr_array_index(pool->leaving, i))->departing.n;
    for (guint i = 0; i < migration->seats->len; i++)
        n_left += ((const EepSeat *)g_ptr_array_index(migration->seats, i))->has_left;
    if (n_seats == migration->seats->len && n_departing == n_left &&
        (n_left == 0 || migration->state == EEP_MIGRATION_STOPPED))
        return TRUE;
    g_set_error(error, EEP_POOL_ERROR, EEP_POOL_ERROR_BROKEN,
                "pool %s: %u seats of %u, %u requests have left of %u", pool->name, n_seats,
                migration->seats->len, n_departing, n_left);
    return FALSE;
}
