/* EepGeneration: how one generation of elastic EP resizes a group, as data.
 *
 * A generation is two lists of rows, one for growing and one for shrinking, and a few properties. A
 * row is a piece of work: what it is, who takes part, at which stage, whether the group's forwards
 * stand still for it. It begins when everybody who takes part has come to it, and everybody comes
 * to the rows of a stage in the list's order, leaving those marked `in_background` to themselves;
 * that is all the order there is. Recoveries from a lost engine are lists of rows too (shrink,
 * retry, restart, mask_only). What work costs is the predictor's business, how it is driven
 * coordinator.h's and participant.h's. Static tables, any thread. */
#ifndef EEP_CORE_RESIZE_GENERATION_H
#define EEP_CORE_RESIZE_GENERATION_H

#include "core/resize/phase.h"
#include "core/resize/resize_host.h"

G_BEGIN_DECLS

/* Roles in one resize; a set of them says who takes part in a row. */
typedef enum {
    EEP_WHO_NOBODY = 0,
    EEP_WHO_STAYING = 1 << 0,  /* existing (up) or remaining (down) engines */
    EEP_WHO_NEW = 1 << 1,      /* launched for this resize */
    EEP_WHO_REMOVING = 1 << 2, /* in the old group, not in the new one */
    EEP_WHO_LOST = 1 << 3,     /* died; takes part in nothing */
    EEP_WHO_OLD = EEP_WHO_STAYING | EEP_WHO_REMOVING,
    EEP_WHO_GROUP = EEP_WHO_STAYING | EEP_WHO_NEW,
    EEP_WHO_ALL = EEP_WHO_STAYING | EEP_WHO_NEW | EEP_WHO_REMOVING,
} EepWho;

/* Stages follow each other; one without rows takes no time. UNDO takes the place of the stages left
 * when a resize is rolled back. */
typedef enum {
    EEP_STAGE_PREPARE,
    EEP_STAGE_STOP,
    EEP_STAGE_COMMIT,
    EEP_STAGE_RESUME,
    EEP_STAGE_SETTLE,
    EEP_STAGE_UNDO,
    EEP_STAGE_COUNT,
} EepStage;

typedef enum {
    EEP_ACT_PHASE,     /* the phase `kind`, by the backend */
    EEP_ACT_RESHUFFLE, /* experts move to the target placement */
    EEP_ACT_PRELOAD,   /* experts are copied into the new ranks' empty slots */
    EEP_ACT_DRAIN,     /* until the leaving engines have no request, or params.leaving_drain */
    EEP_ACT_MIGRATE,   /* what requests the leaving engines still have move, with their KV */
    EEP_ACT_SPREAD,    /* some running requests move to the new engines, with their KV */
    EEP_ACT_ADOPT,     /* the target group becomes the serving one: no way back from here */
    EEP_ACT_RELEASE,   /* everybody has cleared its pause: forwards may begin again */
    EEP_ACT_COUNT,
} EepAct;

/* Facts of the deployment; a row is there when all those that it names hold. */
typedef enum {
    EEP_WHEN_ALWAYS = 0,
    EEP_WHEN_FROM_PEER = 1 << 0,
    EEP_WHEN_FROM_DISK = 1 << 1,
    EEP_WHEN_FROM_CACHE = 1 << 2,
    EEP_WHEN_ASYNC_EPLB = 1 << 3,
    EEP_WHEN_SYNC_EPLB = 1 << 4,
    EEP_WHEN_GRAPHS = 1 << 5,    /* not enforce_eager */
    EEP_WHEN_REUSE = 1 << 6,     /* graphs survive a change of ranks (nixl_ep) */
    EEP_WHEN_RECAPTURE = 1 << 7, /* they do not */
} EepWhen;

typedef enum {
    EEP_BYTES_NONE,
    EEP_BYTES_NON_EXPERT,
    EEP_BYTES_ALL_WEIGHTS,
    EEP_BYTES_MAP,
} EepBytes;

typedef struct {
    EepStage stage;
    EepAct act;
    EepPhaseKind kind; /* of EEP_ACT_PHASE */
    EepWho who;
    EepWho receivers; /* of `bytes` */
    EepBytes bytes;
    guint when;             /* EepWhen, all of them */
    gboolean in_background; /* who takes part goes on to the next row meanwhile */
    gboolean blocks;        /* forwards stand still */
    gboolean is_staged;     /* the old group enters through g1's two-stage barrier */
} EepGenerationRow;

typedef struct {
    guint n_rows;
    const EepGenerationRow *rows;
    EepPlacementChange placement;
} EepGenerationPlan;

/* When new requests get 503. */
typedef enum {
    EEP_REFUSES_COMMIT, /* from the drain to the resume */
    EEP_REFUSES_WHOLE,  /* from the request to the resume */
    EEP_REFUSES_NEVER,  /* they wait in the engines' queues */
} EepRefuses;

/* What the all2all backend must be able to do, besides being elastic. */
typedef enum {
    EEP_NEEDS_ANY,
    EEP_NEEDS_REUSE, /* to change ranks under captured graphs (nixl_ep) */
    EEP_NEEDS_MASK,  /* to mask ranks (nixl_ep, deepep_low_latency) */
} EepBackendNeeds;

typedef struct {
    const char *name, *help;
    const char *source; /* where it is described */
    gboolean pauses;    /* engines stand still by consensus before the commit; else they stop */
    gboolean agrees_each_step; /* the wish to pause rides on the all-reduce that every step has
                                  anyway; else it takes one of its own, every 32nd step */
    gboolean replaces_all;     /* no engine stays: the old ones leave, all of the target are new */
    gboolean needs_elastic;    /* enable_elastic_ep, an elastic all2all backend and no DBO */
    EepBackendNeeds needs;
    gboolean drains_all; /* waits for all requests before the commit, asked to or not */
    EepRefuses refuses;
    gboolean rolls_back; /* what fails before the group is adopted leads back to the old size */
    gboolean clears_503; /* failing clears it (g1's finally); else it stays */
    gboolean chooses_leaving; /* by least loss; else the highest ranks leave */
    gboolean keeps_requests;  /* of leaving engines: they move; else they are aborted */
    gboolean has_reserve;     /* engines up to the maximum run from the start, masked */
    gboolean is_recovery;     /* begun by eep_resize_recover() only */
    EepGenerationPlan up, down;
} EepGeneration;

/* Not to be asked for by users: a resize at once and at no cost. */
#define EEP_GENERATION_INSTANT "instant"

/* How a pool recovers from a lost engine (vLLM's generations: none). */
typedef enum {
    EEP_RECOVERY_NONE,    /* forwards hang until the watchdog; then the deployment exits */
    EEP_RECOVERY_RESTART, /* everything is started anew at the same size */
    EEP_RECOVERY_RETRY,   /* the same members rebuild their groups; of no use for a dead process */
    EEP_RECOVERY_SHRINK,  /* survivors take over the experts */
    EEP_RECOVERY_REPLACE, /* shrink, then grow by a spare */
    EEP_RECOVERY_MASK_ONLY, /* survivors go on without the experts that died with it */
    EEP_RECOVERY_COUNT,
} EepRecovery;

extern const char *const eep_recovery_names[EEP_RECOVERY_COUNT];
extern const char *const eep_stage_names[EEP_STAGE_COUNT];

/* Lower case name, as in scenarios; NULL when there is none, or it is a recovery. */
const EepGeneration *eep_generation_find(const char *name);

/* The recovery's plan; NULL for NONE. REPLACE begins with SHRINK's. */
const EepGeneration *eep_generation_of_recovery(EepRecovery recovery);

/* All n that may be asked for, for listings. */
const EepGeneration *eep_generation_all(guint *ret_n);

/* Where a mode exists: "vllm main" and the like, or "hypothetical". Static. */
const char *eep_recovery_status(const EepGeneration *generation, EepRecovery recovery);

/* What a row's act is called in records: the phase's name, "reshuffle", "adopt", "release", ... */
const char *eep_generation_row_name(const EepGenerationRow *row);

/* "existing" or "remaining", "new", "removing", "all". */
const char *eep_who_name(EepWho who, gboolean is_up);

G_END_DECLS

#endif
