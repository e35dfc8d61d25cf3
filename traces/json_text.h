/* JSON text with places: what is wrong with it is said with line, column and the path of the
 * element.
 *
 * jansson reads it; of a text that it refuses ("NaN", 1e999, a cut end) this file finds the path of
 * the element at which it stopped. Keys that stand twice are refused. One thread. */
#ifndef EEP_TRACES_JSON_TEXT_H
#define EEP_TRACES_JSON_TEXT_H

#include <glib.h>
#include <jansson.h>

G_BEGIN_DECLS

/* The value of the text, a new reference. NULL with an EEP_TRACE_ERROR_FORMAT "NAME:LINE:COL:
 * weight[3][17]: what is wrong: what is allowed". */
json_t *eep_json_text_parse(const char *name, const char *text, gsize size, GError **error);

/* The path of the element that begins or stands at `offset`: "weight[3][17]"; "" at the top. For
 * text that is JSON up to there. New string of ASCII. */
char *eep_json_text_path(const char *text, gsize offset);

/* What the value is, for a message: "true", "a string", "-1", "a list"... New string. */
char *eep_json_text_describe(const json_t *value);

G_END_DECLS

#endif
