/* EepData: where the files that come with the program are: scenarios, profiles, plot scripts.
 *
 * Looked for, in this order, in the folder that the environment's EEP_DATA_DIR names and in the
 * first of these that exists: share/eep beside the running program's bin/ (also after an installed
 * tree was moved), the source tree that the program was built from, the prefix it was installed to.
 * A name that is in two of them is taken from the first. Not a cache: files are looked up at each
 * call. Main thread only; the list of folders belongs to this file and lives as long as the
 * program. */
#ifndef EEP_CLI_DATA_H
#define EEP_CLI_DATA_H

#include <glib.h>

G_BEGIN_DECLS

/* FALSE with an error when EEP_DATA_DIR is set and is no folder. */
gboolean eep_data_check(GError **error);

/* The folders "scenarios" of the data folders, NULL-terminated, at least one or none; what
 * eep_profile_load() and eep_profile_list() want. */
const char *const *eep_data_scenario_folders(void);

/* A file below a data folder ("plots/rate.gp"): new string. NULL with an error when there is none.
 */
char *eep_data_find(const char *name, GError **error);

/* Names of the bundled scenarios, sorted, without ".yaml". New NULL-terminated array. */
char **eep_data_list_scenarios(void);

/* The file that a SCENARIO argument means: the bundled scenario of that name, else a path. A file
 * that is called as a bundled scenario is meant by "./NAME". New string; NULL with an error (exit
 * 2) that proposes the nearest name. */
char *eep_data_find_scenario(const char *argument, GError **error);

/* The path of the bundled scenario `name`; NULL with an error. New string. */
char *eep_data_find_bundled(const char *name, GError **error);

G_END_DECLS

#endif
