/* Resizes through the real pool: sizes, requests, 503s, experts and the record's times. Steps of 10
 * ns; four engines of 12 experts in 2 layers, 4 slots a rank, so that 3 ranks and more can hold
 * them. */
#include <check.h>

#include "core/engine/pool_internal.h"
#include "tests/serving/serving_kit.h"

#define N_LAYERS   2
#define N_EXPERTS  12
#define MAX_ARRIVE 400

static KitConfig config;
static double load[N_LAYERS * N_EXPERTS];
static EepOperatorEvent event;
static EepArrival requests[MAX_ARRIVE];

/* What is seen after every event. */
static struct {
    EepTime refusing_since, refusing_until, held_since, held;
    guint n_refusals;
    gboolean is_held;
} seen;

static void watch(gpointer self, EepPool *pool, EepTime now)
{
    gboolean is_held = pool->n_holds > 0;
    g_autoptr(GError) error = NULL;

    ck_assert_msg(eep_placement_check(eep_eplb_placement(pool->eplb), &error), "%s",
                  error != NULL ? error->message : "");
    /* A restart releases its engines one by one. */
    ck_assert(is_held || eep_eplb_placement(pool->eplb)->n_ranks == pool->n_engines);
    ck_assert_msg(!is_held || pool->n_in_flight == 0, "a step runs while forwards are blocked");
    if (eep_pool_is_refusing(pool)) {
        if (seen.refusing_since == EEP_TIME_NEVER)
            seen.refusing_since = now;
        seen.refusing_until = EEP_TIME_NEVER;
    } else if (seen.refusing_since != EEP_TIME_NEVER && seen.refusing_until == EEP_TIME_NEVER) {
        seen.refusing_until = now;
    }
    if (is_held && !seen.is_held)
        seen.held_since = now;
    if (!is_held && seen.is_held)
        seen.held += now - seen.held_since;
    seen.is_held = is_held;
}

static void setup(void)
{
    memset(&seen, 0, sizeof seen);
    seen.refusing_since = seen.refusing_until = EEP_TIME_NEVER;
    for (guint i = 0; i < G_N_ELEMENTS(load); i++)
        load[i] = 1 + i % 5;
    kit_config_init(&config);
    config.options.data_parallel_size = 4;
    config.options.enable_eplb = TRUE;
    config.options.enable_elastic_ep = TRUE;
    config.options.eplb_config.num_redundant_experts = 4;
    config.shape.n_blocks = 500;
    config.shape.n_moe_layers = N_LAYERS;
    config.shape.n_experts = N_EXPERTS;
    config.shape.expert_bytes = 100;
    config.costs.n_cells = G_N_ELEMENTS(load);
    config.costs.load = load;
    config.costs.move = 30;
    for (guint i = 0; i < EEP_PHASE_COUNT; i++)
        config.costs.phase[i] = 100 + i;
    config.deployment.n_events = 1;
    config.deployment.events = &event;
    config.watch = watch;
    /* One request every 25 ns, of 20 tokens each: always work, everywhere. */
    for (guint i = 0; i < MAX_ARRIVE; i++)
        requests[i] = (EepArrival){.arrival = i * 25, .prompt_tokens = 8, .output_tokens = 20};
    event = (EepOperatorEvent){.at = 1003, .id = "resize"};
}

static void teardown(void)
{
    kit_config_clear(&config);
}

static void set_generation(const char *name)
{
    g_free(config.options.resize.generation);
    config.options.resize.generation = g_strdup(name);
}

/* t0 <= t1 <= t2 <= t3, phases inside, and the unions of stall and reject what was seen. */
static void assert_record(const EepResizeRecord *record, guint from, guint to)
{
    ck_assert_str_eq(eep_outcome_names[record->outcome], "complete");
    ck_assert_uint_eq(record->from, from);
    ck_assert_uint_eq(record->to, to);
    ck_assert_int_eq(record->requested, event.at);
    ck_assert_int_eq(record->accepted, event.at);
    ck_assert_int_le(record->accepted, record->commit);
    ck_assert_int_lt(record->commit, record->serving);
    ck_assert_int_le(record->serving, record->complete);
    ck_assert_int_ge(record->experts_ready, record->accepted);
    ck_assert_int_le(record->experts_ready, record->complete);
    ck_assert_uint_gt(record->n_phases, 0);
    for (guint i = 0; i < record->n_phases; i++) {
        const EepResizePhase *phase = &record->phases[i];

        ck_assert_msg(record->accepted <= phase->start && phase->start <= phase->end &&
                          phase->end <= record->complete,
                      "%s: [%" G_GINT64_FORMAT ", %" G_GINT64_FORMAT "]", phase->name, phase->start,
                      phase->end);
    }
    ck_assert_int_eq(seen.refusing_since, record->commit);
    ck_assert_int_eq(seen.refusing_until, record->serving);
    ck_assert_int_eq(record->reject, record->serving - record->commit);
    ck_assert_int_ge(record->stall, seen.held);
    ck_assert_int_le(record->stall, record->serving - record->commit);
    ck_assert_int_ge(record->downtime, MAX(record->stall, record->reject));
    ck_assert_int_le(record->downtime, record->stall + record->reject);
}

/* Everyone who arrives in [t1, t2) gets 503, nobody else. */
static void assert_refusals(const KitRun *run, const EepResizeRecord *record)
{
    guint n = 0;

    for (guint i = 0; i < run->n_requests; i++) {
        EepTime at = requests[i].arrival;
        gboolean is_503 = run->results[i].reason == EEP_REASON_SCALING_503;

        ck_assert_msg(is_503 == (at >= record->commit && at < record->serving),
                      "arrival at %" G_GINT64_FORMAT " is %s, %s; commit %" G_GINT64_FORMAT
                      ", serving %" G_GINT64_FORMAT,
                      at, eep_fate_names[run->results[i].fate],
                      eep_reason_names[run->results[i].reason], record->commit, record->serving);
        n += is_503;
    }
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_eq(record->n_rejected, n);
    ck_assert_int_ge(record->first_503, record->commit);
    ck_assert_int_ge(record->first_success_after, record->serving);
}

static void assert_sizes(const KitRun *run, guint from, guint to)
{
    ck_assert_uint_ge(run->sizes->len, 2);
    ck_assert_uint_eq(kit_nth(run->sizes, KitSize, 0)->n_engines, from);
    ck_assert_uint_eq(kit_nth(run->sizes, KitSize, run->sizes->len - 1)->n_engines, to);
}

/* GPU time by use adds up to a GPU's time for each engine that was ever there. */
static EepTime gpu_time(const KitRun *run)
{
    EepTime sum = 0;

    for (guint i = 0; i < EEP_GPU_USE_COUNT; i++)
        sum += run->gpu_time[i];
    return sum;
}

/* Growing: nobody is aborted or recomputed, those who decode go on where they were, and the new
 * engines (workers 5 and 6) serve after the commit. */
START_TEST(growing)
{
    event.new_data_parallel_size = 6;
    config.options.async_scheduling = _i & 1;
    config.options.eplb_config.use_async = _i >> 1;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);
    guint n_new = 0;

    ck_assert_uint_eq(run->resizes->len, 1);
    assert_record(record, 4, 6);
    assert_refusals(run, record);
    assert_sizes(run, 4, 6);
    ck_assert_uint_eq(record->n_aborted, 0);
    ck_assert_uint_eq(run->counts.n_preemptions, 0);
    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (result->fate != EEP_FATE_COMPLETED)
            continue;
        if (result->worker > 4) {
            n_new++;
            ck_assert_int_ge(result->queued, record->serving);
        }
        /* Whoever lived through the blocking commit waited for it between two tokens. */
        if (result->first_token < record->commit && result->finish > record->serving)
            ck_assert_int_ge(result->max_gap, seen.held);
    }
    ck_assert_uint_gt(n_new, 0);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE) + record->n_rejected,
                      MAX_ARRIVE);
    /* Asynchronously experts move after the group serves again, else before. */
    if (_i >> 1)
        ck_assert_int_gt(record->experts_ready, record->serving);
    else
        ck_assert_int_le(record->experts_ready, record->serving);
    ck_assert_int_gt(record->expert_bytes, 0);
    ck_assert_int_eq(gpu_time(run),
                     4 * run->end +
                         2 * (run->end - kit_nth(run->resizes, EepResizeRecord, 0)->accepted));
    kit_assert_conserved(run, requests, "growing");
}
END_TEST

/* Shrinking: requests on the leaving engine (worker 4) end as aborted, scale_down; the others' KV
 * stays. */
START_TEST(shrinking)
{
    guint n_aborted = 0;

    event.new_data_parallel_size = 3;
    config.options.async_scheduling = _i & 1;
    config.options.eplb_config.use_async = _i >> 1;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_uint_eq(run->resizes->len, 1);
    assert_record(record, 4, 3);
    assert_refusals(run, record);
    assert_sizes(run, 4, 3);
    ck_assert_uint_eq(run->counts.n_preemptions, 0);
    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (result->fate == EEP_FATE_ABORTED) {
            n_aborted++;
            ck_assert_str_eq(eep_reason_names[result->reason], "scale_down");
            ck_assert_uint_eq(result->worker, 4);
            ck_assert_int_ge(result->finish, record->commit);
            ck_assert_int_le(result->finish, record->serving);
        } else if (result->fate == EEP_FATE_COMPLETED && result->worker == 4) {
            ck_assert_int_le(result->finish, record->serving);
        }
    }
    ck_assert_uint_gt(n_aborted, 0);
    ck_assert_uint_eq(record->n_aborted, n_aborted);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE) + n_aborted +
                          record->n_rejected,
                      MAX_ARRIVE);
    kit_assert_conserved(run, requests, "shrinking");
}
END_TEST

/* With drain_requests everybody who was admitted is served to the end first. */
START_TEST(draining_aborts_nobody)
{
    event.new_data_parallel_size = 3;
    config.options.resize.drain_requests = TRUE;
    /* The drain is polled once a second. */
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    assert_record(record, 4, 3);
    ck_assert_uint_eq(record->n_aborted, 0);
    ck_assert_int_gt(record->serving, EEP_NS_PER_S);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_ABORTED, EEP_REASON_SCALE_DOWN), 0);
    kit_assert_conserved(run, requests, "draining");
}
END_TEST

/* A restart loses everything in the pool, keeps no engine, and takes as long as its phases:
 * teardown, then launch, groups, weights, KV agreement, warm-up and graphs, one after the other. */
START_TEST(restarting)
{
    static const guint sizes[] = {3, 5, 6};
    guint to = sizes[_i];

    event.new_data_parallel_size = to;
    set_generation("restart");
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    assert_record(record, 4, to);
    assert_refusals(run, record);
    assert_sizes(run, 4, to);
    EepTime phases = config.costs.phase[EEP_PHASE_DESTROY] + config.costs.phase[EEP_PHASE_LAUNCH] +
                     config.costs.phase[EEP_PHASE_STANDBY_GROUPS] +
                     config.costs.phase[EEP_PHASE_WEIGHTS_FROM_DISK] +
                     config.costs.phase[EEP_PHASE_KV_SYNC] + config.costs.phase[EEP_PHASE_WARM_UP] +
                     config.costs.phase[EEP_PHASE_GRAPH_CAPTURE];
    ck_assert_int_eq(record->commit, 1003);
    /* Its engines stop at the end of the step in flight, 1010. */
    ck_assert_int_eq(record->serving, 1010 + phases);
    ck_assert_int_eq(record->stall, phases);
    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (result->fate == EEP_FATE_ABORTED)
            ck_assert_int_eq(result->finish, 1010);
        if (result->fate == EEP_FATE_COMPLETED && result->queued >= record->serving)
            ck_assert_uint_gt(result->worker, 4);
        if (result->fate == EEP_FATE_COMPLETED && result->queued < record->commit)
            ck_assert_int_le(result->finish, 1010);
    }
    ck_assert_uint_gt(record->n_aborted, 0);
    ck_assert_uint_eq(record->n_aborted, kit_count(run, EEP_FATE_ABORTED, EEP_REASON_SCALE_DOWN));
    kit_assert_conserved(run, requests, "restarting");
}
END_TEST

/* Clients that try again get through, and their TTFT counts from the first attempt. */
START_TEST(retries_reach_the_resized_pool)
{
    guint n_retried = 0;

    event.new_data_parallel_size = 6;
    set_generation("restart");
    config.deployment.retry_attempts = 8;
    config.deployment.retry_backoff = 20;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];
        EepTime at = requests[i].arrival, attempt = at;
        guint n = 1;

        if (at < record->commit || at >= record->serving) {
            /* Who was served when it began was aborted, and asks again too. */
            ck_assert(result->attempts == 1 || at < record->commit);
            ck_assert_int_eq(result->fate, EEP_FATE_COMPLETED);
            continue;
        }
        /* Backoff 20, 40, 80, ... until an attempt falls behind the commit. */
        for (; attempt < record->serving; n++)
            attempt += 20 << (n - 1);
        ck_assert_uint_eq(result->attempts, n);
        ck_assert_int_eq(result->fate, EEP_FATE_COMPLETED);
        ck_assert_int_eq(result->arrival, at);
        ck_assert_int_eq(result->queued, attempt);
        ck_assert_int_ge(result->first_token, attempt + 10);
        n_retried++;
    }
    ck_assert_uint_gt(n_retried, 10);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_REJECTED, EEP_REASON_SCALING_503), 0);
    kit_assert_conserved(run, requests, "retries");
}
END_TEST

/* Who is aborted on a leaving engine asks again after the backoff, for everything: what was
 * delivered is wasted, and the TTFT is that of the attempt that succeeded. */
START_TEST(aborted_requests_are_retried)
{
    guint n_aborted = 0, n_wasted = 0;

    event.new_data_parallel_size = 3;
    config.deployment.retry_attempts = (guint)_i;
    config.deployment.retry_backoff = 7;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    for (guint i = 0; i < MAX_ARRIVE; i++) {
        const KitResult *result = &run->results[i];

        if (requests[i].arrival < record->commit && result->attempts > 1) {
            n_aborted++;
            n_wasted += result->wasted_tokens > 0;
            if (result->fate == EEP_FATE_COMPLETED) {
                ck_assert_int_ge(result->queued, record->serving);
                ck_assert_int_gt(result->first_token, result->queued);
                ck_assert_uint_eq(result->generated, 20);
            } else {
                /* Its second attempt got 503: it was admitted once, so it is not rejected. */
                ck_assert_str_eq(eep_reason_names[result->reason], "scale_down");
                ck_assert_int_eq(result->fate, EEP_FATE_ABORTED);
                ck_assert_uint_eq(result->attempts, 2);
            }
        }
    }
    ck_assert_uint_eq(n_aborted, record->n_aborted);
    ck_assert_uint_gt(n_wasted, 0);
    if (_i == 20)
        ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), MAX_ARRIVE);
    else
        ck_assert_uint_gt(kit_count(run, EEP_FATE_ABORTED, EEP_REASON_SCALE_DOWN), 0);
    kit_assert_conserved(run, requests, "retries of aborted requests");
}
END_TEST

/* What cannot be is refused with a reason, and nothing happens. */
START_TEST(impossible_sizes_are_refused)
{
    static const guint sizes[] = {2 /* 8 slots for 12 experts */, 9 /* the cluster has 8 */, 4};

    event.new_data_parallel_size = sizes[_i];
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

    ck_assert_uint_eq(run->resizes->len, 1);
    ck_assert_str_eq(eep_outcome_names[record->outcome], sizes[_i] == 4 ? "noop" : "refused");
    ck_assert((record->reason[0] != '\0') == (sizes[_i] != 4));
    ck_assert_uint_eq(run->sizes->len, 1);
    ck_assert_uint_eq(kit_count(run, EEP_FATE_COMPLETED, EEP_REASON_NONE), MAX_ARRIVE);
}
END_TEST

/* Up and down again, the second asked for while the first runs: it waits for its turn. */
START_TEST(one_after_the_other)
{
    static const EepOperatorEvent events[] = {
        {.at = 1003, .new_data_parallel_size = 6, .id = "up"},
        {.at = 1100, .new_data_parallel_size = 3, .id = "down"}};

    config.deployment.n_events = 2;
    config.deployment.events = events;
    config.watch = NULL;
    g_autoptr(KitRun) run = kit_must_run(&config, requests, MAX_ARRIVE);
    const EepResizeRecord *up = kit_nth(run->resizes, EepResizeRecord, 0),
                          *down = kit_nth(run->resizes, EepResizeRecord, 1);

    ck_assert_uint_eq(run->resizes->len, 2);
    ck_assert_str_eq(up->id, "up");
    ck_assert_str_eq(down->id, "down");
    ck_assert_int_eq(down->requested, 1100);
    ck_assert_int_ge(down->accepted, up->complete);
    ck_assert_uint_eq(down->from, 6);
    ck_assert_uint_eq(down->to, 3);
    assert_sizes(run, 4, 3);
    kit_assert_conserved(run, requests, "up and down");
}
END_TEST

/* -- every generation ------------------------------------------------------------------------- */

static const struct {
    const char *name;
    gboolean holds_twice, drains;
} generations[] = {{"restart", FALSE, FALSE}, {"m1", FALSE, TRUE},   {"g1", TRUE, FALSE},
                   {"g2", TRUE, FALSE},       {"g2.1", TRUE, FALSE}, {"g3", TRUE, FALSE},
                   {"masked", FALSE, TRUE},   {"eep", TRUE, TRUE}};

static struct {
    EepTime since, gpu_time;
    guint n;
} gpus;

/* Whatever is launched and not released, or stands by. */
static void watch_gpus(gpointer self, EepPool *pool, EepTime now)
{
    gpus.gpu_time += gpus.n * (now - gpus.since);
    gpus.since = now;
    gpus.n = pool->n_engines + pool->joining->len + pool->leaving->len + pool->reserve->len;
}

static KitRun *resize_by(guint generation, guint to)
{
    KitRun *run;

    gpus.since = gpus.gpu_time = 0;
    gpus.n = 4;
    set_generation(generations[generation].name);
    event.new_data_parallel_size = to;
    config.watch = watch_gpus;
    config.shape.max_engines = 6;
    config.shape.standby_bytes = 512;
    config.shape.can_mask = config.shape.can_reuse_graphs = TRUE;
    run = kit_must_run(&config, requests, MAX_ARRIVE);
    gpus.gpu_time += gpus.n * (run->end - gpus.since);
    ck_assert_uint_eq(run->resizes->len, 1);
    ck_assert_str_eq(eep_outcome_names[kit_nth(run->resizes, EepResizeRecord, 0)->outcome],
                     "complete");
    return run;
}

/* The parts of all GPUs' time add up to it. */
START_TEST(gpu_time_adds_up)
{
    g_autoptr(KitRun) up = resize_by((guint)_i, 6);

    ck_assert_int_eq(gpu_time(up), gpus.gpu_time);
    /* Nobody leaves, but where everybody does. */
    ck_assert(up->gpu_time[EEP_GPU_DRAINING] == 0 || _i == 0);
}
END_TEST

/* One engine leaves: it drains from the moment at which it gets no new request, and until its
 * process has gone. */
START_TEST(who_leaves_drains)
{
    g_autoptr(KitRun) down = resize_by((guint)_i, 3);
    const EepResizeRecord *record = kit_nth(down->resizes, EepResizeRecord, 0);

    EepTime drained = 0;

    for (guint i = 0; i < record->n_phases; i++)
        if (strcmp(record->phases[i].name, "drain") == 0)
            drained += record->phases[i].end - record->phases[i].start;
    ck_assert_int_eq(gpu_time(down), gpus.gpu_time);
    ck_assert(drained > 0 || !generations[_i].drains);
    ck_assert_int_gt(down->gpu_time[EEP_GPU_DRAINING], drained);
    ck_assert_int_le(down->gpu_time[EEP_GPU_DRAINING], record->complete - record->accepted);
}
END_TEST

/* Where new groups are built beside the old ones, in the background or not. */
START_TEST(what_is_held_twice)
{
    static const guint sizes[] = {3, 6};

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(KitRun) run = resize_by((guint)_i, sizes[i]);
        const EepResizeRecord *record = kit_nth(run->resizes, EepResizeRecord, 0);

        ck_assert_int_eq(record->peak_extra_bytes, generations[_i].holds_twice ? 512 : 0);
    }
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("resize");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, growing, 0, 4);
    tcase_add_loop_test(tcase, shrinking, 0, 4);
    tcase_add_test(tcase, draining_aborts_nobody);
    tcase_add_loop_test(tcase, restarting, 0, 3);
    tcase_add_test(tcase, retries_reach_the_resized_pool);
    tcase_add_loop_test(tcase, aborted_requests_are_retried, 20, 21);
    tcase_add_loop_test(tcase, aborted_requests_are_retried, 2, 3);
    tcase_add_loop_test(tcase, impossible_sizes_are_refused, 0, 3);
    tcase_add_test(tcase, one_after_the_other);
    tcase_add_loop_test(tcase, gpu_time_adds_up, 0, G_N_ELEMENTS(generations));
    tcase_add_loop_test(tcase, who_leaves_drains, 1, G_N_ELEMENTS(generations));
    tcase_add_loop_test(tcase, what_is_held_twice, 0, G_N_ELEMENTS(generations));
    return kit_main("pool resize", tcase);
}
