#include "scenarios/event_options.h"

#include <stddef.h>

#define AT(field) offsetof(EepEventOptions, field)

static const EepOption options[] = {
    {"at", EEP_OPTION_TIME, AT(at), "0s", 0, 1e18, NULL, NULL, "when it happens"},
    {"id", EEP_OPTION_STRING, AT(id), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "name for `expect` and the summary"},
    {"pool", EEP_OPTION_STRING, AT(pool), NULL, EEP_NO_BOUNDS, NULL, NULL,
     "which pool; not needed when there is one"},
    {"scale_elastic_ep.new_data_parallel_size", EEP_OPTION_INT,
     AT(scale_elastic_ep.new_data_parallel_size), "0", 0, 4096, NULL, NULL,
     "resize to so many engines (the body of POST /scale_elastic_ep)"},
};

const EepOptionTable eep_event_options = {"events[]", sizeof(EepEventOptions), options,
                                          G_N_ELEMENTS(options)};
