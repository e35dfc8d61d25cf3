/* ServingKit: one deployment of one pool, run from a list of requests to their ends, and everything
 * that was observed.
 *
 * A test fills a KitConfig (kit_config_init() gives a small pool with a step of 10 ns), calls
 * kit_run() and looks at the KitRun. Costs are the test's own (desk_backend.h) unless it brings a
 * predictor and a backend. Not a scenario: nothing is read from files. */
#ifndef EEP_TESTS_SERVING_KIT_H
#define EEP_TESTS_SERVING_KIT_H

#include <check.h>

#include "core/deployment.h"
#include "core/loop/journal.h"
#include "tests/serving/desk_backend.h"

G_BEGIN_DECLS

/* How a request ended. */
typedef struct {
    guint n_ends; /* 1, or the pool is wrong */
    EepFate fate;
    EepReason reason;
    guint attempts, preemptions, migrations, retries;
    EepWorkerId worker; /* of the engine that had it last; 0: none ever */
    guint32 generated, cached_tokens, wasted_tokens;
    EepTime arrival, queued, first_token, last_token, finish, max_gap;
} KitResult;

typedef struct {
    EepTime at;
    guint n_engines;
} KitSize;

typedef struct {
    EepTime at;
    guint64 n_steps; /* ended by then */
    guint64 n_experts_moved;
    EepRearrangement all;
} KitRearranged;

typedef struct {
    EepTime at;
    EepEplbKept all;
} KitKept;

typedef struct {
    guint64 n_steps, n_dummies;
    GArray *steps; /* EepStepRecord */
    KitResult *results;
    guint n_requests, n_submitted; /* a cut comes before the others' arrivals */
    guint64 n_gaps;
    EepTime gap_sum, max_gap;
    GArray *sizes;      /* KitSize */
    GArray *resizes;    /* EepResizeRecord, ended */
    GArray *incidents;  /* EepIncident, ended */
    GString *decisions; /* their names, in order, each with a space behind it */
    GArray *rearranged; /* KitRearranged */
    GArray *kept;       /* KitKept */
    EepTime gpu_time[EEP_GPU_USE_COUNT];
    EepPoolCounts counts;
    EepTime end;
} KitRun;

typedef struct {
    EepPoolOptions options;
    EepPoolShape shape;
    DeskCosts costs;
    EepDeploymentOptions deployment;
    EepPredictor *predictor; /* NULL: by `costs`; borrowed */
    EepBackend *backend;     /* NULL: by `costs`; taken over */
    EepJournal *journal;     /* nullable, borrowed: records the run, or is all that it runs by */
    guint fail_every;        /* > 0: every so manieth step is refused */
    guint fail_from;         /* > 0: so are `n_failing` steps from this one on, */
    guint n_failing;
    gboolean fails_late; /* or they happen, and say at their end that they have not */
    EepTime cut;         /* EEP_TIME_NEVER: drained */
    gboolean checks;     /* eep_pool_check() after every event */
    gboolean keeps_steps;
    /* Instead of a list of requests: where they come from, and who is told of their ends. */
    const EepWorkload *workload;
    void (*ended)(gpointer self, const EepRequest *request);
    /* After every event; nullable. */
    void (*watch)(gpointer self, EepPool *pool, EepTime now);
    /* As an observer's; nullable. */
    void (*decision)(gpointer self, EepTime now, const char *what, const EepFact *facts,
                     guint n_facts);
    gpointer self;
} KitConfig;

/* One engine, FCFS, synchronous, block size 4, budget 100, step 10 ns and dummy steps that cost as
 * much, live routing counts, no experts, no retries, checks on. */
void kit_config_init(KitConfig *config);
void kit_config_clear(KitConfig *config);

/* `requests` in the order of arrival; their ids are their indices. NULL with an error when the run
 * failed or the pool ended inconsistent. */
KitRun *kit_run(KitConfig *config, const EepArrival *requests, guint n_requests, GError **error);
void kit_run_free(KitRun *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KitRun, kit_run_free)

/* kit_run() that must not fail. */
KitRun *kit_must_run(KitConfig *config, const EepArrival *requests, guint n_requests);

/* What holds in every run, or fails the test with `context`: every request has one fate that fits
 * its times, and the inter-token gaps are those between the requests' tokens. */
void kit_assert_conserved(const KitRun *run, const EepArrival *requests, const char *context);

guint kit_count(const KitRun *run, EepFate fate, EepReason reason);

/* The usual main of a Check program with one case. */
int kit_main(const char *name, TCase *tcase);

#define kit_nth(array, type, i) (&g_array_index((array), type, (i)))

G_END_DECLS

#endif
