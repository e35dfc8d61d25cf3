/* What a Mooncake line says, before it is known to make sense: shared by the two readers of such
 * lines.
 *
 * format_mooncake.c reads the usual line by hand; mooncake_json.c reads any line of JSON, slowly.
 */
#ifndef EEP_TRACES_MOONCAKE_H
#define EEP_TRACES_MOONCAKE_H

#include "traces/format.h"

G_BEGIN_DECLS

typedef enum {
    EEP_MOONCAKE_TIMESTAMP = 1 << 0,
    EEP_MOONCAKE_INPUT_LENGTH = 1 << 1,
    EEP_MOONCAKE_OUTPUT_LENGTH = 1 << 2,
    EEP_MOONCAKE_HASH_IDS = 1 << 3,
    EEP_MOONCAKE_PRIORITY = 1 << 4,
} EepMooncakeKey;

typedef struct {
    guint found; /* EepMooncakeKey bits */
    EepTime timestamp;
    guint64 input_length;
    guint64 output_length;
    gint32 priority;
    guint32 n_hashes;
    guint32 hash_capacity;
    guint64 *hashes; /* [hash_capacity], kept from line to line */
} EepMooncakeFields;

#define EEP_MOONCAKE_TIME_ALLOWED   "a number of milliseconds from 0 to 9.2e12"
#define EEP_MOONCAKE_TOKENS_ALLOWED "a whole number from 1 to 4294967295"

/* Appends one hash. */
static inline void eep_mooncake_add_hash(EepMooncakeFields *fields, guint64 hash)
{
    if (G_UNLIKELY(fields->n_hashes == fields->hash_capacity)) {
        fields->hash_capacity = MAX(256, fields->hash_capacity * 2);
        fields->hashes = g_renew(guint64, fields->hashes, fields->hash_capacity);
    }
    fields->hashes[fields->n_hashes++] = hash;
}

/* Byte of the line where `"key"` stands, or 0: for messages. */
gsize eep_mooncake_key_offset(const char *line, gsize length, const char *key);

/* Reads any line of JSON with jansson. Unknown keys and null values are passed over; a key twice is
 * an error. Times are doubles here: exact to the ns for 104 days. FALSE with `fault` set. */
gboolean eep_mooncake_read_json(EepMooncakeFields *fields, const char *line, gsize length,
                                EepRowFault *fault);

G_END_DECLS

#endif
