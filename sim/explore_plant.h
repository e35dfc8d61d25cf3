/* EepExplorePlant: a bug put into what surrounds the resize machine, to see that it is found.
 *
 * A plant changes the host's ops, or what the world does with an event; the machine itself is the
 * one that runs in simulations. Static table, any thread. */
#ifndef EEP_SIM_EXPLORE_PLANT_H
#define EEP_SIM_EXPLORE_PLANT_H

#include "sim/explore_world.h"

G_BEGIN_DECLS

struct EepExplorePlant {
    const char *name, *help;
    const char *generation; /* in which it is looked for when none is asked for */
    gboolean drains;        /* and whether the pool is drained there */
    /* Puts other ops in place of the world's; NULL: none. */
    void (*decorate)(EepResizeHost *host);
    /* What the world does otherwise. */
    gboolean skips_barrier, drops_replica, completes_twice, forgets_lost;
};

const EepExplorePlant *eep_explore_plant_all(guint *ret_n);
const EepExplorePlant *eep_explore_plant_find(const char *name);

/* The world's own ops, which a plant's call. */
const EepResizeHost *eep_explore_world_host(void);

G_END_DECLS

#endif
