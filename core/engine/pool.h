/* EepPool: one expert-parallel group: its engines, their placement of experts, and the step loop.
 *
 * All engines step together, because the all-to-all is a barrier: one operation of the backend
 * serves the group. A pool steps while it has work and, like vLLM, until the finish check of every
 * 32nd step; with async scheduling it plans the next step while one runs. It is driven by events
 * (deployment.h hands them on) and acts through the backend; it owns engines, router, placement and
 * resize. Not a client: it never retries. Loop thread only. */
#ifndef EEP_CORE_ENGINE_POOL_H
#define EEP_CORE_ENGINE_POOL_H

#include "core/engine/pool_options.h"
#include "core/engine/request.h"
#include "core/fault.h"
#include "core/loop/operations.h"
#include "core/memory_fit.h"
#include "core/observer.h"
#include "core/predictor.h"

G_BEGIN_DECLS

typedef struct EepPool EepPool;

/* Kinds of eep_loop_record_action(). */
typedef enum {
    EEP_ACTION_SUBMIT_STEP = 1,
    EEP_ACTION_MOVE,
    EEP_ACTION_READ_LOAD,
    EEP_ACTION_PHASE,
    EEP_ACTION_ROUTE,
    EEP_ACTION_END_REQUEST,
    EEP_ACTION_RESIZE,
    EEP_ACTION_FAULT,
} EepActionKind;

/* What the pools of a deployment share; all outlive the pools. */
typedef struct {
    EepLoop *loop;
    EepBackend *backend;
    EepPredictor *predictor;
    EepOperations *operations;
    EepObserver *observer;
    EepFaultInjector *injector; /* nullable: nothing can be broken on purpose */
    guint64 seed;
    EepWorkerId next_worker; /* ids are given once */
    /* The request has left the pool with the fate and reason written in it. It is the callee's. */
    void (*request_ended)(gpointer self, EepRequest *request);
    /* A span or phase of the resize with this id has begun. */
    void (*span_began)(gpointer self, EepPoolId pool, const char *id, const char *name);
    gpointer self;
} EepPoolServices;

/* What the model and the hardware make of the options. */
typedef struct {
    guint n_moe_layers, n_experts, n_groups;
    guint n_classes; /* of requests; 0 is 1 */
    guint gpus_per_node;
    guint max_engines;   /* GPUs of the cluster / tensor_parallel_size */
    guint64 n_blocks;    /* KV blocks of one engine at launch */
    EepMemoryFit memory; /* at launch; says the blocks beside other slots. Zeros: the same */
    guint32 hash_tokens; /* prompt tokens that one prefix hash stands for; 0: no hashes */
    gint64 max_model_len;
    gint64 expert_bytes;       /* of one expert of one layer */
    gint64 non_expert_bytes;   /* per rank */
    gint64 standby_bytes;      /* per GPU, held twice while a resize prepares */
    gint64 kv_bytes_per_token; /* on one rank */
    gint64 kv_bytes_bounded;   /* of a request on one rank, whatever its length */
    EepTime control_latency;
    EepPredictor *predictor;  /* of this pool; NULL: the deployment's */
    guint max_ranks;          /* cap of the all2all backend on EP ranks; 0: none */
    const char *all2all_name; /* static */
    gboolean is_elastic_backend, can_mask, can_reuse_graphs;
} EepPoolShape;

#define EEP_POOL_ERROR (eep_pool_error_quark())
GQuark eep_pool_error_quark(void);
typedef enum {
    EEP_POOL_ERROR_BROKEN, /* an invariant broke */
} EepPoolError;

/* Steps between two finish checks of a wave, and of the pause consensus (vLLM's DPEngineCoreProc).
 */
#define EEP_POOL_CHECK_STEPS 32

EepPool *eep_pool_new(EepPoolServices *services, EepPoolId id, const char *name,
                      const EepPoolOptions *options, const EepPoolShape *shape, GError **error);
void eep_pool_free(EepPool *pool);

/* Requests in the pool an engine, waiting or running. O(engines). */
double eep_pool_load(const EepPool *pool);

const EepPoolShape *eep_pool_shape(const EepPool *pool);

/* Whether an engine, as engines are now, could ever hold the request's KV. */
gboolean eep_pool_can_hold(const EepPool *pool, const EepRequest *request);

/* TRUE while new requests get 503. */
gboolean eep_pool_is_refusing(const EepPool *pool);

/* Routes the request and queues it; FALSE when every queue is full (the request is untouched). */
gboolean eep_pool_submit(EepPool *pool, EepRequest *request);

/* Events of the loop. FALSE with an error when an invariant broke. */
gboolean eep_pool_on_plan(EepPool *pool, GError **error);
void eep_pool_on_stats(EepPool *pool);
gboolean eep_pool_on_completion(EepPool *pool, const EepCompletion *completion, GBytes *blob,
                                GError **error);
void eep_pool_on_note(EepPool *pool, const EepEvent *event);
void eep_pool_on_timer(EepPool *pool, guint64 timer);

/* A client was refused while the pool scales; a client that was refused has been served since. */
void eep_pool_saw_rejected(EepPool *pool);
void eep_pool_saw_success(EepPool *pool);

/* Asks for a new size. What comes of it reaches the observer as a resize record. */
void eep_pool_scale(EepPool *pool, guint new_data_parallel_size, const char *id, const char *by);

/* Takes the resize that runs back to the old size, where its generation can; told as a decision.
 * With an `id`, nullable, that one alone. */
void eep_pool_cancel(EepPool *pool, const char *id);

/* -- faults (pool_fault.h has what they do) -- */

/* Something breaks, and an incident begins. What hits nothing is told as a decision. */
void eep_pool_fault(EepPool *pool, const EepFault *fault, const char *id);

/* The request was refused for this reason: by a fault, where one that lasts explains it. */
void eep_pool_blame_refusal(EepPool *pool, EepRequest *request, EepReason reason);
/* The request, which a fault of this pool had in its way (lost_by), has its end. */
void eep_pool_charge_end(EepPool *pool, const EepRequest *request);

/* Failures of single GPUs are drawn from now on, if the options say so, until nobody is left to be
 * served: events of kind EEP_EVENT_FAULT with b = EEP_POOL_FAULT_DRAWN. */
#define EEP_POOL_FAULT_DRAWN 1
/* Likewise with b = EEP_POOL_FAULT_FOUND: a = pool, c = worker | EepFaultKind << 32. A backend of
 * real workers has lost one of which no scenario knew. */
#define EEP_POOL_FAULT_FOUND 2
void eep_pool_start_drawing_faults(EepPool *pool);
void eep_pool_stop_drawing_faults(EepPool *pool);
void eep_pool_on_drawn_fault(EepPool *pool);
void eep_pool_on_found_fault(EepPool *pool, EepWorkerId worker, EepFaultKind kind);

/* An EEP_EVENT_TIMER with c != 0: a = pool, b = the incident's serial, c = which timer. FALSE as
 * above. */
gboolean eep_pool_on_fault_timer(EepPool *pool, guint64 serial, guint64 timer, GError **error);

/* Nobody will be served again: a fault was not recovered from. */
gboolean eep_pool_has_exited(const EepPool *pool);

/* Something is broken and nobody will notice, or nobody knows what to do: requests may be left. */
gboolean eep_pool_is_hanging(const EepPool *pool);

/* Ends everything still in the pool with this fate (the run is over), and its account of GPU time.
 */
void eep_pool_finish(EepPool *pool, EepFate fate);

typedef struct {
    guint64 n_steps, n_dummy_steps, n_waves, n_admitted;
    guint64 n_preemptions, n_recomputed_tokens, n_hit_blocks, n_prompt_blocks;
    guint64 n_reshuffles, n_discarded_steps;
    guint64 n_migrated;              /* requests moved to another engine with their KV */
    guint64 n_rerouted;              /* that waited, and wait elsewhere */
    guint64 n_migrations_recomputed; /* found no room for their KV: preempted (and counted there) */
    guint64 kv_bytes_moved;          /* all ranks */
} EepPoolCounts;

void eep_pool_get_counts(const EepPool *pool, EepPoolCounts *ret_counts);

/* All engines' counts against a recount, and the placement; see eep_engine_check(). */
gboolean eep_pool_check(const EepPool *pool, GError **error);

G_END_DECLS

#endif
