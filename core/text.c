#include "core/text.h"

#include <math.h>

static const guint64 powers_of_ten[] = {
    G_GUINT64_CONSTANT(1),
    G_GUINT64_CONSTANT(10),
    G_GUINT64_CONSTANT(100),
    G_GUINT64_CONSTANT(1000),
    G_GUINT64_CONSTANT(10000),
    G_GUINT64_CONSTANT(100000),
    G_GUINT64_CONSTANT(1000000),
    G_GUINT64_CONSTANT(10000000),
    G_GUINT64_CONSTANT(100000000),
    G_GUINT64_CONSTANT(1000000000),
    G_GUINT64_CONSTANT(10000000000),
    G_GUINT64_CONSTANT(100000000000),
    G_GUINT64_CONSTANT(1000000000000),
    G_GUINT64_CONSTANT(10000000000000),
    G_GUINT64_CONSTANT(100000000000000),
    G_GUINT64_CONSTANT(1000000000000000),
    G_GUINT64_CONSTANT(10000000000000000),
    G_GUINT64_CONSTANT(100000000000000000),
    G_GUINT64_CONSTANT(1000000000000000000),
};

void eep_text_init(EepText *text)
{
    memset(text, 0, sizeof *text);
}

void eep_text_clear(EepText *text)
{
    g_free(text->data);
    memset(text, 0, sizeof *text);
}

void eep_text_grow(EepText *text, gsize more)
{
    gsize needed = text->length + more;

    g_assert(needed >= more);
    text->capacity = MAX(MAX(needed, text->capacity * 2), 256);
    text->data = (char *)g_realloc(text->data, text->capacity);
}

const char *eep_text_string(EepText *text)
{
    eep_text_reserve(text, 1);
    text->data[text->length] = '\0';
    return text->data;
}

char *eep_text_steal(EepText *text)
{
    eep_text_string(text);
    char *string = text->data;

    eep_text_init(text);
    return string;
}

/* The eight decimal digits of value < 10^8, one a byte, the first in the lowest. Halves, then
 * pairs, then digits are split side by side in one word, after Khuong, "How to print integers
 * really fast" (2017); 10486 / 2^20 and 103 / 2^10 give exact quotients by 100 and 10 for such
 * operands. */
static inline guint64 eight_digits(guint32 value)
{
    guint64 halves = value / 10000 | (guint64)(value % 10000) << 32;
    guint64 high = ((halves * 10486) >> 20) & G_GUINT64_CONSTANT(0x0000007f0000007f);
    guint64 pairs = ((halves - 100 * high) << 16) + high;
    guint64 tens = ((pairs * 103) >> 10) & G_GUINT64_CONSTANT(0x000f000f000f000f);
    return ((pairs - 10 * tens) << 8) + tens;
}

/* Writes eight bytes to `to`, whatever number of them counts. */
static inline void store_digits(char *to, guint64 digits)
{
    guint64 bytes = GUINT64_TO_LE(digits | G_GUINT64_CONSTANT(0x3030303030303030));
    memcpy(to, &bytes, sizeof bytes);
}

/* value < 10^8 without leading zeros; returns the end. Writes up to eight bytes past `to`. */
static inline char *put_leading(char *to, guint32 value)
{
    guint64 digits = eight_digits(value);
    /* The last digit counts even if it is 0. */
    guint zeros = (guint)__builtin_ctzll(digits | (guint64)1 << 56) / 8;

    store_digits(to, digits >> (8 * zeros));
    return to + 8 - zeros;
}

static inline char *put_eight(char *to, guint32 value)
{
    store_digits(to, eight_digits(value));
    return to + 8;
}

void eep_text_add_uint(EepText *text, guint64 value)
{
    const guint64 e8 = 100000000;

    eep_text_reserve(text, 24);
    char *to = text->data + text->length;
    if (value < e8) {
        to = put_leading(to, (guint32)value);
    } else if (value < e8 * e8) {
        to = put_leading(to, (guint32)(value / e8));
        to = put_eight(to, (guint32)(value % e8));
    } else {
        to = put_leading(to, (guint32)(value / (e8 * e8)));
        to = put_eight(to, (guint32)(value / e8 % e8));
        to = put_eight(to, (guint32)(value % e8));
    }
    text->length = (gsize)(to - text->data);
}

/* |value| without overflow at the smallest. */
static inline guint64 magnitude(gint64 value)
{
    return value < 0 ? -(guint64)value : (guint64)value;
}

void eep_text_add_int(EepText *text, gint64 value)
{
    if (value < 0)
        eep_text_add_char(text, '-');
    eep_text_add_uint(text, magnitude(value));
}

void eep_text_add_decimal(EepText *text, gint64 value, guint decimals)
{
    g_return_if_fail(decimals <= 18);

    guint64 size = magnitude(value), scale = powers_of_ten[decimals];
    if (value < 0)
        eep_text_add_char(text, '-');
    eep_text_add_uint(text, size / scale);
    if (decimals == 0)
        return;
    eep_text_reserve(text, 32);
    char *to = text->data + text->length;
    *to++ = '.';
    guint64 part = size % scale;
    guint head = (decimals - 1) % 8 + 1, rest = decimals - head;
    store_digits(to, eight_digits((guint32)(part / powers_of_ten[rest])) >> (8 * (8 - head)));
    for (to += head; rest > 0;
         to = put_eight(to, (guint32)(part / powers_of_ten[rest] % 100000000)))
        rest -= 8;
    text->length = (gsize)(to - text->data);
}

/* glibc's %g is exact for every double, and g_ascii_formatd() undoes the locale. */
static void format_double(char buffer[G_ASCII_DTOSTR_BUF_SIZE], double value, guint digits)
{
    char format[8] = "%.";
    gsize at = 2;

    if (digits >= 10)
        format[at++] = '1';
    format[at++] = (char)('0' + digits % 10);
    format[at++] = 'g';
    format[at] = '\0';
    g_ascii_formatd(buffer, G_ASCII_DTOSTR_BUF_SIZE, format, value);
}

void eep_text_add_double(EepText *text, double value, guint significant_digits)
{
    char buffer[G_ASCII_DTOSTR_BUF_SIZE];
    guint exact_digits = significant_digits ? MIN(significant_digits, 15) : 15;

    g_return_if_fail(significant_digits <= 17);
    if (!isfinite(value)) {
        eep_text_add_string(text, value != value ? "nan" : value > 0.0 ? "inf" : "-inf");
        return;
    }
    /* Whole numbers that %g would write out in full. */
    if (fabs(value) < (double)powers_of_ten[exact_digits] && value == (double)(gint64)value) {
        eep_text_add_int(text, (gint64)value);
        return;
    }
    if (significant_digits) {
        format_double(buffer, value, significant_digits);
    } else {
        guint digits = 15;
        do
            format_double(buffer, value, digits);
        while (g_ascii_strtod(buffer, NULL) != value && ++digits <= 17);
    }
    eep_text_add_string(text, buffer);
}

static void add_escaped(EepText *text, guchar c)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = "btn?fr"; /* 0x08 to 0x0d; 0x0b has none */

    eep_text_add_char(text, '\\');
    if (c == '"' || c == '\\') {
        eep_text_add_char(text, (char)c);
    } else if (c >= 0x08 && c <= 0x0d && c != 0x0b) {
        eep_text_add_char(text, letters[c - 0x08]);
    } else {
        eep_text_add_string(text, "u00");
        eep_text_add_char(text, hex[c >> 4]);
        eep_text_add_char(text, hex[c & 15]);
    }
}

void eep_text_add_json_string(EepText *text, const char *string)
{
    g_autofree char *repaired = NULL;
    gsize length = strlen(string);

    if (!g_utf8_validate(string, (gssize)length, NULL)) {
        repaired = g_utf8_make_valid(string, (gssize)length);
        string = repaired;
    }
    eep_text_add_char(text, '"');
    const char *start = string, *c = string;
    for (; *c; c++) {
        if ((guchar)*c >= 0x20 && *c != '"' && *c != '\\')
            continue;
        eep_text_add_bytes(text, start, (gsize)(c - start));
        add_escaped(text, (guchar)*c);
        start = c + 1;
    }
    eep_text_add_bytes(text, start, (gsize)(c - start));
    eep_text_add_char(text, '"');
}

void eep_text_add_csv_field(EepText *text, const char *string)
{
    if (!strpbrk(string, ",\"\r\n")) {
        eep_text_add_string(text, string);
        return;
    }
    eep_text_add_char(text, '"');
    for (const char *c = string; *c; c++) {
        if (*c == '"')
            eep_text_add_char(text, '"');
        eep_text_add_char(text, *c);
    }
    eep_text_add_char(text, '"');
}
