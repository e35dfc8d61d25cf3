/* Resizes and faults of several runs side by side, for `eep compare`.
 *
 * Those of equal id stand beside each other; one without an id is matched by its sizes or kind and
 * its time. Reads parsed summaries (cli/compare_runs.h has them), changes nothing. */
#ifndef EEP_CLI_COMPARE_EVENTS_H
#define EEP_CLI_COMPARE_EVENTS_H

#include "core/json.h"
#include "core/text.h"

#include <jansson.h>

G_BEGIN_DECLS

/* A block for each resize and each fault that any of the runs has, the first few of each. */
void eep_compare_events_add_table(EepText *text, json_t *const *summaries, guint n);

/* Members "resizes" and "incidents": arrays of {id, words, figures}, all of them. */
void eep_compare_events_add_json(EepJson *json, json_t *const *summaries, guint n);

G_END_DECLS

#endif
