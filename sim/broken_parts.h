/* EepBrokenParts: which workers, links and phases of a simulated cluster are broken now.
 *
 * A register that the fault injector writes and the backend asks; it does not act. Few entries are
 * expected: all look-ups are linear. Loop thread only; owned by its maker. */
#ifndef EEP_SIM_BROKEN_PARTS_H
#define EEP_SIM_BROKEN_PARTS_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct EepBrokenParts EepBrokenParts;

typedef enum {
    EEP_PHASE_GOES_WELL,
    EEP_PHASE_FAILS,
    EEP_PHASE_HANGS,
} EepPhaseFate;

EepBrokenParts *eep_broken_parts_new(void);
void eep_broken_parts_free(EepBrokenParts *self); /* NULL is allowed */

/* Nothing is broken: no look-up would say otherwise. */
gboolean eep_broken_parts_is_empty(const EepBrokenParts *self);

void eep_broken_parts_stop(EepBrokenParts *self, EepWorkerId worker, gboolean is_stopped);
void eep_broken_parts_slow(EepBrokenParts *self, EepWorkerId worker, double factor);
void eep_broken_parts_set_link(EepBrokenParts *self, EepPoolId pool, guint node, double factor);
/* nth: counted from 1 over the phases of the kind from now on; 0: every one. */
void eep_broken_parts_break_phase(EepBrokenParts *self, EepPoolId pool, guint phase_kind, guint nth,
                                  gboolean hangs);

gboolean eep_broken_parts_is_stopped(const EepBrokenParts *self, EepWorkerId worker);
double eep_broken_parts_slowness(const EepBrokenParts *self, EepWorkerId worker); /* >= 1 */
double eep_broken_parts_link(const EepBrokenParts *self, EepPoolId pool, guint node);

/* A phase of the kind begins; counts. */
EepPhaseFate eep_broken_parts_begin_phase(EepBrokenParts *self, EepPoolId pool, guint phase_kind);

G_END_DECLS

#endif
