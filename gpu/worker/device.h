/* EepDevice: one GPU, its streams and memory, and the one family of macros through which every
 * CUDA, cuBLAS and NCCL call goes.
 *
 * A worker process opens one device (the loopback transport: several times, once a logical rank).
 * Errors are sorted by the widest thing broken: RETRY (the call had no effect, e.g. out of memory),
 * GROUP (the communicator must go), DEVICE (sticky: the process must end, only that brings the
 * device back). Not the model and not a transport. Functions are called on any thread, one at a
 * time a stream. No driver API, no device-wide synchronisation while a group may hang: memory is
 * taken at the start and from the device's own pool. */
#ifndef EEP_GPU_WORKER_DEVICE_H
#define EEP_GPU_WORKER_DEVICE_H

#include <cuda_runtime_api.h>
#include <glib.h>

G_BEGIN_DECLS

#define EEP_DEVICE_ERROR (eep_device_error_quark())
GQuark eep_device_error_quark(void);
typedef enum {
    EEP_DEVICE_ERROR_RETRY,
    EEP_DEVICE_ERROR_TIMED_OUT, /* a wait was longer than allowed */
    EEP_DEVICE_ERROR_STOPPED,   /* somebody asked to stop */
    EEP_DEVICE_ERROR_GROUP,
    EEP_DEVICE_ERROR_DEVICE,
    EEP_DEVICE_ERROR_NONE_THERE, /* no GPU, no driver, too old: what to do stands in the message */
} EepDeviceError;

typedef cudaStream_t EepStream;

typedef struct EepDevice EepDevice;

/* The call's text, file and line go into the message. All are gboolean expressions. */
#define EEP_CUDA(call, error) eep_device_check_cuda((call), #call, __FILE__, __LINE__, (error))
#define EEP_CUBLAS(call, error)                                                                    \
    eep_device_check_cublas((int)(call), #call, __FILE__, __LINE__, (error))
#define EEP_NCCL(call, error) eep_device_check_nccl((int)(call), #call, __FILE__, __LINE__, (error))

gboolean eep_device_check_cuda(cudaError_t status, const char *call, const char *file, int line,
                               GError **error);
gboolean eep_device_check_cublas(int status, const char *call, const char *file, int line,
                                 GError **error);
gboolean eep_device_check_nccl(int status, const char *call, const char *file, int line,
                               GError **error);

/* How many devices; 0 without a GPU or driver (then the error says what is missing). */
guint eep_device_count(GError **error);

EepDevice *eep_device_open(guint index, GError **error);
void eep_device_close(EepDevice *device);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepDevice, eep_device_close)

/* Facts for HELLO; strings are the device's. */
typedef struct {
    const char *name, *bus_id;
    guint index, cc_major, cc_minor, n_sms;
    guint64 memory_bytes;
    int runtime_version, driver_version;
    gboolean is_emulated;
} EepDeviceFacts;

const EepDeviceFacts *eep_device_facts(const EepDevice *device);

/* Memory of the device, zeroed; NULL with RETRY when there is not enough. Freed by
 * eep_device_free(), at the latest by close. Counted: eep_device_used(). */
gpointer eep_device_alloc(EepDevice *device, gsize bytes, GError **error);
void eep_device_free(EepDevice *device, gpointer memory);
guint64 eep_device_used(const EepDevice *device);

/* Non-blocking streams; `is_urgent`: the steps', before the moves'. */
gboolean eep_device_make_stream(EepDevice *device, gboolean is_urgent, EepStream *ret_stream,
                                GError **error);
void eep_device_drop_stream(EepDevice *device, EepStream stream);

/* How long any wait may take that has no limit of its own: for fresh memory, and what is built on
 * this device while it starts. 30 s if never said. */
void eep_device_set_patience(EepDevice *device, gint64 wait_ns);
gint64 eep_device_patience(const EepDevice *device);

/* Left to the end of the process, since freeing it would wait for a device that may hang. From any
 * thread. */
void eep_device_leave(gpointer object);

/* Waits for the stream by polling, at most wait_ns or until *stop (atomic, nullable) is not 0. */
gboolean eep_device_wait(EepDevice *device, EepStream stream, gint64 wait_ns, const gint *stop,
                         GError **error);

/* The calling thread's current device becomes this one: once in each thread that uses it. */
gboolean eep_device_use(EepDevice *device, GError **error);

G_END_DECLS

#endif
