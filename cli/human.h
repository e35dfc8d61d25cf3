/* Figures for the screen: three significant digits, ASCII. Not exact, not for files. New strings.
 */
#ifndef EEP_CLI_HUMAN_H
#define EEP_CLI_HUMAN_H

#include "core/time.h"

G_BEGIN_DECLS

char *eep_human_bytes(double bytes);   /* "42.0 MiB" */
char *eep_human_count(double count);   /* "671 G" for parameters, "87.4 k" for tokens */
char *eep_human_seconds(double s);     /* "4.90 s", "31.0 min" */
char *eep_human_integer(gint64 value); /* "87,412" */

G_END_DECLS

#endif
