/* EepRunDecisions: what a run decided, read from its events.jsonl, in order.
 *
 * One list for each kind of decision: words without times and measured amounts, so that two runs of
 * one scenario can be set against each other however long each thing took, and beside them when it
 * was. Kinds apart, since only within one is the order a decision's and not a clock's. Owned by its
 * reader. */
#ifndef EEP_CLI_RUN_DECISIONS_H
#define EEP_CLI_RUN_DECISIONS_H

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
    EEP_DECISION_RESIZE,    /* accepted, refused, ended */
    EEP_DECISION_PHASE,     /* of a resize, as they begin */
    EEP_DECISION_RESHUFFLE, /* experts rearranged */
    EEP_DECISION_INCIDENT,  /* faults, and that they were noticed */
    EEP_DECISION_RECOVERY,  /* recovered, given up, ended */
    EEP_DECISION_COUNT,
} EepDecisionKind;

extern const char *const eep_decision_names[EEP_DECISION_COUNT];

typedef struct {
    double at_s; /* NaN: the line does not say */
    char *words;
} EepDecision;

typedef struct {
    GPtrArray *lists[EEP_DECISION_COUNT]; /* EepDecision */
} EepRunDecisions;

/* What stands side by side: [0] of the one run, [1] of the other; NULL: it has none. Borrowed. */
typedef struct {
    const EepDecision *sides[2];
    gboolean is_same; /* in words */
} EepDecisionRow;

/* Of the run folder. FALSE with a G_FILE_ERROR that names the file and line; clear it all the same.
 */
gboolean eep_run_decisions_read(EepRunDecisions *decisions, const char *folder, GError **error);
void eep_run_decisions_clear(EepRunDecisions *decisions);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EepRunDecisions, eep_run_decisions_clear)

/* The decisions of one kind in pairs: those that both begin with, those that both end with, and
 * between them by their order. New array of EepDecisionRow. */
GArray *eep_run_decisions_pair(const EepRunDecisions *a, const EepRunDecisions *b,
                               EepDecisionKind kind);

/* Rows from `first` on that differ. */
guint eep_decision_rows_differing(const GArray *rows, guint first);

G_END_DECLS

#endif
