#include "core/options.h"

#include "core/suggest.h"
#include "core/units.h"

#include <string.h>

G_DEFINE_QUARK(eep - option - error - quark, eep_option_error)

/* A bound that nobody meets is not worth saying: 11 days, in ns. */
#define LONG_TIME 1e15

static gboolean unit_family(EepOptionType type, EepUnits *ret)
{
    switch (type) {
    case EEP_OPTION_TIME:
        *ret = EEP_UNITS_TIME;
        return TRUE;
    case EEP_OPTION_BYTES:
        *ret = EEP_UNITS_BYTES;
        return TRUE;
    case EEP_OPTION_BYTES_PER_S:
        *ret = EEP_UNITS_BYTES_PER_S;
        return TRUE;
    case EEP_OPTION_RATE:
        *ret = EEP_UNITS_RATE;
        return TRUE;
    default:
        return FALSE;
    }
}

/* A bound written as the option's values are. */
static char *format_bound(const EepOption *option, double bound)
{
    EepUnits units;
    if (option->type == EEP_OPTION_TIME || option->type == EEP_OPTION_BYTES) {
        unit_family(option->type, &units);
        if (bound >= 9.2e18)
            return g_strdup("2^63");
        return eep_units_format_whole(units, (gint64)bound);
    }
    if (unit_family(option->type, &units))
        return eep_units_format_real(units, bound);
    return eep_units_format_number(bound);
}

char *eep_option_allowed(const EepOption *option)
{
    EepUnits units;
    if (option->type == EEP_OPTION_BOOL)
        return g_strdup("true or false");
    if (option->type == EEP_OPTION_WORD) {
        g_auto(GStrv) words = g_strsplit(option->words, "|", -1);
        guint n = g_strv_length(words);
        GString *text = g_string_new(NULL);
        for (guint i = 0; i < n; i++)
            g_string_append_printf(text, "%s%s",
                                   i == 0       ? ""
                                   : i + 1 == n ? " or "
                                                : ", ",
                                   words[i]);
        return g_string_free(text, FALSE);
    }
    if (option->type == EEP_OPTION_STRING)
        return g_strdup("text");
    if (option->type == EEP_OPTION_PATH)
        return g_strdup("a file's name");
    const char *what = option->type == EEP_OPTION_INT ? "a whole number" : "a number";
    GString *text = g_string_new(what);
    if (option->min <= option->max) {
        g_autofree char *low = format_bound(option, option->min);
        g_autofree char *high = format_bound(option, option->max);
        if (option->min == option->max)
            g_string_assign(text, low);
        else if (option->max >= (option->type == EEP_OPTION_TIME ? LONG_TIME : 9e18))
            g_string_append_printf(text, " of at least %s", low);
        else
            g_string_append_printf(text, " from %s to %s", low, high);
    }
    if (unit_family(option->type, &units))
        g_string_append_printf(text, " in %s", eep_units_names(units));
    return g_string_free(text, FALSE);
}

static gboolean fail(const EepOption *option, EepOptionError code, const char *text,
                     const char *wrong, GError **error)
{
    g_autofree char *allowed = eep_option_allowed(option);
    g_set_error(error, EEP_OPTION_ERROR, code, "\"%s\" %s: %s", text, wrong, allowed);
    return FALSE;
}

static gboolean check_bounds(const EepOption *option, double value, const char *text,
                             GError **error)
{
    if (option->min > option->max || (value >= option->min && value <= option->max))
        return TRUE;
    gboolean small = value < option->min;
    g_autofree char *bound = format_bound(option, small ? option->min : option->max);
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS, "\"%s\" is too %s: %s %s", text,
                small ? "small" : "large",
                option->min == option->max ? "exactly"
                : small                    ? "at least"
                                           : "at most",
                bound);
    return FALSE;
}

static gboolean parse_bool(const EepOption *option, const char *text, gboolean *ret, GError **error)
{
    static const char *const yes[] = {"yes", "on", "True", "TRUE", "1", NULL};
    static const char *const no[] = {"no", "off", "False", "FALSE", "0", NULL};

    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        *ret = text[0] == 't';
        return TRUE;
    }
    const char *meant = g_strv_contains(yes, text)  ? "true"
                        : g_strv_contains(no, text) ? "false"
                                                    : NULL;
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                "\"%s\" is not a truth value: true or false%s%s", text,
                meant != NULL ? "; try " : "", meant != NULL ? meant : "");
    return FALSE;
}

static gboolean parse_int(const EepOption *option, const char *text, gint64 *ret, GError **error)
{
    gint64 value;
    double number;
    const char *digits = *text == '+' ? text + 1 : text;
    if (!eep_units_parse_number(text, &number))
        return fail(option, EEP_OPTION_ERROR_SYNTAX, text, "is not a whole number", error);
    if (!g_ascii_string_to_signed(digits, 10, G_MININT64, G_MAXINT64, &value, NULL))
        return fail(option, EEP_OPTION_ERROR_SYNTAX, text,
                    number > 9.2e18 || number < -9.2e18 ? "does not fit 64 bits"
                                                        : "is not a whole number",
                    error);
    if (!check_bounds(option, (double)value, text, error))
        return FALSE;
    *ret = value;
    return TRUE;
}

static gboolean parse_word(const EepOption *option, const char *text, gint *ret, GError **error)
{
    g_auto(GStrv) words = g_strsplit(option->words, "|", -1);
    for (gint i = 0; words[i] != NULL; i++)
        if (strcmp(words[i], text) == 0) {
            *ret = i;
            return TRUE;
        }
    g_autofree char *allowed = eep_option_allowed(option);
    const char *nearest = eep_suggest_nearest(text, (const char *const *)words);
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS, "\"%s\" is unknown: %s%s%s", text,
                allowed, nearest != NULL ? "; try " : "", nearest != NULL ? nearest : "");
    return FALSE;
}

/* A bare number that would be out of bounds with its unit is not what to try. */
static void propose_bound(const EepOption *option, EepUnits units, const char *text,
                          const char *hint, GError **error)
{
    double value;
    g_autofree char *meant = g_strconcat(text, hint, NULL);
    if (error == NULL || hint == NULL || *eep_units_suffix(text) != '\0' ||
        option->min > option->max || !eep_units_parse_real(units, meant, NULL, &value, NULL) ||
        (value >= option->min && value <= option->max))
        return;
    g_autofree char *bound = format_bound(option, value < option->min ? option->min : option->max);
    g_clear_error(error);
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX, "\"%s\" has no unit: %s; try %s",
                text, eep_units_names(units), bound);
}

static gboolean parse_units(const EepOption *option, const char *text, gpointer at, GError **error)
{
    EepUnits units = EEP_UNITS_TIME;
    const char *hint = option->fallback != NULL ? eep_units_suffix(option->fallback) : NULL;
    unit_family(option->type, &units);
    if (option->type == EEP_OPTION_TIME || option->type == EEP_OPTION_BYTES) {
        gint64 whole;
        if (!eep_units_parse_whole(units, text, hint, &whole, error)) {
            propose_bound(option, units, text, hint, error);
            return FALSE;
        }
        if (!check_bounds(option, (double)whole, text, error))
            return FALSE;
        *(gint64 *)at = whole;
        return TRUE;
    }
    double real;
    if (!eep_units_parse_real(units, text, hint, &real, error)) {
        propose_bound(option, units, text, hint, error);
        return FALSE;
    }
    if (!check_bounds(option, real, text, error))
        return FALSE;
    *(double *)at = real;
    return TRUE;
}

static gboolean parse_double(const EepOption *option, const char *text, double *ret, GError **error)
{
    double value;
    if (!eep_units_parse_number(text, &value))
        return fail(option, EEP_OPTION_ERROR_SYNTAX, text, "is not a number", error);
    if (!check_bounds(option, value, text, error))
        return FALSE;
    *ret = value;
    return TRUE;
}

gboolean eep_option_parse(const EepOption *option, gpointer base, const char *text, GError **error)
{
    g_return_val_if_fail(option != NULL && base != NULL && text != NULL, FALSE);

    gpointer at = (char *)base + option->offset;
    switch (option->type) {
    case EEP_OPTION_BOOL:
        return parse_bool(option, text, at, error);
    case EEP_OPTION_INT:
        return parse_int(option, text, at, error);
    case EEP_OPTION_DOUBLE:
        return parse_double(option, text, at, error);
    case EEP_OPTION_WORD:
        return parse_word(option, text, at, error);
    case EEP_OPTION_STRING:
    case EEP_OPTION_PATH:
        if (!g_utf8_validate(text, -1, NULL)) {
            g_set_error_literal(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                                "the text is not UTF-8: UTF-8");
            return FALSE;
        }
        g_free(*(char **)at);
        *(char **)at = g_strdup(text);
        return TRUE;
    default:
        return parse_units(option, text, at, error);
    }
}

char *eep_option_format(const EepOption *option, gconstpointer base)
{
    g_return_val_if_fail(option != NULL && base != NULL, NULL);

    gconstpointer at = (const char *)base + option->offset;
    EepUnits units = EEP_UNITS_TIME;
    switch (option->type) {
    case EEP_OPTION_BOOL:
        return g_strdup(*(const gboolean *)at ? "true" : "false");
    case EEP_OPTION_INT:
        return g_strdup_printf("%" G_GINT64_FORMAT, *(const gint64 *)at);
    case EEP_OPTION_DOUBLE:
        return eep_units_format_number(*(const double *)at);
    case EEP_OPTION_WORD: {
        g_auto(GStrv) words = g_strsplit(option->words, "|", -1);
        return g_strdup(words[*(const gint *)at]);
    }
    case EEP_OPTION_STRING:
    case EEP_OPTION_PATH:
        return g_strdup(*(char *const *)at);
    case EEP_OPTION_TIME:
    case EEP_OPTION_BYTES:
        unit_family(option->type, &units);
        return eep_units_format_whole(units, *(const gint64 *)at);
    default:
        unit_family(option->type, &units);
        return eep_units_format_real(units, *(const double *)at);
    }
}

static gboolean is_text(const EepOption *option)
{
    return option->type == EEP_OPTION_STRING || option->type == EEP_OPTION_PATH;
}

void eep_options_init(const EepOptionTable *table, gpointer base)
{
    memset(base, 0, table->size);
    for (guint i = 0; i < table->n_options; i++) {
        const EepOption *option = &table->options[i];
        g_autoptr(GError) error = NULL;
        if (option->fallback != NULL && !eep_option_parse(option, base, option->fallback, &error))
            g_error("default of %s.%s: %s", table->prefix, option->key, error->message);
    }
}

void eep_options_clear(const EepOptionTable *table, gpointer base)
{
    for (guint i = 0; i < table->n_options; i++)
        if (is_text(&table->options[i]))
            g_clear_pointer((char **)((char *)base + table->options[i].offset), g_free);
}

void eep_options_copy(const EepOptionTable *table, gpointer ret_base, gconstpointer base)
{
    memcpy(ret_base, base, table->size);
    for (guint i = 0; i < table->n_options; i++)
        if (is_text(&table->options[i])) {
            char **text = (char **)((char *)ret_base + table->options[i].offset);
            *text = g_strdup(*text);
        }
}

const EepOption *eep_options_find(const EepOptionTable *table, const char *key)
{
    for (guint i = 0; i < table->n_options; i++)
        if (strcmp(table->options[i].key, key) == 0)
            return &table->options[i];
    return NULL;
}

gboolean eep_option_is_required(const EepOption *option)
{
    if (option->fallback != NULL || option->type == EEP_OPTION_WORD || is_text(option))
        return FALSE;
    return option->min <= option->max && (option->min > 0 || option->max < 0);
}
