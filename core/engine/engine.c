#include "core/engine/engine.h"

G_DEFINE_QUARK(eep - engine - error - quark, eep_engine_error)

EepEngine *eep_engine_new(const EepPoolOptions *options, guint64 n_blocks, guint32 hash_tokens,
                          EepWorkerId worker, EepStepHistory *history)
{
    EepEngine *engine = g_new0(EepEngine, 1);

    engine->max_batched_tokens = (guint32)options->max_num_batched_tokens;
    engine->max_num_seqs = (guint32)options->max_num_seqs;
    engine->by_priority = options->scheduling_policy == EEP_SCHEDULING_PRIORITY;
    engine->prefill_interval = (guint32)options->prefill_schedule_interval;
    engine->kv.block_size = (guint32)options->block_size;
    eep_engine_set_blocks(engine, options, n_blocks, hash_tokens);
    engine->phase_count = g_new0(guint32, engine->kv.block_size);
    eep_calendar_init(&engine->calendar);
    engine->is_routable = TRUE;
    engine->worker = worker;
    engine->history = history;
    engine->starved = g_ptr_array_new();
    engine->pauses = g_new0(EepGapStack, 1);
    eep_gap_stack_init(engine->pauses);
    return engine;
}

void eep_engine_set_blocks(EepEngine *engine, const EepPoolOptions *options, guint64 n_blocks,
                           guint32 hash_tokens)
{
    g_assert(eep_engine_n_requests(engine) == 0 && engine->kv.n_free == engine->kv.n_blocks);
    engine->watermark_blocks = (guint64)(options->watermark * (double)n_blocks);
    engine->kv.n_blocks = engine->kv.n_free = n_blocks;
    g_clear_pointer(&engine->kv.prefix, eep_prefix_cache_free);
    /* What is less than a block is never shared. */
    if (options->enable_prefix_caching && hash_tokens >= engine->kv.block_size)
        engine->kv.prefix = eep_prefix_cache_new(n_blocks, hash_tokens / engine->kv.block_size);
}

void eep_engine_free(EepEngine *engine)
{
    if (engine == NULL)
        return;
    eep_prefix_cache_free(engine->kv.prefix);
    eep_calendar_clear(&engine->calendar);
    g_ptr_array_free(engine->starved, TRUE);
    eep_gap_stack_clear(engine->pauses);
    g_free(engine->pauses);
    g_free(engine->phase_count);
    g_free(engine);
}

typedef int (*Compare)(const EepRequest *x, const EepRequest *y);

/* Behind all that come no later by `compare`; NULL: at the back. */
static void add(EepEngine *engine, EepRequest *request, Compare compare)
{
    EepRequest *behind = NULL;

    request->state = EEP_REQUEST_WAITING;
    request->engine = engine->index;
    request->worker = engine->worker;
    if (compare != NULL)
        for (EepRequest *other = engine->waiting.tail; other != NULL && compare(request, other) < 0;
             other = other->prev)
            behind = other;
    eep_request_queue_insert_before(&engine->waiting, behind, request);
    if (engine->waiting.head == request)
        engine->is_blocked = FALSE;
}

void eep_engine_add(EepEngine *engine, EepRequest *request)
{
    add(engine, request, engine->by_priority ? eep_request_compare_urgency : NULL);
}

static int compare_arrivals(const EepRequest *x, const EepRequest *y)
{
    if (x->arrival != y->arrival)
        return x->arrival < y->arrival ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

void eep_engine_add_by_arrival(EepEngine *engine, EepRequest *request)
{
    add(engine, request, engine->by_priority ? eep_request_compare_urgency : compare_arrivals);
}

guint64 eep_engine_computed(const EepEngine *engine, const EepRequest *request)
{
    guint64 counter;

    if (request->state != EEP_REQUEST_DECODE)
        return request->computed;
    counter = MIN(engine->counter, request->due);
    return (guint64)request->prompt_tokens + request->generated - 1 + (counter - request->base);
}

guint32 eep_engine_phase_of(const EepEngine *engine, const EepRequest *request)
{
    /* At counter c, computed becomes prompt + generated - 1 + c - base; a block is due when that is
     * 1 modulo the block size. */
    gint64 size = engine->kv.block_size;
    gint64 known = (gint64)request->prompt_tokens + request->generated;
    gint64 phase = ((gint64)(request->base % (guint64)size) + 2 - known % size) % size;

    return (guint32)(phase < 0 ? phase + size : phase);
}

static gint64 context_share(const EepRequest *request)
{
    return (gint64)request->prompt_tokens + request->generated - 1 - (gint64)request->base;
}

void eep_engine_start_decoding(EepEngine *engine, EepRequest *request)
{
    engine->n_decodes++;
    engine->decodes_of_class[request->request_class]++;
    engine->context_base += context_share(request);
    engine->phase_count[eep_engine_phase_of(engine, request)]++;
}

void eep_engine_stop_decoding(EepEngine *engine, EepRequest *request)
{
    engine->n_decodes--;
    engine->decodes_of_class[request->request_class]--;
    engine->context_base -= context_share(request);
    engine->phase_count[eep_engine_phase_of(engine, request)]--;
}

void eep_engine_close_gaps(EepEngine *engine, EepRequest *request)
{
    EepTime gap = MAX(eep_gap_stack_max_since(engine->history->gaps, request->base_step + 1),
                      eep_gap_stack_max_since(engine->pauses, request->base_step + 1));

    request->max_gap = MAX(request->max_gap, gap);
    request->last_token = engine->history->last_end - engine->stall;
}

void eep_engine_mark_starved(EepEngine *engine, EepRequest *request)
{
    request->flags |= EEP_REQUEST_FLAG_STARVED;
    g_ptr_array_add(engine->starved, request);
}

gboolean eep_engine_forget_starved(EepEngine *engine, EepRequest *request)
{
    if (!(request->flags & EEP_REQUEST_FLAG_STARVED))
        return FALSE;
    request->flags &= (guint16)~EEP_REQUEST_FLAG_STARVED;
    g_ptr_array_remove(engine->starved, request);
    return TRUE;
}

static void stop_running(EepEngine *engine, EepRequest *request)
{
    eep_request_queue_remove(&engine->running, request);
    request->computed = (guint32)eep_engine_computed(engine, request);
    request->blocks = eep_kv_cache_blocks_for(&engine->kv, request->computed);
    if (request->state != EEP_REQUEST_DECODE) {
        engine->partial = NULL;
        return;
    }
    eep_calendar_remove(&engine->calendar, request);
    eep_engine_stop_decoding(engine, request);
    if (!eep_engine_forget_starved(engine, request))
        eep_engine_close_gaps(engine, request);
    request->generated += (guint32)(engine->counter - request->base);
}

void eep_engine_detach(EepEngine *engine, EepRequest *request)
{
    engine->is_blocked = FALSE;
    if (request->state == EEP_REQUEST_WAITING)
        eep_request_queue_remove(&engine->waiting, request);
    else if (request->state == EEP_REQUEST_MOVING)
        eep_request_queue_remove(&engine->departing, request);
    else
        stop_running(engine, request);
}

void eep_engine_remove(EepEngine *engine, EepRequest *request)
{
    eep_engine_detach(engine, request);
    eep_kv_cache_release(&engine->kv, request, request->blocks);
    request->state = EEP_REQUEST_NEW;
    request->computed = 0;
    request->blocks = 0;
}

gboolean eep_engine_can_attach(const EepEngine *engine)
{
    return engine->running.n < engine->max_num_seqs &&
           engine->n_decodes < engine->max_batched_tokens;
}

void eep_engine_attach(EepEngine *engine, EepRequest *request)
{
    request->state = EEP_REQUEST_DECODE;
    request->engine = engine->index;
    request->worker = engine->worker;
    request->base = engine->counter;
    request->due = request->base + (request->output_tokens - request->generated);
    eep_request_queue_insert_before(&engine->running, engine->partial, request);
    eep_calendar_insert(&engine->calendar, request);
    eep_engine_start_decoding(engine, request);
    eep_engine_mark_starved(engine, request);
}

/* -- invariants ------------------------------------------------------------------------------- */

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            g_set_error(error, EEP_ENGINE_ERROR, 0, __VA_ARGS__);                                  \
            return FALSE;                                                                          \
        }                                                                                          \
    } while (0)

/* Blocks held by those that do not run. */
static gboolean check_standing(const EepEngine *engine, const EepRequestQueue *queue,
                               guint64 *n_held, guint64 *n_identified, GError **error)
{
    guint32 n = 0;

    for (const EepRequest *r = queue->head; r != NULL; r = r->next) {
        n++;
        *n_held += r->blocks;
        *n_identified += eep_prefix_cache_n_identified(r);
        CHECK(r->state == EEP_REQUEST_MOVING, "request %" G_GUINT64_FORMAT " is not moving", r->id);
        CHECK(r->blocks == eep_kv_cache_blocks_for(&engine->kv, r->computed),
              "request %" G_GUINT64_FORMAT " moves with other blocks than it needs", r->id);
    }
    CHECK(n == queue->n, "a queue of moves and its count differ");
    return TRUE;
}

gboolean eep_engine_check(const EepEngine *engine, GError **error)
{
    guint64 n_held = 0, n_identified = 0, n_decodes = 0, n_running = 0, n_crossing = 0;
    guint32 of_class[EEP_SKEW_MAX_CLASSES] = {0};
    gint64 context = 0;

    if (!check_standing(engine, &engine->departing, &n_held, &n_identified, error) ||
        !check_standing(engine, &engine->seats, &n_held, &n_identified, error))
        return FALSE;
    for (const EepRequest *r = engine->running.head; r != NULL; r = r->next) {
        n_running++;
        n_held += eep_kv_cache_blocks_for(&engine->kv, eep_engine_computed(engine, r));
        n_identified += eep_prefix_cache_n_identified(r);
        if (r->state == EEP_REQUEST_DECODE && !(r->flags & EEP_REQUEST_FLAG_FINISHING)) {
            n_decodes++;
            of_class[r->request_class]++;
            context += context_share(r);
            CHECK(r->due > engine->counter, "request %" G_GUINT64_FORMAT " is past its last token",
                  r->id);
        } else if (r->state == EEP_REQUEST_PREFILL) {
            CHECK(r == engine->running.tail && r == engine->partial,
                  "a partial prefill is not the last one running");
        }
    }
    for (guint32 i = 0; i < engine->kv.block_size; i++)
        n_crossing += engine->phase_count[i];
    CHECK(n_running == engine->running.n, "running list and its count differ");
    CHECK(n_decodes == engine->n_decodes && n_decodes == n_crossing, "decode counts differ");
    CHECK(context == engine->context_base, "context sums differ");
    for (guint i = 0; i < EEP_SKEW_MAX_CLASSES; i++)
        CHECK(of_class[i] == engine->decodes_of_class[i], "decode counts of class %u differ", i);
    if (engine->kv.prefix == NULL) {
        CHECK(n_held + engine->kv.n_free == engine->kv.n_blocks, "KV blocks are not conserved");
    } else {
        CHECK(eep_prefix_cache_count_free(engine->kv.prefix) == engine->kv.n_free,
              "free blocks and queue differ");
        CHECK(n_held >= engine->kv.n_blocks - engine->kv.n_free &&
                  n_held - n_identified <= engine->kv.n_blocks,
              "KV blocks are not conserved");
    }
    return TRUE;
}
