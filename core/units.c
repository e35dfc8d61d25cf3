#include "core/units.h"

#include "core/options.h"

#include <math.h>
#include <string.h>

typedef struct {
    const char *name;
    gint64 times, per; /* one of it is times / per base units */
} Unit;

#define KIB G_GINT64_CONSTANT(1024)

/* Ascending; formatting takes the last that divides. */
static const Unit time_units[] = {
    {"ns", 1, 1},
    {"us", EEP_NS_PER_US, 1},
    {"ms", EEP_NS_PER_MS, 1},
    {"s", EEP_NS_PER_S, 1},
    {"min", 60 * EEP_NS_PER_S, 1},
    {"h", 3600 * EEP_NS_PER_S, 1},
    {"d", 86400 * EEP_NS_PER_S, 1},
    {NULL, 0, 0},
};
static const Unit byte_units[] = {
    {"B", 1, 1},
    {"kB", 1000, 1},
    {"KiB", KIB, 1},
    {"MB", 1000000, 1},
    {"MiB", KIB *KIB, 1},
    {"GB", 1000000000, 1},
    {"GiB", KIB *KIB *KIB, 1},
    {"TB", 1000000000000, 1},
    {"TiB", KIB *KIB *KIB *KIB, 1},
    {NULL, 0, 0},
};
static const Unit bandwidth_units[] = {
    {"B/s", 1, 1},
    {"kB/s", 1000, 1},
    {"KiB/s", KIB, 1},
    {"MB/s", 1000000, 1},
    {"MiB/s", KIB *KIB, 1},
    {"GB/s", 1000000000, 1},
    {"GiB/s", KIB *KIB *KIB, 1},
    {"TB/s", 1000000000000, 1},
    {"TiB/s", KIB *KIB *KIB *KIB, 1},
    {"kb/s", 125, 1},
    {"Mb/s", 125000, 1},
    {"Gb/s", 125000000, 1},
    {"Tb/s", 125000000000, 1},
    {NULL, 0, 0},
};
static const Unit rate_units[] = {
    {"/h", 1, 3600},
    {"/min", 1, 60},
    {"/s", 1, 1},
    {NULL, 0, 0},
};

static const struct {
    const Unit *units;
    const char *names;
    const char *base_name;
    const char *hint;
} families[] = {
    [EEP_UNITS_TIME] = {time_units, "ns, us, ms, s, min, h or d", "ns", "ms"},
    [EEP_UNITS_BYTES] = {byte_units, "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB", "B", "GB"},
    [EEP_UNITS_BYTES_PER_S] = {bandwidth_units,
                               "B/s, kB/s, MB/s, GB/s, TB/s, KiB/s, MiB/s, GiB/s, TiB/s or Gb/s",
                               "B/s", "GB/s"},
    [EEP_UNITS_RATE] = {rate_units, "/s, /min or /h", "/s", "/s"},
};

const char *eep_units_names(EepUnits units)
{
    return families[units].names;
}

/* Length of the decimal number that opens `text`: sign, digits with at most one point, exponent.
 * 0: none. An 'e' is an exponent only when digits follow. */
static gsize number_length(const char *text)
{
    const char *at = text;
    guint digits = 0;
    if (*at == '-' || *at == '+')
        at++;
    for (; g_ascii_isdigit(*at); at++)
        digits++;
    if (*at == '.')
        for (at++; g_ascii_isdigit(*at); at++)
            digits++;
    if (digits == 0)
        return 0;
    if (*at == 'e' || *at == 'E') {
        const char *exponent = at + 1;
        if (*exponent == '-' || *exponent == '+')
            exponent++;
        if (g_ascii_isdigit(*exponent)) {
            while (g_ascii_isdigit(*exponent))
                exponent++;
            at = exponent;
        }
    }
    return (gsize)(at - text);
}

const char *eep_units_suffix(const char *text)
{
    const char *at = text + number_length(text);
    while (*at == ' ')
        at++;
    return at;
}

gboolean eep_units_parse_number(const char *text, double *ret)
{
    gsize length = number_length(text);
    if (length == 0 || text[length] != '\0')
        return FALSE;
    double value = g_ascii_strtod(text, NULL);
    if (!(value >= -G_MAXDOUBLE && value <= G_MAXDOUBLE))
        return FALSE;
    *ret = value;
    return TRUE;
}

char *eep_units_format_number(double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    if (value > -1e15 && value < 1e15 && value == floor(value))
        return g_strdup(g_ascii_formatd(text, sizeof text, "%.0f", value));
    for (guint digits = 1; digits < 17; digits++) {
        char format[8];
        g_snprintf(format, sizeof format, "%%.%ug", digits);
        g_ascii_formatd(text, sizeof text, format, value);
        if (g_ascii_strtod(text, NULL) == value)
            return g_strdup(text);
    }
    return g_strdup(g_ascii_formatd(text, sizeof text, "%.17g", value));
}

static const Unit *find_unit(EepUnits units, const char *text, const char *hint, GError **error)
{
    gsize length = number_length(text);
    const char *suffix = eep_units_suffix(text);
    if (length == 0) {
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                    "\"%s\" is not a number with a unit: a number and %s", text,
                    families[units].names);
        return NULL;
    }
    for (const Unit *unit = families[units].units; unit->name != NULL; unit++)
        if (strcmp(unit->name, suffix) == 0)
            return unit;
    if (*suffix == '\0') {
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                    "\"%s\" has no unit: %s; try %s%s", text, families[units].names, text,
                    hint != NULL && *hint != '\0' ? hint : families[units].hint);
        return NULL;
    }
    for (const Unit *unit = families[units].units; unit->name != NULL; unit++)
        if (g_ascii_strcasecmp(unit->name, suffix) == 0) {
            g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                        "\"%s\" is not a unit here (case matters): %s; try %.*s%s", suffix,
                        families[units].names, (int)length, text, unit->name);
            return NULL;
        }
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                "\"%s\" is not a unit here: %s; try %.*s%s", suffix, families[units].names,
                (int)length, text, hint != NULL && *hint != '\0' ? hint : families[units].hint);
    return NULL;
}

static gboolean too_large(const char *text, GError **error)
{
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
                "\"%s\" is too large: below 2^63 of the smallest unit", text);
    return FALSE;
}

/* The number as digits * 10^-decimals, without rounding. FALSE: more digits than fit. */
static gboolean read_decimal(const char *text, gsize length, gboolean *ret_negative,
                             guint64 *ret_digits, gint *ret_decimals)
{
    guint64 digits = 0;
    gint decimals = 0;
    gboolean point = FALSE;
    gsize i = 0;

    *ret_negative = text[0] == '-';
    if (text[0] == '-' || text[0] == '+')
        i++;
    for (; i < length && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] == '.') {
            point = TRUE;
            continue;
        }
        if (digits > (G_MAXUINT64 - 9) / 10)
            return FALSE;
        digits = digits * 10 + (guint64)(text[i] - '0');
        if (point)
            decimals++;
    }
    if (i < length) {
        gint64 exponent = g_ascii_strtoll(text + i + 1, NULL, 10);
        if (exponent < -40 || exponent > 40)
            return FALSE;
        decimals -= (gint)exponent;
    }
    for (; decimals > 0 && digits % 10 == 0 && digits != 0; decimals--)
        digits /= 10;
    *ret_digits = digits;
    *ret_decimals = decimals;
    return TRUE;
}

gboolean eep_units_parse_whole(EepUnits units, const char *text, const char *hint, gint64 *ret,
                               GError **error)
{
    const Unit *unit = find_unit(units, text, hint, error);
    gboolean negative;
    guint64 digits;
    gint decimals;

    if (unit == NULL)
        return FALSE;
    if (!read_decimal(text, number_length(text), &negative, &digits, &decimals) || decimals < -19)
        return too_large(text, error);
    unsigned __int128 value = (unsigned __int128)digits * (guint64)unit->times;
    for (; decimals < 0; decimals++) {
        if (value > G_MAXINT64)
            return too_large(text, error);
        value *= 10;
    }
    unsigned __int128 per = 1;
    for (; decimals > 0 && per < ((unsigned __int128)1 << 120) / 10; decimals--)
        per *= 10;
    value = (value + per / 2) / per;
    if (value > G_MAXINT64)
        return too_large(text, error);
    if (value == 0 && digits != 0) {
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
                    "\"%s\" is too small: 0 or at least 1%s", text, families[units].base_name);
        return FALSE;
    }
    *ret = negative ? -(gint64)value : (gint64)value;
    return TRUE;
}

gboolean eep_units_parse_real(EepUnits units, const char *text, const char *hint, double *ret,
                              GError **error)
{
    const Unit *unit = find_unit(units, text, hint, error);
    if (unit == NULL)
        return FALSE;
    double value = g_ascii_strtod(text, NULL) * (double)unit->times / (double)unit->per;
    if (!(value >= -G_MAXDOUBLE && value <= G_MAXDOUBLE))
        return too_large(text, error);
    *ret = value;
    return TRUE;
}

char *eep_units_format_whole(EepUnits units, gint64 value)
{
    const Unit *table = families[units].units;
    if (value == 0)
        return g_strdup_printf("0%s", units == EEP_UNITS_TIME ? "s" : "B");
    const Unit *best = table;
    gint64 shortest = value;
    for (const Unit *unit = table; unit->name != NULL; unit++)
        if (value % unit->times == 0 && ABS(value / unit->times) <= ABS(shortest)) {
            best = unit;
            shortest = value / unit->times;
        }
    return g_strdup_printf("%" G_GINT64_FORMAT "%s", shortest, best->name);
}

char *eep_units_format_real(EepUnits units, double value)
{
    const Unit *table = families[units].units;
    g_autofree char *best = NULL;
    for (const Unit *unit = table; unit->name != NULL; unit++) {
        g_autofree char *number =
            eep_units_format_number(value * (double)unit->per / (double)unit->times);
        g_autofree char *text = g_strconcat(number, unit->name, NULL);
        double again;
        gboolean exact = eep_units_parse_real(units, text, NULL, &again, NULL) && again == value;
        if (exact && (best == NULL || strlen(text) <= strlen(best))) {
            g_free(best);
            best = g_steal_pointer(&text);
        }
    }
    if (best == NULL) { /* the base unit multiplies by one, so this is exact */
        g_autofree char *number = eep_units_format_number(value);
        return g_strconcat(number, families[units].base_name, NULL);
    }
    return g_steal_pointer(&best);
}
