#include "core/slo_options.h"

#include <stddef.h>

#define AT(field) offsetof(EepSloOptions, field)

static const EepOption options[] = {
    {"ttft", EEP_OPTION_TIME, AT(ttft), "0s", 0, 1e15, NULL, NULL,
     "longest time to first token of a good request; 0s: no limit"},
    {"tpot", EEP_OPTION_TIME, AT(tpot), "0s", 0, 1e15, NULL, NULL,
     "longest time per output token of a good request; 0s: no limit"},
    {"target", EEP_OPTION_DOUBLE, AT(target), "0", 0, 1, NULL, NULL,
     "share of submitted requests that should be good; 0: none"},
};

const EepOptionTable eep_slo_options = {"slo", sizeof(EepSloOptions), options,
                                        G_N_ELEMENTS(options)};
