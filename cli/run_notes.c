#include "cli/run_notes.h"

#include "cli/screen_text.h"

#include <string.h>

struct EepRunNotes {
    EepObserver base;
    GPtrArray *notes;
    guint n_drawn; /* failures drawn by mtbf that hit nobody */
};

static const char *string_of(const EepFact *facts, guint n_facts, const char *key)
{
    for (guint i = 0; i < n_facts; i++)
        if (strcmp(facts[i].key, key) == 0 && facts[i].type == EEP_FACT_STRING)
            return facts[i].string;
    return "";
}

static gint64 integer_of(const EepFact *facts, guint n_facts, const char *key)
{
    for (guint i = 0; i < n_facts; i++)
        if (strcmp(facts[i].key, key) == 0)
            return facts[i].integer;
    return 0;
}

/* "event late", or what it is where it has no id; new string. */
static char *event_name(const EepFact *facts, guint n_facts, const char *else_name)
{
    const char *id = string_of(facts, n_facts, "id");

    return *id != '\0' ? g_strdup_printf("event %s", id)
                       : g_strdup_printf("an event (%s)", else_name);
}

static char *not_reached(EepRunNotes *self, EepTime now, const EepFact *facts, guint n_facts)
{
    const char *resize = string_of(facts, n_facts, "resize");
    const char *phase = string_of(facts, n_facts, *resize != '\0' ? "phase" : "detail");
    g_autofree char *name =
        event_name(facts, n_facts, *resize != '\0' ? "during" : string_of(facts, n_facts, "fault"));

    return *resize != '\0'
               ? g_strdup_printf("%s never came: %s did not reach %s", name, resize, phase)
               : g_strdup_printf("%s broke nothing: no such %s began after it", name, phase);
}

static char *without_target(EepRunNotes *self, EepTime now, const EepFact *facts, guint n_facts)
{
    const char *fault = string_of(facts, n_facts, "fault");
    g_autofree char *name = event_name(facts, n_facts, fault);
    g_autofree char *at = eep_screen_clock(now);

    if (g_str_has_prefix(string_of(facts, n_facts, "id"), "mtbf-")) {
        self->n_drawn++;
        return NULL;
    }
    return g_strdup_printf("%s did nothing at %s: its target was not there, or gone", name, at);
}

static char *cancelled(EepRunNotes *self, EepTime now, const EepFact *facts, guint n_facts)
{
    g_autofree char *at = eep_screen_clock(now);

    return integer_of(facts, n_facts, "cancelled")
               ? NULL
               : g_strdup_printf("a cancel did nothing at %s: nothing to cancel, or too late", at);
}

static const struct {
    const char *what;
    char *(*note)(EepRunNotes *self, EepTime now, const EepFact *facts, guint n_facts);
} kinds[] = {
    {"event_not_reached", not_reached},
    {"fault_without_target", without_target},
    {"resize_cancel", cancelled},
};

static void decision(EepObserver *observer, EepTime now, EepPoolId pool, const char *what,
                     const EepFact *facts, guint n_facts)
{
    EepRunNotes *self = (EepRunNotes *)observer;

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(what, kinds[i].what) != 0)
            continue;
        char *note = kinds[i].note(self, now, facts, n_facts);
        if (note != NULL)
            g_ptr_array_add(self->notes, note);
    }
}

EepRunNotes *eep_run_notes_new(void)
{
    static EepObserverOps ops;
    EepRunNotes *notes = g_new0(EepRunNotes, 1);

    ops = eep_observer_none;
    ops.name = "notes";
    ops.decision = decision;
    notes->base.ops = &ops;
    notes->notes = g_ptr_array_new_with_free_func(g_free);
    return notes;
}

void eep_run_notes_free(EepRunNotes *notes)
{
    if (notes == NULL)
        return;
    g_ptr_array_unref(notes->notes);
    g_free(notes);
}

EepObserver *eep_run_notes_observer(EepRunNotes *notes)
{
    return &notes->base;
}

void eep_run_notes_add(const EepRunNotes *notes, GPtrArray *ret_notes)
{
    for (guint i = 0; i < notes->notes->len; i++)
        g_ptr_array_add(ret_notes, g_strdup(notes->notes->pdata[i]));
    if (notes->n_drawn > 0)
        g_ptr_array_add(ret_notes,
                        g_strdup_printf("%u drawn failure%s hit an engine that was dead already",
                                        notes->n_drawn, notes->n_drawn == 1 ? "" : "s"));
}
