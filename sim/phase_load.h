/* Phase load: what the phases of a resize take from the forwards that they run beside.
 *
 * One row a phase kind: which resources of the workers that it names, and which of other workers on
 * the same host. While a phase goes on, a step in which a loaded worker takes part is longer: with
 * the share s of a resource lost, what needs it takes 1 / (1 - s) times as long. Of several phases
 * at once the largest share of a resource counts. Shares are the hardware profile's background_*;
 * resize.background scales them, 0 switches all of it off. Moves of experts and KV are not here:
 * they share the links as core/link_share.h has it. Pure functions, any thread. */
#ifndef EEP_SIM_PHASE_LOAD_H
#define EEP_SIM_PHASE_LOAD_H

#include "core/hardware.h"
#include "core/loop/backend.h"
#include "core/resize/phase.h"
#include "sim/step_cost.h"

G_BEGIN_DECLS

typedef enum {
    EEP_LOAD_SMS = 1 << 0,   /* attention, experts, other */
    EEP_LOAD_HBM = 1 << 1,   /* the same; the larger of the two shares counts */
    EEP_LOAD_LINKS = 1 << 2, /* all-to-all */
    EEP_LOAD_HOST = 1 << 3,  /* scheduling and launches */
} EepLoad;

typedef struct {
    EepPhaseKind kind;
    guint8 on_workers; /* EepLoad: of those that it names */
    guint8 on_others;  /* of old ones that share a host with new ones */
    const char *why;
} EepPhaseLoad;

extern const EepPhaseLoad eep_phase_loads[EEP_PHASE_COUNT];

/* What the phase takes from each of its workers. */
guint8 eep_phase_load_on_worker(const EepPhase *phase);

/* What it takes from old workers that it does not name: nothing where new ranks begin a host of
 * their own. */
guint8 eep_phase_load_on_others(const EepHardware *hardware, const EepPhase *phase);

/* Writes the factors of a step whose workers are loaded so. background: [0, 1]. */
void eep_phase_load_slow(const EepHardware *hardware, double background, guint8 load,
                         EepStepSlowness *slowness);

G_END_DECLS

#endif
