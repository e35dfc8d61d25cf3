/* EepFakeBackend: a scripted backend for tests of what stands above the seam.
 *
 * Every step takes FAKE_STEP, worker i of a phase or move (i + 1) * FAKE_WORKER, a load read
 * FAKE_READ. It keeps the contract or breaks it in exactly one chosen way. Not a simulator: no cost
 * depends on anything. */
#ifndef EEP_TESTS_CONTRACT_FAKE_BACKEND_H
#define EEP_TESTS_CONTRACT_FAKE_BACKEND_H

#include "core/loop/backend.h"

G_BEGIN_DECLS

#define FAKE_STEP   1000
#define FAKE_WORKER 300
#define FAKE_READ   50

typedef enum {
    FAKE_GOOD,
    FAKE_ENDS_TWICE,
    FAKE_NEVER_ENDS,
    FAKE_REORDERS_STEPS,
    FAKE_TAKES_TOO_MANY_STEPS,
    FAKE_TAKES_TOO_MANY_RANKS,
    FAKE_REFUSES_STEPS,
    FAKE_LEAPS_PAST_THE_HORIZON,
    FAKE_LEAPS_WITHOUT_ENDS,
    FAKE_LEAPS_SHORT,
    FAKE_ENDS_WITHOUT_A_STEP,
    FAKE_WHOLE_BEFORE_WORKERS,
    FAKE_FORGETS_A_WORKER,
    FAKE_REPEATS_A_WORKER,
    FAKE_INVENTS_A_WORKER,
    FAKE_WORKER_FAILS_IN_AN_OK_PHASE,
    FAKE_WRONG_EPOCH,
    FAKE_WRONG_KIND,
    FAKE_WRONG_ID,
    FAKE_MOVES_KV_ANYWAY,
    FAKE_READS_NOTHING,
    FAKE_READS_ONE_WINDOW,
    FAKE_MISCOUNTS_WINDOWS,
    FAKE_READS_NEGATIVE,
    FAKE_COMPLETES_AFTER_ABORT,
    FAKE_ABORT_FORGETS,
    FAKE_ABORT_TAKES_ALL,
    FAKE_BREAKS_AFTER_ABORT,
    FAKE_IS_NOT_REPEATABLE,
    FAKE_DEFECT_COUNT,
} FakeDefect;

extern const char *const fake_defect_names[FAKE_DEFECT_COUNT];

/* Capabilities: two steps in flight, at most 8 ranks, leaps, phases and moves during steps; KV
 * moves if `moves_kv`. */
EepBackend *fake_backend_new(FakeDefect defect, gboolean moves_kv);

/* The least a backend can be: one step in flight, no leaps, everything else the stubs. */
EepBackend *fake_backend_new_minimal(void);

G_END_DECLS

#endif
