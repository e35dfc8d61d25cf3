/* EepGanttRow: what one rank of a resize did, or several that did the same.
 *
 * Read from one of resizes[] of a run's summary.json. Up to EEP_GANTT_MAX_SINGLE ranks have a row
 * each; of more, those of a role with the same phases share one, in which a phase lasts until the
 * last of them is done. A phase of which the record does not say what ranks did it, like the
 * coordinator's own, stands in a row of its role. Not the drawing. Plain values, owned by the array
 * that eep_gantt_rows_read() makes; one thread. */
#ifndef EEP_CLI_GANTT_ROWS_H
#define EEP_CLI_GANTT_ROWS_H

#include <glib.h>
#include <jansson.h>

G_BEGIN_DECLS

#define EEP_GANTT_MAX_SINGLE 16

typedef struct {
    guint phase;           /* index in the resize's phases[] */
    guint lane;            /* those of a row that overlap lie above each other, from 0 */
    double start_s, end_s; /* since the resize was accepted; end NAN: it never ended */
} EepGanttBar;

typedef struct {
    char *label;   /* "rank 3", "rank 5, then 4", "ranks 8-23 (new)", "coordinator" */
    guint role;    /* by which rows are sorted */
    GArray *ranks; /* guint, rising; empty: the role's row */
    guint n_lanes;
    GArray *bars; /* EepGanttBar, in the order of phases[] */
} EepGanttRow;

/* New array of EepGanttRow: by role, then by rank. */
GArray *eep_gantt_rows_read(const json_t *resize);

G_END_DECLS

#endif
