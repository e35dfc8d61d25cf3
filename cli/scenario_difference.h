/* Where the scenarios of two run folders differ.
 *
 * For `eep compare` of a simulation with a run on workers, which must be runs of one scenario: what
 * only workers (`gpu`) or only the run folder (`output`) heed may differ. Reads the effective
 * scenario.yaml of each; decides nothing. */
#ifndef EEP_CLI_SCENARIO_DIFFERENCE_H
#define EEP_CLI_SCENARIO_DIFFERENCE_H

#include <glib.h>

G_BEGIN_DECLS

/* *ret_difference: the first, as "KEY: A and B", new string; NULL: none. FALSE with an error when
 * one cannot be read. */
gboolean eep_scenario_difference(const char *folder_a, const char *folder_b, char **ret_difference,
                                 GError **error);

G_END_DECLS

#endif
