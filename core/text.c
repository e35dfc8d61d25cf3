#include "core/text.h"

#include <math.h>

static const char digit_pairs[] = "00010203040506070809"
                                  "10111213141516171819"
                                  "20212223242526272829"
                                  "30313233343536373839"
                                  "40414243444546474849"
                                  "50515253545556575859"
                                  "60616263646566676869"
                                  "70717273747576777879"
                                  "80818283848586878889"
                                  "90919293949596979899";

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
    G_GUINT64_CONSTANT(10000000000000000000),
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

/* value >= 1 */
static inline guint count_digits(guint64 value)
{
    /* 1233 / 4096 is log10(2) from above for up to 64 bits. */
    guint bits = 64 - (guint)__builtin_clzll(value);
    guint digits = (bits * 1233) >> 12;
    return digits + (value >= powers_of_ten[digits]);
}

static inline void put_pair(char *to, guint32 pair)
{
    memcpy(to, digit_pairs + 2 * pair, 2);
}

/* Exactly eight digits; the four divisions do not wait for each other as a chain of pairs would. */
static inline void put_eight(char *to, guint32 value)
{
    guint32 high = value / 10000, low = value % 10000;

    put_pair(to, high / 100);
    put_pair(to + 2, high % 100);
    put_pair(to + 4, low / 100);
    put_pair(to + 6, low % 100);
}

/* `digits` digits of value to `to`, which the caller has reserved. */
static inline void put_digits(char *to, guint64 value, guint digits)
{
    while (digits > 8) {
        digits -= 8;
        put_eight(to + digits, (guint32)(value % 100000000));
        value /= 100000000;
    }
    guint32 rest = (guint32)value;
    while (digits > 1) {
        digits -= 2;
        put_pair(to + digits, rest % 100);
        rest /= 100;
    }
    if (digits)
        to[0] = (char)('0' + rest);
}

void eep_text_add_uint(EepText *text, guint64 value)
{
    guint digits = count_digits(value | 1);

    eep_text_reserve(text, digits);
    put_digits(text->data + text->length, value, digits);
    text->length += digits;
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
    eep_text_reserve(text, decimals + 1);
    text->data[text->length] = '.';
    put_digits(text->data + text->length + 1, size % scale, decimals);
    text->length += decimals + 1;
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
