#include "gpu/worker/device.h"

#include <pthread.h>
#include <string.h>

#define PATIENCE_NS (30 * G_GINT64_CONSTANT(1000000000)) /* until eep_device_set_patience() */

/* Polls of a stream: at first without sleep, since most operations are short, then ever more
 * rarely. */
#define SPIN_NS      (50 * 1000)
#define SLEEP_MIN_US 10
#define SLEEP_MAX_US 200

struct EepDevice {
    EepDeviceFacts facts;
    char *name, *bus_id;
    EepStream stream; /* of memory's own: allocation, clearing, freeing */
    gint64 patience_ns;
    pthread_mutex_t lock;
    GHashTable *sizes; /* what is allocated -> gsize * */
    guint64 n_used;
};

G_DEFINE_QUARK(eep - device - error - quark, eep_device_error)

/* Before there are threads, since whoever asks first writes a static variable. */
static void __attribute__((constructor)) touch_quark(void)
{
    eep_device_error_quark();
}

/* -- errors -- */

/* What is not listed had no effect and leaves everything as it was. Sticky ones: CUDA runtime API
 * reference, cudaError, "leaves the process in an inconsistent state". */
static const struct {
    cudaError_t status;
    EepDeviceError sort;
} cuda_sorts[] = {
    {cudaErrorInitializationError, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorStubLibrary, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorInsufficientDriver, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorDevicesUnavailable, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorNoDevice, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorInvalidDevice, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorNoKernelImageForDevice, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorUnsupportedPtxVersion, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorSystemNotReady, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorSystemDriverMismatch, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorCompatNotSupportedOnDevice, EEP_DEVICE_ERROR_NONE_THERE},
    {cudaErrorECCUncorrectable, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorIllegalAddress, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorLaunchTimeout, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorContextIsDestroyed, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorAssert, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorHardwareStackError, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorIllegalInstruction, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorMisalignedAddress, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorInvalidAddressSpace, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorInvalidPc, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorLaunchFailure, EEP_DEVICE_ERROR_DEVICE},
    {cudaErrorUnknown, EEP_DEVICE_ERROR_DEVICE},
};

/* By number, since neither library need be linked here. */
typedef struct {
    int status;
    const char *name;
    EepDeviceError sort;
} LibrarySort;

static const LibrarySort cublas_sorts[] = {
    {1, "CUBLAS_STATUS_NOT_INITIALIZED", EEP_DEVICE_ERROR_RETRY},
    {3, "CUBLAS_STATUS_ALLOC_FAILED", EEP_DEVICE_ERROR_RETRY},
    {7, "CUBLAS_STATUS_INVALID_VALUE", EEP_DEVICE_ERROR_RETRY},
    {8, "CUBLAS_STATUS_ARCH_MISMATCH", EEP_DEVICE_ERROR_RETRY},
    {11, "CUBLAS_STATUS_MAPPING_ERROR", EEP_DEVICE_ERROR_DEVICE},
    {13, "CUBLAS_STATUS_EXECUTION_FAILED", EEP_DEVICE_ERROR_DEVICE},
    {14, "CUBLAS_STATUS_INTERNAL_ERROR", EEP_DEVICE_ERROR_DEVICE},
    {15, "CUBLAS_STATUS_NOT_SUPPORTED", EEP_DEVICE_ERROR_RETRY},
};

/* A sticky error shows as ncclUnhandledCudaError; the next CUDA call tells it from a lesser one. */
static const LibrarySort nccl_sorts[] = {
    {1, "ncclUnhandledCudaError", EEP_DEVICE_ERROR_GROUP},
    {2, "ncclSystemError", EEP_DEVICE_ERROR_GROUP},
    {3, "ncclInternalError", EEP_DEVICE_ERROR_GROUP},
    {4, "ncclInvalidArgument", EEP_DEVICE_ERROR_GROUP},
    {5, "ncclInvalidUsage", EEP_DEVICE_ERROR_GROUP},
    {6, "ncclRemoteError", EEP_DEVICE_ERROR_GROUP},
};

/* A call still in progress is no failure; who needs to know waits for the communicator. */
#define NCCL_IN_PROGRESS 7

/* The call without its arguments: the rest is for whoever has the source. */
static void set_error(GError **error, EepDeviceError sort, const char *call, const char *file,
                      int line, int status, const char *what)
{
    int n_call = (int)strcspn(call, "(");
    g_autofree char *base = g_path_get_basename(file);
    g_set_error(error, EEP_DEVICE_ERROR, (int)sort, "%.*s() failed: %s (%d) at %s:%d", n_call, call,
                what, status, base, line);
}

/* What was told once, a later launch that asks for the last error must not find. */
static void forget_last_error(void)
{
    cudaError_t forgotten = cudaGetLastError();
    (void)forgotten;
}

gboolean eep_device_check_cuda(cudaError_t status, const char *call, const char *file, int line,
                               GError **error)
{
    if (status == cudaSuccess)
        return TRUE;
    EepDeviceError sort = EEP_DEVICE_ERROR_RETRY;
    for (guint i = 0; i < G_N_ELEMENTS(cuda_sorts); i++)
        if (cuda_sorts[i].status == status)
            sort = cuda_sorts[i].sort;
    g_autofree char *what =
        g_strdup_printf("%s: %s", cudaGetErrorName(status), cudaGetErrorString(status));
    set_error(error, sort, call, file, line, (int)status, what);
    forget_last_error();
    return FALSE;
}

static gboolean check_library(int status, const LibrarySort *sorts, guint n, EepDeviceError other,
                              const char *call, const char *file, int line, GError **error)
{
    const LibrarySort unknown = {status, "unknown status", other}, *found = &unknown;
    for (guint i = 0; i < n; i++)
        if (sorts[i].status == status)
            found = &sorts[i];
    set_error(error, found->sort, call, file, line, status, found->name);
    return FALSE;
}

gboolean eep_device_check_cublas(int status, const char *call, const char *file, int line,
                                 GError **error)
{
    return status == 0 || check_library(status, cublas_sorts, G_N_ELEMENTS(cublas_sorts),
                                        EEP_DEVICE_ERROR_DEVICE, call, file, line, error);
}

gboolean eep_device_check_nccl(int status, const char *call, const char *file, int line,
                               GError **error)
{
    return status == 0 || status == NCCL_IN_PROGRESS ||
           check_library(status, nccl_sorts, G_N_ELEMENTS(nccl_sorts), EEP_DEVICE_ERROR_GROUP, call,
                         file, line, error);
}

/* -- devices -- */

/* No device, and why: cudaGetDeviceCount() gives 35 without a driver and leaves the count alone. */
static void explain_none(cudaError_t status, GError **error)
{
    int driver = 0, runtime = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess)
        driver = 0;
    if (cudaRuntimeGetVersion(&runtime) != cudaSuccess)
        runtime = 0;
    if (driver == 0)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE,
                    "no GPU: no NVIDIA driver is loaded (%s); install the driver, or run with "
                    "--device emulated",
                    cudaGetErrorName(status));
    else if (driver < runtime && status == cudaErrorInsufficientDriver)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE,
                    "the NVIDIA driver is too old: it is for CUDA %d.%d, this program needs %d.%d; "
                    "update the driver, or run with --device emulated",
                    driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    else
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE,
                    "no GPU can be used (%s); look at nvidia-smi and CUDA_VISIBLE_DEVICES, or run "
                    "with --device emulated",
                    cudaGetErrorName(status));
}

guint eep_device_count(GError **error)
{
    int n = 0;
    cudaError_t status = cudaGetDeviceCount(&n);
    if (status == cudaSuccess && n > 0)
        return (guint)n;
    forget_last_error();
    explain_none(status != cudaSuccess ? status : cudaErrorNoDevice, error);
    return 0;
}

static gboolean read_facts(EepDevice *device, guint index, GError **error)
{
    struct cudaDeviceProp properties;
    char bus_id[32] = "";
    int driver = 0, runtime = 0;
    if (!EEP_CUDA(cudaGetDeviceProperties(&properties, (int)index), error) ||
        !EEP_CUDA(cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), (int)index), error) ||
        !EEP_CUDA(cudaDriverGetVersion(&driver), error) ||
        !EEP_CUDA(cudaRuntimeGetVersion(&runtime), error))
        return FALSE;
    device->name = g_strdup(properties.name);
    device->bus_id = g_strdup(bus_id);
    device->facts = (EepDeviceFacts){
        .name = device->name,
        .bus_id = device->bus_id,
        .index = index,
        .cc_major = (guint)properties.major,
        .cc_minor = (guint)properties.minor,
        .n_sms = (guint)properties.multiProcessorCount,
        .memory_bytes = properties.totalGlobalMem,
        .runtime_version = runtime,
        .driver_version = driver,
#ifdef EEP_EMULATED
        .is_emulated = TRUE,
#endif
    };
    return TRUE;
}

EepDevice *eep_device_open(guint index, GError **error)
{
    guint n = eep_device_count(error);
    if (n == 0)
        return NULL;
    if (index >= n) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_NONE_THERE,
                    "GPU %u was asked for, but there %s %u here, counted from 0: start fewer "
                    "workers here (deployment.data_parallel_size), or set gpu.transport: loopback, "
                    "which shares one GPU",
                    index, n == 1 ? "is" : "are", n);
        return NULL;
    }
    g_autoptr(EepDevice) device = g_new0(EepDevice, 1);
    pthread_mutex_init(&device->lock, NULL);
    device->sizes = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    device->facts.index = index;
    device->patience_ns = PATIENCE_NS;
    if (!eep_device_use(device, error) || !read_facts(device, index, error) ||
        !eep_device_make_stream(device, FALSE, &device->stream, error))
        return NULL;
    return g_steal_pointer(&device);
}

const EepDeviceFacts *eep_device_facts(const EepDevice *device)
{
    return &device->facts;
}

gboolean eep_device_use(EepDevice *device, GError **error)
{
    return EEP_CUDA(cudaSetDevice((int)device->facts.index), error);
}

/* What goes wrong while something is given back: told and left, since nobody can do better. */
static void tell(GError *error)
{
    if (error == NULL)
        return;
    g_message("%s", error->message);
    g_error_free(error);
}

void eep_device_close(EepDevice *device)
{
    if (device == NULL)
        return;
    GHashTableIter iter;
    gpointer memory;
    GError *error = NULL;
    g_hash_table_iter_init(&iter, device->sizes);
    while (error == NULL && g_hash_table_iter_next(&iter, &memory, NULL))
        EEP_CUDA(cudaFreeAsync(memory, device->stream), &error);
    tell(error);
    if (device->stream != NULL)
        eep_device_drop_stream(device, device->stream);
    g_hash_table_unref(device->sizes);
    pthread_mutex_destroy(&device->lock);
    g_free(device->name);
    g_free(device->bus_id);
    g_free(device);
}

/* -- memory -- */

static void count(EepDevice *device, gpointer memory, gsize bytes)
{
    gsize *size = g_new(gsize, 1);
    *size = bytes;
    pthread_mutex_lock(&device->lock);
    g_hash_table_insert(device->sizes, memory, size);
    device->n_used += bytes;
    pthread_mutex_unlock(&device->lock);
}

/* What to do about too little memory. */
#ifdef EEP_EMULATED
#define MORE_MEMORY "raise gpu.emulated_memory (eep worker: EEP_EMULATED_MEMORY)"
#else
#define MORE_MEMORY "see in nvidia-smi who else uses the GPU"
#endif

gpointer eep_device_alloc(EepDevice *device, gsize bytes, GError **error)
{
    void *memory = NULL;
    g_return_val_if_fail(bytes > 0, NULL);
    if (!EEP_CUDA(cudaMallocAsync(&memory, bytes, device->stream), error)) {
        g_prefix_error(error,
                       "no %" G_GSIZE_FORMAT " bytes, with %" G_GUINT64_FORMAT
                       " of %" G_GUINT64_FORMAT " in use: " MORE_MEMORY ", or lower gpu.layers: ",
                       bytes, eep_device_used(device), device->facts.memory_bytes);
        return NULL;
    }
    count(device, memory, bytes);
    if (EEP_CUDA(cudaMemsetAsync(memory, 0, bytes, device->stream), error) &&
        eep_device_wait(device, device->stream, device->patience_ns, NULL, error))
        return memory;
    eep_device_free(device, memory);
    return NULL;
}

void eep_device_free(EepDevice *device, gpointer memory)
{
    if (memory == NULL)
        return;
    pthread_mutex_lock(&device->lock);
    const gsize *size = g_hash_table_lookup(device->sizes, memory);
    gboolean is_ours = size != NULL;
    device->n_used -= is_ours ? *size : 0;
    g_hash_table_remove(device->sizes, memory);
    pthread_mutex_unlock(&device->lock);
    g_return_if_fail(is_ours);
    GError *error = NULL;
    EEP_CUDA(cudaFreeAsync(memory, device->stream), &error);
    tell(error);
}

guint64 eep_device_used(const EepDevice *device)
{
    EepDevice *locked = (EepDevice *)device;
    pthread_mutex_lock(&locked->lock);
    guint64 n_used = device->n_used;
    pthread_mutex_unlock(&locked->lock);
    return n_used;
}

/* -- streams -- */

gboolean eep_device_make_stream(EepDevice *device, gboolean is_urgent, EepStream *ret_stream,
                                GError **error)
{
    int least = 0, greatest = 0;
    return EEP_CUDA(cudaDeviceGetStreamPriorityRange(&least, &greatest), error) &&
           EEP_CUDA(cudaStreamCreateWithPriority(ret_stream, cudaStreamNonBlocking,
                                                 is_urgent ? greatest : least),
                    error);
}

void eep_device_drop_stream(EepDevice *device, EepStream stream)
{
    GError *error = NULL;
    EEP_CUDA(cudaStreamDestroy(stream), &error);
    tell(error);
}

void eep_device_set_patience(EepDevice *device, gint64 wait_ns)
{
    device->patience_ns = wait_ns;
}

/* A list, so that what is left is told from what is lost. */
void eep_device_leave(gpointer object)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static GSList *left;

    pthread_mutex_lock(&lock);
    left = g_slist_prepend(left, object);
    pthread_mutex_unlock(&lock);
}

gint64 eep_device_patience(const EepDevice *device)
{
    return device->patience_ns;
}

static gint64 now_ns(void)
{
    return g_get_monotonic_time() * 1000;
}

gboolean eep_device_wait(EepDevice *device, EepStream stream, gint64 wait_ns, const gint *stop,
                         GError **error)
{
    gint64 start = now_ns();
    gulong sleep_us = SLEEP_MIN_US;
    for (;;) {
        cudaError_t status = cudaStreamQuery(stream);
        if (status != cudaErrorNotReady)
            return eep_device_check_cuda(status, "cudaStreamQuery", __FILE__, __LINE__, error);
        forget_last_error();
        gint64 waited = now_ns() - start;
        if (stop != NULL && g_atomic_int_get(stop) != 0) {
            g_set_error_literal(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED,
                                "was asked to stop waiting for the GPU");
            return FALSE;
        }
        if (waited >= wait_ns) {
            g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT,
                        "the GPU was not ready after %.3f s", (double)waited * 1e-9);
            return FALSE;
        }
        if (waited < SPIN_NS) {
            g_thread_yield();
        } else {
            g_usleep(sleep_us);
            sleep_us = MIN(sleep_us * 2, SLEEP_MAX_US);
        }
    }
}
