/* EepEmulatedSwitches: what the environment tells the emulation, read once in a process
 * (docs/emulation.md has them for users). Not the worker's options: those come over the wire. A
 * value that means nothing ends the process with exit 2, before any work. */
#ifndef EEP_GPU_EMULATION_EMULATED_SWITCHES_H
#define EEP_GPU_EMULATION_EMULATED_SWITCHES_H

#include <glib.h>

G_BEGIN_DECLS

/* "N[:STATUS][@DEVICE]": the N-th time, with that status, counted on that device alone. */
typedef struct {
    guint64 at; /* 0: never */
    int status; /* 0: whatever fits the call */
    int device; /* -1: all count together */
} EepEmulatedTrip;

typedef struct {
    EepEmulatedTrip fail; /* EEP_EMULATED_FAIL: an API call */
    EepEmulatedTrip die;  /* EEP_EMULATED_DIE: the device, at an operation */
    EepEmulatedTrip hang; /* EEP_EMULATED_HANG: an operation that never ends */
    guint latency_us;     /* EEP_EMULATED_LATENCY: before each operation */
    guint n_devices;      /* EEP_EMULATED_DEVICES */
    guint64 memory_bytes; /* EEP_EMULATED_MEMORY: of each device */
    guint driver_version; /* EEP_EMULATED_DRIVER: of CUDA, as cudaDriverGetVersion() counts */
    guint64 seed;         /* EEP_EMULATED_SEED; 0: everything in its order */
} EepEmulatedSwitches;

const EepEmulatedSwitches *eep_emulated_switches(void);

/* A number from `state`, which it moves on. */
guint64 eep_emulated_random(guint64 *state);

G_END_DECLS

#endif
