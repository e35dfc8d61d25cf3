/* The summary of a run on the screen: one screen, ASCII, at most 100 columns.
 *
 * What it was, whether the requests add up, whether the objective was met and why not, latencies,
 * tokens, GPU-hours, each resize with its anatomy, a time line in text, what the figures rest on,
 * expectations, and how to go on. Figures have three significant digits, exact ones are in
 * summary.json; "-" is a value that is not there. Pure formatting. */
#ifndef EEP_CLI_SUMMARY_SCREEN_H
#define EEP_CLI_SUMMARY_SCREEN_H

#include "cli/screen_text.h"
#include "cli/summary.h"

G_BEGIN_DECLS

typedef struct {
    const char *folder; /* as shown; nullable */
    gboolean has_link;  /* runs/latest points to it */
    int exit_status;    /* of the program */
} EepSummaryScreenPlace;

/* Appends the screen to `text`. */
void eep_summary_screen_add(EepText *text, const EepMetrics *metrics, const EepRunFacts *facts,
                            const EepSummary *summary, const EepSummaryScreenPlace *place);

/* The parts about resizes and faults, and the time line (screen_resizes.c). */
void eep_summary_screen_add_resizes(EepScreenText *screen, const EepMetrics *metrics,
                                    const EepRunFacts *facts);
void eep_summary_screen_add_timeline(EepScreenText *screen, const EepMetrics *metrics,
                                     const EepRunFacts *facts);

G_END_DECLS

#endif
