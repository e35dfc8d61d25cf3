/* What the tables of options say, for people and for editors: eep explain, docs/scenario.md and the
 * JSON Schema. Texts are generated, so they cannot disagree with the loader. Pure functions. */
#ifndef EEP_SCENARIOS_REFERENCE_H
#define EEP_SCENARIOS_REFERENCE_H

#include <glib.h>

G_BEGIN_DECLS

/* docs/scenario.md: every section with its keys, what they accept, defaults, vLLM flags. New
 * string. */
char *eep_scenario_reference(void);

/* JSON Schema (draft 2020-12) of a scenario file. It accepts what the loader's tables accept;
 * bounds of values with units, and what keys mean together, are the loader's. New string, ends in a
 * newline. */
char *eep_scenario_schema(void);

/* A section ("slo"), a key ("deployment.eplb_config.window_size") or the end of one ("window_size")
 * explained: all that match. Keys of pools are deployment's: "deployment.pools.decode.role" works.
 * NULL with EEP_OPTION_ERROR_UNKNOWN and the nearest key. New string, ends in a newline. */
char *eep_scenario_explain(const char *key, GError **error);

/* Every full key, sorted, for completion. New NULL-terminated array. */
char **eep_scenario_keys(void);

G_END_DECLS

#endif
