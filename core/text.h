/* EepText: an append-only byte buffer with fast, locale-independent number formatting.
 *
 * What the run folder's files are written through. It is not a string type: no search, no
 * insertion, no encoding of its own. The same calls give the same bytes on every x86-64 Linux.
 *
 * In place: init, then clear; the buffer is owned and moves when it grows. Not thread-safe: one
 * owner. */
#ifndef EEP_CORE_TEXT_H
#define EEP_CORE_TEXT_H

#include <glib.h>
#include <string.h>

G_BEGIN_DECLS

typedef struct {
    char *data;   /* owned, nullable while empty; not terminated, see eep_text_string() */
    gsize length; /* bytes written */
    gsize capacity;
} EepText;

void eep_text_init(EepText *text);
void eep_text_clear(EepText *text); /* frees the buffer */

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EepText, eep_text_clear)

/* The contents with a terminating NUL; valid until the next call on the text. */
const char *eep_text_string(EepText *text);

/* The contents as a string of its own, the caller's to g_free(); the text is empty afterwards. */
char *eep_text_steal(EepText *text);

/* Makes the buffer hold `more` further bytes; the adders call it themselves. */
void eep_text_grow(EepText *text, gsize more);

static inline void eep_text_reserve(EepText *text, gsize more)
{
    if (G_UNLIKELY(text->capacity - text->length < more))
        eep_text_grow(text, more);
}

/* Forgets the contents, keeps the buffer. */
static inline void eep_text_reset(EepText *text)
{
    text->length = 0;
}

static inline void eep_text_add_char(EepText *text, char c)
{
    eep_text_reserve(text, 1);
    text->data[text->length++] = c;
}

static inline void eep_text_add_bytes(EepText *text, const char *bytes, gsize length)
{
    if (length == 0)
        return;
    eep_text_reserve(text, length);
    memcpy(text->data + text->length, bytes, length);
    text->length += length;
}

static inline void eep_text_add_string(EepText *text, const char *string)
{
    eep_text_add_bytes(text, string, strlen(string));
}

/* Decimal, without padding. */
void eep_text_add_uint(EepText *text, guint64 value);
void eep_text_add_int(EepText *text, gint64 value);

/* value / 10^decimals exactly, decimals in [0, 18], always with that many digits after the point:
 * (1234567, 6) is "1.234567". Nanoseconds as milliseconds without a double in between. */
void eep_text_add_decimal(EepText *text, gint64 value, guint decimals);

/* As printf's %.*g in the C locale: correctly rounded to `significant_digits` (1 to 17), no
 * trailing zeros. With 0: the fewest of 15 to 17 digits that read back as the same double. Zero is
 * "0" whatever its sign; what is not finite is "nan", "inf" or "-inf". */
void eep_text_add_double(EepText *text, double value, guint significant_digits);

/* A JSON string with its quotes. Bytes that are no valid UTF-8 become U+FFFD, so that the output is
 * always valid; control characters are escaped, everything else stays as it is. */
void eep_text_add_json_string(EepText *text, const char *string);

/* A CSV field (RFC 4180): quoted only if it holds a comma, a quote or a line break. */
void eep_text_add_csv_field(EepText *text, const char *string);

G_END_DECLS

#endif
