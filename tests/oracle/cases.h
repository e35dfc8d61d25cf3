/* Random cases for comparing a scheduler with the oracle: a seed and a set of features give one
 * configuration and its requests, the same on every machine.
 *
 * Sizes are small, so that preemption, starvation, ties of arrivals, arrivals exactly at a step's
 * boundary, idle gaps, rejection, chunked prefill and budgets below max_num_seqs are all common.
 * Requests are sorted by arrival. Without the feature, a case has no hashes or only priority 0.
 * Not a workload model. Pure functions of their arguments; a case owns its arrays. */
#ifndef EEP_TESTS_CASES_H
#define EEP_TESTS_CASES_H

#include <glib.h>

#include "tests/oracle/eager.h"

G_BEGIN_DECLS

/* A set of these turns each named extension of eager.h on; 0 is the base of 46 rules alone. */
typedef enum {
    ORACLE_PREFIX_CACHING = 1 << 0,
    ORACLE_ASYNC_SCHEDULING = 1 << 1,
    ORACLE_WATERMARK = 1 << 2,
    ORACLE_PRIORITY_POLICY = 1 << 3,
    ORACLE_PREFILL_INTERVAL = 1 << 4,
} OracleFeatures;

#define ORACLE_BASE           0u
#define ORACLE_N_FEATURE_SETS 32u /* the sets are 0 .. 31 */

typedef struct {
    EagerConfig config;
    EagerRequest *requests; /* their hashes point into `hashes` */
    guint n_requests;
    guint64 *hashes;
} OracleCase;

/* Fills `ret_case`; oracle_case_clear() frees what it owns. */
void oracle_case_draw(guint64 seed, guint features, OracleCase *ret_case);
void oracle_case_clear(OracleCase *oracle_case);

/* The whole case as text, for the message of a failed comparison; g_free() it. */
char *oracle_case_describe(const OracleCase *oracle_case);

G_END_DECLS

#endif
