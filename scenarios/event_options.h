/* EepEventOptions: something that a scenario lets happen at a time of its own. Plain values, filled
 * by the loader; what it does is the deployment's business. */
#ifndef EEP_SCENARIOS_EVENT_OPTIONS_H
#define EEP_SCENARIOS_EVENT_OPTIONS_H

#include "core/options.h"

G_BEGIN_DECLS

typedef enum { EEP_EVENT_SCALE_ELASTIC_EP } EepScenarioEventKind;

typedef struct {
    EepTime at;
    char *id;                  /* nullable */
    char *pool;                /* never NULL after loading */
    EepScenarioEventKind kind; /* the loader's: which of the kinds below is given */
    struct {
        gint64 new_data_parallel_size;
    } scale_elastic_ep;
} EepEventOptions;

extern const EepOptionTable eep_event_options; /* prefix "events[]" */

G_END_DECLS

#endif
