/* EepRunOptions: when a run ends and what it writes of its events. Plain values, filled by the
 * loader. */
#ifndef EEP_CORE_RUN_OPTIONS_H
#define EEP_CORE_RUN_OPTIONS_H

#include "core/options.h"

G_BEGIN_DECLS

typedef enum { EEP_RUN_DRAINED, EEP_RUN_CUT } EepRunEnd;

typedef struct {
    gint end;         /* EepRunEnd */
    EepTime duration; /* of a run that is cut; 0 otherwise */
    gboolean twin;    /* compare with resizes that cost nothing */
} EepRunOptions;

extern const EepOptionTable eep_run_options; /* prefix "run" */

typedef enum { EEP_OUTPUT_DECISIONS, EEP_OUTPUT_REQUESTS, EEP_OUTPUT_STEPS } EepOutputEvents;

typedef struct {
    gint events; /* EepOutputEvents: each includes the ones before it */
} EepOutputOptions;

extern const EepOptionTable eep_output_options; /* prefix "output" */

G_END_DECLS

#endif
