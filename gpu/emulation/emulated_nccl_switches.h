/* EepNcclSwitches: what the environment tells the emulated NCCL, read once in a process
 * (docs/emulation.md has them for users). A value that means nothing ends the process with exit 2.
 */
#ifndef EEP_GPU_EMULATION_EMULATED_NCCL_SWITCHES_H
#define EEP_GPU_EMULATION_EMULATED_NCCL_SWITCHES_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    gboolean announces;       /* EEP_EMULATED_NCCL_DETECT: a dead peer is an async error */
    gboolean compares_bus_id; /* EEP_EMULATED_NCCL_BUS_IDS: no two ranks on one device */
    guint64 version;          /* EEP_EMULATED_NCCL_VERSION: what the library says it is */
    guint64 latency_us;       /* EEP_EMULATED_NCCL_LATENCY: at most, before each call's work */
    guint64 fails;            /* EEP_EMULATED_NCCL_FAIL: this call; 0: none */
} EepNcclSwitches;

const EepNcclSwitches *eep_nccl_switches(void);

G_END_DECLS

#endif
