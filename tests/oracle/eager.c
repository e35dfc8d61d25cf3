#include "tests/oracle/eager.h"

#include <math.h>

#include "tests/oracle/eager_kv.h"

/* A request from its arrival on. */
typedef struct {
    const EagerRequest *request;
    EagerResult *result;
    guint id;
    guint64 generated;   /* tokens delivered */
    guint64 in_flight;   /* tokens that planned steps will deliver; 0 between steps unless async */
    guint64 computed;    /* counts what is planned as computed */
    GPtrArray *blocks;   /* of EagerBlock, in the order of its tokens */
    gboolean prefilling; /* no token since the last admission */
    gint64 last_token;
    /* What only the consequences (rules 40 to 46) ask for: */
    guint last_preemptions;  /* when the step of the last token was planned */
    gint64 first_begin;      /* of the step that first admitted it */
    gboolean whole_prompt;   /* all its prompt fitted into that step */
    guint64 since_admission; /* tokens found in the cache or scheduled */
} Live;

typedef struct {
    GPtrArray *running; /* of Live */
    GQueue waiting;     /* of Live */
    EagerKv kv;
} Engine;

/* What a step does for one request. */
typedef struct {
    Live *live;
    guint64 tokens;
    guint64 computed_after;
    gboolean yields; /* delivers a token at its end (rule 32) */
    gboolean prefill;
    guint preemptions; /* of the request when this was planned */
} Entry;

typedef struct {
    gint64 begin;
    GArray *entries; /* of Entry: engine by engine, in the order of scheduling */
} Step;

typedef struct {
    const EagerConfig *config;
    Engine *engines;
    guint n_routed;      /* accepted so far */
    guint64 step_number; /* of the next step to begin, from 0 since the pool was idle */
    Step *current;       /* in progress, or NULL */
    Step *next;          /* planned ahead, or NULL */
    EagerTotals *totals;
} Pool;

/* The scheduling of one engine for one step. */
typedef struct {
    Pool *pool;
    Engine *engine;
    gint64 begin;
    guint64 budget;
    gboolean preempted;
    GArray *entries; /* of Entry, this engine's */
} Pass;

static guint64 blocks_for(const EagerConfig *config, guint64 tokens)
{
    return (tokens + config->block_size - 1) / config->block_size;
}

static guint64 known(const Live *live)
{
    return live->request->prompt + live->generated + live->in_flight;
}

/* Async scheduling: its last token is on the way, nothing is left to schedule. */
static gboolean all_promised(const Live *live)
{
    return live->generated + live->in_flight == live->request->output;
}

/* Rule 9. */
static gint compare_arrival(const Live *a, const Live *b)
{
    if (a->request->arrival != b->request->arrival)
        return a->request->arrival < b->request->arrival ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The order of the priority policy: most urgent first. */
static gint compare_priority(gconstpointer a, gconstpointer b, gpointer unused)
{
    const Live *x = a, *y = b;
    if (x->request->priority != y->request->priority)
        return x->request->priority < y->request->priority ? -1 : 1;
    return compare_arrival(x, y);
}

static gboolean pool_has_work(const Pool *pool)
{
    for (guint e = 0; e < pool->config->n_engines; e++) /* rule 2 */
        if (pool->engines[e].running->len > 0 || pool->engines[e].waiting.length > 0)
            return TRUE;
    return FALSE;
}

/* ---- Prefix cache ---- */

/* The identity of a request's block; FALSE if it has none. */
static gboolean block_identity(const EagerConfig *config, const EagerRequest *request,
                               guint64 index, guint64 *ret_hash, guint *ret_part)
{
    if (!config->prefix_caching || (index + 1) * config->block_size > request->prompt)
        return FALSE;
    const guint blocks_per_hash = config->hash_tokens / config->block_size;
    if (index / blocks_per_hash >= request->n_hashes)
        return FALSE;
    *ret_hash = request->hashes[index / blocks_per_hash];
    *ret_part = index % blocks_per_hash;
    return TRUE;
}

/* The cached blocks that an admission now would share. */
static GPtrArray *find_hits(const EagerConfig *config, Engine *engine, const Live *live)
{
    GPtrArray *hits = g_ptr_array_new();
    const guint64 limit = (known(live) - 1) / config->block_size;
    for (guint64 index = 0; index < limit; index++) {
        guint64 hash;
        guint part;
        if (!block_identity(config, live->request, index, &hash, &part))
            break;
        EagerBlock *block = eager_kv_find(&engine->kv, hash, part);
        if (block == NULL)
            break;
        g_ptr_array_add(hits, block);
    }
    return hits;
}

/* The blocks whose last token this entry computed become visible. */
static void identify_blocks(const EagerConfig *config, Engine *engine, const Entry *entry)
{
    Live *live = entry->live;
    if (entry->preemptions != live->result->preemptions)
        return; /* preempted since it was planned: it holds these blocks no more */
    const guint64 first = (entry->computed_after - entry->tokens) / config->block_size;
    const guint64 end = entry->computed_after / config->block_size;
    for (guint64 index = first; index < end; index++) {
        guint64 hash;
        guint part;
        if (block_identity(config, live->request, index, &hash, &part))
            eager_kv_identify(&engine->kv, live->blocks->pdata[index], hash, part);
    }
}

/* ---- Scheduling ---- */

/* Schedules tokens now: takes the blocks that lack, charges the budget (rules 17, 20, 29). */
static void schedule(Pass *pass, Live *live, guint64 tokens)
{
    const guint64 blocks = blocks_for(pass->pool->config, live->computed + tokens);
    while (live->blocks->len < blocks)
        g_ptr_array_add(live->blocks, eager_kv_take(&pass->engine->kv));
    Entry entry = {.live = live, .tokens = tokens, .preemptions = live->result->preemptions};
    g_array_append_val(pass->entries, entry);
    g_assert(tokens > 0 && tokens <= pass->budget);
    pass->budget -= tokens;
}

/* Undoes what this pass scheduled for a victim; only the priority policy can need it (rule 25). */
static void give_back(Pass *pass, const Live *victim)
{
    for (guint i = 0; i < pass->entries->len; i++) {
        const Entry *entry = &g_array_index(pass->entries, Entry, i);
        if (entry->live != victim)
            continue;
        g_assert(pass->pool->config->priority_policy);
        pass->budget += entry->tokens;
        g_array_remove_index(pass->entries, i);
        return;
    }
}

static Live *choose_victim(const Pass *pass)
{
    const GPtrArray *running = pass->engine->running;
    Live *victim = running->pdata[running->len - 1]; /* rule 22 */
    if (pass->pool->config->priority_policy)
        for (guint i = 0; i < running->len; i++)
            if (compare_priority(running->pdata[i], victim, NULL) > 0)
                victim = running->pdata[i];
    return victim;
}

static void preempt(Pass *pass, Live *victim)
{
    Engine *engine = pass->engine;
    give_back(pass, victim);
    g_ptr_array_remove(engine->running, victim); /* rule 23 */
    eager_kv_release(&engine->kv, victim->blocks);
    victim->computed = 0;
    victim->result->preemptions++;
    pass->pool->totals->preemptions++;
    if (pass->pool->config->priority_policy)
        g_queue_insert_sorted(&engine->waiting, victim, compare_priority, NULL);
    else
        g_queue_push_head(&engine->waiting, victim); /* rule 24 */
    pass->preempted = TRUE;
}

/* Rules 20 to 22: FALSE if the request itself had to fall. */
static gboolean make_room(Pass *pass, Live *live, guint64 tokens)
{
    const guint64 blocks = blocks_for(pass->pool->config, live->computed + tokens);
    while (blocks - live->blocks->len > eager_kv_n_free(&pass->engine->kv)) {
        Live *victim = choose_victim(pass);
        preempt(pass, victim);
        if (victim == live)
            return FALSE;
    }
    return TRUE;
}

static void running_pass(Pass *pass)
{
    GPtrArray *running = pass->engine->running;
    guint i = 0;
    while (i < running->len && pass->budget > 0) { /* rule 18 */
        Live *live = running->pdata[i];
        if (!all_promised(live)) {
            const guint64 wanted = MIN(known(live) - live->computed, pass->budget); /* rule 19 */
            if (!make_room(pass, live, wanted))
                break;
            schedule(pass, live, wanted);
        }
        g_ptr_array_find(running, live, &i); /* victims before it may have left the list */
        i++;
    }
}

/* The tests of rule 27, in its order, and the watermark. */
static gboolean may_admit(const Pass *pass, const GPtrArray *hits)
{
    const EagerConfig *config = pass->pool->config;
    const Engine *engine = pass->engine;
    if (engine->running->len >= config->max_num_seqs)
        return FALSE;
    guint64 n_free = eager_kv_n_free(&engine->kv);
    for (guint i = 0; i < hits->len; i++)
        if (((EagerBlock *)hits->pdata[i])->users == 0)
            n_free--; /* needed itself */
    const guint64 blocks = blocks_for(config, known(engine->waiting.head->data)) - hits->len;
    if (blocks > n_free)
        return FALSE;
    const guint64 kept = floor(config->watermark * (double)config->num_blocks);
    return engine->running->len == 0 || n_free - blocks >= kept;
}

/* Rules 28 to 30. */
static void admit(Pass *pass, const GPtrArray *hits)
{
    const EagerConfig *config = pass->pool->config;
    Engine *engine = pass->engine;
    Live *live = g_queue_pop_head(&engine->waiting);
    g_assert(live->computed == 0 && live->blocks->len == 0 && !all_promised(live));
    g_ptr_array_add(engine->running, live);
    for (guint i = 0; i < hits->len; i++) {
        eager_kv_share(&engine->kv, hits->pdata[i]);
        g_ptr_array_add(live->blocks, hits->pdata[i]);
    }
    live->computed = (guint64)hits->len * config->block_size;
    live->since_admission = live->computed;
    live->prefilling = TRUE;
    pass->pool->totals->blocks_hit += hits->len;
    const guint64 tokens = MIN(known(live) - live->computed, pass->budget);
    if (live->first_begin < 0) {
        live->first_begin = pass->begin;
        live->whole_prompt = live->computed + tokens == live->request->prompt;
        live->result->cached_tokens = live->computed;
    }
    schedule(pass, live, tokens);
}

static void waiting_pass(Pass *pass)
{
    const EagerConfig *config = pass->pool->config;
    if (pass->preempted) /* rule 26 */
        return;
    if (config->prefill_schedule_interval > 1 &&
        pass->pool->step_number % config->prefill_schedule_interval != 0)
        return;
    while (pass->engine->waiting.length > 0 && pass->budget > 0) { /* rule 27 */
        GPtrArray *hits = find_hits(config, pass->engine, pass->engine->waiting.head->data);
        const gboolean admissible = may_admit(pass, hits);
        if (admissible)
            admit(pass, hits);
        g_ptr_array_unref(hits);
        if (!admissible)
            return;
    }
}

/* ---- Consequences ---- */

/* Rule 43, and the order of the priority policy. */
static void check_order(const EagerConfig *config, const Engine *engine)
{
    const Live *before = NULL;
    for (guint i = 0; i < engine->running->len && !config->priority_policy; i++) {
        g_assert(before == NULL || compare_arrival(before, engine->running->pdata[i]) < 0);
        before = engine->running->pdata[i];
    }
    for (const GList *link = engine->waiting.head; link != NULL; link = link->next) {
        if (config->priority_policy)
            g_assert(before == NULL || compare_priority(before, link->data, NULL) < 0);
        else
            g_assert(before == NULL || compare_arrival(before, link->data) < 0);
        before = link->data;
    }
}

/* Rules 40 to 44 for one engine, when it has been scheduled; `had_work`: before that. */
static void check_pass(const Pass *pass, gboolean had_work)
{
    const EagerConfig *config = pass->pool->config;
    const Engine *engine = pass->engine;
    check_order(config, engine);
    guint64 users = 0, n_wanting = 0;
    for (guint i = 0; i < engine->running->len; i++) {
        const Live *live = engine->running->pdata[i];
        users += live->blocks->len;
        n_wanting += !all_promised(live);
    }
    eager_kv_check(&engine->kv, users); /* waiting requests hold none */
    g_assert(engine->running->len <= config->max_num_seqs);
    if (config->priority_policy)
        return; /* a request that preempts itself can leave others of the list unscheduled */
    if (had_work && !config->async_scheduling && config->prefill_schedule_interval <= 1)
        g_assert(pass->entries->len > 0); /* 40 */
    g_assert(pass->entries->len == n_wanting &&
             n_wanting <= config->max_num_batched_tokens); /* 41 */
    for (guint i = 0; i < pass->entries->len; i++) {
        const Entry *entry = &g_array_index(pass->entries, Entry, i);
        if (entry->live->computed + entry->tokens < known(entry->live)) { /* 42 */
            g_assert(pass->budget == 0 && i == pass->entries->len - 1);
            g_assert(entry->live == engine->running->pdata[engine->running->len - 1]);
        }
    }
    if (pass->preempted && !config->prefix_caching) /* 44 */
        g_assert(blocks_for(config, known(engine->waiting.head->data)) >
                 eager_kv_n_free(&engine->kv));
}

/* Rules 36, 45 and 46, and the blocks held, for a request that has all its tokens. */
static void check_finish(const Pool *pool, const Live *live, gboolean was_running)
{
    const EagerConfig *config = pool->config;
    const EagerRequest *request = live->request;
    g_assert(live->in_flight == 0);
    if (was_running) {
        const guint64 held = (guint64)request->prompt + request->output - 1;
        g_assert(live->since_admission == held && live->computed == held);
        g_assert(live->blocks->len == blocks_for(config, held));
    } else {
        g_assert(config->async_scheduling && live->blocks->len == 0);
    }
    if (!config->priority_policy && live->result->preemptions == 0 && live->whole_prompt) {
        g_assert(live->result->first_token == live->first_begin + config->step_time);
        g_assert(live->result->finish == live->first_begin + request->output * config->step_time);
    }
}

/* ---- Steps ---- */

/* Counts what was scheduled as computed (rule 31) and promises the tokens that follow from it (rule
 * 32). Synchronous scheduling looks at neither before the step's end; async scheduling plans the
 * next step with them. */
static void promise(Entry *entry)
{
    Live *live = entry->live;
    live->computed += entry->tokens;
    live->since_admission += entry->tokens;
    entry->computed_after = live->computed;
    entry->prefill = live->prefilling;
    g_assert(live->computed <= known(live));
    if (live->computed == known(live)) {
        entry->yields = TRUE;
        live->in_flight++;
        live->prefilling = FALSE;
    }
}

static Step *plan_step(Pool *pool, gint64 begin)
{
    Step *step = g_new0(Step, 1);
    step->begin = begin;
    step->entries = g_array_new(FALSE, TRUE, sizeof(Entry));
    for (guint e = 0; e < pool->config->n_engines; e++) {
        Engine *engine = &pool->engines[e];
        const gboolean had_work = engine->running->len > 0 || engine->waiting.length > 0;
        Pass pass = {.pool = pool,
                     .engine = engine,
                     .begin = begin,
                     .budget = pool->config->max_num_batched_tokens,
                     .entries = g_array_new(FALSE, TRUE, sizeof(Entry))};
        running_pass(&pass);
        waiting_pass(&pass);
        check_pass(&pass, had_work);
        for (guint i = 0; i < pass.entries->len; i++)
            promise(&g_array_index(pass.entries, Entry, i));
        g_array_append_vals(step->entries, pass.entries->data, pass.entries->len);
        g_array_unref(pass.entries);
    }
    return step;
}

static void step_free(Step *step)
{
    g_array_unref(step->entries);
    g_free(step);
}

/* Rules 34 and 35. */
static void finish(Pool *pool, Live *live, gint64 now)
{
    Engine *engine = &pool->engines[live->result->engine];
    live->result->finish = now;
    const gboolean was_running = g_ptr_array_remove(engine->running, live);
    if (!was_running) /* async: preempted while its last token was in flight */
        g_queue_remove(&engine->waiting, live);
    check_finish(pool, live, was_running);
    eager_kv_release(&engine->kv, live->blocks);
    pool->totals->completed++;
}

/* Rules 32 and 33, and 41 for the gap since the token before. */
static void deliver(Pool *pool, const Entry *entry, gint64 now)
{
    Live *live = entry->live;
    EagerResult *result = live->result;
    live->generated++;
    live->in_flight--;
    pool->totals->generated_tokens++;
    if (live->generated == 1) {
        result->first_token = now;
    } else {
        result->max_itl = MAX(result->max_itl, now - live->last_token);
        if (!pool->config->priority_policy && live->last_preemptions == entry->preemptions)
            g_assert(now - live->last_token == pool->config->step_time);
    }
    live->last_token = now;
    live->last_preemptions = entry->preemptions;
    if (live->generated == live->request->output)
        finish(pool, live, now);
}

static void end_current(Pool *pool, gint64 now)
{
    Step *step = g_steal_pointer(&pool->current);
    for (guint i = 0; i < step->entries->len; i++) {
        const Entry *entry = &g_array_index(step->entries, Entry, i);
        if (entry->prefill)
            pool->totals->prefill_tokens_computed += entry->tokens;
        else
            pool->totals->decode_tokens_computed += entry->tokens;
        identify_blocks(pool->config, &pool->engines[entry->live->result->engine], entry);
        if (entry->yields)
            deliver(pool, entry, now);
    }
    pool->totals->end = now;
    step_free(step);
}

/* Rules 3 to 5: called when no step is in progress and the arrivals of this instant are in. */
static void begin_step(Pool *pool, gint64 now)
{
    if (pool->next == NULL) {
        if (!pool_has_work(pool)) {
            pool->step_number = 0;
            return;
        }
        pool->next = plan_step(pool, now);
    }
    pool->current = g_steal_pointer(&pool->next);
    g_assert(pool->current->begin == now);
    pool->step_number++;
    pool->totals->n_steps++;
    pool->totals->n_empty_steps += pool->current->entries->len == 0;
    if (!pool->config->async_scheduling)
        return;
    pool->next = plan_step(pool, now + pool->config->step_time);
    if (pool->next->entries->len == 0)
        g_clear_pointer(&pool->next, step_free);
}

/* ---- Arrivals ---- */

static guint route(const Pool *pool)
{
    const guint n_engines = pool->config->n_engines;
    if (pool->config->router == EAGER_ROUND_ROBIN) /* rule 14 */
        return pool->n_routed % n_engines;
    guint best = 0, best_score = G_MAXUINT;
    for (guint e = 0; e < n_engines; e++) { /* rules 15 and 16 */
        const guint score = 4 * pool->engines[e].waiting.length + pool->engines[e].running->len;
        if (score < best_score) {
            best = e;
            best_score = score;
        }
    }
    return best;
}

static void arrive(Pool *pool, Live *live)
{
    const EagerConfig *config = pool->config;
    const guint64 tokens = (guint64)live->request->prompt + live->request->output;
    if (blocks_for(config, tokens) > config->num_blocks) { /* rule 11 */
        live->result->rejected = TRUE;
        pool->totals->rejected++;
        return;
    }
    live->result->engine = route(pool); /* rule 13 */
    pool->n_routed++;
    GQueue *waiting = &pool->engines[live->result->engine].waiting;
    if (config->priority_policy)
        g_queue_insert_sorted(waiting, live, compare_priority, NULL);
    else
        g_queue_push_tail(waiting, live);
}

static gint compare_arrival_indirect(gconstpointer a, gconstpointer b)
{
    return compare_arrival(*(Live *const *)a, *(Live *const *)b);
}

/* One instant after the other (rule 6): results, arrivals, scheduling. */
static void run_pool(Pool *pool, GPtrArray *arrivals)
{
    guint n_arrived = 0;
    while (pool->current != NULL || n_arrived < arrivals->len) {
        gint64 now = G_MAXINT64;
        if (pool->current != NULL)
            now = pool->current->begin + pool->config->step_time; /* rule 1 */
        if (n_arrived < arrivals->len)
            now = MIN(now, ((Live *)arrivals->pdata[n_arrived])->request->arrival);
        if (pool->current != NULL && pool->current->begin + pool->config->step_time == now)
            end_current(pool, now);
        while (n_arrived < arrivals->len &&
               ((Live *)arrivals->pdata[n_arrived])->request->arrival == now)
            arrive(pool, arrivals->pdata[n_arrived++]);
        if (pool->current == NULL)
            begin_step(pool, now);
    }
    g_assert(pool->next == NULL && !pool_has_work(pool)); /* rule 38 */
}

static Live *live_new(const EagerRequest *request, guint id, EagerResult *result)
{
    *result = (EagerResult){.engine = -1, .first_token = -1, .finish = -1};
    Live *live = g_new0(Live, 1);
    live->request = request;
    live->result = result;
    live->id = id;
    live->first_begin = -1;
    live->blocks = g_ptr_array_new();
    return live;
}

static void live_free(gpointer data)
{
    Live *live = data;
    g_ptr_array_unref(live->blocks);
    g_free(live);
}

void eager_run(const EagerConfig *config, const EagerRequest *requests, guint n,
               EagerResult *ret_results, EagerTotals *ret_totals)
{
    g_assert(config->n_engines > 0 && config->block_size > 0 && config->num_blocks > 0);
    g_assert(config->max_num_batched_tokens > 0 && config->max_num_seqs > 0);
    g_assert(config->step_time > 0);
    g_assert(!config->prefix_caching ||
             (config->hash_tokens > 0 && config->hash_tokens % config->block_size == 0));
    *ret_totals = (EagerTotals){0};
    Pool pool = {.config = config, .totals = ret_totals};
    pool.engines = g_new0(Engine, config->n_engines);
    for (guint e = 0; e < config->n_engines; e++) {
        pool.engines[e].running = g_ptr_array_new();
        g_queue_init(&pool.engines[e].waiting);
        eager_kv_init(&pool.engines[e].kv, config->num_blocks);
    }
    GPtrArray *arrivals = g_ptr_array_new_with_free_func(live_free);
    for (guint id = 0; id < n; id++)
        g_ptr_array_add(arrivals, live_new(&requests[id], id, &ret_results[id]));
    g_ptr_array_sort(arrivals, compare_arrival_indirect);

    run_pool(&pool, arrivals);

    for (guint e = 0; e < config->n_engines; e++) {
        EagerKv *kv = &pool.engines[e].kv;
        eager_kv_check(kv, 0);
        g_assert(eager_kv_n_free(kv) == config->num_blocks);
        ret_totals->blocks_evicted += kv->n_evicted;
        eager_kv_clear(kv);
        g_ptr_array_unref(pool.engines[e].running);
    }
    g_free(pool.engines);
    g_ptr_array_unref(arrivals);
}
