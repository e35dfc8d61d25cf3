#include "sim/replica_split.h"

#include <string.h>

#include "core/eplb/dispatch_lp.h"
#include "core/eplb/waterfill.h"
#include "core/rng.h"

#define MAX_VISITED 64

struct EepReplicaSplit {
    EepExpertDispatch dispatch;
    guint layer, n_experts, n_ranks, slots_per_rank, n_slots;
    guint32 *slots; /* [n_slots] in use, by expert, ascending */
    guint32 *ranks; /* [n_slots] theirs */
    guint32 *first; /* [E + 1] into slots */
    EepDispatchLp *lp;
    guint16 *fixed;  /* [E][n_ranks] replica that each source takes (static) */
    guint32 *counts; /* [E] of the batch (lp) */
    guint32 *local;  /* [tp][E] tokens of a source's ranks (lp) */
    guint32 *quota;  /* [tp][n_slots] of the source's ranks still to place (lp) */
    guint32 *sent;   /* [tp][n_ranks] (least_loaded) */
    double *slack;   /* [n_ranks] */
    gsize n_local, n_quota, n_sent;
};

EepReplicaSplit *eep_replica_split_new(const EepExpertDispatch *dispatch)
{
    EepReplicaSplit *self = g_new0(EepReplicaSplit, 1);
    self->dispatch = *dispatch;
    return self;
}

static void clear_shape(EepReplicaSplit *self)
{
    g_free(self->slots);
    g_free(self->ranks);
    g_free(self->first);
    eep_dispatch_lp_free(self->lp);
    g_free(self->fixed);
    g_free(self->counts);
    g_free(self->slack);
}

void eep_replica_split_free(EepReplicaSplit *self)
{
    if (!self)
        return;
    clear_shape(self);
    g_free(self->local);
    g_free(self->quota);
    g_free(self->sent);
    g_free(self);
}

static void set_shape(EepReplicaSplit *self, const EepPlacement *placement)
{
    if (self->n_experts == placement->n_experts && self->n_ranks == placement->n_ranks &&
        self->slots_per_rank == placement->slots_per_rank)
        return;
    clear_shape(self);
    self->n_experts = placement->n_experts;
    self->n_ranks = placement->n_ranks;
    self->slots_per_rank = placement->slots_per_rank;
    self->n_slots = placement->n_slots;
    self->slots = g_new(guint32, self->n_slots);
    self->ranks = g_new(guint32, self->n_slots);
    self->first = g_new(guint32, self->n_experts + 1);
    self->counts = g_new(guint32, self->n_experts);
    self->slack = g_new(double, self->n_ranks);
    self->lp = NULL;
    self->fixed = NULL;
    if (self->dispatch.choice == EEP_REPLICA_LP)
        self->lp = eep_dispatch_lp_new(self->n_experts, self->n_ranks, self->slots_per_rank);
    if (self->dispatch.choice == EEP_REPLICA_STATIC)
        self->fixed = g_new(guint16, (gsize)self->n_experts * self->n_ranks);
}

void eep_replica_split_set_layer(EepReplicaSplit *self, const EepPlacement *placement, guint layer)
{
    const gint32 *row = eep_placement_layer(placement, layer);
    set_shape(self, placement);
    self->layer = layer;
    self->first[0] = 0;
    for (guint e = 0; e < self->n_experts; e++)
        self->first[e + 1] =
            self->first[e] + (guint32)placement->logcnt[(gsize)layer * self->n_experts + e];
    memset(self->counts, 0, self->n_experts * sizeof *self->counts);
    for (guint rank = 0, slot = 0; rank < self->n_ranks; rank++)
        for (guint end = slot + self->slots_per_rank; slot < end; slot++) {
            if (row[slot] < 0)
                continue;
            const guint at = self->first[row[slot]] + self->counts[row[slot]]++;
            self->slots[at] = slot;
            self->ranks[at] = rank;
        }
    if (self->lp)
        eep_dispatch_lp_set_layer(self->lp, row);
    const guint node =
        self->dispatch.ranks_per_node ? self->dispatch.ranks_per_node : self->n_ranks;
    for (guint e = 0; self->fixed && e < self->n_experts; e++)
        if (self->first[e + 1] > self->first[e])
            eep_replica_static(layer, e, &self->slots[self->first[e]],
                               self->first[e + 1] - self->first[e], self->slots_per_rank,
                               self->n_ranks, node, &self->fixed[(gsize)e * self->n_ranks]);
}

static guint32 *grow(guint32 *array, gsize *size, gsize needed)
{
    if (needed > *size) {
        *size = needed;
        array = g_renew(guint32, array, needed);
    }
    memset(array, 0, needed * sizeof *array);
    return array;
}

static guint lanes_of(const EepReplicaSplit *self, guint n_sources)
{
    return MAX(1, self->n_ranks / n_sources);
}

/* Where a rank's own tokens come from; clamped while a resize has more engines than ranks. */
static guint rank_of(const EepReplicaSplit *self, guint source, guint lanes, guint lane)
{
    return MIN(source * lanes + lane, self->n_ranks - 1);
}

/* What each of the source's ranks may send to each slot, from the batch's solution. */
static void fill_quota(EepReplicaSplit *self, guint source, guint lanes, guint32 tokens,
                       guint top_k, const guint32 *picks)
{
    const gsize E = self->n_experts;
    self->local = grow(self->local, &self->n_local, lanes * E);
    self->quota = grow(self->quota, &self->n_quota, (gsize)lanes * self->n_slots);
    for (guint32 t = 0; t < tokens; t++)
        for (guint k = 0; k < top_k; k++)
            self->local[t % lanes * E + picks[(gsize)t * top_k + k]]++;
    for (guint lane = 0; lane < lanes; lane++)
        for (guint e = 0; e < E; e++) {
            const guint n = self->first[e + 1] - self->first[e];
            if (n > 1 && self->local[lane * E + e] > 0)
                eep_dispatch_lp_round(self->lp, e, self->local[lane * E + e],
                                      eep_dispatch_lp_offset(rank_of(self, source, lanes, lane), e),
                                      &self->quota[(gsize)lane * self->n_slots + self->first[e]]);
        }
}

void eep_replica_split_batch(EepReplicaSplit *self, guint64 key, const guint32 *tokens,
                             guint n_sources, guint top_k, guint32 *picks)
{
    const guint lanes = lanes_of(self, n_sources);
    const gint choice = self->dispatch.choice;
    if (choice == EEP_REPLICA_LP) {
        gsize n = 0;
        for (guint source = 0; source < n_sources; source++)
            n += (gsize)tokens[source] * top_k;
        memset(self->counts, 0, self->n_experts * sizeof *self->counts);
        for (gsize i = 0; i < n; i++)
            self->counts[picks[i]]++;
        eep_dispatch_lp_solve(self->lp, self->counts);
    }
    for (guint source = 0; source < n_sources; source++) {
        if (choice == EEP_REPLICA_LP)
            fill_quota(self, source, lanes, tokens[source], top_k, picks);
        if (choice == EEP_REPLICA_LEAST_LOADED)
            self->sent = grow(self->sent, &self->n_sent, (gsize)lanes * self->n_ranks);
        for (guint32 t = 0, lane = 0; t < tokens[source];
             t++, lane = lane + 1 < lanes ? lane + 1 : 0)
            for (guint k = 0; k < top_k; k++, picks++) {
                const guint e = *picks, n = self->first[e + 1] - self->first[e];
                const guint32 *slots = &self->slots[self->first[e]];
                guint j = 0;
                if (n == 0) {
                    *picks = EEP_REPLICA_NOWHERE;
                    continue;
                }
                if (n > 1 && choice == EEP_REPLICA_HASH) {
                    j = eep_replica_hash(t, n);
                } else if (n > 1 && choice == EEP_REPLICA_RANDOM) {
                    j = eep_replica_random(key, source, t, k, n);
                } else if (n > 1 && choice == EEP_REPLICA_STATIC) {
                    j = self->fixed[(gsize)e * self->n_ranks + rank_of(self, source, lanes, lane)];
                } else if (n > 1 && choice == EEP_REPLICA_LP) {
                    guint32 *quota = &self->quota[(gsize)lane * self->n_slots + self->first[e]];
                    while (quota[j] == 0)
                        j++;
                    quota[j]--;
                } else if (choice == EEP_REPLICA_LEAST_LOADED) {
                    const guint32 *ranks = &self->ranks[self->first[e]];
                    guint32 *sent = &self->sent[(gsize)lane * self->n_ranks];
                    j = eep_replica_least_loaded(sent, ranks, n);
                    sent[ranks[j]]++;
                }
                *picks = slots[j];
            }
    }
}

void eep_replica_split_waterfill(EepReplicaSplit *self, guint64 key, const guint32 *tokens,
                                 guint n_sources, guint top_k, const guint32 *picks,
                                 const double *routed, double *ret_rows)
{
    const guint lanes = lanes_of(self, n_sources);
    guint32 visited[MAX_VISITED];
    double total = 0.0;
    EepRng rng;
    g_return_if_fail(top_k <= MAX_VISITED);
    eep_rng_init(&rng, key, "waterfill");
    for (guint source = 0; source < n_sources; source++)
        total += tokens[source];
    eep_waterfill_slack(routed, self->n_ranks, total, self->slack);
    for (guint source = 0; source < n_sources; source++)
        for (guint32 t = 0; t < tokens[source]; t++, picks += top_k) {
            guint n = 0;
            for (guint k = 0; k < top_k; k++)
                if (picks[k] != EEP_REPLICA_NOWHERE)
                    visited[n++] = picks[k] / self->slots_per_rank;
            ret_rows[eep_waterfill_rank(routed, self->slack, visited, n,
                                        rank_of(self, source, lanes, t % lanes),
                                        eep_rng_uniform(&rng))] += 1.0;
        }
}
