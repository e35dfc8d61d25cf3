/* The picture of an EepParity: measured over predicted, both axes logarithmic, a point a phase of a
 * resize and a class of steps, and the diagonal on which they are equal. Drawn by gnuplot. */
#ifndef EEP_CLI_PARITY_PICTURE_H
#define EEP_CLI_PARITY_PICTURE_H

#include "cli/parity.h"

G_BEGIN_DECLS

/* Draws parity.png and .svg into `folder`, which is made; `parity` knows its picture from then on.
 */
gboolean eep_parity_picture_draw(EepParity *parity, const char *folder, GError **error);

G_END_DECLS

#endif
