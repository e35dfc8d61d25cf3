#include "core/observer.h"

typedef struct {
    EepObserver base;
    GPtrArray *observers; /* EepObserver *, not owned */
} Fan;

static void none_request_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
}

static void none_attempt_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
}

static void none_gaps(EepObserver *self, EepPoolId pool, EepTime gap, guint64 n)
{
}

static void none_step(EepObserver *self, const EepStepRecord *step)
{
}

static void none_decision(EepObserver *self, EepTime now, EepPoolId pool, const char *what,
                          const EepFact *facts, guint n_facts)
{
}

static void none_size_changed(EepObserver *self, EepTime now, EepPoolId pool, guint n_engines)
{
}

static void none_gpu_time(EepObserver *self, EepPoolId pool, EepGpuUse use, EepTime begin,
                          EepTime end, guint n_gpus)
{
}

static void none_resize_ended(EepObserver *self, const EepResizeRecord *record)
{
}

static void none_incident_ended(EepObserver *self, const EepIncident *incident)
{
}

static void none_rearranged(EepObserver *self, EepTime now, const EepRearrangement *rearrangement)
{
}

static void none_kept(EepObserver *self, EepTime now, const EepEplbKept *kept)
{
}

const EepObserverOps eep_observer_none = {
    .size = sizeof(EepObserverOps),
    .name = "none",
    .request_ended = none_request_ended,
    .attempt_ended = none_attempt_ended,
    .gaps = none_gaps,
    .step = none_step,
    .decision = none_decision,
    .size_changed = none_size_changed,
    .gpu_time = none_gpu_time,
    .resize_ended = none_resize_ended,
    .incident_ended = none_incident_ended,
    .rearranged = none_rearranged,
    .kept = none_kept,
};

#define FAN_OUT(call, ...)                                                                         \
    do {                                                                                           \
        Fan *fan = (Fan *)self;                                                                    \
        for (guint i = 0; i < fan->observers->len; i++) {                                          \
            EepObserver *observer = g_ptr_array_index(fan->observers, i);                          \
            observer->ops->call(observer, __VA_ARGS__);                                            \
        }                                                                                          \
    } while (0)

static void fan_request_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
    FAN_OUT(request_ended, request, now);
}

static void fan_attempt_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
    FAN_OUT(attempt_ended, request, now);
}

static void fan_gaps(EepObserver *self, EepPoolId pool, EepTime gap, guint64 n)
{
    FAN_OUT(gaps, pool, gap, n);
}

static void fan_step(EepObserver *self, const EepStepRecord *step)
{
    FAN_OUT(step, step);
}

static void fan_decision(EepObserver *self, EepTime now, EepPoolId pool, const char *what,
                         const EepFact *facts, guint n_facts)
{
    FAN_OUT(decision, now, pool, what, facts, n_facts);
}

static void fan_size_changed(EepObserver *self, EepTime now, EepPoolId pool, guint n_engines)
{
    FAN_OUT(size_changed, now, pool, n_engines);
}

static void fan_gpu_time(EepObserver *self, EepPoolId pool, EepGpuUse use, EepTime begin,
                         EepTime end, guint n_gpus)
{
    FAN_OUT(gpu_time, pool, use, begin, end, n_gpus);
}

static void fan_resize_ended(EepObserver *self, const EepResizeRecord *record)
{
    FAN_OUT(resize_ended, record);
}

static void fan_incident_ended(EepObserver *self, const EepIncident *incident)
{
    FAN_OUT(incident_ended, incident);
}

static void fan_rearranged(EepObserver *self, EepTime now, const EepRearrangement *rearrangement)
{
    FAN_OUT(rearranged, now, rearrangement);
}

static void fan_kept(EepObserver *self, EepTime now, const EepEplbKept *kept)
{
    FAN_OUT(kept, now, kept);
}

static const EepObserverOps fan_ops = {
    .size = sizeof(EepObserverOps),
    .name = "fan",
    .request_ended = fan_request_ended,
    .attempt_ended = fan_attempt_ended,
    .gaps = fan_gaps,
    .step = fan_step,
    .decision = fan_decision,
    .size_changed = fan_size_changed,
    .gpu_time = fan_gpu_time,
    .resize_ended = fan_resize_ended,
    .incident_ended = fan_incident_ended,
    .rearranged = fan_rearranged,
    .kept = fan_kept,
};

EepObserver *eep_observer_fan_new(void)
{
    Fan *fan = g_new0(Fan, 1);

    fan->base.ops = &fan_ops;
    fan->observers = g_ptr_array_new();
    return &fan->base;
}

void eep_observer_fan_add(EepObserver *fan, EepObserver *observer)
{
    g_ptr_array_add(((Fan *)fan)->observers, observer);
}

void eep_observer_fan_free(EepObserver *fan)
{
    if (fan == NULL)
        return;
    g_ptr_array_free(((Fan *)fan)->observers, TRUE);
    g_free(fan);
}
