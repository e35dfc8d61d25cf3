#include "core/measure_options.h"

#include <stddef.h>

#define AT(field) offsetof(EepMeasureOptions, field)

static const EepOption options[] = {
    {"warmup", EEP_OPTION_TIME, AT(warmup), "0s", 0, 1e17, NULL, NULL,
     "requests that arrive earlier are served but not measured"},
    {"bucket", EEP_OPTION_TIME, AT(bucket), "1s", 1e6, 1e15, NULL, NULL,
     "width of one row of the time line"},
};

const EepOptionTable eep_measure_options = {"measure", sizeof(EepMeasureOptions), options,
                                            G_N_ELEMENTS(options)};
