/* EepEmulatedAllocation: a piece of device or pinned memory. All that live stand in one table by
 * address, so that a pointer's owner and bounds are known. Functions want the runtime's lock unless
 * they say otherwise. */
#ifndef EEP_GPU_EMULATION_EMULATED_MEMORY_H
#define EEP_GPU_EMULATION_EMULATED_MEMORY_H

#include "gpu/emulation/emulated_parts.h"

G_BEGIN_DECLS

typedef struct {
    guint8 *start;
    gsize n_bytes;
    int device; /* -1: pinned host memory */
    gpointer mapping;
    gsize n_mapped;
} EepEmulatedAllocation;

GTree *eep_emulated_allocations_new(void); /* without the lock */

/* The allocation that holds the address; NULL: none, so pageable host memory, or nothing. */
const EepEmulatedAllocation *eep_emulated_find(EepEmulatedRuntime *runtime, const void *address);

/* Does the allocation hold all of these bytes? */
gboolean eep_emulated_holds(const EepEmulatedAllocation *allocation, const void *start,
                            gsize n_bytes);

G_END_DECLS

#endif
