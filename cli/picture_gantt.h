/* EepPictureGantt: the phases of one resize over time, a row for each rank (gantt_rows.h).
 *
 * Read from resizes[] of a run's summary.json; written as the tables that plots/resize.gp draws. A
 * resize that never began has no picture. Plain values, owned by the array that
 * eep_picture_gantts_read() makes; one thread. */
#ifndef EEP_CLI_PICTURE_GANTT_H
#define EEP_CLI_PICTURE_GANTT_H

#include <glib.h>
#include <jansson.h>

G_BEGIN_DECLS

/* The pictures of a run that is resized all the time would fill its folder. */
#define EEP_PICTURE_MAX_GANTTS 16

typedef struct {
    char *name;
    double longest_s; /* of those who did it */
    gboolean blocks, is_drawn;
} EepPicturePhase;

typedef struct {
    char *picture; /* file name without its end: "resize_1", as numbered on the screen */
    char *title;
    double commit_s, serving_s; /* since it was accepted; NAN: not come to */
    double end_s;
    GArray *phases; /* EepPicturePhase, in their order in the record */
    GArray *rows;   /* EepGanttRow; all bars have an end */
} EepPictureGantt;

/* New array of EepPictureGantt: the first EEP_PICTURE_MAX_GANTTS of the run. */
GArray *eep_picture_gantts_read(const json_t *summary);

/* Writes PICTURE.gp and PICTURE.dat into `folder`. */
gboolean eep_picture_gantt_write(const EepPictureGantt *gantt, const char *folder, GError **error);

G_END_DECLS

#endif
