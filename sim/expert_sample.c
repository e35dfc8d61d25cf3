#include "sim/expert_sample.h"

#include <string.h>

#include "core/rng.h"
#include "sim/expert_load.h"

#define MAX_TOP_K 64

struct EepExpertSample {
    guint n_layers, n_experts, top_k;
    EepSlotCost cost;
    guint64 seed;
    /* Walker's alias tables, [L][E]: a uniform cell keeps itself with `keep`, else gives `other`.
     */
    double *keep;
    guint32 *other;
    guint32 *count; /* [E * replicas] tokens of each slot in the layer at hand */
    gsize n_count;
    guint32 *slots; /* [E][max count] slots of each expert */
    gsize n_slots;
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
    g_free(self->count);
    g_free(self->slots);
    g_free(self);
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

/* Slots of each expert of the layer, row e starting at e * stride. */
static gsize list_slots(EepExpertSample *self, const EepPlacement *placement, guint layer)
{
    const gint32 *count = placement->logcnt + (gsize)layer * self->n_experts;
    gsize stride = 1;
    for (guint e = 0; e < self->n_experts; e++)
        stride = MAX(stride, (gsize)count[e]);
    if (stride * self->n_experts > self->n_slots) {
        self->n_slots = stride * self->n_experts;
        self->slots = g_renew(guint32, self->slots, self->n_slots);
    }
    if (self->n_count < MAX(placement->n_slots, self->n_experts)) {
        self->n_count = MAX(placement->n_slots, self->n_experts);
        self->count = g_renew(guint32, self->count, self->n_count);
    }
    const gint32 *row = eep_placement_layer(placement, layer);
    memset(self->count, 0, self->n_experts * sizeof *self->count);
    for (guint slot = 0; slot < placement->n_slots; slot++)
        if (row[slot] >= 0)
            self->slots[row[slot] * stride + self->count[row[slot]]++] = slot;
    return stride;
}

static void sample_layer(EepExpertSample *self, const EepPlacement *placement, guint layer,
                         guint64 step, const guint32 *tokens, guint n_sources, double *ret_seconds,
                         double *ret_max_tokens)
{
    const gint32 *replicas = placement->logcnt + (gsize)layer * self->n_experts;
    gsize stride = list_slots(self, placement, layer);
    memset(self->count, 0, placement->n_slots * sizeof *self->count);
    EepRng rng;
    init_stream(self, step, layer, &rng);
    guint32 experts[MAX_TOP_K];
    for (guint source = 0; source < n_sources; source++)
        for (guint32 t = 0; t < tokens[source]; t++) {
            draw_token(self, layer, &rng, experts);
            for (guint k = 0; k < self->top_k; k++) {
                guint32 e = experts[k];
                if (replicas[e] > 0)
                    self->count[self->slots[e * stride +
                                            eep_replica_of_token(t, (guint)replicas[e])]]++;
            }
        }
    *ret_seconds = *ret_max_tokens = 0.0;
    for (guint r = 0, slot = 0; r < placement->n_ranks; r++) {
        double seconds = 0.0, sum = 0.0;
        for (guint end = slot + placement->slots_per_rank; slot < end; slot++) {
            seconds += eep_slot_cost_seconds(&self->cost, self->count[slot]);
            sum += self->count[slot];
        }
        *ret_seconds = fmax(*ret_seconds, seconds);
        *ret_max_tokens = fmax(*ret_max_tokens, sum);
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
        sample_layer(self, placement, l, step, tokens, n_sources, &seconds, &max_tokens);
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
