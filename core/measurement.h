/* EepMeasurement: one thing that `eep calibrate` has a group of workers time, and how often.
 *
 * Plain data that the coordinator, the worker (which does it, gpu/worker/worker_measure.c) and the
 * fit (sim/calibration.h) share. Not a result and not a plan. */
#ifndef EEP_CORE_MEASUREMENT_H
#define EEP_CORE_MEASUREMENT_H

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    EEP_MEASURE_KERNEL,        /* the smallest kernel there is, on the device */
    EEP_MEASURE_LAUNCH,        /* the same, what launching it takes the host */
    EEP_MEASURE_MEMORY_READ,   /* a kernel that reads `size` bytes of device memory */
    EEP_MEASURE_HOST_COPY,     /* `size` bytes of pinned host memory to the device */
    EEP_MEASURE_GEMM,          /* bf16, rows x k times k x n */
    EEP_MEASURE_GROUPED_GEMM,  /* n_groups of them, in one call where the library can */
    EEP_MEASURE_ALL_TO_ALL,    /* `size` bytes from every rank to every other */
    EEP_MEASURE_ALL_GATHER,    /* `size` bytes of every rank to all */
    EEP_MEASURE_PEER_COPY,     /* `size` bytes from rank 0 to rank 1, as weights travel */
    EEP_MEASURE_COMM_INIT,     /* a communicator of the group's ranks is made */
    EEP_MEASURE_COMM_SHRINK,   /* and made smaller by its last rank */
    EEP_MEASURE_COMM_DESTROY,  /* and destroyed */
    EEP_MEASURE_GRAPH_CAPTURE, /* a graph of `size` kernels is captured and instantiated */
    EEP_MEASURE_COUNT,
} EepMeasureKind;

typedef struct {
    const char *name, *unit; /* of its size; "" where it has none */
    gboolean needs_peers;    /* two ranks at least */
} EepMeasureFacts;

extern const EepMeasureFacts eep_measures[EEP_MEASURE_COUNT];

typedef struct {
    EepMeasureKind kind;
    guint n_ranks; /* the first ones of the pool, at once */
    guint64 size;
    guint n_groups, n_rows, n, k; /* GEMMs; n_rows of each group */
    guint n_warm_ups, n_samples;
    guint n_each; /* operations that a sample is the mean of */
} EepMeasurement;

/* Bounds, inclusive. */
#define EEP_MEASURE_MAX_SIZE    (G_GUINT64_CONSTANT(1) << 36)
#define EEP_MEASURE_MAX_GROUPS  1024
#define EEP_MEASURE_MAX_ROWS    (1u << 20)
#define EEP_MEASURE_MAX_SIDE    65536
#define EEP_MEASURE_MAX_SAMPLES 4096
#define EEP_MEASURE_MAX_EACH    4096

/* "65536", "8x16x1408x2048" (groups, rows, n, k), "" where there is none. New string. */
char *eep_measurement_size(const EepMeasurement *measurement);

G_END_DECLS

#endif
