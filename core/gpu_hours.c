#include "core/gpu_hours.h"

typedef struct {
    EepTime begin, end;
    EepPoolId pool;
    guint32 n_gpus;
    EepGpuUse use;
} Interval;

struct EepGpuHours {
    GArray *intervals; /* Interval */
    GArray *latest;    /* guint32: 1 + index of the latest interval of [pool][use], 0: none */
};

const char *const eep_gpu_use_names[EEP_GPU_USE_COUNT] = {
    [EEP_GPU_SERVING] = "serving", [EEP_GPU_PREPARING] = "preparing",
    [EEP_GPU_STALLED] = "stalled", [EEP_GPU_DRAINING] = "draining",
    [EEP_GPU_DEAD] = "dead",       [EEP_GPU_RESERVED] = "reserved",
};

EepGpuHours *eep_gpu_hours_new(void)
{
    EepGpuHours *hours = g_new0(EepGpuHours, 1);

    hours->intervals = g_array_new(FALSE, FALSE, sizeof(Interval));
    hours->latest = g_array_new(FALSE, TRUE, sizeof(guint32));
    return hours;
}

void eep_gpu_hours_free(EepGpuHours *hours)
{
    if (hours == NULL)
        return;
    g_array_free(hours->intervals, TRUE);
    g_array_free(hours->latest, TRUE);
    g_free(hours);
}

void eep_gpu_hours_add(EepGpuHours *hours, EepPoolId pool, EepGpuUse use, EepTime begin,
                       EepTime end, guint n_gpus)
{
    g_return_if_fail(use < EEP_GPU_USE_COUNT);
    if (end <= begin || n_gpus == 0)
        return;

    gsize slot = (gsize)pool * EEP_GPU_USE_COUNT + use;
    if (slot >= hours->latest->len)
        g_array_set_size(hours->latest, (guint)slot + 1);
    guint32 *latest = &g_array_index(hours->latest, guint32, slot);
    if (*latest > 0) {
        Interval *before = &g_array_index(hours->intervals, Interval, *latest - 1);
        if (before->end == begin && before->n_gpus == n_gpus) {
            before->end = end;
            return;
        }
        /* A pool's engines change what they do together, and are told one by one. */
        if (before->begin == begin && before->end == end) {
            before->n_gpus += n_gpus;
            return;
        }
    }
    Interval interval = {begin, end, pool, n_gpus, use};
    g_array_append_val(hours->intervals, interval);
    *latest = hours->intervals->len;
}

void eep_gpu_hours_sum(const EepGpuHours *hours, EepPoolId pool, EepTime from, EepTime to,
                       EepWide *ret_gpu_ns)
{
    for (guint use = 0; use < EEP_GPU_USE_COUNT; use++)
        ret_gpu_ns[use] = 0;
    for (guint i = 0; i < hours->intervals->len; i++) {
        const Interval *interval = &g_array_index(hours->intervals, Interval, i);
        EepTime begin = MAX(interval->begin, from), end = MIN(interval->end, to);
        if (end > begin && (pool == EEP_GPU_ALL_POOLS || pool == interval->pool))
            ret_gpu_ns[interval->use] += (EepWide)(guint64)(end - begin) * interval->n_gpus;
    }
}

void eep_gpu_hours_spread(const EepGpuHours *hours, EepPoolId pool, EepTime bucket,
                          double *all_gpu_ns, double *stalled_gpu_ns, gsize n_buckets)
{
    for (guint i = 0; i < hours->intervals->len; i++) {
        const Interval *interval = &g_array_index(hours->intervals, Interval, i);
        if (interval->pool != pool)
            continue;
        gsize at = (gsize)(interval->begin / bucket);
        for (EepTime begin = interval->begin; begin < interval->end && at < n_buckets; at++) {
            EepTime end = MIN(interval->end, ((EepTime)at + 1) * bucket);
            double gpu_ns = (double)(end - begin) * interval->n_gpus;
            all_gpu_ns[at] += gpu_ns;
            if (interval->use == EEP_GPU_STALLED)
                stalled_gpu_ns[at] += gpu_ns;
            begin = end;
        }
    }
}
