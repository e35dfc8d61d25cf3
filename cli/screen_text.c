#include "cli/screen_text.h"

#include "cli/human.h"

#include <math.h>

void eep_screen_init(EepScreenText *screen)
{
    eep_text_init(&screen->line);
    eep_text_init(&screen->lines);
}

void eep_screen_clear(EepScreenText *screen)
{
    eep_text_clear(&screen->line);
    eep_text_clear(&screen->lines);
}

void eep_screen_print(EepScreenText *screen, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *string = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    eep_text_add_string(&screen->line, string);
}

void eep_screen_end_line(EepScreenText *screen)
{
    const char *c = eep_text_string(&screen->line);
    gsize start = screen->lines.length, columns = 0;

    for (; *c != '\0' && columns < EEP_SCREEN_COLUMNS; c++, columns++) {
        guchar byte = (guchar)*c;
        if (byte >= 0x80)
            while (((guchar)c[1] & 0xc0) == 0x80) /* one mark for one character of UTF-8 */
                c++;
        eep_text_add_char(&screen->lines, byte >= 0x80 || byte < 0x20 ? '?' : *c);
    }
    if (*c != '\0')
        memcpy(screen->lines.data + screen->lines.length - 3, "...", 3);
    while (screen->lines.length > start && screen->lines.data[screen->lines.length - 1] == ' ')
        screen->lines.length--;
    eep_text_add_char(&screen->lines, '\n');
    eep_text_reset(&screen->line);
}

void eep_screen_add_items(EepScreenText *screen, const char *heading, const char *separator,
                          const char *const *items, guint n_items, guint max_lines)
{
    guint n_lines = 0;

    for (guint i = 0; i < n_items;) {
        gboolean is_last = ++n_lines == max_lines;
        gsize room = EEP_SCREEN_COLUMNS - (is_last ? 24 : 0);
        guint first = i;
        eep_screen_print(screen, "%-10s", n_lines == 1 ? heading : "");
        while (i < n_items) {
            gsize more = strlen(items[i]) + (i > first ? strlen(separator) : 0);
            /* The last item needs no room for saying that there are more. */
            gsize limit = i + 1 == n_items ? EEP_SCREEN_COLUMNS : room;
            if (i > first && screen->line.length + more > limit)
                break;
            eep_screen_print(screen, "%s%s", i > first ? separator : "", items[i]);
            i++;
        }
        if (is_last && i < n_items) {
            eep_screen_print(screen, "%s%u more", separator, n_items - i);
            i = n_items;
        }
        eep_screen_end_line(screen);
    }
}

char *eep_screen_figure(double value)
{
    char text[32];

    if (!isfinite(value))
        return g_strdup("-");
    if (value == 0.0)
        return g_strdup("0");
    double size = fabs(value);
    if (size >= 999.5) {
        double unit = 1.0;
        while (size / unit >= 999.5)
            unit *= 10.0;
        return eep_human_integer((gint64)(floor(value / unit + 0.5) * unit));
    }
    if (size < 0.00009995)
        return g_strdup(g_ascii_formatd(text, sizeof text, "%.2e", value));
    int decimals = 0;
    for (double limit = 99.95; size < limit; limit /= 10.0)
        decimals++;
    char format[8];
    g_snprintf(format, sizeof format, "%%.%df", decimals);
    return g_strdup(g_ascii_formatd(text, sizeof text, format, value));
}

char *eep_screen_whole(guint64 value)
{
    return eep_human_integer((gint64)value);
}

char *eep_screen_count(guint64 value)
{
    static const char units[] = "MGTP";
    double scaled = (double)value / 1e6;
    guint unit = 0;

    if (value < 10000000)
        return eep_screen_whole(value);
    while (scaled >= 999.5 && unit < 3) {
        scaled /= 1e3;
        unit++;
    }
    g_autofree char *figure = eep_screen_figure(scaled);
    return g_strdup_printf("%s %c", figure, units[unit]);
}

char *eep_screen_length(EepTime length)
{
    if (length == EEP_TIME_NEVER)
        return g_strdup("-");
    g_autofree char *figure = eep_screen_figure(eep_time_to_seconds(length));
    return g_strdup_printf("%s s", figure);
}

char *eep_screen_clock(EepTime at)
{
    if (at == EEP_TIME_NEVER)
        return g_strdup("-");
    gint64 s = at / EEP_NS_PER_S;
    if (s >= 3600)
        return g_strdup_printf("%" G_GINT64_FORMAT ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
                               (int)(s % 60));
    return g_strdup_printf("%02d:%02d", (int)(s / 60), (int)(s % 60));
}

char *eep_screen_bytes(double bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    guint unit = 0;

    while (fabs(bytes) >= 999.5 && unit + 1 < G_N_ELEMENTS(units)) {
        bytes /= 1e3;
        unit++;
    }
    g_autofree char *figure = eep_screen_figure(bytes);
    return g_strdup_printf("%s %s", figure, units[unit]);
}
