/* EepDeployment: one or more pools behind one front door, driven by the loop's events.
 *
 * It takes requests from a workload as they arrive, refuses those that can never run or come while
 * the pool answers 503, lets clients try again, and hands events on to pools. Its handler is the
 * core's function (state, event, now) -> (state', actions). Not a parser and not a report:
 * observers see what happens. Loop thread only. */
#ifndef EEP_CORE_DEPLOYMENT_H
#define EEP_CORE_DEPLOYMENT_H

#include "core/engine/pool.h"
#include "core/skew.h"

G_BEGIN_DECLS

typedef struct EepDeployment EepDeployment;

/* -- where requests come from ----------------------------------------------------------------- */

typedef struct {
    EepTime arrival;                      /* never before the one before */
    guint64 id;                           /* the row of the trace */
    guint32 prompt_tokens, output_tokens; /* >= 1 */
    gint32 priority;
    guint8 request_class; /* below EEP_SKEW_MAX_CLASSES */
    guint n_hashes;
    const guint64 *hashes; /* valid until the next call */
} EepArrival;

typedef enum { EEP_WORKLOAD_ARRIVAL, EEP_WORKLOAD_END, EEP_WORKLOAD_FAILED } EepWorkloadStatus;

typedef struct {
    EepWorkloadStatus (*next)(gpointer self, EepArrival *ret_arrival, GError **error);
    gpointer self;
} EepWorkload;

/* -- what operators do ------------------------------------------------------------------------ */

typedef enum {
    EEP_OPERATOR_SCALE,  /* scale_elastic_ep */
    EEP_OPERATOR_CANCEL, /* cancels the resize that runs */
    EEP_OPERATOR_FAULT,  /* something breaks */
} EepOperatorKind;

/* One event of a scenario. */
typedef struct {
    EepOperatorKind kind;
    const char *id; /* of the scenario's event, "" if it has none; borrowed, as all strings here */
    EepPoolId pool;
    EepTime at;                /* when there is no `during` */
    const char *during_resize; /* NULL, or the id of a scale event: `after` the moment at which */
    const char *during_phase;  /* this span or phase of it begins, for the first time */
    EepTime after;
    guint new_data_parallel_size; /* SCALE */
    const char *cancels; /* CANCEL: id of a scale event, nothing if another runs; NULL: any */
    EepFault fault;      /* FAULT */
} EepOperatorEvent;

typedef struct {
    guint64 seed;
    guint retry_attempts;  /* in all, 1: a refused or aborted request is lost */
    EepTime retry_backoff; /* before the second attempt; doubled with each further one */
    double retry_jitter;   /* each wait is scaled by a factor drawn from [1 - jitter, 1 + jitter] */
    guint n_events;
    const EepOperatorEvent *events; /* borrowed for the deployment's life */
} EepDeploymentOptions;

EepDeployment *eep_deployment_new(const EepDeploymentOptions *options, EepBackend *backend,
                                  EepPredictor *predictor, EepObserver *observer);
void eep_deployment_free(EepDeployment *deployment);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepDeployment, eep_deployment_free)

/* The loop's handler; `self` is the deployment. */
gboolean eep_deployment_handle(gpointer self, const EepEvent *event, GError **error);

/* To be called once, before pools are added: actions go to this loop. Attaches the backend too. */
void eep_deployment_attach(EepDeployment *deployment, EepLoop *loop);

/* Who makes faults happen; before pools are added. NULL, as without the call: they are decided upon
 * and noticed, but nothing physical comes of them (replays: the journal has what came). */
void eep_deployment_set_injector(EepDeployment *deployment, EepFaultInjector *injector);

gboolean eep_deployment_add_pool(EepDeployment *deployment, const char *name,
                                 const EepPoolOptions *options, const EepPoolShape *shape,
                                 GError **error);

/* Queues the first arrival and the operators' events. With a replay journal the same calls are
 * made: the journal's events then take the place of those queued here. */
gboolean eep_deployment_start(EepDeployment *deployment, const EepWorkload *workload,
                              GError **error);

/* The run is over: what is still there ends as `unfinished`. FALSE when requests are left although
 * nothing more can happen and the run was not cut (a bug or a broken backend), unless a fault that
 * nobody recovers from holds them. */
gboolean eep_deployment_finish(EepDeployment *deployment, gboolean is_cut, GError **error);

guint eep_deployment_n_pools(const EepDeployment *deployment);
EepPool *eep_deployment_pool(const EepDeployment *deployment, EepPoolId id);
EepTime
eep_deployment_last_arrival(const EepDeployment *deployment); /* EEP_TIME_NEVER before the first */
/* The workload has no more requests. */
gboolean eep_deployment_is_exhausted(const EepDeployment *deployment);
guint64 eep_deployment_n_submitted(const EepDeployment *deployment);
guint64 eep_deployment_n_live(const EepDeployment *deployment);
guint eep_deployment_n_outstanding(const EepDeployment *deployment); /* operations */

G_END_DECLS

#endif
