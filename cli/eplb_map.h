/* Maps of slots to experts: JSON files, which --from reads, and the lower bound that a map has.
 *
 * A file has [L][R0] alone, or in an object under `phy2log` (eep eplb place) or
 * `physical_to_logical_map` (SGLang's --init-expert-location); -1 is an empty slot. Not placements
 * (core/eplb/placement.h). One thread. */
#ifndef EEP_CLI_EPLB_MAP_H
#define EEP_CLI_EPLB_MAP_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* The map in the file ("-": standard input) for the problem's layers, experts and ranks: [L][R],
 * where ranks beyond the problem's are cut off and those that the file lacks are empty. NULL with
 * an error (exit 2) that names the element. Free with g_free(). */
gint32 *eep_eplb_map_read(const char *path, const EepEplbProblem *problem, GError **error);

/* The lower bound of the problem's loads that holds for this map [L][R]: with the problem's groups
 * where the map keeps each of them to a node, else, as after a policy that ignores them, without.
 * ret_bound [L]. */
void eep_eplb_map_lower_bound(const EepEplbProblem *problem, const gint32 *map, double *ret_bound);

G_END_DECLS

#endif
