/* EepCalibration: figures of a hardware profile from times that were measured.
 *
 * A table: each row takes the points of one or two kinds of measurement and sets one or a few
 * figures, so that the simulator's own formulas (cost.h, move_cost.h, phase_cost.h) give the points
 * back as well as they can; eep_calibration_predict() is those formulas. Figures that nothing
 * measures stay as they were. Formulas in words: docs/calibrate.md. Not a measurement and not a
 * writer of profiles. Pure functions, any thread. */
#ifndef EEP_SIM_CALIBRATION_H
#define EEP_SIM_CALIBRATION_H

#include "core/hardware.h"
#include "core/measurement.h"

G_BEGIN_DECLS

/* Communicators of the set of groups that group_destroy is about (phase_cost.c: standby groups). */
#define EEP_CALIBRATION_SET 3

typedef struct {
    EepMeasurement what;
    double seconds; /* median of the samples, > 0 */
    double spread;  /* their interquartile range */
} EepCalibrationPoint;

#define EEP_CALIBRATION_MAX_KEYS 3

typedef struct {
    const char
        *keys[EEP_CALIBRATION_MAX_KEYS]; /* of the hardware profile, NULL-terminated if fewer */
    const char *formula;                 /* of a point, in words */
    EepMeasureKind kinds[2];             /* measured by; the same twice: one */
    gboolean is_derived;                 /* the figure is a multiple of what was measured */
    gboolean (*fit)(EepHardware *hardware, const EepCalibrationPoint *points, guint n);
} EepCalibrationRow;

extern const EepCalibrationRow eep_calibration_rows[];
extern const guint eep_calibration_n_rows;

typedef struct {
    gboolean is_fitted; /* FALSE: nothing measured it, or no value fits */
    guint n_points;
    double deviation; /* mean of |predicted / seen - 1| over its points */
    double spread;    /* mean of spread / seen */
    /* Of each key: 0 fitted best, so it cannot be told from noise; the figure is the least scatter
     * of the points, which it may be without being seen. */
    gboolean is_bound[EEP_CALIBRATION_MAX_KEYS];
} EepCalibrationFit;

/* Fits all rows, in their order. *hardware: the base, whose figures are replaced. `has_peaks`: its
 * peak rates are this device's, so that efficiencies are fitted; else, or where an efficiency would
 * leave its bounds, what was reached becomes the peak. ret_fits [eep_calibration_n_rows]. */
void eep_calibration_fit(EepHardware *hardware, gboolean has_peaks,
                         const EepCalibrationPoint *points, guint n, EepCalibrationFit *ret_fits);

/* What the simulator takes it for, in seconds; 0: it has no figure for that. */
double eep_calibration_predict(const EepHardware *hardware, const EepMeasurement *what);

G_END_DECLS

#endif
