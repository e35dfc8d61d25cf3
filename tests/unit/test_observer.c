#include "core/observer.h"

#include <check.h>
#include <stdlib.h>

typedef struct {
    EepObserver base;
    const char *name;
    GString *log;
} Recorder;

static const EepResizeRecord a_record = {.from = 4, .to = 6};
static const EepRequest a_request = {.id = 17};

#define LOG(...)                                                                                   \
    do {                                                                                           \
        g_string_append(((Recorder *)self)->log, ((Recorder *)self)->name);                        \
        g_string_append_printf(((Recorder *)self)->log, __VA_ARGS__);                              \
    } while (0)

static void on_end(EepObserver *self, const EepRequest *request, EepTime now)
{
    ck_assert_ptr_eq(request, &a_request);
    LOG(":end %d@%d ", (int)request->id, (int)now);
}

static void on_attempt(EepObserver *self, const EepRequest *request, EepTime now)
{
    ck_assert_ptr_eq(request, &a_request);
    LOG(":attempt@%d ", (int)now);
}

static void on_gaps(EepObserver *self, EepPoolId pool, EepTime gap, guint64 n)
{
    LOG(":gaps %d %d %d ", (int)pool, (int)gap, (int)n);
}

static void on_step(EepObserver *self, const EepStepRecord *step)
{
    LOG(":step %d ", (int)step->step);
}

static void on_decision(EepObserver *self, EepTime now, EepPoolId pool, const char *what,
                        const EepFact *facts, guint n_facts)
{
    LOG(":%s@%d %d ", what, (int)now, (int)pool);
    ck_assert_uint_eq(n_facts, 4);
    ck_assert_str_eq(facts[0].key, "i");
    ck_assert_int_eq(facts[0].type, EEP_FACT_INT);
    ck_assert_int_eq(facts[0].integer, 5);
    ck_assert_int_eq(facts[1].type, EEP_FACT_DOUBLE);
    ck_assert_double_eq(facts[1].real, 0.5);
    ck_assert_int_eq(facts[2].type, EEP_FACT_STRING);
    ck_assert_str_eq(facts[2].string, "word");
    ck_assert_int_eq(facts[3].type, EEP_FACT_TIME);
    ck_assert_int_eq(facts[3].integer, 99);
}

static void on_size(EepObserver *self, EepTime now, EepPoolId pool, guint n_engines)
{
    LOG(":size %d %d %u ", (int)now, (int)pool, n_engines);
}

static void on_gpu(EepObserver *self, EepPoolId pool, EepGpuUse use, EepTime begin, EepTime end,
                   guint n_gpus)
{
    LOG(":gpu %d %d %d-%d %u ", (int)pool, (int)use, (int)begin, (int)end, n_gpus);
}

static void on_resize(EepObserver *self, const EepResizeRecord *record)
{
    ck_assert_ptr_eq(record, &a_record);
    LOG(":resize %u>%u ", record->from, record->to);
}

static const EepIncident an_incident = {.fault = "fail", .n_lost = 3};

static void on_incident(EepObserver *self, const EepIncident *incident)
{
    ck_assert_ptr_eq(incident, &an_incident);
    LOG(":incident %s ", incident->fault);
}

static const EepRearrangement a_rearrangement = {.pool = 1, .bytes_moved = 1000};
static const EepEplbKept a_kept = {.pool = 2, .reason = "balanced"};

static void on_rearranged(EepObserver *self, EepTime now, const EepRearrangement *rearrangement)
{
    ck_assert_ptr_eq(rearrangement, &a_rearrangement);
    LOG(":moved %d ", (int)now);
}

static void on_kept(EepObserver *self, EepTime now, const EepEplbKept *kept)
{
    ck_assert_ptr_eq(kept, &a_kept);
    LOG(":kept %d ", (int)now);
}

static const EepObserverOps recorder_ops = {.size = sizeof(EepObserverOps),
                                            .name = "recorder",
                                            .request_ended = on_end,
                                            .attempt_ended = on_attempt,
                                            .gaps = on_gaps,
                                            .step = on_step,
                                            .decision = on_decision,
                                            .size_changed = on_size,
                                            .gpu_time = on_gpu,
                                            .resize_ended = on_resize,
                                            .incident_ended = on_incident,
                                            .rearranged = on_rearranged,
                                            .kept = on_kept};

static void call_everything(EepObserver *observer)
{
    const EepStepRecord step = {.step = 8};
    const EepFact facts[] = {EEP_FACT_I("i", 5), EEP_FACT_D("d", 0.5), EEP_FACT_S("s", "word"),
                             EEP_FACT_T("t", 99)};

    observer->ops->request_ended(observer, &a_request, 3);
    observer->ops->attempt_ended(observer, &a_request, 4);
    observer->ops->gaps(observer, 1, 20, 4);
    observer->ops->step(observer, &step);
    observer->ops->decision(observer, 7, 2, "what", facts, G_N_ELEMENTS(facts));
    observer->ops->size_changed(observer, 8, 1, 16);
    observer->ops->gpu_time(observer, 1, EEP_GPU_STALLED, 10, 12, 8);
    observer->ops->resize_ended(observer, &a_record);
    observer->ops->incident_ended(observer, &an_incident);
    observer->ops->rearranged(observer, 9, &a_rearrangement);
    observer->ops->kept(observer, 11, &a_kept);
}

/* Every call reaches every observer, in the order in which they were added, with its values. */
START_TEST(a_fan_passes_everything_on)
{
    g_autoptr(GString) log = g_string_new(NULL);
    Recorder a = {{&recorder_ops}, "a", log}, b = {{&recorder_ops}, "b", log};
    EepObserver *fan = eep_observer_fan_new();

    eep_observer_fan_add(fan, &a.base);
    eep_observer_fan_add(fan, &b.base);
    call_everything(fan);
    ck_assert_str_eq(log->str,
                     "a:end 17@3 b:end 17@3 a:attempt@4 b:attempt@4 "
                     "a:gaps 1 20 4 b:gaps 1 20 4 a:step 8 b:step 8 a:what@7 2 b:what@7 2 a:size 8 "
                     "1 16 b:size 8 1 16 "
                     "a:gpu 1 2 10-12 8 b:gpu 1 2 10-12 8 a:resize 4>6 b:resize 4>6 "
                     "a:incident fail b:incident fail a:moved 9 b:moved 9 a:kept 11 b:kept 11 ");
    eep_observer_fan_free(fan);
}
END_TEST

/* An empty fan and the observer that does nothing take every call; a fan may hold a fan. */
START_TEST(nobody_listens)
{
    g_autoptr(GString) log = g_string_new(NULL);
    Recorder a = {{&recorder_ops}, "a", log};
    EepObserver none = {&eep_observer_none};
    EepObserver *outer = eep_observer_fan_new(), *inner = eep_observer_fan_new();

    call_everything(outer);
    eep_observer_fan_add(outer, &none);
    eep_observer_fan_add(outer, inner);
    call_everything(outer);
    eep_observer_fan_add(inner, &a.base);
    outer->ops->gaps(outer, 1, 2, 3);
    ck_assert_str_eq(log->str, "a:gaps 1 2 3 ");
    eep_observer_fan_free(inner);
    eep_observer_fan_free(outer);
    eep_observer_fan_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("observer");
    TCase *tcase = tcase_create("observer");
    tcase_add_test(tcase, a_fan_passes_everything_on);
    tcase_add_test(tcase, nobody_listens);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
