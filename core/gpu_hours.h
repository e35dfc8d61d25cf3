/* EepGpuHours: what the GPUs of each pool did, from launch to release.
 *
 * Intervals as observers are told them (observer.h), added up over any span of time afterwards, so
 * that the end of traffic need not be known while the run goes on. Intervals that continue one
 * another are kept as one. Not a time line (timeline.h) and no judgement of what counts as serving.
 * Owned by its creator; loop thread only. */
#ifndef EEP_CORE_GPU_HOURS_H
#define EEP_CORE_GPU_HOURS_H

#include "core/histogram.h"
#include "core/observer.h"

G_BEGIN_DECLS

typedef struct EepGpuHours EepGpuHours;

#define EEP_GPU_ALL_POOLS G_MAXUINT32

/* "serving", "preparing", ... by EepGpuUse. */
extern const char *const eep_gpu_use_names[EEP_GPU_USE_COUNT];

EepGpuHours *eep_gpu_hours_new(void);
void eep_gpu_hours_free(EepGpuHours *hours);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepGpuHours, eep_gpu_hours_free)

/* Nothing is added where end <= begin or n_gpus is 0. */
void eep_gpu_hours_add(EepGpuHours *hours, EepPoolId pool, EepGpuUse use, EepTime begin,
                       EepTime end, guint n_gpus);

/* GPU-nanoseconds by use within [from, to) into ret_gpu_ns [EEP_GPU_USE_COUNT]; exact. */
void eep_gpu_hours_sum(const EepGpuHours *hours, EepPoolId pool, EepTime from, EepTime to,
                       EepWide *ret_gpu_ns);

/* Adds to all_gpu_ns[i] the GPU-nanoseconds that the pool's GPUs spent in [i, i + 1) * bucket, and
 * to stalled_gpu_ns[i] those of them that were stalled; both [n_buckets], what lies beyond is left
 * out. */
void eep_gpu_hours_spread(const EepGpuHours *hours, EepPoolId pool, EepTime bucket,
                          double *all_gpu_ns, double *stalled_gpu_ns, gsize n_buckets);

/* GPU-hours of GPU-nanoseconds. */
static inline double eep_gpu_hours_from_ns(EepWide gpu_ns)
{
    return (double)gpu_ns / 3.6e12;
}

G_END_DECLS

#endif
