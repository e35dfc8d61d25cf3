/* The rows of `eep compare`: a name, then a value a run, with its difference from the first run's.
 *
 * Layout only; what is compared is compare_runs.h's and compare_events.h's business. No state. */
#ifndef EEP_CLI_COMPARE_TEXT_H
#define EEP_CLI_COMPARE_TEXT_H

#include "core/json.h"
#include "core/text.h"

G_BEGIN_DECLS

/* A line of labels above the values. */
void eep_compare_text_add_labels(EepText *text, const char *const *labels, guint n);

/* NaN is shown as "-". `is_count`: all digits of whole numbers. */
void eep_compare_text_add_row(EepText *text, const char *name, const double *values, guint n,
                              gboolean is_count);

/* Whether any of the values is there and not 0. */
gboolean eep_compare_text_has_value(const double *values, guint n);

/* Nothing when all words are equal and `always` is not set. NULL is shown as "-". */
void eep_compare_text_add_words(EepText *text, const char *name, const char *const *words, guint n,
                                gboolean always);

/* An object {key, values, delta, delta_percent}; deltas of the first run are null. */
void eep_compare_text_add_json(EepJson *json, const char *key, const double *values, guint n);

G_END_DECLS

#endif
