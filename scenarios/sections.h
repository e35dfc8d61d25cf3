/* The tables of a scenario file's own keys: the top level, and what stands beside a profile's
 * figures. The other sections' tables are their modules' own; eep_scenario_sections lists them all.
 * Constant data. */
#ifndef EEP_SCENARIOS_SECTIONS_H
#define EEP_SCENARIOS_SECTIONS_H

#include "scenarios/scenario.h"

G_BEGIN_DECLS

/* The keys of `model` and `hardware` beside the profile's figures. */
typedef struct {
    char *profile;
    gint64 nodes; /* hardware only; 0: not given */
} EepProfileOptions;

extern const EepOptionTable eep_scenario_header_options;   /* of EepScenario; prefix "" */
extern const EepOptionTable eep_scenario_model_options;    /* of EepProfileOptions */
extern const EepOptionTable eep_scenario_hardware_options; /* of EepProfileOptions */

G_END_DECLS

#endif
