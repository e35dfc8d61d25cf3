/* What must be true of every run folder, whatever the scenario: conservation of requests, the
 * summary agrees with requests.csv, times in order, GPU-hours that sum, resizes whose times are in
 * order. Computed here anew from the rows. */
#ifndef EEP_TESTS_SWEEP_CHECK_RUN_H
#define EEP_TESTS_SWEEP_CHECK_RUN_H

#include "tests/sweep/draw.h"

/* NULL, or what is wrong; freed by the caller. */
char *check_run(const char *folder, const Drawn *drawn);

#endif
