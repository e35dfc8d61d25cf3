/* EepGnuplot: pictures drawn by gnuplot from tables in a scratch folder.
 *
 * The scripts are plots/NAME.gp behind plots/style.gp, which expect `data`, the folder of the
 * tables, and the variables that its run.gp sets. One gnuplot draws all pictures in all formats.
 * Knows nothing of what they show. One thread. */
#ifndef EEP_CLI_GNUPLOT_H
#define EEP_CLI_GNUPLOT_H

#include "core/text.h"

G_BEGIN_DECLS

/* The formats of a picture, by the ends of their files' names. */
#define EEP_GNUPLOT_FORMATS 2
extern const char *const eep_gnuplot_formats[EEP_GNUPLOT_FORMATS];

/* A new scratch folder; NULL with an error. */
char *eep_gnuplot_tables_new(GError **error);

/* Removes the folder with its files and frees the name. NULL is allowed. */
void eep_gnuplot_tables_free(char *tables);

/* Writes the text as TABLES/NAME. */
gboolean eep_gnuplot_add_table(const char *tables, const char *name, EepText *text, GError **error);

/* "NAME = 'VALUE'" and "NAME = VALUE" for run.gp. What gnuplot could not print is left out. */
void eep_gnuplot_add_string(EepText *text, const char *name, const char *value);
void eep_gnuplot_add_number(EepText *text, const char *name, double value);

/* Draws `pictures` [n_pictures] from `tables` into the folder `out`, which is made. The files are
 * called `names` [n_pictures], or as the pictures (NULL). */
gboolean eep_gnuplot_draw(const char *tables, const char *out, const char *const *pictures,
                          const char *const *names, guint n_pictures, GError **error);

G_END_DECLS

#endif
