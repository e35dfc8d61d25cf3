/* EepParity: a simulation and a run of the same scenario on workers, what was predicted beside what
 * was measured.
 *
 * Decisions in order, and pairs of figures: phases of resizes, lengths of steps, latencies, each
 * with the ratio measured / predicted. The simulated run is the prediction; of two that are not
 * simulated, the first. Reads the run folders' files and changes nothing. It does not judge: a
 * ratio of an emulated run says nothing about a GPU, and is labelled so. One thread. */
#ifndef EEP_CLI_PARITY_H
#define EEP_CLI_PARITY_H

#include "cli/run_decisions.h"
#include "core/json.h"
#include "core/text.h"

#include <jansson.h>

G_BEGIN_DECLS

typedef enum {
    EEP_PARITY_PHASE,   /* s */
    EEP_PARITY_STEP,    /* ms, or a count */
    EEP_PARITY_CLASS,   /* mean of steps with about as many tokens, ms */
    EEP_PARITY_LATENCY, /* ms */
    EEP_PARITY_COUNT,
} EepParityKind;

/* [0] predicted, [1] measured; NaN: there is none. */
typedef struct {
    EepParityKind kind;
    gboolean is_count;
    guint place; /* among its kind; else in the order of the runs */
    char *name;
    double values[2];
} EepParityPair;

typedef struct {
    const char *labels[2]; /* borrowed from the summaries */
    char *paths[2];
    char *scenario_difference; /* NULL: the same scenario */
    char *picture;             /* its file; NULL: none was drawn */
    EepRunDecisions decisions[2];
    GPtrArray *pairs; /* EepParityPair, by kind in the order of the prediction */
} EepParity;

/* Whether the two are to be set against each other so: they differ in what they ran on. */
gboolean eep_parity_applies(json_t *const summaries[2]);

/* `folders` are run folders of `summaries`, which must outlive it. NULL with a G_FILE_ERROR: a file
 * is missing, or, without `force`, the scenarios differ, and where. */
EepParity *eep_parity_new(const char *const folders[2], json_t *const summaries[2], gboolean force,
                          GError **error);
void eep_parity_free(EepParity *parity); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepParity, eep_parity_free)

/* measured / predicted; NaN where one is missing or nothing was predicted. */
double eep_parity_ratio(const EepParityPair *pair);

/* A block of lines for people, at most 100 columns wide. */
void eep_parity_add_table(const EepParity *parity, EepText *text);

/* Member "parity". */
void eep_parity_add_json(const EepParity *parity, EepJson *json);

G_END_DECLS

#endif
