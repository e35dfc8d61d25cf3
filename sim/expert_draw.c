#include "sim/expert_draw.h"

#include <math.h>
#include <string.h>

#include "core/eplb/dispatch_lp.h"
#include "core/eplb/waterfill.h"
#include "core/math.h"
#include "core/rng.h"
#include "sim/expert_sample.h"

#define WHOLE_BATCHES        1024 /* tokens up to which whole batches are drawn */
#define WHOLE_BATCHES_GREEDY 4096
#define LAYER_DRAWS          240 /* over all layers together */
#define MIN_DRAWS            4   /* of a layer */
#define LOG_2                0.6931471805599453
#define SEED                 G_GUINT64_CONSTANT(0x6578706572740001)

struct EepExpertDraw {
    guint n_layers, n_experts, top_k, n_draws;
    EepSlotCost cost;
    EepExpertDispatch dispatch;
    EepExpertSample *sample, *sample_lp; /* sample_lp: least_loaded's measure of its excess */
    /* The layer at hand. */
    const EepPlacement *placement;
    guint layer;
    const EepPick *picks;
    double excess[2]; /* least_loaded over lp, relative, at the last two sizes of whole batches; 0:
                         not measured yet */
    /* Of the placement's shape. */
    guint n_slots, n_ranks;
    EepDispatchLp *lp;
    double *normal;                                        /* [n_draws][E + n_slots + n_ranks] */
    guint32 *counts;                                       /* [E] */
    double *left, *left_share;                             /* [E] still to split */
    double *load;                                          /* [n_slots] */
    double *routed, *slack, *own, *visit, *rows, *scratch; /* [n_ranks], scratch three times */
    guint32 *sources;
};

EepExpertDraw *eep_expert_draw_new(guint n_layers, guint n_experts, guint top_k,
                                   const EepSlotCost *cost, const EepExpertDispatch *dispatch)
{
    EepExpertDraw *self = g_new0(EepExpertDraw, 1);
    self->n_layers = n_layers;
    self->n_experts = n_experts;
    self->top_k = top_k;
    self->cost = *cost;
    self->dispatch = *dispatch;
    self->n_draws = MAX(MIN_DRAWS, 2 * ((LAYER_DRAWS / n_layers + 1) / 2));
    self->sample = eep_expert_sample_new(n_layers, n_experts, top_k, cost, SEED);
    eep_expert_sample_set_dispatch(self->sample, dispatch);
    if (dispatch->choice == EEP_REPLICA_LEAST_LOADED) {
        EepExpertDispatch lp = *dispatch;
        lp.choice = EEP_REPLICA_LP;
        self->sample_lp = eep_expert_sample_new(n_layers, n_experts, top_k, cost, SEED);
        eep_expert_sample_set_dispatch(self->sample_lp, &lp);
    }
    self->counts = g_new(guint32, n_experts);
    self->left = g_new(double, n_experts);
    self->left_share = g_new(double, n_experts);
    return self;
}

static void clear_shape(EepExpertDraw *self)
{
    eep_dispatch_lp_free(self->lp);
    g_free(self->normal);
    g_free(self->load);
    g_free(self->routed);
    g_free(self->slack);
    g_free(self->own);
    g_free(self->visit);
    g_free(self->rows);
    g_free(self->scratch);
}

void eep_expert_draw_free(EepExpertDraw *self)
{
    if (!self)
        return;
    clear_shape(self);
    eep_expert_sample_free(self->sample);
    eep_expert_sample_free(self->sample_lp);
    g_free(self->counts);
    g_free(self->left);
    g_free(self->left_share);
    g_free(self->sources);
    g_free(self);
}

static void set_shape(EepExpertDraw *self, const EepPlacement *placement)
{
    const guint ranks = placement->n_ranks;
    if (self->n_slots == placement->n_slots && self->n_ranks == ranks)
        return;
    clear_shape(self);
    self->n_slots = placement->n_slots;
    self->n_ranks = ranks;
    self->lp = eep_dispatch_lp_new(self->n_experts, ranks, placement->slots_per_rank);
    self->normal = g_new(double, (gsize)self->n_draws *(self->n_experts + self->n_slots + ranks));
    self->load = g_new(double, self->n_slots);
    self->routed = g_new(double, ranks);
    self->slack = g_new(double, ranks);
    self->own = g_new(double, ranks);
    self->visit = g_new(double, ranks);
    self->rows = g_new(double, ranks);
    self->scratch = g_new(double, 3 * ranks);
}

void eep_expert_draw_set_layer(EepExpertDraw *self, const EepPlacement *placement, guint layer,
                               const EepPick *picks)
{
    set_shape(self, placement);
    self->placement = placement;
    self->layer = layer;
    self->picks = picks;
    self->excess[0] = 0.0;
    /* inclusion.h the other way round: none = exp(-tau p). */
    double *p = self->left, sum = 0.0;
    for (guint e = 0; e < self->n_experts; e++)
        sum += p[e] = -eep_log(fmin(fmax(picks[e].none, 1e-12), 1.0 - 1e-15));
    for (guint e = 0; e < self->n_experts; e++)
        p[e] /= sum;
    eep_expert_sample_set_popularity(self->sample, layer, p);
    if (self->sample_lp)
        eep_expert_sample_set_popularity(self->sample_lp, layer, p);
    eep_dispatch_lp_set_layer(self->lp, eep_placement_layer(placement, layer));
    /* Every second draw mirrors the one before, so that means are exact. */
    const gsize n = self->n_experts + self->n_slots + self->n_ranks;
    EepRng rng;
    eep_rng_init(&rng, SEED + layer, "expert_draw");
    for (guint d = 0; d < self->n_draws; d++)
        for (gsize i = 0; i < n; i++)
            self->normal[d * n + i] = d & 1 ? -self->normal[(d - 1) * n + i] : eep_rng_normal(&rng);
}

/* Picks by so many tokens, by the normal distribution with the picks' skew (Cornish and Fisher), in
 * whole tokens. */
static double count_picks(double tokens, const EepPick *pick, double normal)
{
    double mean = tokens * pick->mean;
    double x =
        mean + normal * sqrt(mean * pick->spread) + (normal * normal - 1.0) * pick->skew / 6.0;
    return fmax(0.0, floor(x + 0.5));
}

/* Tokens of each slot in one draw. */
static void split_counts(EepExpertDraw *self, const double *shares, const double *normal)
{
    const gint32 *row = eep_placement_layer(self->placement, self->layer);
    if (self->dispatch.choice >= EEP_REPLICA_LEAST_LOADED) {
        eep_dispatch_lp_solve(self->lp, self->counts);
        for (guint slot = 0; slot < self->n_slots; slot++)
            self->load[slot] =
                row[slot] < 0 ? 0.0
                              : self->counts[row[slot]] * eep_dispatch_lp_share(self->lp, slot);
        return;
    }
    for (guint e = 0; e < self->n_experts; e++) {
        self->left[e] = self->counts[e];
        self->left_share[e] = 1.0;
    }
    for (guint slot = 0; slot < self->n_slots; slot++) {
        const gint32 e = row[slot];
        self->load[slot] = 0.0;
        if (e < 0 || shares[slot] <= 0.0)
            continue;
        double part = shares[slot] / self->left_share[e];
        const EepPick pick = eep_pick_of(part);
        self->load[slot] =
            part > 1.0 - 1e-9
                ? self->left[e]
                : fmin(self->left[e], count_picks(self->left[e], &pick, normal[slot]));
        self->left[e] -= self->load[slot];
        self->left_share[e] -= shares[slot];
    }
}

/* Shared rows of each rank under waterfill. */
static void pour(EepExpertDraw *self, double tokens, const double *normal)
{
    const guint per_rank = self->placement->slots_per_rank;
    for (guint r = 0; r < self->n_ranks; r++) {
        double missed = 1.0;
        for (guint slot = r * per_rank; slot < (r + 1) * per_rank; slot++)
            missed *= fmax(0.0, 1.0 - self->load[slot] / tokens);
        self->visit[r] = 1.0 - missed;
        self->own[r] = tokens / self->n_ranks;
    }
    eep_waterfill_slack(self->routed, self->n_ranks, tokens, self->slack);
    eep_waterfill_expect(self->routed, self->slack, self->own, self->visit, self->n_ranks,
                         self->scratch, self->rows);
    for (guint r = 0; r < self->n_ranks; r++)
        self->rows[r] = fmax(0.0, self->rows[r] + normal[r] * sqrt(self->rows[r]));
}

/* The busiest rank of one draw of counts. */
static void draw_counts(EepExpertDraw *self, guint draw, double tokens, const double *shares,
                        double scale, double *ret_seconds, double *ret_max_tokens)
{
    const guint per_rank = self->placement->slots_per_rank;
    const gsize n = self->n_experts + self->n_slots + self->n_ranks;
    const double *normal = self->normal + draw * n;
    for (guint e = 0; e < self->n_experts; e++)
        self->counts[e] = (guint32)count_picks(tokens, &self->picks[e], normal[e]);
    split_counts(self, shares, normal + self->n_experts);
    memset(self->routed, 0, self->n_ranks * sizeof *self->routed);
    memset(self->rows, 0, self->n_ranks * sizeof *self->rows);
    for (guint slot = 0; slot < self->n_slots; slot++)
        self->routed[slot / per_rank] += self->load[slot] *= scale;
    if (self->dispatch.waterfill)
        pour(self, tokens, normal + self->n_experts + self->n_slots);
    *ret_seconds = *ret_max_tokens = 0.0;
    for (guint r = 0, slot = 0; r < self->n_ranks; r++) {
        double seconds = self->rows[r] * self->dispatch.shared_row_s;
        for (guint end = slot + per_rank; slot < end; slot++)
            seconds += eep_slot_cost_seconds(&self->cost, self->load[slot]);
        *ret_seconds = fmax(*ret_seconds, seconds);
        *ret_max_tokens = fmax(*ret_max_tokens, self->routed[r]);
    }
}

/* Mean over draws of whole batches. */
static void whole_batches(EepExpertDraw *self, EepExpertSample *sample, guint64 tokens,
                          guint n_sources, double *ret_seconds, double *ret_max_tokens)
{
    self->sources = g_renew(guint32, self->sources, n_sources);
    for (guint i = 0; i < n_sources; i++)
        self->sources[i] = (guint32)(tokens / n_sources + (i < tokens % n_sources));
    *ret_seconds = *ret_max_tokens = 0.0;
    for (guint d = 0; d < self->n_draws; d++) {
        double seconds, most;
        eep_expert_sample_layer(sample, self->placement, self->layer, d, self->sources, n_sources,
                                &seconds, &most);
        *ret_seconds += seconds / self->n_draws;
        *ret_max_tokens += most / self->n_draws;
    }
}

/* What least_loaded has over lp at half the limit of whole batches and at it. */
static void measure_excess(EepExpertDraw *self, guint n_sources)
{
    for (guint i = 0; i < 2; i++) {
        const guint64 tokens = WHOLE_BATCHES_GREEDY >> (1 - i);
        double seconds, most, least;
        whole_batches(self, self->sample, tokens, n_sources, &seconds, &most);
        whole_batches(self, self->sample_lp, tokens, n_sources, &seconds, &least);
        self->excess[i] = fmax(1e-6, most / least - 1.0);
    }
}

void eep_expert_draw_expect(EepExpertDraw *self, guint64 tokens, guint n_sources,
                            const double *shares, double *ret_seconds, double *ret_max_tokens)
{
    const guint64 limit = self->sample_lp ? WHOLE_BATCHES_GREEDY : WHOLE_BATCHES;
    if (tokens <= limit) {
        whole_batches(self, self->sample, tokens, n_sources, ret_seconds, ret_max_tokens);
        return;
    }
    double scale = 1.0;
    if (self->sample_lp) {
        if (self->excess[0] == 0.0)
            measure_excess(self, n_sources);
        const double slope = eep_log(self->excess[0] / self->excess[1]) / LOG_2;
        scale += self->excess[1] * eep_pow((double)limit / tokens, fmin(2.0, fmax(0.5, slope)));
    }
    *ret_seconds = *ret_max_tokens = 0.0;
    for (guint d = 0; d < self->n_draws; d++) {
        double seconds, most;
        draw_counts(self, d, tokens, shares, scale, &seconds, &most);
        *ret_seconds += seconds / self->n_draws;
        *ret_max_tokens += most / self->n_draws;
    }
}
