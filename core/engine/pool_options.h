/* EepPoolOptions: what a scenario says of one pool (vLLM's names).
 *
 * The keys of `deployment.pools.NAME` (or of `deployment`, for the one pool `main`). Plain values,
 * filled by the loader; eep_pool_options is their table. Not the state of a pool. */
#ifndef EEP_CORE_ENGINE_POOL_OPTIONS_H
#define EEP_CORE_ENGINE_POOL_OPTIONS_H

#include "core/options.h"

G_BEGIN_DECLS

typedef enum {
    EEP_ROUTER_WAITING4_RUNNING,
    EEP_ROUTER_IN_FLIGHT_KV,
    EEP_ROUTER_ROUND_ROBIN,
    EEP_ROUTER_POWER_OF_TWO,
    EEP_ROUTER_PREFIX_AFFINITY
} EepRouterPolicy;
typedef enum { EEP_SCHEDULING_FCFS, EEP_SCHEDULING_PRIORITY } EepSchedulingPolicy;
typedef enum {
    EEP_ALL2ALL_ALLGATHER_REDUCESCATTER,
    EEP_ALL2ALL_DEEPEP_HIGH_THROUGHPUT,
    EEP_ALL2ALL_DEEPEP_LOW_LATENCY,
    EEP_ALL2ALL_NIXL_EP,
    EEP_ALL2ALL_FLASHINFER_NVLINK_ONE_SIDED,
    EEP_ALL2ALL_NAIVE,
    EEP_ALL2ALL_COUNT
} EepAll2allBackend;
typedef enum { EEP_BACKUP_NONE, EEP_BACKUP_HOST_MEMORY, EEP_BACKUP_DISK } EepExpertBackup;
typedef enum { EEP_IN_FLIGHT_ABORT, EEP_IN_FLIGHT_RETRY } EepInFlight;
typedef enum { EEP_SPARE_WARM, EEP_SPARE_COLD } EepSpareState;
typedef enum { EEP_EPLB_NIXL, EEP_EPLB_PYNCCL, EEP_EPLB_TORCH_GLOO } EepEplbCommunicator;
typedef enum { EEP_ROLE_BOTH, EEP_ROLE_PREFILL, EEP_ROLE_DECODE } EepRole;

typedef struct {
    gint role; /* EepRole */
    gint64 tensor_parallel_size, data_parallel_size;
    gint64 pipeline_parallel_size; /* 1 after loading, as the two below are FALSE */
    gboolean data_parallel_external_lb, data_parallel_hybrid_lb;
    gboolean enable_expert_parallel, enable_elastic_ep;
    gint all2all_backend; /* EepAll2allBackend */
    double gpu_memory_utilization;
    gint64 max_num_seqs, max_num_batched_tokens, max_model_len; /* max_model_len 0: the model's */
    gint64 block_size;
    gint64 num_gpu_blocks_override; /* 0: from the memory fit */
    gboolean enable_prefix_caching, async_scheduling, enforce_eager, enable_dbo;
    gint64 dbo_decode_token_threshold, dbo_prefill_token_threshold;
    gint scheduling_policy; /* EepSchedulingPolicy */
    double watermark;       /* share of blocks kept free at admission when something runs */
    gint64 prefill_schedule_interval;
    gint64 max_cudagraph_capture_size;
    gint64
        queue_limit; /* waiting requests per engine beyond which arrivals are rejected; 0: none */
    struct {
        gint policy;         /* EepRouterPolicy */
        EepTime staleness;   /* of the statistics the router sees; vLLM 100 ms */
        gint64 client_count; /* vLLM's API servers: step of the local increment */
    } router;
    gboolean enable_eplb;
    struct {
        char *policy; /* a name of eplb/policy.h */
        gint64 window_size, step_interval, num_redundant_experts;
        gboolean use_async; /* after loading: what the communicator allows */
        gint communicator;  /* EepEplbCommunicator */
        gboolean log_balancedness;
        gint trigger; /* EepEplbTriggerKind */
        double trigger_threshold;
        gint64 trigger_windows;
        gint64 check_interval; /* steps; 0: window_size */
        gint64 window_parts;
        gint64 max_bytes_moved; /* of one rearrangement; 0: as the policy finds worth it */
        gint replica_choice;
        gboolean waterfill;
        gint senders;           /* EepSenders */
        gint64 staging_experts; /* of one layer on one rank; 0: its slots */
        double contention;      /* share of the links that moves take from steps (link_share.h) */
    } eplb_config;
    struct {
        char *generation;  /* a name of resize/generation.h */
        gint weights_from; /* EepWeightsFrom */
        gint on_busy;      /* EepOnBusy */
        EepTime drain_timeout;
        gboolean drain_requests;
        gboolean refit;           /* restart.refit: the fewest slots that hold all experts */
        EepTime leaving_drain;    /* generation eep: wait for a leaving engine's requests */
        EepTime prepare_deadline; /* 0: none */
        EepTime commit_deadline;  /* from the pause to the resume; 0: none */
        double background;        /* share of what background work takes from steps; 0: none */
        gint64 reserve;           /* generation masked: engines that run from the start; 0: as
                                     many as there are GPUs for */
    } resize;
    struct {
        gint recovery;     /* EepRecovery */
        EepTime detect[4]; /* by EepDetection; 0: not looked for */
        EepTime deadline;  /* of one recovery; 0: none */
        gint64 spare_engines;
        gint spare_state;   /* 0 warm, 1 cold */
        gint expert_backup; /* EepExpertBackup */
        gint in_flight;     /* EepInFlight: requests of a dead engine */
        EepTime mtbf;       /* mean time between failures of one GPU; 0: none are drawn */
    } fault_tolerance;
} EepPoolOptions;

extern const EepOptionTable eep_pool_options;

G_END_DECLS

#endif
