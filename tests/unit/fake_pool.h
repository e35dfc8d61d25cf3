/* FakePool: an EepResizeHost for tests, which asserts what a pool may rely on.
 *
 * Everything that is under way (notes, completions, timers, the reshuffle, the step) is an item of
 * one array; fake_pool_next() delivers the earliest, or any one that may come next when a stream is
 * given: notes keep their order per pair of ends, an operation's workers complete before the whole
 * does. Copied as a value, it goes on as the original would. */
#ifndef TESTS_UNIT_FAKE_POOL_H
#define TESTS_UNIT_FAKE_POOL_H

#include <check.h>
#include <string.h>

#include "core/resize/control.h"
#include "core/resize/resize.h"
#include "core/rng.h"

#define FAKE_MAX_ITEMS   1024
#define FAKE_MAX_WORKERS 256

typedef enum { ITEM_NOTE, ITEM_OP, ITEM_TIMER, ITEM_RESHUFFLED, ITEM_STEP } ItemKind;

typedef struct {
    ItemKind kind;
    EepTime at;
    guint64 seq;
    EepNote note;
    EepCompletion completion;
    guint64 timer;
    gboolean is_lost; /* a timer that was cancelled */
} Item;

typedef struct {
    EepResize *resize;
    EepTime now, step_time, reshuffle_time;
    EepTime phase_time[EEP_PHASE_COUNT];
    guint64 seq, step_counter;
    guint n_steps;
    gboolean is_stepping, is_blocked, is_refusing, is_eplb_suspended, has_work;
    guint free_gpus, tp;
    EepWorkerId next_worker;
    EepOpId next_op;
    guint8 is_dead[FAKE_MAX_WORKERS]; /* see fake_pool_kill() */
    EepNoteWord late_note;            /* to late_worker, if that is not 0 */
    EepWorkerId late_worker;
    EepTime late_by;
    guint8 pause[FAKE_MAX_WORKERS], is_alive[FAKE_MAX_WORKERS], gpu_use[FAKE_MAX_WORKERS];
    guint n_launched, n_released, n_adopted, n_aborts, n_routable_off;
    EepPlacementChange placement;
    gboolean reshuffle_is_instant, fails_phase;
    EepPhaseKind failing;
    guint n_told, n_ended, n_closed;
    EepResizeRecord record;               /* the last one told with an outcome */
    EepResizeRecord closed;               /* the last one that had left the group stuck */
    EepResizeWork works[EEP_PHASE_COUNT]; /* the last of each kind; arrays gone */
    guint n_items;
    Item items[FAKE_MAX_ITEMS];
    guint64 trace; /* running hash of the actions */
    GString *log;  /* nullable: the actions in words */
} FakePool;

G_GNUC_PRINTF(2, 3)
static void fake_act(FakePool *pool, const char *format, ...)
{
    va_list args;
    g_autofree char *text = NULL;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    for (const char *c = text; *c != '\0'; c++)
        pool->trace = (pool->trace ^ (guint8)*c) * G_GUINT64_CONSTANT(0x100000001b3);
    if (pool->log != NULL)
        g_string_append_printf(pool->log, "%" G_GINT64_FORMAT " %s\n", pool->now, text);
}

static Item *fake_add(FakePool *pool, ItemKind kind, EepTime delay)
{
    Item *item = &pool->items[pool->n_items++];

    ck_assert_uint_lt(pool->n_items, FAKE_MAX_ITEMS);
    *item = (Item){.kind = kind, .at = pool->now + delay, .seq = pool->seq++};
    return item;
}

static EepTime fake_now(gpointer self)
{
    return ((FakePool *)self)->now;
}

static gboolean fake_is_stepping(gpointer self)
{
    return ((FakePool *)self)->is_stepping;
}

static gboolean fake_has_requests(gpointer self, EepWorkerId worker)
{
    return ((FakePool *)self)->has_work;
}

static guint fake_free_gpus(gpointer self)
{
    return ((FakePool *)self)->free_gpus;
}

static void fake_send_note(gpointer self, const EepNote *note, EepTime delay)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "note %s %u->%u", eep_note_names[note->word], note->from, note->to);
    ck_assert((note->from == 0) != (note->to == 0));
    if (note->to != 0 && note->to == pool->late_worker && note->word == pool->late_note)
        delay += pool->late_by;
    fake_add(pool, ITEM_NOTE, delay)->note = *note;
}

static void fake_start_timer(gpointer self, guint64 timer, EepTime delay)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "timer %" G_GINT64_FORMAT, delay);
    fake_add(pool, ITEM_TIMER, delay)->timer = timer;
}

static void fake_cancel_timer(gpointer self, guint64 timer)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "cancel timer");
    for (guint i = 0; i < pool->n_items; i++)
        if (pool->items[i].kind == ITEM_TIMER && pool->items[i].timer == timer)
            pool->items[i].is_lost = TRUE;
}

static EepOpId fake_start_phase(gpointer self, const EepResizeWork *work)
{
    FakePool *pool = (FakePool *)self;
    EepOpId id = pool->next_op++;
    gboolean fails = pool->fails_phase && pool->failing == work->kind;
    EepCompletion completion = {.id = id,
                                .kind = EEP_OP_PHASE,
                                .done = fails ? EEP_DONE_WORKER_LOST : EEP_DONE_OK,
                                .epoch = work->epoch};

    fake_act(pool, "phase %s of %u, %u->%u ranks, %" G_GINT64_FORMAT " bytes to %u",
             eep_phase_names[work->kind], work->n_workers, work->n_ranks_old, work->n_ranks_new,
             work->bytes, work->n_receivers);
    ck_assert_uint_gt(work->n_workers, 0);
    for (guint i = 0; i < work->n_workers; i++) {
        ck_assert(pool->is_alive[work->workers[i]]);
        completion.worker = work->workers[i];
        fake_add(pool, ITEM_OP, pool->phase_time[work->kind])->completion = completion;
    }
    completion.worker = 0;
    fake_add(pool, ITEM_OP, pool->phase_time[work->kind])->completion = completion;
    pool->works[work->kind] = *work;
    pool->works[work->kind].workers = NULL;
    return id;
}

static void fake_choose_leaving(gpointer self, guint n, EepWorkerId *ret_workers)
{
    const EepGroup *group = eep_resize_group(((FakePool *)self)->resize);

    /* The lowest ones, to tell a choice from the highest. */
    for (guint i = 0; i < n; i++)
        ret_workers[i] = eep_group_worker(group, i);
}

static void fake_abort_op(gpointer self, EepOpId op)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "abort an operation");
    for (guint i = 0; i < pool->n_items; i++)
        if (pool->items[i].kind == ITEM_OP && pool->items[i].completion.id == op) {
            pool->items[i].completion.done = EEP_DONE_ABORTED;
            pool->items[i].is_lost = FALSE;
        }
}

static void fake_stop_reshuffle(gpointer self)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "stop the reshuffle");
    for (guint i = 0; i < pool->n_items; i++)
        if (pool->items[i].kind == ITEM_RESHUFFLED)
            pool->items[i].is_lost = TRUE;
}

static gboolean fake_migrate(gpointer self, EepWorkerId worker, const EepGroup *target)
{
    fake_act((FakePool *)self, "migrate %u", worker);
    return TRUE;
}

static void fake_stop_migration(gpointer self)
{
    fake_act((FakePool *)self, "stop the migration");
}

static gboolean fake_reshuffle(gpointer self, const EepGroup *target, EepReshuffleMode mode)
{
    static const char *const names[] = {"sync", "async", "preload"};
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "reshuffle to %u %s", eep_group_n_ranks(target), names[mode]);
    ck_assert((mode != EEP_RESHUFFLE_SYNC) != pool->is_blocked);
    if (!pool->reshuffle_is_instant)
        fake_add(pool, ITEM_RESHUFFLED, pool->reshuffle_time);
    return pool->reshuffle_is_instant;
}

static EepWorkerId fake_launch_engine(gpointer self, guint rank)
{
    FakePool *pool = (FakePool *)self;

    ck_assert_uint_lt(pool->next_worker, FAKE_MAX_WORKERS);
    ck_assert_uint_ge(pool->free_gpus, pool->tp);
    pool->free_gpus -= pool->tp;
    pool->n_launched++;
    pool->is_alive[pool->next_worker] = TRUE;
    pool->pause[pool->next_worker] = EEP_PAUSE_ALL;
    fake_act(pool, "launch rank %u", rank);
    return pool->next_worker++;
}

static void fake_release_engine(gpointer self, EepWorkerId worker)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "release %u", worker);
    ck_assert(pool->is_alive[worker]);
    pool->is_alive[worker] = FALSE;
    pool->n_released++;
    pool->free_gpus += pool->tp;
}

static void fake_set_pause(gpointer self, EepWorkerId worker, EepPause pause)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "pause %u %d", worker, pause);
    ck_assert(!pool->is_stepping);
    pool->pause[worker] = (guint8)pause;
}

static void fake_set_routable(gpointer self, EepWorkerId worker, gboolean is_routable)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "routable %u %d", worker, is_routable);
    pool->n_routable_off += !is_routable;
}

static guint fake_abort_requests(gpointer self, EepWorkerId worker, const char *reason)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "abort %u %s", worker, reason);
    ck_assert(!pool->is_stepping);
    ck_assert_str_eq(reason, "scale_down");
    ck_assert(!pool->is_dead[worker]);
    pool->n_aborts++;
    return 3;
}

static void fake_set_gpu_use(gpointer self, EepWorkerId worker, EepGpuUse use)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "use %u %d", worker, use);
    pool->gpu_use[worker] = (guint8)use;
}

static void fake_set_forwards_blocked(gpointer self, gboolean is_blocked)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "blocked %d", is_blocked);
    ck_assert(!pool->is_stepping);
    ck_assert(pool->is_blocked != is_blocked);
    pool->is_blocked = is_blocked;
}

static void fake_set_refusing(gpointer self, gboolean is_refusing)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "refusing %d", is_refusing);
    ck_assert(pool->is_refusing != is_refusing);
    pool->is_refusing = is_refusing;
}

static void fake_set_eplb_suspended(gpointer self, gboolean is_suspended)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "eplb suspended %d", is_suspended);
    pool->is_eplb_suspended = is_suspended;
}

static void fake_adopt_group(gpointer self, const EepGroup *group, EepPlacementChange placement)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "adopt %u engines, placement %d", group->n_engines, placement);
    ck_assert(!pool->is_stepping && pool->is_blocked);
    for (guint rank = 0; rank < group->n_engines; rank++)
        ck_assert(pool->is_alive[eep_group_worker(group, rank)]);
    pool->n_adopted++;
    pool->placement = placement;
}

static void fake_span_began(gpointer self, const EepResizeRecord *record, const char *name)
{
    fake_act((FakePool *)self, "span %s", name);
}

static void fake_changed(gpointer self, const EepResizeChange *change)
{
    fake_act((FakePool *)self, "%s %u: %s -> %s (%s)", change->machine, change->worker,
             change->from, change->to, change->cause);
}

static void fake_told(gpointer self, const EepResizeRecord *record)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "told %u->%u %s %s", record->from, record->to,
             eep_outcome_names[record->outcome], record->reason);
    pool->n_told++;
    if (record->outcome == EEP_OUTCOME_NONE)
        return;
    pool->n_ended++;
    pool->record = *record;
}

static void fake_closed(gpointer self, const EepResizeRecord *record)
{
    FakePool *pool = (FakePool *)self;

    fake_act(pool, "closed %u->%u", record->from, record->to);
    ck_assert_int_eq(record->outcome, EEP_OUTCOME_FAILED);
    pool->n_closed++;
    pool->closed = *record;
}

static const EepResizeHost fake_host = {
    .size = sizeof(EepResizeHost),
    .now = fake_now,
    .is_stepping = fake_is_stepping,
    .has_requests = fake_has_requests,
    .free_gpus = fake_free_gpus,
    .choose_leaving = fake_choose_leaving,
    .send_note = fake_send_note,
    .start_timer = fake_start_timer,
    .cancel_timer = fake_cancel_timer,
    .start_phase = fake_start_phase,
    .abort_op = fake_abort_op,
    .reshuffle = fake_reshuffle,
    .stop_reshuffle = fake_stop_reshuffle,
    .migrate = fake_migrate,
    .stop_migration = fake_stop_migration,
    .launch_engine = fake_launch_engine,
    .release_engine = fake_release_engine,
    .set_pause = fake_set_pause,
    .set_routable = fake_set_routable,
    .abort_requests = fake_abort_requests,
    .set_gpu_use = fake_set_gpu_use,
    .set_forwards_blocked = fake_set_forwards_blocked,
    .set_refusing = fake_set_refusing,
    .set_eplb_suspended = fake_set_eplb_suspended,
    .adopt_group = fake_adopt_group,
    .span_began = fake_span_began,
    .changed = fake_changed,
    .told = fake_told,
    .closed = fake_closed,
};

/* What tests start from: slots for 64 experts at DP 2 with 64 redundant ones, so 1..max fit. */
static inline void fake_params(EepResizeParams *params, const char *generation)
{
    eep_resize_params_init(params);
    params->generation = generation;
    params->max_engines = 8;
    params->n_experts = 64;
    params->slots_per_rank = 64;
    params->control_latency = EEP_NS_PER_MS;
    params->non_expert_bytes = 1000;
    params->expert_bytes = 7000;
    params->map_bytes_per_slot = 8 * 26;
    params->peak_extra_bytes = 512;
}

/* Zeroes the pool and starts `n_engines` workers 1.. in it; free_gpus are enough for max_engines.
 */
static inline void fake_pool_init(FakePool *pool, const EepResizeParams *params, guint n_engines)
{
    EepWorkerId workers[FAKE_MAX_WORKERS];
    GError *error = NULL;

    memset(pool, 0, sizeof *pool);
    pool->trace = G_GUINT64_CONSTANT(0xcbf29ce484222325);
    pool->next_worker = 1;
    pool->next_op = 1;
    pool->tp = params->tensor_parallel_size;
    pool->free_gpus = (params->max_engines - n_engines) * pool->tp;
    pool->step_time = 10 * EEP_NS_PER_MS;
    pool->reshuffle_time = EEP_NS_PER_S;
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        pool->phase_time[i] = EEP_NS_PER_S;
    for (guint i = 0; i < n_engines; i++) {
        workers[i] = pool->next_worker++;
        pool->is_alive[workers[i]] = TRUE;
    }
    pool->resize = eep_resize_new(&fake_host, pool, params, &error);
    g_assert_no_error(error);
    eep_resize_start(pool->resize, n_engines, workers);
}

/* The worker stops: what it takes part in never ends. The step in flight is taken back, as the pool
 * does when the loss is detected. */
static inline void fake_pool_kill(FakePool *pool, EepWorkerId worker)
{
    pool->is_dead[worker] = TRUE;
    pool->is_stepping = FALSE;
    for (guint i = 0; i < pool->n_items; i++) {
        Item *item = &pool->items[i];

        if (item->kind == ITEM_STEP)
            item->is_lost = TRUE; /* nobody will miss it */
        if (item->kind == ITEM_OP && item->completion.worker == worker)
            for (guint k = 0; k < pool->n_items; k++)
                if (pool->items[k].kind == ITEM_OP && pool->items[k].completion.worker == 0 &&
                    pool->items[k].completion.id == item->completion.id)
                    pool->items[k].is_lost = item->is_lost = TRUE;
    }
    eep_resize_worker_stopped(pool->resize, worker);
}

static inline void fake_pool_clear(FakePool *pool)
{
    eep_resize_free(pool->resize);
    if (pool->log != NULL)
        g_string_free(pool->log, TRUE);
}

/* Begins a step when one may begin and somebody wants it. */
static inline void fake_pool_plan(FakePool *pool)
{
    const EepGroup *group = eep_resize_group(pool->resize);

    if (pool->is_stepping || pool->is_blocked ||
        !(pool->has_work || eep_resize_wants_steps(pool->resize)))
        return;
    for (guint rank = 0; rank < group->n_engines; rank++) {
        EepWorkerId worker = eep_group_worker(group, rank);

        ck_assert(pool->is_alive[worker] && !pool->is_dead[worker]);
        ck_assert(pool->pause[worker] == EEP_PAUSE_NONE || eep_resize_wants_steps(pool->resize));
    }
    pool->is_stepping = TRUE;
    fake_add(pool, ITEM_STEP, pool->step_time);
}

/* Whether no other item has to come before this one. */
static inline gboolean fake_may_come(const FakePool *pool, const Item *item)
{
    for (guint i = 0; i < pool->n_items; i++) {
        const Item *other = &pool->items[i];

        if (other->seq >= item->seq || other->kind != item->kind)
            continue;
        if (item->kind == ITEM_NOTE && other->note.from == item->note.from &&
            other->note.to == item->note.to)
            return FALSE;
        if (item->kind == ITEM_OP && item->completion.worker == 0 &&
            other->completion.id == item->completion.id)
            return FALSE;
    }
    return !item->is_lost;
}

static inline void fake_end_step(FakePool *pool)
{
    pool->is_stepping = FALSE;
    pool->step_counter++;
    pool->n_steps++;
    if (eep_resize_wants_boundary(pool->resize))
        eep_resize_boundary(pool->resize, pool->step_counter);
}

static inline void fake_deliver(FakePool *pool, Item item)
{
    switch (item.kind) {
    case ITEM_NOTE:
        eep_resize_note(pool->resize, &item.note);
        break;
    case ITEM_OP:
        eep_resize_op_done(pool->resize, &item.completion);
        break;
    case ITEM_TIMER:
        eep_resize_timer(pool->resize, item.timer);
        break;
    case ITEM_RESHUFFLED:
        eep_resize_reshuffled(pool->resize, 5000);
        break;
    case ITEM_STEP:
        fake_end_step(pool);
        break;
    }
}

static inline guint fake_choose(const FakePool *pool, EepRng *rng)
{
    guint enabled[FAKE_MAX_ITEMS], n = 0, best = FAKE_MAX_ITEMS;

    for (guint i = 0; i < pool->n_items; i++) {
        const Item *item = &pool->items[i];

        if (!fake_may_come(pool, item))
            continue;
        enabled[n++] = i;
        if (best == FAKE_MAX_ITEMS || item->at < pool->items[best].at ||
            (item->at == pool->items[best].at && item->seq < pool->items[best].seq))
            best = i;
    }
    return rng != NULL && n > 0 ? enabled[eep_rng_below(rng, n)] : best;
}

/* Delivers one item, the earliest or (rng) any that may come; FALSE when there is none. Checks the
 * invariants after it. */
static inline gboolean fake_pool_next(FakePool *pool, EepRng *rng)
{
    GError *error = NULL;
    guint index;
    Item item;

    fake_pool_plan(pool);
    index = fake_choose(pool, rng);
    if (index == FAKE_MAX_ITEMS)
        return FALSE;
    item = pool->items[index];
    pool->items[index] = pool->items[--pool->n_items];
    pool->now = rng != NULL ? pool->now + 1 : item.at;
    fake_deliver(pool, item);
    if (!eep_resize_check(pool->resize, &error))
        ck_abort_msg("%s", error->message);
    return TRUE;
}

/* Until the resize that runs has ended, queued ones included. Fails after `limit` items. */
static inline void fake_pool_run(FakePool *pool, EepRng *rng, guint limit)
{
    while (!eep_resize_is_idle(pool->resize)) {
        ck_assert_msg(limit-- > 0, "the resize does not end");
        ck_assert(fake_pool_next(pool, rng));
    }
}

#endif
