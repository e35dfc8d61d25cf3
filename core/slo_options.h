/* EepSloOptions: what a scenario says of its service-level objective. Plain values, filled by the
 * loader; not the accounting of it (metrics). */
#ifndef EEP_CORE_SLO_OPTIONS_H
#define EEP_CORE_SLO_OPTIONS_H

#include "core/options.h"

G_BEGIN_DECLS

typedef struct {
    EepTime ttft, tpot; /* limits of one request; 0: none */
    double target;      /* share of submitted requests that must be good; 0: none */
} EepSloOptions;

extern const EepOptionTable eep_slo_options; /* prefix "slo" */

G_END_DECLS

#endif
