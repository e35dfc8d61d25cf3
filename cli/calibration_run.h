/* EepCalibrationRun: workers are started or awaited, made to measure what a plan says, and sent
 * home; and what they said.
 *
 * Plain data afterwards. Owned by its maker. One thread, which is that of the workers' coordinator.
 */
#ifndef EEP_CLI_CALIBRATION_RUN_H
#define EEP_CLI_CALIBRATION_RUN_H

#include "cli/calibration_plan.h"
#include "gpu/coordinator/backend_cuda.h"
#include "sim/calibration.h"

G_BEGIN_DECLS

typedef struct {
    EepWireDevice device;
    GArray *points;     /* EepCalibrationPoint, in the plan's order */
    GPtrArray *samples; /* GArray of gint64 (ns), of each point */
} EepCalibrationRun;

/* Who measures: workers that are started here, or that come. */
typedef struct {
    gboolean are_waited_for;
    const char *listen; /* where they come to: HOST:PORT or unix:PATH; NULL: this host's loopback */
    const char *token;  /* that they show, hexadecimal; NULL: drawn */
} EepCalibrationWorkers;

/* Called before each measurement. */
typedef void (*EepCalibrationProgress)(gpointer self, guint index, guint n,
                                       const EepMeasurement *measurement);

/* G_OPTION_ERROR or EEP_COMMAND_ERROR_USAGE: no such program, or the workers did not come up, or
 * not on one host. */
EepCalibrationRun *eep_calibration_run_new(const EepCalibrationOptions *options,
                                           const EepCalibrationWorkers *who,
                                           EepCalibrationProgress progress, gpointer self,
                                           GError **error);
void eep_calibration_run_free(EepCalibrationRun *run); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepCalibrationRun, eep_calibration_run_free)

/* Median and interquartile range of the samples, in seconds. */
EepCalibrationPoint eep_calibration_point(const EepMeasurement *what, GArray *samples);

G_END_DECLS

#endif
