/* EepCalibrationProfile: the hardware profile that comes of a calibration: figures that were
 * measured, and what nobody measured from a base profile, each with its basis and source.
 *
 * Not a loader: what it writes is read by scenarios/profile.h like any other. One thread. */
#ifndef EEP_CLI_CALIBRATION_PROFILE_H
#define EEP_CLI_CALIBRATION_PROFILE_H

#include "cli/calibration_run.h"
#include "core/text.h"
#include "scenarios/profile.h"

G_BEGIN_DECLS

typedef struct {
    char *name, *description;
    EepProfile *base;
    EepHardware base_hardware, hardware;
    EepBasis *bases;         /* [eep_hardware_options.n_options], of the figures as fitted */
    char **sources;          /* the same; NULL: the base's */
    EepCalibrationFit *fits; /* [eep_calibration_n_rows] */
} EepCalibrationProfile;

/* The bundled profile that is nearest to the device by its name; *ret_is_its: it is of just this
 * device. */
const char *eep_calibration_default_base(const EepWireDevice *device, gboolean *ret_is_its);

/* `base` NULL: the default one. Fits; an error when the base cannot be loaded. */
EepCalibrationProfile *eep_calibration_profile_new(const EepCalibrationRun *run, const char *base,
                                                   GError **error);
void eep_calibration_profile_free(EepCalibrationProfile *profile); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepCalibrationProfile, eep_calibration_profile_free)

/* As scenarios/hardware/NAME.yaml are written. */
void eep_calibration_profile_write(const EepCalibrationProfile *profile, EepText *text);

/* "NVIDIA H100 80GB HBM3, CUDA 12.4, driver 12.4, NCCL 2.28.9". New string. */
char *eep_calibration_device(const EepWireDevice *device);

G_END_DECLS

#endif
