#include "gpu/emulation/emulated_runtime.h"

#include "gpu/emulation/emulated_memory.h"
#include "gpu/emulation/emulated_parts.h"
#include "gpu/emulation/emulated_switches.h"
#include <stdarg.h>
#include <stdio.h>

static __thread int current_device;
static __thread cudaError_t last_error;

void eep_emulated_report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    fprintf(stderr, "emulated GPU: %s\n", text);
}

static EepEmulatedRuntime *runtime_made;

static void make_runtime(void)
{
    const EepEmulatedSwitches *switches = eep_emulated_switches();
    EepEmulatedRuntime *runtime = runtime_made = g_new0(EepEmulatedRuntime, 1);
    pthread_mutex_init(&runtime->lock, NULL);
    pthread_cond_init(&runtime->changed, NULL);
    runtime->n_devices = switches->n_devices;
    runtime->memory_bytes = switches->memory_bytes;
    runtime->streams = g_hash_table_new(NULL, NULL);
    runtime->events = g_hash_table_new(NULL, NULL);
    runtime->graphs = g_hash_table_new(NULL, NULL);
    runtime->execs = g_hash_table_new(NULL, NULL);
    runtime->allocations = eep_emulated_allocations_new();
}

EepEmulatedRuntime *eep_emulated_runtime(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_runtime);
    return runtime_made;
}

int eep_emulated_current_device(void)
{
    return current_device;
}

/* -- faults -- */

static gboolean fires(const EepEmulatedTrip *trip, guint64 *counter, int device)
{
    if (trip->at == 0 || (trip->device >= 0 && trip->device != device))
        return FALSE;
    return ++*counter == trip->at;
}

int eep_emulated_fails(const char *call, int status)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    const EepEmulatedTrip *trip = &eep_emulated_switches()->fail;
    pthread_mutex_lock(&runtime->lock);
    gboolean is_now = fires(trip, &runtime->n_calls, current_device);
    pthread_mutex_unlock(&runtime->lock);
    if (!is_now)
        return 0;
    if (trip->status != 0)
        status = trip->status;
    eep_emulated_report("EEP_EMULATED_FAIL: call %" G_GUINT64_FORMAT ", %s(), fails with %d",
                        trip->at, call, status);
    return status;
}

void eep_emulated_break(EepEmulatedRuntime *runtime, int device, cudaError_t status)
{
    if (runtime->devices[device].error == cudaSuccess)
        runtime->devices[device].error = status;
    pthread_cond_broadcast(&runtime->changed);
}

void eep_emulated_fault(int device, cudaError_t status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    eep_emulated_report("device %d: %s: %s", device, cudaGetErrorName(status), text);
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    pthread_mutex_lock(&runtime->lock);
    eep_emulated_break(runtime, device, status);
    pthread_mutex_unlock(&runtime->lock);
}

cudaError_t eep_emulated_health(int device)
{
    EepEmulatedRuntime *runtime = eep_emulated_runtime();
    if (device < 0 || (guint)device >= runtime->n_devices)
        return cudaErrorNoDevice;
    pthread_mutex_lock(&runtime->lock);
    cudaError_t error = runtime->devices[device].error;
    pthread_mutex_unlock(&runtime->lock);
    return error;
}

/* -- every call -- */

cudaError_t eep_emulated_enter(const char *call, cudaError_t otherwise)
{
    cudaError_t error = eep_emulated_health(current_device);
    if (error != cudaSuccess)
        return error;
    return otherwise == cudaSuccess ? cudaSuccess
                                    : (cudaError_t)eep_emulated_fails(call, (int)otherwise);
}

cudaError_t eep_emulated_leave(cudaError_t status)
{
    if (status != cudaSuccess)
        last_error = status;
    return status;
}

cudaError_t cudaPeekAtLastError(void)
{
    cudaError_t sticky = eep_emulated_health(current_device);
    return sticky != cudaSuccess && sticky != cudaErrorNoDevice ? sticky : last_error;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = cudaPeekAtLastError();
    last_error = cudaSuccess;
    return error;
}

/* -- devices -- */

static gboolean is_device(int device)
{
    return device >= 0 && (guint)device < eep_emulated_runtime()->n_devices;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    cudaError_t status = (cudaError_t)eep_emulated_fails("cudaGetDeviceCount", cudaErrorUnknown);
    if (status == cudaSuccess && eep_emulated_runtime()->n_devices == 0)
        status = cudaErrorNoDevice;
    if (status == cudaSuccess && eep_emulated_switches()->driver_version < CUDART_VERSION)
        status = cudaErrorInsufficientDriver;
    if (status == cudaSuccess)
        *count = (int)eep_emulated_runtime()->n_devices;
    return eep_emulated_leave(status);
}

cudaError_t cudaSetDevice(int device)
{
    cudaError_t status = cudaErrorNoDevice;
    if (eep_emulated_runtime()->n_devices > 0)
        status = is_device(device) ? eep_emulated_health(device) : cudaErrorInvalidDevice;
    if (status == cudaSuccess)
        status = (cudaError_t)eep_emulated_fails("cudaSetDevice", cudaErrorDevicesUnavailable);
    if (status == cudaSuccess)
        current_device = device;
    return eep_emulated_leave(status);
}

cudaError_t cudaGetDevice(int *device)
{
    if (eep_emulated_runtime()->n_devices == 0)
        return eep_emulated_leave(cudaErrorNoDevice);
    *device = current_device;
    return cudaSuccess;
}

/* What a device says of itself. Of H100's generation, so that the worker takes its usual path, but
 * small. */
static const struct {
    enum cudaDeviceAttr attribute;
    int value;
} attributes[] = {
    {cudaDevAttrMaxThreadsPerBlock, 1024},
    {cudaDevAttrMaxSharedMemoryPerBlock, 48 << 10},
    {cudaDevAttrWarpSize, 32},
    {cudaDevAttrMultiProcessorCount, 4},
    {cudaDevAttrPciDeviceId, 0},
    {cudaDevAttrPciDomainId, 0},
    {cudaDevAttrL2CacheSize, 1 << 20},
    {cudaDevAttrUnifiedAddressing, 1},
    {cudaDevAttrComputeCapabilityMajor, 9},
    {cudaDevAttrComputeCapabilityMinor, 0},
    {cudaDevAttrMemoryPoolsSupported, 1},
};

static cudaError_t read_attribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    if (!is_device(device))
        return cudaErrorInvalidDevice;
    if (attribute == cudaDevAttrPciBusId) {
        *value = 0xe0 + device; /* no real one sits there */
        return cudaSuccess;
    }
    for (guint i = 0; i < G_N_ELEMENTS(attributes); i++) {
        if (attributes[i].attribute != attribute)
            continue;
        *value = attributes[i].value;
        return cudaSuccess;
    }
    return cudaErrorInvalidValue;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    cudaError_t status = eep_emulated_enter("cudaDeviceGetAttribute", cudaErrorUnknown);
    return eep_emulated_leave(status == cudaSuccess ? read_attribute(value, attr, device) : status);
}

cudaError_t cudaDeviceGetPCIBusId(char *pciBusId, int len, int device)
{
    int bus = 0;
    cudaError_t status = eep_emulated_enter("cudaDeviceGetPCIBusId", cudaErrorUnknown);
    if (status == cudaSuccess)
        status = read_attribute(&bus, cudaDevAttrPciBusId, device);
    if (status == cudaSuccess && len < 13)
        status = cudaErrorInvalidValue;
    if (status == cudaSuccess)
        g_snprintf(pciBusId, (gulong)len, "0000:%02X:00.0", (guint)bus);
    return eep_emulated_leave(status);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device)
{
    cudaError_t status = eep_emulated_enter("cudaGetDeviceProperties", cudaErrorUnknown);
    if (status == cudaSuccess && !is_device(device))
        status = cudaErrorInvalidDevice;
    if (status != cudaSuccess)
        return eep_emulated_leave(status);
    *prop = (struct cudaDeviceProp){
        .name = "emulated GPU",
        .totalGlobalMem = eep_emulated_runtime()->memory_bytes,
        .sharedMemPerBlock = 48 << 10,
        .warpSize = 32,
        .maxThreadsPerBlock = 1024,
        .maxThreadsDim = {1024, 1024, 64},
        .maxGridSize = {G_MAXINT, 65535, 65535},
        .major = 9,
        .multiProcessorCount = 4,
        .unifiedAddressing = 1,
        .memoryBusWidth = 64,
        .l2CacheSize = 1 << 20,
        .memoryPoolsSupported = 1,
        .pciBusID = 0xe0 + device,
    };
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *driverVersion)
{
    *driverVersion = (int)eep_emulated_switches()->driver_version;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *runtimeVersion)
{
    *runtimeVersion = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *leastPriority, int *greatestPriority)
{
    cudaError_t status = eep_emulated_enter("cudaDeviceGetStreamPriorityRange", cudaErrorUnknown);
    *leastPriority = 0;
    *greatestPriority = -5;
    return eep_emulated_leave(status);
}
