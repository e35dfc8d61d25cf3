/* What `eep calibrate` measures: the list of measurements for a device, a model and a number of
 * ranks. Pure. */
#ifndef EEP_CLI_CALIBRATION_PLAN_H
#define EEP_CLI_CALIBRATION_PLAN_H

#include "core/measurement.h"
#include "core/model.h"

G_BEGIN_DECLS

typedef struct {
    gboolean is_emulated; /* sizes that a slow core can do */
    gboolean is_quick;    /* fewer sizes and samples */
    guint n_ranks;
    const EepModel *model; /* its matrices and its number of layers */
} EepCalibrationOptions;

/* EepMeasurement, in the order in which they are made. */
GArray *eep_calibration_plan(const EepCalibrationOptions *options);

G_END_DECLS

#endif
