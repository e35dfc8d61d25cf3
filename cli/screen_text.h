/* EepScreenText: text for an terminal: ASCII, lines of at most 100 columns, aligned figures.
 *
 * Lines are built in a text of their own and ended by eep_screen_end_line(), which is where what
 * does not fit is cut and what is not ASCII is replaced. Not for files. In place: init, then clear;
 * one thread. */
#ifndef EEP_CLI_SCREEN_TEXT_H
#define EEP_CLI_SCREEN_TEXT_H

#include "core/text.h"
#include "core/time.h"

G_BEGIN_DECLS

#define EEP_SCREEN_COLUMNS 100

typedef struct {
    EepText line, lines; /* the one being built; those that are done */
} EepScreenText;

void eep_screen_init(EepScreenText *screen);
void eep_screen_clear(EepScreenText *screen);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EepScreenText, eep_screen_clear)

void eep_screen_print(EepScreenText *screen, const char *format, ...) G_GNUC_PRINTF(2, 3);
void eep_screen_end_line(EepScreenText *screen);

/* A paragraph: `heading` in the first ten columns of its first line, items separated by `separator`
 * and broken between items; at most max_lines, the last of which says how many items are missing.
 * Nothing without items. */
void eep_screen_add_items(EepScreenText *screen, const char *heading, const char *separator,
                          const char *const *items, guint n_items, guint max_lines);

/* Three significant digits with thousands separators, "2,940", "31.4", "0.115"; "-" for what is not
 * finite. New string. */
char *eep_screen_figure(double value);

/* A whole number, all digits below ten million, "2.34 M" beyond. New string. */
char *eep_screen_count(guint64 value);

/* All digits, with separators. New string. */
char *eep_screen_whole(guint64 value);

/* "4.90 s", "-" for EEP_TIME_NEVER. New string. */
char *eep_screen_length(EepTime length);

/* Minutes and seconds, "06:10"; with hours "1:06:10". New string. */
char *eep_screen_clock(EepTime at);

/* "1.21 TB", decimal. New string. */
char *eep_screen_bytes(double bytes);

G_END_DECLS

#endif
