/* All-to-all backends: what each can do, in one table, and how long dispatch and combine take.
 *
 * One row a backend of EepAll2allBackend (core/engine/pool_options.h); nothing else in the
 * simulator asks which backend it is. A cost model (cost_all2all.c) turns a row into seconds:
 * latency plus bytes over the bottleneck link. Constant data, any thread. */
#ifndef EEP_SIM_ALL2ALL_H
#define EEP_SIM_ALL2ALL_H

#include "sim/cost.h"

G_BEGIN_DECLS

typedef enum {
    EEP_ALL2ALL_GATHER,    /* collectives: every rank gets every token */
    EEP_ALL2ALL_BROADCAST, /* each rank broadcasts in turn; combine is an all-reduce */
    EEP_ALL2ALL_SCATTER,   /* a token goes to its experts' ranks only */
} EepAll2allKind;

/* How often a token that goes to several experts of one place is sent there. */
typedef enum {
    EEP_DEDUP_NONE, /* once an expert */
    EEP_DEDUP_RANK, /* once a rank */
    EEP_DEDUP_NODE, /* once a node over the NIC, then once a rank over NVLink */
} EepDedup;

typedef struct {
    const char *name; /* vLLM's */
    EepAll2allKind kind;
    EepDedup dedup;
    gint64 max_tokens;            /* a rank and round; more takes more rounds; 0: no limit */
    guint max_ranks;              /* 0: no limit */
    gboolean is_graph_capturable; /* in a full CUDA graph */
    gboolean is_batched;          /* activation format: batched by expert, else standard */
    gboolean is_elastic;          /* works with enable_elastic_ep */
    gboolean can_mask;            /* a rank can be masked out of it while it runs */
    gboolean keeps_graphs;        /* its ranks can change under captured CUDA graphs */
    gboolean sends_padding;       /* padded rows travel as real ones do */
    gboolean has_micro_batches;   /* works with dual batch overlap */
    guint n_sms;                  /* taken from compute while it overlaps */
    double dispatch_bytes, combine_bytes; /* a value; FP8 dispatch only for FP8 experts */
    /* Scatter only: kernel and handshake in messages of the machine, NVLink's within a node and as
     * many of the NIC on top across nodes. */
    double dispatch_hops[2], combine_hops[2];
    double nvlink_share[2], nic_share[2]; /* of the achievable link rate: dispatch, combine */
    const char *basis;                    /* measured | derived | assumed */
    const char *source;
} EepAll2all;

/* `backend` is an EepAll2allBackend; never NULL for a valid one. */
const EepAll2all *eep_all2all(gint backend);

/* Rounds that the largest rank's tokens take; >= 1. */
guint eep_all2all_rounds(const EepAll2all *backend, double max_rank_tokens);

/* Seconds of dispatch and combine in one MoE layer and round; ret_combine nullable. */
double eep_all2all_seconds(const EepAll2all *backend, const EepCostContext *context,
                           const EepCostWork *work, double *ret_dispatch, double *ret_combine);

/* Expected number of distinct bins (ranks or nodes) that a token's experts lie on, when `n_bins`
 * hold equal shares in order of expert and the router keeps to topk_group of n_group groups. */
double eep_all2all_distinct(const EepModel *model, guint n_bins);

/* Rows that reach one rank's experts, each counted once, of `total_tokens` in the group. */
double eep_all2all_received_rows(const EepAll2all *backend, const EepCostContext *context,
                                 double total_tokens);

G_END_DECLS

#endif
