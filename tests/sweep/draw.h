/* A random scenario, valid by construction: the models, sizes, routers, resizes and traffic that
 * eep's simulator takes, from a seed. Not a fuzzer of the parser: the text is always in order. */
#ifndef EEP_TESTS_SWEEP_DRAW_H
#define EEP_TESTS_SWEEP_DRAW_H

#include <glib.h>

typedef struct {
    char *text;      /* of the scenario; freed by the caller */
    guint n_resizes; /* asked for: e0, e1, ... */
    guint n_gpus;    /* of the cluster */
    gboolean is_cut; /* run.end: cut */
} Drawn;

Drawn draw_scenario(guint64 seed);

#endif
