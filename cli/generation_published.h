/* EepGenerationPublished: resizes that somebody has timed, beside the cells that come nearest.
 *
 * None says all of what it was taken on; what is unknown stands with it. Facts from vLLM's issues
 * and pull requests (docs/costs.md compares sums of rows with the same). Static; no state. */
#ifndef EEP_CLI_GENERATION_PUBLISHED_H
#define EEP_CLI_GENERATION_PUBLISHED_H

#include "cli/generation_grid.h"
#include "cli/screen_text.h"
#include "core/json.h"

G_BEGIN_DECLS

/* The figures whose nearest cell was asked for; nothing where none was. */
void eep_generation_published_add(EepScreenText *screen, const EepGenerationGrid *grid);
void eep_generation_published_add_json(EepJson *json, const EepGenerationGrid *grid);

G_END_DECLS

#endif
