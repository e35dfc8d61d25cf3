#include "sim/expert_sample.h"

#include <string.h>

#include "core/rng.h"

#define MAX_TOP_K 64

struct EepExpertSample {
    guint n_layers, n_experts, top_k;
    EepSlotCost cost;
    guint64 seed;
    /* Walker's alias tables, [L][E]: a uniform cell keeps itself with `keep`, else gives `other`.
     */
    double *keep;
    guint32 *other;
    EepExpertDispatch dispatch;
    EepReplicaSplit *split;
    guint32 *picks; /* [tokens][top_k] of the layer at hand */
    gsize n_picks;
    guint32 *count;          /* [n_slots] tokens of each slot */
    double *routed, *shared; /* [n_ranks] rows */
    guint n_slots, n_ranks;
};

EepExpertSample *eep_expert_sample_new(guint n_layers, guint n_experts, guint top_k,
                                       const EepSlotCost *cost, guint64 seed)
{
    g_return_val_if_fail(top_k > 0 && top_k <= n_experts && top_k <= MAX_TOP_K, NULL);
    EepExpertSample *self = g_new0(EepExpertSample, 1);
    gsize cells = (gsize)n_layers * n_experts;
    self->n_layers = n_layers;
    self->n_experts = n_experts;
    self->top_k = top_k;
    self->cost = *cost;
    self->seed = seed;
    self->split = eep_replica_split_new(&self->dispatch);
    self->keep = g_new(double, cells);
    self->other = g_new(guint32, cells);
    for (gsize i = 0; i < cells; i++) {
        self->keep[i] = 1.0;
        self->other[i] = i % n_experts;
    }
    return self;
}

void eep_expert_sample_free(EepExpertSample *self)
{
    if (!self)
        return;
    g_free(self->keep);
    g_free(self->other);
    eep_replica_split_free(self->split);
    g_free(self->picks);
    g_free(self->count);
    g_free(self->routed);
    g_free(self->shared);
    g_free(self);
}

void eep_expert_sample_set_dispatch(EepExpertSample *self, const EepExpertDispatch *dispatch)
{
    self->dispatch = *dispatch;
    eep_replica_split_free(self->split);
    self->split = eep_replica_split_new(dispatch);
}

/* Vose, "A linear algorithm for generating random numbers with a given distribution", 1991. */
void eep_expert_sample_set_popularity(EepExpertSample *self, guint layer, const double *p)
{
    g_return_if_fail(layer < self->n_layers);
    const guint n = self->n_experts;
    double *keep = self->keep + (gsize)layer * n;
    guint32 *other = self->other + (gsize)layer * n;
    g_autofree guint32 *stack = g_new(guint32, n); /* the poor from the left, the rich from right */
    guint poor = 0, rich = n;
    for (guint e = 0; e < n; e++) {
        keep[e] = p[e] * n;
        other[e] = e;
        if (keep[e] < 1.0)
            stack[poor++] = e;
        else
            stack[--rich] = e;
    }
    while (poor > 0 && rich < n) {
        guint32 low = stack[--poor], high = stack[rich++];
        other[low] = high;
        keep[high] -= 1.0 - keep[low];
        if (keep[high] < 1.0)
            stack[poor++] = high;
        else
            stack[--rich] = high;
    }
    while (poor > 0)
        keep[stack[--poor]] = 1.0;
    while (rich < n)
        keep[stack[rich++]] = 1.0;
}

/* The stream of one layer of one step. */
static void init_stream(const EepExpertSample *self, guint64 step, guint layer, EepRng *ret_rng)
{
    guint64 seed =
        self->seed ^ (step * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15)) ^ ((guint64)layer << 48);
    eep_rng_init(ret_rng, seed, "expert_sample");
}

/* One token's distinct experts. */
static inline void draw_token(const EepExpertSample *self, guint layer, EepRng *rng,
                              guint32 *ret_experts)
{
    const guint n = self->n_experts;
    const double *keep = self->keep + (gsize)layer * n;
    const guint32 *other = self->other + (gsize)layer * n;
    for (guint k = 0; k < self->top_k;) {
        double u = eep_rng_uniform(rng) * n;
        guint32 cell = MIN((guint32)u, n - 1);
        guint32 e = u - cell < keep[cell] ? cell : other[cell];
        gboolean taken = FALSE;
        for (guint i = 0; i < k; i++)
            taken |= ret_experts[i] == e;
        if (!taken)
            ret_experts[k++] = e;
    }
}

/* Every token's experts in turn, into self->picks. */
static void draw_batch(EepExpertSample *self, guint layer, guint64 step, gsize tokens)
{
    if (tokens * self->top_k > self->n_picks) {
        self->n_picks = tokens * self->top_k;
        self->picks = g_renew(guint32, self->picks, self->n_picks);
    }
    EepRng rng;
    init_stream(self, step, layer, &rng);
    for (gsize t = 0; t < tokens; t++)
        draw_token(self, layer, &rng, self->picks + t * self->top_k);
}

static void set_shape(EepExpertSample *self, const EepPlacement *placement)
{
    if (self->n_slots == placement->n_slots && self->n_ranks == placement->n_ranks)
        return;
    self->n_slots = placement->n_slots;
    self->n_ranks = placement->n_ranks;
    self->count = g_renew(guint32, self->count, self->n_slots);
    self->routed = g_renew(double, self->routed, self->n_ranks);
    self->shared = g_renew(double, self->shared, self->n_ranks);
}

void eep_expert_sample_layer(EepExpertSample *self, const EepPlacement *placement, guint layer,
                             guint64 step, const guint32 *tokens, guint n_sources,
                             double *ret_seconds, double *ret_max_tokens)
{
    const guint64 key = eep_replica_key(self->seed, step, layer);
    gsize total = 0;
    for (guint source = 0; source < n_sources; source++)
        total += tokens[source];
    set_shape(self, placement);
    draw_batch(self, layer, step, total);
    eep_replica_split_set_layer(self->split, placement, layer);
    eep_replica_split_batch(self->split, key, tokens, n_sources, self->top_k, self->picks);
    memset(self->count, 0, self->n_slots * sizeof *self->count);
    for (gsize i = 0; i < total * self->top_k; i++)
        if (self->picks[i] != EEP_REPLICA_NOWHERE)
            self->count[self->picks[i]]++;
    memset(self->routed, 0, self->n_ranks * sizeof *self->routed);
    memset(self->shared, 0, self->n_ranks * sizeof *self->shared);
    for (guint slot = 0; slot < self->n_slots; slot++)
        self->routed[slot / placement->slots_per_rank] += self->count[slot];
    if (self->dispatch.waterfill)
        eep_replica_split_waterfill(self->split, key, tokens, n_sources, self->top_k, self->picks,
                                    self->routed, self->shared);
    *ret_seconds = *ret_max_tokens = 0.0;
    for (guint r = 0, slot = 0; r < self->n_ranks; r++) {
        double seconds = self->shared[r] * self->dispatch.shared_row_s;
        for (guint end = slot + placement->slots_per_rank; slot < end; slot++)
            seconds += eep_slot_cost_seconds(&self->cost, self->count[slot]);
        *ret_seconds = fmax(*ret_seconds, seconds);
        *ret_max_tokens = fmax(*ret_max_tokens, self->routed[r]);
    }
}

void eep_expert_sample_step(EepExpertSample *self, const EepPlacement *placement, guint64 step,
                            const guint32 *tokens, guint n_sources, EepSampledStep *ret_step)
{
    *ret_step = (EepSampledStep){0};
    double total = 0.0;
    for (guint i = 0; i < n_sources; i++)
        total += tokens[i];
    if (total == 0.0)
        return;
    double mean = total * self->top_k / placement->n_ranks;
    for (guint l = 0; l < self->n_layers; l++) {
        double seconds, max_tokens;
        eep_expert_sample_layer(self, placement, l, step, tokens, n_sources, &seconds, &max_tokens);
        ret_step->seconds += seconds;
        ret_step->imbalance += max_tokens / mean / self->n_layers;
    }
}

void eep_expert_sample_add_load(EepExpertSample *self, guint64 step, guint64 tokens,
                                double *ret_load)
{
    guint32 experts[MAX_TOP_K];
    for (guint l = 0; l < self->n_layers; l++) {
        EepRng rng;
        init_stream(self, step, l, &rng);
        for (guint64 t = 0; t < tokens; t++) {
            draw_token(self, l, &rng, experts);
            for (guint k = 0; k < self->top_k; k++)
                ret_load[(gsize)l * self->n_experts + experts[k]] += 1.0;
        }
    }
}
