/* EepElasticRange: the sizes that a pool can be resized to, for readers. A plain value; what is
 * refused when it is asked for is core/resize/rules.c's business. */
#ifndef EEP_CLI_ELASTIC_RANGE_H
#define EEP_CLI_ELASTIC_RANGE_H

#include "scenarios/scenario.h"

G_BEGIN_DECLS

typedef struct {
    gint64 least, most; /* engines */
    gboolean is_resizable;
    const char *most_because; /* static */
} EepElasticRange;

EepElasticRange eep_elastic_range(const EepScenario *scenario, const EepScenarioPool *pool);

G_END_DECLS

#endif
