/* What `eep generations` prints: the tables, the published figures beside their nearest rows, and
 * the same as JSON. Not what is run (generation_grid.h); no state. */
#ifndef EEP_CLI_GENERATION_TABLES_H
#define EEP_CLI_GENERATION_TABLES_H

#include "cli/generation_grid.h"
#include "cli/screen_text.h"
#include "core/json.h"

G_BEGIN_DECLS

/* A table a step and traffic, every column of figures. */
void eep_generation_tables_add(EepScreenText *screen, const EepGenerationGrid *grid);

/* A table a traffic and backend, downtime / total by step. */
void eep_generation_tables_add_brief(EepScreenText *screen, const EepGenerationGrid *grid);

/* An object with cells, columns and published figures. */
void eep_generation_tables_add_json(EepJson *json, const EepGenerationGrid *grid);

G_END_DECLS

#endif
