#include "core/run_options.h"

#include <stddef.h>

#define AT(field)     offsetof(EepRunOptions, field)
#define OUT_AT(field) offsetof(EepOutputOptions, field)

static const EepOption run_options[] = {
    {"end", EEP_OPTION_WORD, AT(end), "drained", EEP_NO_BOUNDS, "drained|cut", NULL,
     "drained follows every request to its end; cut stops at run.duration"},
    {"duration", EEP_OPTION_TIME, AT(duration), "0s", 0, 1e17, NULL, NULL,
     "length of a run that is cut"},
    {"twin", EEP_OPTION_BOOL, AT(twin), "false", EEP_NO_BOUNDS, NULL, NULL,
     "also run with resizes that are done at once and for nothing, to say what they cost (--twin)"},
};

const EepOptionTable eep_run_options = {"run", sizeof(EepRunOptions), run_options,
                                        G_N_ELEMENTS(run_options)};

static const EepOption output_options[] = {
    {"events", EEP_OPTION_WORD, OUT_AT(events), "decisions", EEP_NO_BOUNDS,
     "decisions|requests|steps", NULL,
     "what events.jsonl holds; requests adds each request's events, steps each step's too"},
};

const EepOptionTable eep_output_options = {"output", sizeof(EepOutputOptions), output_options,
                                           G_N_ELEMENTS(output_options)};
