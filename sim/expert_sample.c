#include "sim/expert_sample.h"

#include <string.h>

#include "core/rng.h"

#define MAX_TOP_K 64

/* A uniform cell gives itself with probability `keep`, else `other`. */
typedef struct {
    double keep;
    guint32 other;
} Cell;

struct EepExpertSample {
    guint n_layers, n_experts, top_k;
    EepSlotCost cost;
    guint64 seed;
    guint n_components;
    gboolean with_replacement;
    double stickiness;
    guint32 chunk;
    Cell *cells;     /* Walker's alias tables, [component][L][E] */
    guint64 *holder; /* [E] the token that drew the expert last, counted over all draws */
    guint64 n_tokens;
    EepExpertDispatch dispatch;
    EepReplicaSplit *split;
    guint32 *picks; /* [tokens][top_k] of the layer at hand */
    gsize n_picks;
    guint32 *local;          /* [n_sources] tokens of each batch */
    guint32 *count;          /* [n_slots] tokens of each slot */
    double *routed, *shared; /* [n_ranks] rows */
    guint n_slots, n_ranks;
};

/* The draws of one component in one layer of one step. */
typedef struct {
    EepRng rng;
    guint component, layer;
    guint64 n; /* tokens so far */
    guint32 experts[MAX_TOP_K];
} Stream;

EepExpertSample *eep_expert_sample_new(guint n_layers, guint n_experts, guint top_k,
                                       const EepSlotCost *cost, guint64 seed)
{
    g_return_val_if_fail(top_k > 0 && top_k <= n_experts && top_k <= MAX_TOP_K, NULL);
    EepExpertSample *self = g_new0(EepExpertSample, 1);
    self->n_layers = n_layers;
    self->n_experts = n_experts;
    self->top_k = top_k;
    self->cost = *cost;
    self->seed = seed;
    self->holder = g_new0(guint64, n_experts);
    self->split = eep_replica_split_new(&self->dispatch);
    eep_expert_sample_set_law(self, 1, FALSE, 0.0);
    return self;
}

void eep_expert_sample_set_law(EepExpertSample *self, guint n_components, gboolean with_replacement,
                               double keep)
{
    g_return_if_fail(n_components > 0 && n_components <= EEP_MAX_COMPONENTS);
    const gsize cells = (gsize)n_components * self->n_layers * self->n_experts;
    self->n_components = n_components;
    self->with_replacement = with_replacement;
    self->stickiness = keep;
    self->cells = g_renew(Cell, self->cells, cells);
    for (gsize i = 0; i < cells; i++)
        self->cells[i] = (Cell){1.0, i % self->n_experts};
}

void eep_expert_sample_set_chunk(EepExpertSample *self, guint32 tokens)
{
    self->chunk = tokens;
}

static gsize row_of(const EepExpertSample *self, guint component, guint layer)
{
    return ((gsize)component * self->n_layers + layer) * self->n_experts;
}

void eep_expert_sample_free(EepExpertSample *self)
{
    if (!self)
        return;
    g_free(self->cells);
    g_free(self->holder);
    eep_replica_split_free(self->split);
    g_free(self->picks);
    g_free(self->count);
    g_free(self->local);
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
void eep_expert_sample_set_component(EepExpertSample *self, guint component, guint layer,
                                     const double *p)
{
    g_return_if_fail(component < self->n_components && layer < self->n_layers);
    const guint n = self->n_experts;
    Cell *cells = self->cells + row_of(self, component, layer);
    g_autofree guint32 *stack = g_new(guint32, n); /* the poor from the left, the rich from right */
    guint poor = 0, rich = n;
    for (guint e = 0; e < n; e++) {
        cells[e] = (Cell){p[e] * n, e};
        if (cells[e].keep < 1.0)
            stack[poor++] = e;
        else
            stack[--rich] = e;
    }
    while (poor > 0 && rich < n) {
        guint32 low = stack[--poor], high = stack[rich++];
        cells[low].other = high;
        cells[high].keep -= 1.0 - cells[low].keep;
        if (cells[high].keep < 1.0)
            stack[poor++] = high;
        else
            stack[--rich] = high;
    }
    while (poor > 0)
        cells[stack[--poor]].keep = 1.0;
    while (rich < n)
        cells[stack[rich++]].keep = 1.0;
}

void eep_expert_sample_set_popularity(EepExpertSample *self, guint layer, const double *p)
{
    for (guint component = 0; component < self->n_components; component++)
        eep_expert_sample_set_component(self, component, layer, p);
}

static void init_stream(const EepExpertSample *self, guint64 step, guint component, guint layer,
                        Stream *ret_stream)
{
    guint64 seed = self->seed ^ (step * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15)) ^
                   ((guint64)layer << 48) ^ ((guint64)component << 60);
    ret_stream->component = component;
    ret_stream->layer = layer;
    ret_stream->n = 0;
    eep_rng_init(&ret_stream->rng, seed, "expert_sample");
}

static inline gboolean contains(const guint32 *experts, guint n, guint32 expert)
{
    gboolean found = FALSE;
    for (guint i = 0; i < n; i++)
        found |= experts[i] == expert;
    return found;
}

/* A token's experts on its own. */
static inline void draw_token(EepExpertSample *self, Stream *stream, guint32 *ret_experts)
{
    const guint n = self->n_experts;
    const Cell *cells = self->cells + row_of(self, stream->component, stream->layer);
    const guint64 token = ++self->n_tokens;
    guint64 *holder = self->holder;
    const guint top_k = self->top_k;
    const gboolean with_replacement = self->with_replacement;
    EepRng rng = stream->rng; /* in registers */
    for (guint k = 0; k < top_k;) {
        double u = eep_rng_uniform(&rng) * n;
        guint32 cell = MIN((guint32)u, n - 1), other = cells[cell].other;
        guint32 e = u - cell < cells[cell].keep ? cell : other;
        /* Written in any case: no branch that is hard to foresee. */
        ret_experts[k] = e;
        k += with_replacement || holder[e] != token;
        holder[e] = token;
    }
    stream->rng = rng;
}

/* The experts of a token that follows the stream's last one. Experts that both have stay; of the
 * others the i-th of the one side stands against the i-th of the other. */
static void follow_token(EepExpertSample *self, Stream *stream)
{
    const guint k = self->top_k;
    guint32 before[MAX_TOP_K], fresh[MAX_TOP_K];
    memcpy(before, stream->experts, k * sizeof *before);
    draw_token(self, stream, fresh);
    for (guint i = 0, next = 0; i < k; i++, next++) {
        if (self->with_replacement) {
            next = i;
        } else {
            while (i < k && contains(fresh, k, before[i]))
                i++;
            while (next < k && contains(before, k, fresh[next]))
                next++;
            if (i == k)
                break;
        }
        if (eep_rng_uniform(&stream->rng) >= self->stickiness)
            stream->experts[i] = fresh[next];
    }
}

/* The stream's next token: its experts are stream->experts. */
static inline void next_token(EepExpertSample *self, Stream *stream)
{
    const gboolean is_prefill = stream->component % 2 == 0;
    if (self->stickiness > 0.0 && is_prefill && self->chunk > 1 && stream->n % self->chunk > 0)
        follow_token(self, stream);
    else
        draw_token(self, stream, stream->experts);
    stream->n++;
}

/* Every token's experts, one batch after the other, into self->picks. In a batch decodes stand
 * first, as components of uneven number. */
static void draw_batches(EepExpertSample *self, guint layer, guint64 step, const guint32 *tokens,
                         guint n_sources)
{
    const guint n = self->n_components;
    Stream streams[EEP_MAX_COMPONENTS];
    for (guint c = 0; c < n; c++)
        init_stream(self, step, c, layer, &streams[c]);
    guint32 *picks = self->picks;
    for (guint i = 0; i < n_sources * n; i++) {
        const guint place = i % n, source = i / n;
        const guint c = place < n / 2 ? 2 * place + 1 : 2 * (place - n / 2);
        for (guint32 t = 0; t < tokens[source * n + c]; t++, picks += self->top_k) {
            next_token(self, &streams[c]);
            memcpy(picks, streams[c].experts, self->top_k * sizeof *picks);
        }
    }
}

/* Tokens of each local batch, into self->local; makes room for the picks of all. Returns how many.
 */
static gsize count_tokens(EepExpertSample *self, const guint32 *tokens, guint n_sources)
{
    gsize total = 0;
    self->local = g_renew(guint32, self->local, n_sources);
    for (guint source = 0; source < n_sources; source++) {
        self->local[source] = 0;
        for (guint c = 0; c < self->n_components; c++)
            self->local[source] += tokens[source * self->n_components + c];
        total += self->local[source];
    }
    if (total * self->top_k > self->n_picks) {
        self->n_picks = total * self->top_k;
        self->picks = g_renew(guint32, self->picks, self->n_picks);
    }
    return total;
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
    const gsize total = count_tokens(self, tokens, n_sources);
    set_shape(self, placement);
    draw_batches(self, layer, step, tokens, n_sources);
    eep_replica_split_set_layer(self->split, placement, layer);
    eep_replica_split_batch(self->split, key, self->local, n_sources, self->top_k, self->picks);
    memset(self->count, 0, self->n_slots * sizeof *self->count);
    for (gsize i = 0; i < total * self->top_k; i++)
        if (self->picks[i] != EEP_REPLICA_NOWHERE)
            self->count[self->picks[i]]++;
    memset(self->routed, 0, self->n_ranks * sizeof *self->routed);
    memset(self->shared, 0, self->n_ranks * sizeof *self->shared);
    for (guint slot = 0; slot < self->n_slots; slot++)
        self->routed[slot / placement->slots_per_rank] += self->count[slot];
    if (self->dispatch.waterfill)
        eep_replica_split_waterfill(self->split, key, self->local, n_sources, self->top_k,
                                    self->picks, self->routed, self->shared);
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
    gsize total = 0;
    for (guint i = 0; i < n_sources * self->n_components; i++)
        total += tokens[i];
    if (total == 0)
        return;
    double mean = (double)total * self->top_k / placement->n_ranks;
    for (guint l = 0; l < self->n_layers; l++) {
        double seconds, max_tokens;
        eep_expert_sample_layer(self, placement, l, step, tokens, n_sources, &seconds, &max_tokens);
        ret_step->seconds += seconds;
        ret_step->imbalance += max_tokens / mean / self->n_layers;
    }
}

void eep_expert_sample_add_load(EepExpertSample *self, guint64 step, const EepTokenMix *tokens,
                                double *ret_load)
{
    Stream stream;
    self->chunk = tokens->chunk;
    for (guint l = 0; l < self->n_layers; l++)
        for (guint c = 0; c < self->n_components; c++) {
            init_stream(self, step, c, l, &stream);
            for (guint64 t = 0; t < tokens->n[c]; t++) {
                next_token(self, &stream);
                for (guint k = 0; k < self->top_k; k++)
                    ret_load[(gsize)l * self->n_experts + stream.experts[k]] += 1.0;
            }
        }
}
