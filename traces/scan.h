/* Number scanning for the formats: header-only, since it runs for every field of every row.
 *
 * All functions stop at the first byte that is no digit and rely on one existing (line_source.h).
 */
#ifndef EEP_TRACES_SCAN_H
#define EEP_TRACES_SCAN_H

#include <glib.h>

G_BEGIN_DECLS

/* Reads decimal digits at *cursor and moves it behind them. FALSE, cursor unmoved, if there is no
 * digit or the number is above G_MAXUINT64. Leading zeros are allowed. */
static inline gboolean eep_scan_u64(const char **cursor, guint64 *ret_value)
{
    const char *p = *cursor;
    guint64 value = 0;
    unsigned digit;
    while ((digit = (unsigned)(unsigned char)*p - '0') <= 9) {
        if (G_UNLIKELY(value >= G_MAXUINT64 / 10) &&
            (value > G_MAXUINT64 / 10 || digit > G_MAXUINT64 % 10))
            return FALSE;
        value = value * 10 + digit;
        p++;
    }
    if (p == *cursor)
        return FALSE;
    *cursor = p;
    *ret_value = value;
    return TRUE;
}

/* Reads the digits of a decimal fraction (behind the point) in units of 10^-places, places <= 9:
 * missing digits are zeros; digits beyond round half up, so that the result may be 10^places.
 * FALSE, cursor unmoved, if there is no digit. */
static inline gboolean eep_scan_fraction(const char **cursor, unsigned places, guint32 *ret_value)
{
    const char *p = *cursor;
    guint32 value = 0;
    unsigned digit, n = 0;
    while ((digit = (unsigned)(unsigned char)*p - '0') <= 9) {
        if (n < places)
            value = value * 10 + digit;
        else if (n == places)
            value += digit >= 5;
        n++;
        p++;
    }
    if (n == 0)
        return FALSE;
    for (; n < places; n++)
        value *= 10;
    *cursor = p;
    *ret_value = value;
    return TRUE;
}

G_END_DECLS

#endif
