#include "cli/invariants.h"

#include "cli/screen_text.h"
#include "sim/explore_check.h"

/* "invariant I8 broken: resize grow left 503 for 12.3 s"; new string. */
static char *describe(const EepResizeRecord *record)
{
    GString *text = g_string_new("invariant I8 broken: resize ");
    g_autofree char *refused = eep_screen_length(record->left_reject);
    g_autofree char *frozen = eep_screen_length(record->left_stall);

    g_string_append_printf(text, "%s left",
                           record->id[0] != '\0' ? record->id : record->generation);
    if (record->left_reject > 0)
        g_string_append_printf(text, " 503 for %s", refused);
    if (record->left_stall > 0)
        g_string_append_printf(text, "%s forwards blocked for %s",
                               record->left_reject > 0 ? "," : "", frozen);
    return g_string_free(text, FALSE);
}

gboolean eep_invariants_add_notes(const EepMetrics *metrics, GPtrArray *notes)
{
    gboolean holds = TRUE;

    for (guint i = 0; i < eep_metrics_n_resizes(metrics); i++) {
        const EepResizeRecord *record = eep_metrics_resize(metrics, i);
        const EepExploreFlaw *flaw;

        if (record->left_reject == 0 && record->left_stall == 0)
            continue;
        flaw = eep_explore_flaw_of_stuck(record->generation, record->left_reject > 0);
        g_ptr_array_add(notes, describe(record));
        if (flaw != NULL)
            g_ptr_array_add(notes, g_strdup_printf("known flaw of %s: %s (%s)", record->generation,
                                                   flaw->name, flaw->source));
        holds &= flaw != NULL;
    }
    return holds;
}
