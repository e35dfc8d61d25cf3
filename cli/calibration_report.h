/* What `eep calibrate` leaves and prints: samples.csv, the table of figures, and how well the
 * profile gives back what was measured. One thread. */
#ifndef EEP_CLI_CALIBRATION_REPORT_H
#define EEP_CLI_CALIBRATION_REPORT_H

#include "cli/calibration_profile.h"
#include "core/json.h"

G_BEGIN_DECLS

/* measurement,ranks,size,repetition,ns */
void eep_calibration_add_samples(const EepCalibrationRun *run, EepText *text);

typedef struct {
    const EepCalibrationRun *run;
    const EepCalibrationProfile *profile;
    /* As loaded from the file that was written: predictions are those of a simulation. */
    const EepHardware *loaded;
    const char *profile_path, *samples_path;
} EepCalibrationReport;

void eep_calibration_add_report(const EepCalibrationReport *report, EepText *text);
void eep_calibration_add_json(const EepCalibrationReport *report, EepJson *json);

G_END_DECLS

#endif
