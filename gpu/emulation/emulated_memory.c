#include "gpu/emulation/emulated_memory.h"

#include "gpu/emulation/emulated_switches.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define EEP_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EEP_HAS_ASAN 1
#endif
#endif
#ifdef EEP_HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, bytes)   ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(start, bytes) ((void)0)
#endif

/* cudaMalloc() aligns to 256 bytes at least (CUDA programming guide, device memory accesses). */
#define ALIGNMENT 256

/* What fresh memory holds: not a number, as bf16 and as f32. */
#define FRESH 0xff
/* What stands behind an allocation's end, up to the next page, which cannot be touched. */
#define BEHIND 0xa5

/* -- the table -- */

static int compare_starts(gconstpointer a, gconstpointer b, gpointer unused)
{
    return a < b ? -1 : a > b;
}

GTree *eep_emulated_allocations_new(void)
{
    return g_tree_new_full(compare_starts, NULL, NULL, g_free);
}

const EepEmulatedAllocation *eep_emulated_find(EepEmulatedRuntime *runtime, const void *address)
{
    GTreeNode *above = g_tree_upper_bound(runtime->allocations, address);
    GTreeNode *node =
        above != NULL ? g_tree_node_previous(above) : g_tree_node_last(runtime->allocations);
    if (node == NULL)
        return NULL;
    const EepEmulatedAllocation *allocation = g_tree_node_value(node);
    gsize offset = (gsize)((const guint8 *)address - allocation->start);
    return offset < MAX(allocation->n_bytes, 1) ? allocation : NULL;
}

gboolean eep_emulated_holds(const EepEmulatedAllocation *allocation, const void *start,
                            gsize n_bytes)
{
    gsize offset = (gsize)((const guint8 *)start - allocation->start);
    return offset <= allocation->n_bytes && n_bytes <= allocation->n_bytes - offset;
}

cudaError_t eep_emulated_check_memory(int device, const void *memory, gsize bytes, const char *user)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    g_mutex_lock(&runtime->lock);
    const EepEmulatedAllocation *found = eep_emulated_find(runtime, memory);
    EepEmulatedAllocation owner = found != NULL ? *found : (EepEmulatedAllocation){0};
    gboolean is_inside = found != NULL && eep_emulated_holds(found, memory, bytes);
    g_mutex_unlock(&runtime->lock);
    if (is_inside && (owner.device == device || owner.device < 0))
        return cudaSuccess;
    if (owner.start == NULL)
        eep_emulated_report("%s: %p is neither device nor pinned memory (freed, or the host's own)",
                            user, memory);
    else if (!is_inside)
        eep_emulated_report("%s: %" G_GSIZE_FORMAT " bytes at %p run over the end of an allocation "
                            "of %" G_GSIZE_FORMAT " at %p",
                            user, bytes, memory, owner.n_bytes, (gpointer)owner.start);
    else
        eep_emulated_report("%s: %p is memory of device %d, not %d", user, memory, owner.device,
                            device);
    return cudaErrorIllegalAddress;
}

int eep_emulated_owner(const void *address)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    g_mutex_lock(&runtime->lock);
    const EepEmulatedAllocation *found = eep_emulated_find(runtime, address);
    int owner = found != NULL ? found->device : -2;
    g_mutex_unlock(&runtime->lock);
    return owner;
}

/* -- taking and giving back -- */

static gsize up(gsize value, gsize unit)
{
    return (value + unit - 1) / unit * unit;
}

static gsize slack(const EepEmulatedAllocation *allocation)
{
    return up(allocation->n_bytes, ALIGNMENT) - allocation->n_bytes;
}

/* Pages that cannot be touched on both sides; the end lies against the second, so that a kernel
 * that runs over it traps there, or leaves a trace in the less than 256 bytes between. Without the
 * lock. */
static EepEmulatedAllocation *map(gsize n_bytes, int device)
{
    gsize page = (gsize)sysconf(_SC_PAGESIZE);
    if (n_bytes > G_MAXSIZE / 2)
        return NULL;
    gsize n_inside = up(MAX(n_bytes, 1), page), n_mapped = n_inside + 2 * page;
    guint8 *mapping =
        mmap(NULL, n_mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
        return NULL;
    if (mprotect(mapping + page, n_inside, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapping, n_mapped);
        return NULL;
    }
    EepEmulatedAllocation *allocation = g_new(EepEmulatedAllocation, 1);
    *allocation = (EepEmulatedAllocation){
        .start = mapping + page + n_inside - up(MAX(n_bytes, 1), ALIGNMENT),
        .n_bytes = n_bytes,
        .device = device,
        .mapping = mapping,
        .n_mapped = n_mapped,
    };
    memset(allocation->start, FRESH, n_bytes);
    memset(allocation->start + n_bytes, BEHIND, slack(allocation));
    ASAN_POISON_MEMORY_REGION(allocation->start + n_bytes, slack(allocation));
    ASAN_POISON_MEMORY_REGION(mapping + page, (gsize)(allocation->start - mapping) - page);
    return allocation;
}

static gboolean is_overrun(const EepEmulatedAllocation *allocation)
{
    const guint8 *end = allocation->start + allocation->n_bytes;
    ASAN_UNPOISON_MEMORY_REGION(end, slack(allocation));
    for (gsize i = 0; i < slack(allocation); i++)
        if (end[i] != BEHIND)
            return TRUE;
    return FALSE;
}

/* What is at `start` leaves the table and the address space. */
static cudaError_t unmap(EepEmulatedRuntime *runtime, void *start, gboolean is_pinned,
                         const char *call)
{
    const EepEmulatedAllocation *found = g_tree_lookup(runtime->allocations, start);
    if (found == NULL || (found->device < 0) != is_pinned) {
        eep_emulated_report("%s: %p was not allocated so, or is freed already", call, start);
        return cudaErrorInvalidValue;
    }
    EepEmulatedAllocation gone = *found;
    g_tree_remove(runtime->allocations, start);
    if (gone.device >= 0)
        runtime->devices[gone.device].n_used -= up(gone.n_bytes, ALIGNMENT);
    if (is_overrun(&gone)) {
        eep_emulated_report("%s: something wrote behind the end of the %" G_GSIZE_FORMAT
                            " bytes at %p",
                            call, gone.n_bytes, start);
        if (gone.device >= 0)
            eep_emulated_break(runtime, gone.device, cudaErrorIllegalAddress);
    }
    ASAN_UNPOISON_MEMORY_REGION(gone.mapping, gone.n_mapped);
    munmap(gone.mapping, gone.n_mapped);
    return cudaSuccess;
}

static cudaError_t take(void **ret_memory, gsize n_bytes, int device)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    if (ret_memory == NULL)
        return cudaErrorInvalidValue;
    *ret_memory = NULL;
    if (n_bytes == 0)
        return cudaSuccess;
    if (device >= 0) {
        guint64 *used = &runtime->devices[device].n_used;
        g_mutex_lock(&runtime->lock);
        gboolean fits =
            n_bytes <= runtime->memory_bytes &&
            up(n_bytes, ALIGNMENT) <= runtime->memory_bytes - MIN(*used, runtime->memory_bytes);
        *used += fits ? up(n_bytes, ALIGNMENT) : 0;
        g_mutex_unlock(&runtime->lock);
        if (!fits)
            return cudaErrorMemoryAllocation;
    }
    EepEmulatedAllocation *allocation = map(n_bytes, device);
    g_mutex_lock(&runtime->lock);
    if (allocation != NULL)
        g_tree_insert(runtime->allocations, allocation->start, allocation);
    else if (device >= 0)
        runtime->devices[device].n_used -= up(n_bytes, ALIGNMENT);
    g_mutex_unlock(&runtime->lock);
    *ret_memory = allocation != NULL ? allocation->start : NULL;
    return allocation != NULL ? cudaSuccess : cudaErrorMemoryAllocation;
}

/* A call that a capture may forbid. */
static cudaError_t enter_unsafe(const char *call, cudaError_t otherwise)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter(call, otherwise);
    if (status != cudaSuccess)
        return status;
    g_mutex_lock(&runtime->lock);
    status = eep_emulated_check_unsafe(runtime, call);
    g_mutex_unlock(&runtime->lock);
    return status;
}

cudaError_t cudaMalloc(void **devPtr, size_t size)
{
    cudaError_t status = enter_unsafe("cudaMalloc", cudaErrorMemoryAllocation);
    if (status == cudaSuccess)
        status = take(devPtr, size, eep_emulated_current_device());
    return eep_emulated_leave(status);
}

cudaError_t cudaMallocHost(void **ptr, size_t size)
{
    cudaError_t status = enter_unsafe("cudaMallocHost", cudaErrorMemoryAllocation);
    if (status == cudaSuccess)
        status = take(ptr, size, -1);
    return eep_emulated_leave(status);
}

static cudaError_t give_back(void *memory, gboolean is_pinned, const char *call)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = enter_unsafe(call, cudaSuccess);
    if (status != cudaSuccess || memory == NULL)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    eep_emulated_drain(runtime, eep_emulated_current_device());
    status = unmap(runtime, memory, is_pinned, call);
    g_mutex_unlock(&runtime->lock);
    return eep_emulated_leave(status);
}

cudaError_t cudaFree(void *devPtr)
{
    return give_back(devPtr, FALSE, "cudaFree");
}

cudaError_t cudaFreeHost(void *ptr)
{
    return give_back(ptr, TRUE, "cudaFreeHost");
}

/* -- in a stream's order -- */

static cudaError_t check_pool_call(cudaStream_t stream, const char *call)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    g_mutex_lock(&runtime->lock);
    cudaError_t status = eep_emulated_check_stream(runtime, stream, call);
    if (status == cudaSuccess && stream->graph != NULL) {
        eep_emulated_report("%s: memory of a graph's own is not emulated", call);
        stream->is_broken = TRUE;
        status = cudaErrorStreamCaptureUnsupported;
    }
    g_mutex_unlock(&runtime->lock);
    return status;
}

cudaError_t cudaMallocAsync(void **devPtr, size_t size, cudaStream_t stream)
{
    cudaError_t status = eep_emulated_enter("cudaMallocAsync", cudaErrorMemoryAllocation);
    if (status == cudaSuccess)
        status = check_pool_call(stream, "cudaMallocAsync");
    if (status == cudaSuccess)
        status = take(devPtr, size, stream->device);
    return eep_emulated_leave(status);
}

static void run_free(gpointer memory)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    int device = eep_emulated_running_stream()->device;
    g_mutex_lock(&runtime->lock);
    cudaError_t status = unmap(runtime, memory, FALSE, "cudaFreeAsync");
    if (status != cudaSuccess)
        eep_emulated_break(runtime, device, status);
    g_mutex_unlock(&runtime->lock);
}

cudaError_t cudaFreeAsync(void *devPtr, cudaStream_t stream)
{
    cudaError_t status = eep_emulated_enter("cudaFreeAsync", cudaSuccess);
    if (status == cudaSuccess)
        status = check_pool_call(stream, "cudaFreeAsync");
    if (status == cudaSuccess && devPtr != NULL)
        status = eep_emulated_enqueue(stream, "cudaFreeAsync", run_free, devPtr, NULL);
    return eep_emulated_leave(status);
}

/* -- asking -- */

cudaError_t cudaMemGetInfo(size_t *ret_free, size_t *ret_total)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaMemGetInfo", cudaErrorUnknown);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    g_mutex_lock(&runtime->lock);
    *ret_total = runtime->memory_bytes;
    *ret_free = runtime->memory_bytes - runtime->devices[eep_emulated_current_device()].n_used;
    g_mutex_unlock(&runtime->lock);
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *ptr)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    cudaError_t status = eep_emulated_enter("cudaPointerGetAttributes", cudaErrorUnknown);
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    *attributes = (struct cudaPointerAttributes){.device = -1, .hostPointer = (void *)ptr};
    g_mutex_lock(&runtime->lock);
    const EepEmulatedAllocation *found = eep_emulated_find(runtime, ptr);
    if (found != NULL) {
        gboolean is_pinned = found->device < 0;
        attributes->type = is_pinned ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
        attributes->device = is_pinned ? 0 : found->device;
        attributes->devicePointer = (void *)ptr;
        attributes->hostPointer = is_pinned ? (void *)ptr : NULL;
    }
    g_mutex_unlock(&runtime->lock);
    return cudaSuccess;
}
