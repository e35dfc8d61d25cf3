/* What a GPU that serves holds twice while its pool is resized: the memory that practitioners leave
 * free by a lower gpu_memory_utilization.
 *
 * Derived from the generation's rows: groups that are built while the old ones serve; exchange
 * buffers of the new size beside those of the old one; graphs that are captured before the old ones
 * may go, because the resize can still be rolled back. Weights are not in it: non-expert weights
 * and experts go to new GPUs, whose slots are empty, and a layer's exchange goes through the
 * staging buffer that EPLB always has. An estimate, of the peak of a whole resize. Pure. */
#ifndef EEP_SIM_RESIZE_MEMORY_H
#define EEP_SIM_RESIZE_MEMORY_H

#include "core/resize/generation.h"
#include "sim/cost.h"

G_BEGIN_DECLS

typedef struct {
    gint64 groups;  /* communicators and their buffers: the profile's standby_group */
    gint64 buffers; /* of an all-to-all in batched layout that cannot take ranks in as it runs */
    gint64 graphs;
} EepResizeMemory;

static inline gint64 eep_resize_memory_total(const EepResizeMemory *memory)
{
    return memory->groups + memory->buffers + memory->graphs;
}

/* Of the larger of growing and shrinking. */
void eep_resize_memory(const EepCostContext *context, const EepGeneration *generation,
                       EepResizeMemory *ret_memory);

G_END_DECLS

#endif
