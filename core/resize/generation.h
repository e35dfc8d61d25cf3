/* EepGeneration: how one generation of elastic EP resizes a group, as data.
 *
 * A generation is two lists of rows, one for growing and one for shrinking. A row is a piece of
 * work: what it is, who takes part, at which stage, whether the group's forwards stand still for
 * it. It begins when everybody who takes part has come to it, and everybody comes to the rows of a
 * stage in the list's order, leaving those marked `in_background` to themselves; that is all the
 * order there is. What it costs is the predictor's business, how it is driven coordinator.h's and
 * participant.h's. Static tables, any thread. */
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
    EEP_WHO_OLD = EEP_WHO_STAYING | EEP_WHO_REMOVING,
    EEP_WHO_GROUP = EEP_WHO_STAYING | EEP_WHO_NEW,
} EepWho;

/* Stages follow each other; one without rows takes no time. */
typedef enum {
    EEP_STAGE_PREPARE,
    EEP_STAGE_STOP,
    EEP_STAGE_COMMIT,
    EEP_STAGE_RESUME,
    EEP_STAGE_SETTLE,
    EEP_STAGE_COUNT,
} EepStage;

typedef enum {
    EEP_ACT_PHASE,     /* the phase `kind`, by the backend */
    EEP_ACT_RESHUFFLE, /* experts move to the target placement */
    EEP_ACT_ADOPT,     /* the target group becomes the serving one */
    EEP_ACT_RELEASE,   /* everybody has cleared its pause: forwards may begin again */
} EepAct;

/* A row that does not apply under the deployment's options is not there. */
typedef enum {
    EEP_WHEN_ALWAYS,
    EEP_WHEN_FROM_PEER,
    EEP_WHEN_FROM_DISK,
    EEP_WHEN_ASYNC_EPLB,
    EEP_WHEN_SYNC_EPLB,
    EEP_WHEN_GRAPHS, /* not enforce_eager */
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
    EepWhen when;
    gboolean in_background; /* who takes part goes on to the next row meanwhile */
    gboolean blocks;        /* forwards stand still */
} EepGenerationRow;

typedef struct {
    guint n_rows;
    const EepGenerationRow *rows;
    EepPlacementChange placement;
} EepGenerationPlan;

typedef struct {
    const char *name, *help;
    gboolean pauses;        /* engines stand still by consensus before the commit; else they stop */
    gboolean replaces_all;  /* no engine stays: the old ones leave, all of the target are new */
    gboolean needs_elastic; /* enable_elastic_ep, an elastic all2all backend and no DBO */
    EepGenerationPlan up, down;
} EepGeneration;

extern const char *const eep_stage_names[EEP_STAGE_COUNT];

/* Lower case name, as in scenarios; NULL when there is none. */
const EepGeneration *eep_generation_find(const char *name);

/* All of them, for listings; *ret_n how many. */
const EepGeneration *eep_generation_all(guint *ret_n);

/* What a row's act is called in records: the phase's name, "reshuffle", "adopt", "release". */
const char *eep_generation_row_name(const EepGenerationRow *row);

/* "existing" or "remaining", "new", "removing", "all". */
const char *eep_who_name(EepWho who, gboolean is_up);

G_END_DECLS

#endif
