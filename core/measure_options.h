/* EepMeasureOptions: which part of a run is measured and how finely its time line is kept. Plain
 * values, filled by the loader; not the metrics. */
#ifndef EEP_CORE_MEASURE_OPTIONS_H
#define EEP_CORE_MEASURE_OPTIONS_H

#include "core/options.h"

G_BEGIN_DECLS

typedef struct {
    EepTime warmup; /* requests that arrive before it are not in the window */
    EepTime bucket; /* of the time line */
} EepMeasureOptions;

extern const EepOptionTable eep_measure_options; /* prefix "measure" */

G_END_DECLS

#endif
