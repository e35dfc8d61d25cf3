/* The decisions of an EepParity side by side, on the screen and as JSON. */
#ifndef EEP_CLI_PARITY_DECISIONS_H
#define EEP_CLI_PARITY_DECISIONS_H

#include "cli/parity.h"
#include "cli/screen_text.h"

G_BEGIN_DECLS

/* A line for each pair of decisions, marked where they differ; of long stretches how many there
 * are more. */
void eep_parity_decisions_add_table(const EepParity *parity, EepScreenText *screen);

/* Member "decisions", with all of them. */
void eep_parity_decisions_add_json(const EepParity *parity, EepJson *json);

G_END_DECLS

#endif
