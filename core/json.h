/* EepJson: writes JSON into an EepText, value by value.
 *
 * Write-only: it keeps no tree and reads nothing. Members stand in the order of the calls. Compact
 * for JSON Lines, or pretty with two spaces; each top-level value ends with a line feed, and
 * another may follow. Misuse of the nesting is a programming error and asserted: a key is given
 * exactly inside an object, and every begin has its end. Repeated keys are not noticed.
 *
 * The struct is a plain value that borrows the text, owns nothing and needs no clear. Not
 * thread-safe: one owner. */
#ifndef EEP_CORE_JSON_H
#define EEP_CORE_JSON_H

#include "core/text.h"

G_BEGIN_DECLS

#define EEP_JSON_MAX_DEPTH 63

typedef enum {
    EEP_JSON_COMPACT,
    EEP_JSON_PRETTY,
} EepJsonStyle;

typedef struct {
    EepText *text; /* borrowed */
    EepJsonStyle style;
    guint depth;
    guint64 objects; /* bit d: the container at depth d is an object */
    guint64 filled;  /* bit d: it has a member already */
} EepJson;

/* `text` is borrowed and appended to; it must outlive the last call. */
void eep_json_init(EepJson *json, EepText *text, EepJsonStyle style);

/* TRUE while no container is open. */
gboolean eep_json_is_complete(const EepJson *json);

/* For all below: `key` is the member's name inside an object, NULL in an array and at top level. */

void eep_json_begin_object(EepJson *json, const char *key);
void eep_json_end_object(EepJson *json);
void eep_json_begin_array(EepJson *json, const char *key);
void eep_json_end_array(EepJson *json);

void eep_json_add_int(EepJson *json, const char *key, gint64 value);
void eep_json_add_uint(EepJson *json, const char *key, guint64 value);

/* Digits as in eep_text_add_double(); null where the value is not finite. */
void eep_json_add_double(EepJson *json, const char *key, double value, guint significant_digits);

/* value / 10^decimals exactly, as in eep_text_add_decimal(). */
void eep_json_add_decimal(EepJson *json, const char *key, gint64 value, guint decimals);

/* `value` NULL is null; bytes that are no UTF-8 are replaced (eep_text_add_json_string()). */
void eep_json_add_string(EepJson *json, const char *key, const char *value);
void eep_json_add_bool(EepJson *json, const char *key, gboolean value);
void eep_json_add_null(EepJson *json, const char *key);

G_END_DECLS

#endif
