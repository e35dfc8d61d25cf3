/* Maps of slots to experts in JSON files: what --from reads.
 *
 * [L][R0] alone, or in an object under `phy2log` (eep eplb place) or `physical_to_logical_map`
 * (SGLang's --init-expert-location); -1 is an empty slot. Not placements (core/eplb/placement.h).
 * One thread. */
#ifndef EEP_CLI_EPLB_MAP_H
#define EEP_CLI_EPLB_MAP_H

#include "core/eplb/policy.h"

G_BEGIN_DECLS

/* The map in the file ("-": standard input) for the problem's layers, experts and ranks: [L][R],
 * where ranks beyond the problem's are cut off and those that the file lacks are empty. NULL with
 * an error (exit 2) that names the element. Free with g_free(). */
gint32 *eep_eplb_map_read(const char *path, const EepEplbProblem *problem, GError **error);

G_END_DECLS

#endif
