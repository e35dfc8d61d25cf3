/* Numbers with units, as people write them in scenarios, profiles and flags.
 *
 * Case matters ("MB" is not "Mb") and a bare number is an error. Times and sizes are whole numbers
 * of nanoseconds and bytes, computed in integers: "1.5ms" is exactly 1500000. Not a formatter for
 * screens. Pure functions, any thread. */
#ifndef EEP_CORE_UNITS_H
#define EEP_CORE_UNITS_H

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    EEP_UNITS_TIME,        /* ns us ms s min h d; base ns */
    EEP_UNITS_BYTES,       /* B kB MB GB TB KiB MiB GiB TiB; base B */
    EEP_UNITS_BYTES_PER_S, /* the same per s, and kb/s Mb/s Gb/s Tb/s of bits; base B/s */
    EEP_UNITS_RATE,        /* /s /min /h; base 1/s */
} EepUnits;

/* The units' names for a message: "ns, us, ms, s, min, h or d". Static. */
const char *eep_units_names(EepUnits units);

/* Times and bytes only: nearest whole number of the base unit, half away from zero. Errors
 * (EEP_OPTION_ERROR_SYNTAX): not a number, no unit or another, beyond 2^63, or not zero but less
 * than half a base unit. `hint` (nullable) is the unit that an error proposes for a bare number. */
gboolean eep_units_parse_whole(EepUnits units, const char *text, const char *hint, gint64 *ret,
                               GError **error);

/* Bandwidths and rates only: the base unit as double. Errors as above. */
gboolean eep_units_parse_real(EepUnits units, const char *text, const char *hint, double *ret,
                              GError **error);

/* The value with the largest unit that says it exactly; parses to the same value. New string. */
char *eep_units_format_whole(EepUnits units, gint64 value);
char *eep_units_format_real(EepUnits units, double value);

/* The unit at the end of `text` ("ms" of "20ms"); "" when there is none. Points into `text`. */
const char *eep_units_suffix(const char *text);

/* A plain decimal number (no hexadecimal, no infinity, no NaN), whole text. FALSE: not one. */
gboolean eep_units_parse_number(const char *text, double *ret);

/* The shortest decimal text that parses to exactly `value`, which must be finite. New string. */
char *eep_units_format_number(double value);

G_END_DECLS

#endif
