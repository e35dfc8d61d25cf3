/* EepRequest: one request from its first arrival to its one fate.
 *
 * A request is a slot of an EepRequestTable; slots are recycled, ids are not. While it decodes,
 * nothing in it changes from step to step: the engine's progress counter says how far it is
 * (scheduler.h). Links are intrusive; a request is in at most one queue (waiting or running) and
 * one calendar bucket. Not the record that is written out: observers get the slot while it is still
 * whole. Loop thread only. */
#ifndef EEP_CORE_ENGINE_REQUEST_H
#define EEP_CORE_ENGINE_REQUEST_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct EepRequest EepRequest;
typedef struct EepRequestTable EepRequestTable;

typedef enum {
    EEP_REQUEST_NEW,     /* known to the client only: before routing, in backoff, refused */
    EEP_REQUEST_WAITING, /* in an engine's waiting queue, preempted or not */
    EEP_REQUEST_PREFILL, /* running, its known tokens are not all computed */
    EEP_REQUEST_DECODE,  /* running, one token a step */
    EEP_REQUEST_MOVING,  /* its KV is on its way to another engine; it gets no token (seat.h) */
    EEP_REQUEST_ENDED,
} EepRequestState;

/* Every request ends with exactly one. */
typedef enum {
    EEP_FATE_NONE,
    EEP_FATE_COMPLETED,
    EEP_FATE_REJECTED,
    EEP_FATE_ABORTED,
    EEP_FATE_UNFINISHED,
    EEP_FATE_COUNT,
} EepFate;

typedef enum {
    EEP_REASON_NONE,
    EEP_REASON_TOO_LONG,    /* rejected: prompt + output beyond max_model_len */
    EEP_REASON_NEVER_FITS,  /* rejected: more KV blocks than an engine has */
    EEP_REASON_SCALING_503, /* rejected: the deployment answered 503 while it was scaling */
    EEP_REASON_QUEUE_LIMIT, /* rejected: every queue was full */
    EEP_REASON_UNAVAILABLE, /* rejected: the deployment has exited */
    EEP_REASON_SCALE_DOWN,  /* aborted: its engine was removed */
    EEP_REASON_FAULT,       /* aborted: its engine was lost */
    EEP_REASON_CLIENT,      /* aborted by the client */
    EEP_REASON_TIMEOUT,     /* aborted: the client gave up */
    EEP_REASON_COUNT,
} EepReason;

extern const char *const eep_fate_names[EEP_FATE_COUNT];
extern const char *const eep_reason_names[EEP_REASON_COUNT];

/* Cached prefix blocks that a request holds: blocks [start, start + n) of its prompt's hash `hash`.
 */
typedef struct {
    guint16 hash, start, n;
} EepKvRun;

struct EepRequest {
    EepRequest *prev, *next;         /* waiting queue or running list */
    EepRequest *due_prev, *due_next; /* calendar bucket, or a plan's list of those it finishes */
    guint64 base; /* decoding: the engine's counter at the step that completed the prefill */
    guint64 due;  /* decoding: the counter at which the last token is produced */
    guint32 prompt_tokens, output_tokens;
    guint32 generated;    /* decoding: as of `base`; else all tokens so far (as planned) */
    guint32 computed;     /* not decoding: known tokens whose KV is in the cache (as planned) */
    guint32 blocks;       /* not decoding: KV blocks held */
    guint16 engine;       /* index of its engine while it is in a queue */
    guint8 state;         /* EepRequestState */
    guint8 fate, reason;  /* EepFate, EepReason */
    guint8 request_class; /* of EepSkew; 0 when there is one */
    guint8 lost_reason;   /* EepReason of the last attempt that was aborted; NONE: none was */
    guint16 n_attempts;
    guint16 pool;
    gint32 priority; /* smaller is more urgent */
    guint32 n_preemptions;
    guint32 cached_tokens; /* prefix-cache hits at its first admission */
    guint64 id;            /* row of the trace, from 0 */
    EepTime arrival;       /* of the first attempt */
    EepTime queued;        /* when it entered its engine's queue */
    EepTime first_token;   /* EEP_TIME_NEVER until delivered */
    EepTime last_token;    /* delivered before the last preemption or migration; NEVER: none */
    EepTime finish;        /* set when it ends */
    EepTime max_gap;       /* longest inter-token gap known so far */
    guint64 base_step;     /* decoding: the pool's step index at `base` */
    guint64 *hashes;       /* prefix hashes of the prompt, owned; NULL: none */
    EepKvRun *runs;        /* cached blocks held, owned */
    guint16 n_hashes, n_runs, n_runs_allocated;
    guint16 flags;
    guint16 n_retries;     /* times that the server took it from a lost engine to another */
    guint16 n_migrated;    /* moves to another engine, with its KV or without */
    guint32 wasted_tokens; /* delivered by attempts that were aborted */
    guint32 worker;        /* EepWorkerId of the engine that served it last */
    guint32 lost_by;       /* serial of the fault that ended or refused its last attempt; 0: none */
    guint32 limbo_by;      /* the same of the one that took its engine, while it has none */
    guint16 lost_pool;     /* whose fault lost_by is */
};

enum {
    EEP_REQUEST_FLAG_FINISHING = 1, /* its last token is in flight */
    EEP_REQUEST_FLAG_GROWN = 2,     /* scratch of one pass: it has got its block of this step */
    EEP_REQUEST_FLAG_STARVED = 4,   /* decodes, but a step went by without a token for it */
    EEP_REQUEST_FLAG_PASSED = 8,    /* scratch of one pass: it starves in this step */
    EEP_REQUEST_FLAG_RETRIED = 16,  /* was admitted by an engine that is lost */
    EEP_REQUEST_FLAG_SEATED = 32,   /* another engine keeps a seat for it (seat.h) */
};

/* Tokens known at admission or while waiting: prompt plus generated. */
static inline guint32 eep_request_known(const EepRequest *request)
{
    return request->prompt_tokens + request->generated;
}

/* Whether an engine admitted it before, so that what is computed for it is computed again. */
static inline gboolean eep_request_was_admitted(const EepRequest *request)
{
    return request->n_preemptions > 0 || (request->flags & EEP_REQUEST_FLAG_RETRIED) != 0;
}

/* Negative when x is more urgent: by (priority, arrival, id), as in vLLM's priority policy. */
int eep_request_compare_urgency(const EepRequest *x, const EepRequest *y);

EepRequestTable *eep_request_table_new(void);
void eep_request_table_free(EepRequestTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepRequestTable, eep_request_table_free)

/* A cleared slot. `hashes` are copied. */
EepRequest *eep_request_new(EepRequestTable *table, guint64 id, EepTime arrival,
                            guint32 prompt_tokens, guint32 output_tokens, const guint64 *hashes,
                            guint n_hashes);
void eep_request_free(EepRequestTable *table, EepRequest *request);
guint64 eep_request_table_n_live(const EepRequestTable *table);

/* -- queues: doubly linked through prev/next -------------------------------------------------- */

typedef struct {
    EepRequest *head, *tail;
    guint32 n;
} EepRequestQueue;

static inline void eep_request_queue_push_tail(EepRequestQueue *queue, EepRequest *request)
{
    request->prev = queue->tail;
    request->next = NULL;
    if (queue->tail != NULL)
        queue->tail->next = request;
    else
        queue->head = request;
    queue->tail = request;
    queue->n++;
}

/* Inserts before `sibling` (NULL: at the tail). */
static inline void eep_request_queue_insert_before(EepRequestQueue *queue, EepRequest *sibling,
                                                   EepRequest *request)
{
    if (sibling == NULL) {
        eep_request_queue_push_tail(queue, request);
        return;
    }
    request->next = sibling;
    request->prev = sibling->prev;
    if (sibling->prev != NULL)
        sibling->prev->next = request;
    else
        queue->head = request;
    sibling->prev = request;
    queue->n++;
}

static inline void eep_request_queue_push_head(EepRequestQueue *queue, EepRequest *request)
{
    eep_request_queue_insert_before(queue, queue->head, request);
}

static inline void eep_request_queue_remove(EepRequestQueue *queue, EepRequest *request)
{
    if (request->prev != NULL)
        request->prev->next = request->next;
    else
        queue->head = request->next;
    if (request->next != NULL)
        request->next->prev = request->prev;
    else
        queue->tail = request->prev;
    queue->n--;
}

G_END_DECLS

#endif
