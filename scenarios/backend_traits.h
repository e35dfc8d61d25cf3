/* What the rules of a scenario must know of an all-to-all backend, for a deployment that is
 * refused before anything is built. The simulator's table (sim/all2all.h) says the same and more; a
 * test compares them. Constant data, any thread. */
#ifndef EEP_SCENARIOS_BACKEND_TRAITS_H
#define EEP_SCENARIOS_BACKEND_TRAITS_H

#include "core/engine/pool_options.h"

G_BEGIN_DECLS

typedef struct {
    gboolean is_elastic;        /* its groups can change while it serves */
    gboolean can_mask;          /* a rank can be masked out of it */
    gboolean keeps_graphs;      /* its ranks can change under captured graphs */
    gboolean has_micro_batches; /* works with enable_dbo */
    gboolean in_one_domain;     /* its ranks lie in one NVLink domain */
    guint max_ranks;            /* 0: no limit */
} EepBackendTraits;

/* `backend` is an EepAll2allBackend. */
const EepBackendTraits *eep_backend_traits(gint backend);

/* vLLM's name. Static. */
const char *eep_backend_name(gint backend);

/* Names of those for which the field at `offset` in EepBackendTraits is TRUE, "a, b or c"; new
 * string. */
char *eep_backend_names_with(gsize offset);

G_END_DECLS

#endif
