#include "scenarios/sections.h"

#include <stddef.h>

#define AT(field) offsetof(EepScenario, field)

static const EepOption header_options[] = {
    {"eep", EEP_OPTION_INT, AT(format), NULL, EEP_SCENARIO_FORMAT, EEP_SCENARIO_FORMAT, NULL, NULL,
     "version of the scenario format"},
    {"name", EEP_OPTION_STRING, AT(name), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "names the run folder; unset: the file's name"},
    {"seed", EEP_OPTION_INT, AT(seed), "1", 0, 9e18, NULL, NULL,
     "of everything that is drawn at random"},
};
const EepOptionTable eep_scenario_header_options = {"", sizeof(EepScenario), header_options,
                                                    G_N_ELEMENTS(header_options)};

static const EepOption model_options[] = {
    {"profile", EEP_OPTION_STRING, offsetof(EepProfileOptions, profile), NULL, EEP_NO_BOUNDS, NULL,
     NULL, "name of a model profile, or a file NAME.yaml; model: NAME means the same"},
};
const EepOptionTable eep_scenario_model_options = {"model", sizeof(EepProfileOptions),
                                                   model_options, 1};

static const EepOption hardware_options[] = {
    {"profile", EEP_OPTION_STRING, offsetof(EepProfileOptions, profile), NULL, EEP_NO_BOUNDS, NULL,
     NULL, "name of a hardware profile, or a file NAME.yaml"},
    {"nodes", EEP_OPTION_INT, offsetof(EepProfileOptions, nodes), NULL, 1, 100000, NULL, NULL,
     "nodes of the cluster; unset: as many as the deployment and its events need"},
};
const EepOptionTable eep_scenario_hardware_options = {"hardware", sizeof(EepProfileOptions),
                                                      hardware_options, 2};

const EepScenarioSection eep_scenario_sections[] = {
    {"", &eep_scenario_header_options, "top level"},
    {"model", &eep_scenario_model_options, "the model: a profile, and figures of it to change"},
    {"model", &eep_model_options, "figures of a model profile, which the scenario may change"},
    {"hardware", &eep_scenario_hardware_options,
     "the cluster: a profile, its size, and figures to change"},
    {"hardware", &eep_hardware_options,
     "figures of a hardware profile, which the scenario may change"},
    {"deployment", &eep_pool_options,
     "one pool, main; with deployment.pools a map NAME: of the same keys, beside defaults:"},
    {"traffic", &eep_traffic_options, "the requests: trace or synthetic"},
    {"traffic.synthetic.piecewise[]", &eep_rate_step_options, "a rate that changes by steps"},
    {"skew", &eep_skew_options, "popularity of experts"},
    {"slo", &eep_slo_options, "service-level objective"},
    {"events[]", &eep_event_options, "what happens at a time of its own"},
    {"measure", &eep_measure_options, "what is measured"},
    {"run", &eep_run_options, "how a run ends"},
    {"output", &eep_output_options, "what is written"},
    {"gpu", &eep_gpu_options, "how --backend cuda runs it on workers; the simulator reads none"},
    {NULL, NULL, NULL},
};
