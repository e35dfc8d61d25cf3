#include "tests/run_folder/sample_run.h"

#include "core/resize/generation.h"

#include <string.h>

#define MS EEP_NS_PER_MS
#define S  EEP_NS_PER_S

const char *const sample_run_pools[] = {"main", NULL};

static void tell_request(EepObserver *observer, guint id)
{
    EepTime tpot = id % 50 == 7 ? 60 * MS : 30 * MS;
    EepRequest request = {.id = id,
                          .arrival = (EepTime)id * 500 * MS,
                          .prompt_tokens = 1000,
                          .output_tokens = 11,
                          .n_attempts = 1,
                          .worker = id % 16 + 1,
                          .last_token = EEP_TIME_NEVER,
                          .fate = EEP_FATE_COMPLETED};

    request.first_token =
        request.arrival + (id / 10 == 8 ? 5 * S : 200 * MS + (EepTime)(id % 10) * 10 * MS);
    request.finish = request.first_token + 10 * tpot;
    request.max_gap = tpot;
    request.cached_tokens = id % 4 == 0 ? 64 : 0;
    request.n_preemptions = id == 30 ? 2 : 0;
    if (id == 95) {
        request.fate = EEP_FATE_REJECTED;
        request.reason = EEP_REASON_SCALING_503;
        request.first_token = EEP_TIME_NEVER;
        request.finish = request.arrival + 3 * S;
        request.n_attempts = 3;
        request.worker = 0;
    } else if (id == 96) {
        request.fate = EEP_FATE_ABORTED;
        request.reason = EEP_REASON_SCALE_DOWN;
        request.generated = 4;
        request.n_migrated = 2;
        request.n_retries = 1;
        request.finish = request.first_token + 90 * MS;
    }
    observer->ops->request_ended(observer, &request, request.finish);
}

static void tell_step(EepObserver *observer, guint index)
{
    EepStepRecord step = {.step = index,
                          .begin = (EepTime)index * 500 * MS,
                          .end = (EepTime)(index + 1) * 500 * MS,
                          .n_engines = index < 90 ? 16 : 20,
                          .n_decodes = 10,
                          .n_prefill_tokens = 490,
                          .n_running = 12,
                          .n_waiting = 2,
                          .kv_usage = 0.25,
                          .imbalance = index < 120 ? 1.25 : 1.0};

    observer->ops->step(observer, &step);
    observer->ops->gaps(observer, 0, 30 * MS, 10);
}

static void tell_resize(EepObserver *observer)
{
    EepResizeRecord record;
    const EepFact facts[] = {EEP_FACT_S("id", "grow"), EEP_FACT_I("from", 16), EEP_FACT_I("to", 20),
                             EEP_FACT_T("commit_ns", 41 * S), EEP_FACT_D("share", 0.25)};
    static const struct {
        const char *name, *who;
        EepTime start_ms, end_ms;
        gboolean blocks;
        guint roles;
    } phases[] = {{"launch", "new", 40000, 40600, FALSE, EEP_WHO_NEW},
                  {"weights", "new", 40600, 41000, FALSE, EEP_WHO_NEW},
                  {"pause", "existing", 41000, 41600, TRUE, EEP_WHO_STAYING},
                  {"switch", "all", 41600, 45000, TRUE, EEP_WHO_GROUP},
                  {"reshuffle", "all", 45000, 46500, FALSE, EEP_WHO_GROUP}};

    observer->ops->decision(observer, 40 * S, 0, "resize_accepted", facts, G_N_ELEMENTS(facts));
    eep_resize_record_init(&record, 0, "grow", "scenario", 40 * S);
    record.from = 16;
    record.to = 20;
    record.generation = "g2.1";
    record.outcome = EEP_OUTCOME_COMPLETE;
    record.accepted = 40 * S;
    record.commit = 41 * S;
    record.serving = 45 * S;
    record.complete = record.experts_ready = 46500 * MS;
    record.stall = 4 * S;
    record.reject = 2 * S;
    record.downtime = 4 * S;
    for (guint rank = 0; rank < 20; rank++)
        eep_resize_record_add_rank(&record, rank < 16 ? EEP_WHO_STAYING : EEP_WHO_NEW,
                                   rank < 16 ? "existing" : "new", rank);
    for (guint i = 0; i < G_N_ELEMENTS(phases); i++) {
        eep_resize_record_begin_phase(&record, phases[i].name, phases[i].who, phases[i].blocks,
                                      phases[i].start_ms * MS);
        record.phases[i].roles = phases[i].roles;
        if (phases[i].roles == EEP_WHO_NEW) /* rank 18 is always faster */
            eep_resize_record_end_part(&record, i, EEP_WHO_NEW, 18, (phases[i].end_ms - 50) * MS);
        eep_resize_record_end_phase(&record, i, phases[i].end_ms * MS);
    }
    record.n_rejected = 1;
    record.n_aborted = 1;
    record.n_migrated = 3;
    record.non_expert_bytes = G_GINT64_CONSTANT(127000000000);
    record.expert_bytes = G_GINT64_CONSTANT(368000000000);
    record.peak_extra_bytes = (gint64)3 << 30;
    record.first_503 = 41 * S;
    record.first_success_after = 45500 * MS;
    const EepRearrangement own = {.for_resize = TRUE,
                                  .trigger = "resize",
                                  .bytes_moved = G_GINT64_CONSTANT(8000000000),
                                  .bytes_intra_node = G_GINT64_CONSTANT(6000000000),
                                  .bytes_inter_node = G_GINT64_CONSTANT(2000000000),
                                  .n_experts_moved = 12,
                                  .balancedness_before = 0.7,
                                  .balancedness_after = 0.9};
    observer->ops->rearranged(observer, 46500 * MS, &own);
    observer->ops->resize_ended(observer, &record);
}

static void tell_gpus(EepObserver *observer)
{
    const struct {
        EepGpuUse use;
        EepTime begin_s, end_s;
        guint n;
    } spans[] = {{EEP_GPU_SERVING, 0, 41, 16},
                 {EEP_GPU_PREPARING, 40, 45, 4},
                 {EEP_GPU_STALLED, 41, 45, 16},
                 {EEP_GPU_SERVING, 45, 122, 16},
                 {EEP_GPU_SERVING, 45, 122, 4}};

    for (guint i = 0; i < G_N_ELEMENTS(spans); i++)
        observer->ops->gpu_time(observer, 0, spans[i].use, spans[i].begin_s * S, spans[i].end_s * S,
                                spans[i].n);
}

void sample_run_tell(EepObserver *observer)
{
    guint next = 0;

    observer->ops->size_changed(observer, 0, 0, 16);
    for (guint step = 0; step < 244; step++) {
        if (step >= 82 && step < 90)
            continue;
        tell_step(observer, step);
        if (step == 90) {
            observer->ops->gaps(observer, 0, 4200 * MS, 3);
            observer->ops->size_changed(observer, 45 * S, 0, 20);
        }
        if (step == 93)
            tell_resize(observer);
        for (; next < 240 && next + 1 <= step; next++)
            tell_request(observer, next);
    }
    const EepEplbKept kept = {.trigger = "cost_benefit",
                              .reason = "not_worth_it",
                              .balancedness = 0.75,
                              .worth = {TRUE, 0.5, 0.625}};
    const EepRearrangement rearrangement = {.trigger = "cost_benefit",
                                            .bytes_moved = G_GINT64_CONSTANT(5000000000),
                                            .n_experts_moved = 7,
                                            .balancedness_before = 0.8,
                                            .balancedness_after = 0.95,
                                            .worth = {TRUE, 2.5, 0.125},
                                            .stalled = 125 * MS};
    observer->ops->kept(observer, 55 * S, &kept);
    observer->ops->rearranged(observer, 60 * S, &rearrangement);
    tell_gpus(observer);
}

EepMetrics *sample_run_metrics(gboolean with_incident)
{
    const EepSloOptions slo = {.ttft = 1 * S, .tpot = 50 * MS, .target = 0.99};
    const EepMeasureOptions measure = {.warmup = 10 * S, .bucket = 1 * S};
    const EepMetricsEnd end = {120 * S, 122 * S, 900};
    EepMetrics *metrics = eep_metrics_new(&slo, &measure);
    EepIncident incident = {.id = "death",
                            .fault = "fail",
                            .detected_by = "process_exit",
                            .recovery_by = "shrink",
                            .outcome = "recovered",
                            .at = 90 * S,
                            .detection = 500 * MS,
                            .recovery = 12 * S,
                            .degraded = EEP_TIME_NEVER,
                            .n_engines = 1,
                            .n_lost = 2,
                            .n_lost_rejected = 1,
                            .n_client_retried = 7,
                            .n_retried = 3,
                            .n_migrated = 4,
                            .n_lost_kv_tokens = 5500,
                            .degraded_tokens = 640,
                            .experts_missing_s = 2.5};

    sample_run_tell(eep_metrics_observer(metrics));
    if (with_incident)
        eep_metrics_add_incident(metrics, &incident);
    eep_metrics_finish(metrics, &end);
    return metrics;
}

EepRunFacts sample_run_facts(const char *const *expect)
{
    static const EepTwinFigures twin[] = {{4321, 9500 * MS}};
    static const EepRunBasis basis[] = {
        {"all2all model, EP 8..32", "measured", "table"},
        {"start-up of an engine", "assumed", "no published figure"},
        {"skew of synthetic traffic", "assumed", NULL},
        {"phase times of g2.1", "derived", "its source code"},
    };
    static const char *const notes[] = {"one thing to know", NULL};

    return (EepRunFacts){
        .name = "sample",
        .version = "0.1.0",
        .seed = 7,
        .backend = "sim",
        .label = "SIMULATED",
        .model = "deepseek-v3",
        .hardware = "h200-sxm",
        .machines = "h200-sxm 4x8",
        .deployment = "DP 16, nixl_ep, g2.1",
        .elastic = "DP 15..32",
        .scenario = "eep: 1\nname: sample\n",
        .scenario_sha256 = "5ca1ab1e",
        .traffic_sha256 = "7aff1c",
        .pools = sample_run_pools,
        .n_pools = 1,
        .basis = basis,
        .n_basis = G_N_ELEMENTS(basis),
        .notes = notes,
        .expect = expect,
        .twin = twin,
        .wallclock = {.started_unix_s = 1700000000,
                      .wall_s = 0.41,
                      .host = "node17",
                      .folder = "runs/sample",
                      .n_events = 5000},
    };
}
