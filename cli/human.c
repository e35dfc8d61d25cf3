#include "cli/human.h"

#include <math.h>
#include <string.h>

/* `value` with three significant digits and no exponent. */
static char *three_digits(double value, const char *unit)
{
    double size = fabs(value);
    int decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;

    return g_strdup_printf("%.*f%s%s", decimals, value, *unit != '\0' ? " " : "", unit);
}

static char *scaled(double value, double base, const char *const *units, guint n_units)
{
    guint i = 0;

    while (i + 1 < n_units && fabs(value) >= 999.5) {
        value /= base;
        i++;
    }
    return i == 0 && value == floor(value) ? g_strdup_printf("%.0f %s", value, units[0])
                                           : three_digits(value, units[i]);
}

char *eep_human_bytes(double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};

    return scaled(bytes, 1024.0, units, G_N_ELEMENTS(units));
}

char *eep_human_count(double count)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    char *text = scaled(count, 1000.0, units, G_N_ELEMENTS(units));

    return g_strchomp(text);
}

char *eep_human_seconds(double s)
{
    return s < 1.0      ? three_digits(s * 1e3, "ms")
           : s < 120.0  ? three_digits(s, "s")
           : s < 7200.0 ? three_digits(s / 60.0, "min")
                        : three_digits(s / 3600.0, "h");
}

char *eep_human_integer(gint64 value)
{
    g_autofree char *digits = g_strdup_printf("%" G_GINT64_FORMAT, value);
    GString *text = g_string_new(NULL);
    gsize length = strlen(digits);

    for (gsize i = 0; i < length; i++) {
        g_string_append_c(text, digits[i]);
        gsize left = length - 1 - i;
        if (left > 0 && left % 3 == 0 && digits[i] != '-')
            g_string_append_c(text, ',');
    }
    return g_string_free(text, FALSE);
}
