/* The emulated runtime's state, shared by the files that make up the runtime and by nobody else:
 * cuBLAS and NCCL use emulated_runtime.h. Locks are pthread's, which the sanitizers follow, and not
 * GLib's, which they do not. */
#ifndef EEP_GPU_EMULATION_EMULATED_PARTS_H
#define EEP_GPU_EMULATION_EMULATED_PARTS_H

#include "gpu/emulation/emulated_runtime.h"
#include <pthread.h>

G_BEGIN_DECLS

#define EEP_EMULATED_DEVICES_MAX 64

/* Work for a stream; shared with graphs, so counted. */
typedef struct {
    gint refs;
    const char *name;
    void (*run)(gpointer data);
    gpointer data;
    GDestroyNotify data_free;
} EepEmulatedOperation;

/* A stream's thread frees it, after cudaStreamDestroy() and its last operation. */
struct CUstream_st {
    int device;
    guint number;
    GQueue queue;        /* of EepEmulatedOperation */
    pthread_cond_t work; /* something is queued, or it closes */
    guint64 n_given;     /* operations so far; n_given == n_done: idle */
    guint64 n_done;
    guint64 n_until_peers; /* with these done, none is left that waits for another process */
    gboolean is_closing;
    guint64 random; /* used by the stream's thread only */
    /* Capture; graph NULL: none. */
    cudaGraph_t graph;
    enum cudaStreamCaptureMode mode;
    GThread *capturer;
    gboolean is_broken; /* the capture was invalidated */
};

struct CUevent_st {
    gint refs;
    unsigned int flags;
    int device;         /* of the last record */
    guint64 n_recorded; /* versions */
    guint64 n_done;
    gint64 done_ns;       /* when the last one that is done came */
    cudaGraph_t captured; /* the last record went into this capture; only compared */
};

struct CUgraph_st {
    GPtrArray *operations;
};

typedef struct {
    cudaError_t error; /* sticky */
    guint64 n_used;    /* bytes */
} EepEmulatedDevice;

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an operation ended, a device broke */
    guint n_devices;
    EepEmulatedDevice devices[EEP_EMULATED_DEVICES_MAX];
    guint64 memory_bytes;                          /* of each device */
    GHashTable *streams, *events, *graphs, *execs; /* the handles that live */
    GTree *allocations;
    guint n_streams_ever;
    guint64 n_calls, n_to_die, n_to_hang; /* how far each switch has counted */
} EepEmulatedRuntime;

/* Made by the first call. */
EepEmulatedRuntime *eep_emulated_runtime(void);

/* Each API call is: status = enter(); if that is success, the work; return leave(status). enter()
 * gives a broken device's error, and the failure that EEP_EMULATED_FAIL wants; leave() remembers
 * what cudaGetLastError() gives. `otherwise`: how this call fails; cudaSuccess: it is not counted,
 * since it frees or asks. */
cudaError_t eep_emulated_enter(const char *call, cudaError_t otherwise);
cudaError_t eep_emulated_leave(cudaError_t status);

int eep_emulated_current_device(void);

/* -- with the lock held -- */

/* Is it a stream that work may be given to? The legacy default ones are told and refused. */
cudaError_t eep_emulated_check_stream(EepEmulatedRuntime *runtime, cudaStream_t stream,
                                      const char *call);
/* Appends; takes the reference. The stream is checked. */
void eep_emulated_append(EepEmulatedRuntime *runtime, cudaStream_t stream,
                         EepEmulatedOperation *operation);
void eep_emulated_break(EepEmulatedRuntime *runtime, int device, cudaError_t status);
/* Captures that forbid a call such as cudaMalloc() on this thread are broken by it. */
cudaError_t eep_emulated_check_unsafe(EepEmulatedRuntime *runtime, const char *call);
/* Until everything given to the device's streams so far is done. */
void eep_emulated_drain(EepEmulatedRuntime *runtime, int device);
/* Until the stream has done `n`; the stream may be gone after. */
void eep_emulated_await(EepEmulatedRuntime *runtime, cudaStream_t stream, guint64 n);

/* -- without it -- */

EepEmulatedOperation *eep_emulated_operation_new(const char *name, void (*run)(gpointer data),
                                                 gpointer data, GDestroyNotify data_free);
void eep_emulated_operation_unref(gpointer operation);
/* On a stream's thread: with latency, death and hanging as the switches say. */
void eep_emulated_operation_run(EepEmulatedOperation *operation, cudaStream_t stream);
/* The stream whose thread this is; NULL elsewhere. */
cudaStream_t eep_emulated_running_stream(void);

G_END_DECLS

#endif
