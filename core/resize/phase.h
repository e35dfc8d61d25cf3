/* The kinds of an EepPhase: the pieces of a start, a resize or a recovery that take time on
 * workers.
 *
 * Names for EepPhase.kind (core/loop/backend.h) and what each reads of the phase. How long they
 * take is sim/phase_cost.h's business; which generation has which of them, core/resize/'s. */
#ifndef EEP_CORE_RESIZE_PHASE_H
#define EEP_CORE_RESIZE_PHASE_H

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    EEP_PHASE_LAUNCH,            /* process start, CUDA context, modules with placeholder weights */
    EEP_PHASE_STANDBY_GROUPS,    /* communication groups over n_ranks_new, old ones still serving */
    EEP_PHASE_WEIGHTS_FROM_PEER, /* non-expert weights from old ranks; bytes per receiver */
    EEP_PHASE_WEIGHTS_FROM_DISK, /* weights from a file system; bytes per receiver */
    EEP_PHASE_KV_SYNC,           /* agreement on the KV-cache size (all-reduce MIN) */
    EEP_PHASE_MAP_BROADCAST,     /* the expert map to new ranks; bytes: the map */
    EEP_PHASE_SWITCH,            /* promote the standby groups, adopt counters, swap modules */
    EEP_PHASE_WARM_UP,           /* one forward on the new groups, compiled code reset */
    EEP_PHASE_GRAPH_CAPTURE,     /* CUDA graphs of every capture size, again */
    EEP_PHASE_RETIRE_GROUPS,     /* destroy the old groups, in background */
    EEP_PHASE_KERNEL_WARM_UP,    /* process-local warm-up of new ranks before they join */
    EEP_PHASE_DESTROY,           /* a leaving worker's process goes and frees its GPU */
    EEP_PHASE_WEIGHTS_TREE,      /* as from peer, but receivers send on: a pipelined tree */
    EEP_PHASE_WEIGHTS_FROM_CACHE, /* weights from the node's page cache; bytes per receiver */
    EEP_PHASE_WEIGHTS_FROM_HOST,  /* weights that the worker itself keeps in host memory */
    EEP_PHASE_COMM_SPLIT,         /* communicators of a subset of the reserved ranks */
    EEP_PHASE_OFFLOAD,            /* a masked worker's weights to host memory; bytes per receiver */
    EEP_PHASE_MASK,               /* ranks are masked out of, or into, the all-to-all */
    EEP_PHASE_COUNT,
} EepPhaseKind;

extern const char *const eep_phase_names[EEP_PHASE_COUNT]; /* snake case, as written to files */
extern const char *const eep_phase_help[EEP_PHASE_COUNT];  /* one line each */

G_END_DECLS

#endif
