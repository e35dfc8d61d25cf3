#include "sim/step_cost.h"

#include <string.h>

#include "sim/all2all.h"
#include "sim/graph_mode.h"

#define MEMO_BITS  12
#define MIX_SPREAD G_GUINT64_CONSTANT(0xD6E8FEB86659FD93) /* odd: over the hash's bits */
#define GPU_SMS    132 /* Hopper; Blackwell's 148 would change the result by under 2 % */

/* What the shared part of a step's cost depends on. */
typedef struct {
    guint64 tokens; /* routed, all ranks */
    guint32 rows;   /* of the largest rank, padding included */
    guint32 sent;   /* of the largest rank, as the backend sends them */
    guint32 sequences;
    guint32 n_engines;
    EepMix mix;       /* of the tokens */
    guint32 epoch;    /* of the memo; 0: the cell is empty */
    guint8 sends_all; /* every rank sends as many as the largest */
} Key;

typedef struct {
    Key key;
    double all2all_s, experts_s, other_s, imbalance;
} Shared;

struct EepStepModel {
    EepCostContext context;
    EepAttentionCost attention;
    const EepAll2all *backend;
    EepPopularity *popularity;
    EepMixLoad *mixes;       /* NULL in the sampled mode */
    EepExpertLoad *tables;   /* of the step at hand */
    EepExpertSample *sample; /* NULL in the expected mode */
    guint64 sample_version;  /* of popularity that it draws from */
    guint n_moe_layers, n_dense_layers, max_graph_size;
    Shared *memo; /* [1 << MEMO_BITS], direct mapped */
    guint32 epoch;
    /* Scratch of the sampled mode and of rounds: tokens [engine][component], of all and of a round.
     */
    guint32 *tokens, *round;
    guint n_tokens;
};

/* Aggregates of a plan over its engines. */
typedef struct {
    guint64 tokens;
    guint32 max_tokens, min_tokens, max_sequences;
    gboolean decode_only;
    double max_kv_s;        /* attention but for projections */
    double max_attention_s; /* attention without padding, fixed part apart */
} Batch;

EepStepModel *eep_step_model_new(const EepModel *model, const EepHardware *hardware,
                                 const EepPoolOptions *options, EepSkew *skew, gboolean sampled,
                                 guint64 seed)
{
    EepStepModel *self = g_new0(EepStepModel, 1);
    self->context = (EepCostContext){model, hardware, options, 1};
    eep_attention_cost_init(&self->attention, &self->context);
    self->backend = eep_all2all(options->all2all_backend);
    self->n_moe_layers = (guint)eep_model_n_moe_layers(model);
    self->n_dense_layers = (guint)eep_cost_n_dense_layers(model);
    self->max_graph_size = eep_graph_max_size(options);
    self->memo = g_new0(Shared, 1 << MEMO_BITS);
    self->epoch = 1;

    const guint n_experts = (guint)model->n_routed_experts, top_k = (guint)model->experts_per_token;
    const EepSlotCost slot = eep_cost_slot(&self->context);
    /* Twice the starting size: a wider group beyond it extrapolates a compute-bound line. */
    guint64 max_tokens =
        2 * (guint64)options->max_num_batched_tokens * (guint64)options->data_parallel_size;
    const EepExpertDispatch dispatch = eep_cost_dispatch(&self->context);
    self->popularity = eep_popularity_new(skew, self->n_moe_layers, n_experts, top_k);
    if (!sampled) {
        self->mixes = eep_mix_load_new(self->popularity, self->n_moe_layers, n_experts, top_k,
                                       &slot, max_tokens);
        eep_mix_load_set_dispatch(self->mixes, &dispatch);
        return self;
    }
    self->sample = eep_expert_sample_new(self->n_moe_layers, n_experts, top_k, &slot, seed);
    eep_expert_sample_set_dispatch(self->sample, &dispatch);
    eep_expert_sample_set_law(self->sample, eep_popularity_n_components(self->popularity),
                              eep_popularity_with_replacement(self->popularity),
                              eep_popularity_keep(self->popularity));
    return self;
}

/* Draws to come are those of `version`. */
static void sample_from(EepStepModel *self, guint64 version)
{
    if (self->sample_version == version)
        return;
    g_autofree double *p = g_new(double, (gsize)self->context.model->n_routed_experts);
    for (guint c = 0; c < eep_popularity_n_components(self->popularity); c++)
        for (guint l = 0; l < self->n_moe_layers; l++) {
            eep_popularity_get(self->popularity, version, c, l, p);
            eep_expert_sample_set_component(self->sample, c, l, p);
        }
    self->sample_version = version;
}

const EepPopularity *eep_step_model_popularity(const EepStepModel *self)
{
    return self->popularity;
}

void eep_step_model_advance(EepStepModel *self, EepTime now, guint64 step)
{
    eep_popularity_advance(self->popularity, now, step);
}

void eep_step_model_free(EepStepModel *self)
{
    if (!self)
        return;
    eep_mix_load_free(self->mixes);
    eep_popularity_free(self->popularity);
    eep_expert_sample_free(self->sample);
    g_free(self->memo);
    g_free(self->tokens);
    g_free(self->round);
    g_free(self);
}

gboolean eep_step_model_is_sampled(const EepStepModel *self)
{
    return self->sample != NULL;
}

/* Tokens that an engine runs; an idle one runs a dummy token to keep the collectives whole. */
static inline guint32 tokens_of(const EepEngineWork *work)
{
    guint32 tokens = work->n_decodes + work->n_prefill_tokens;
    return tokens ? tokens : 1;
}

/* Always inlined, so that a model of full attention layers only pays for no others. */
static inline __attribute__((always_inline)) void
gather(const EepStepModel *self, const EepStepPlan *plan, gboolean only_full, Batch *ret_batch)
{
    const EepAttentionCost attention = self->attention;
    guint64 tokens = 0;
    guint32 max_tokens = 0, min_tokens = G_MAXUINT32, max_sequences = 1, chunks = 0;
    double max_kv = 0.0, max_attention = 0.0;
    for (guint i = 0; i < plan->n_engines; i++) {
        const EepEngineWork *work = &plan->work[i];
        const guint32 rows = tokens_of(work), sequences = work->n_decodes + work->n_prefill_chunks;
        double kv = (double)work->decode_context_tokens * attention.per_context_s +
                    (double)work->prefill_query_key_pairs * attention.per_pair_s;
        if (!only_full)
            kv = eep_attention_cost_kv(&attention, work->n_decodes,
                                       (double)work->decode_context_tokens, work->n_prefill_tokens,
                                       (double)work->prefill_query_key_pairs);
        const double all = kv + (gint32)rows * attention.per_row_s;
        tokens += rows;
        max_tokens = MAX(max_tokens, rows);
        min_tokens = MIN(min_tokens, rows);
        max_sequences = MAX(max_sequences, sequences);
        chunks |= work->n_prefill_tokens;
        max_kv = max_kv > kv ? max_kv : kv;
        max_attention = max_attention > all ? max_attention : all;
    }
    *ret_batch = (Batch){
        .tokens = tokens,
        .max_tokens = max_tokens,
        .min_tokens = min_tokens,
        .max_sequences = max_sequences,
        .decode_only = chunks == 0,
        .max_kv_s = max_kv,
        .max_attention_s = max_attention,
    };
}

static void gather_batch(const EepStepModel *self, const EepStepPlan *plan, Batch *ret_batch)
{
    const EepAttentionCost *attention = &self->attention;
    if (attention->per_window_s == 0.0 && attention->per_decode_s == 0.0)
        gather(self, plan, TRUE, ret_batch);
    else
        gather(self, plan, FALSE, ret_batch);
}

/* Graph mode and rows of the largest rank; micro-batching runs in full graphs or none. */
static EepGraphMode step_mode(const EepStepModel *self, const Batch *batch, guint *ret_rows,
                              gboolean *ret_micro_batches)
{
    const EepPoolOptions *options = self->context.options;
    EepGraphMode mode = EEP_GRAPH_NONE;
    if (batch->max_tokens <= self->max_graph_size)
        mode = eep_graph_mode(options, batch->max_tokens, batch->decode_only);
    guint rows = mode == EEP_GRAPH_NONE ? batch->max_tokens
                                        : eep_graph_pad(batch->max_tokens, self->max_graph_size);
    *ret_micro_batches = options->enable_dbo &&
                         eep_micro_batches(options, batch->min_tokens, rows, batch->decode_only);
    if (*ret_micro_batches && mode == EEP_GRAPH_PIECEWISE) {
        mode = EEP_GRAPH_NONE;
        rows = batch->max_tokens;
    }
    *ret_rows = rows;
    return mode;
}

EepGraphMode eep_step_model_graph_mode(const EepStepModel *self, const EepStepPlan *plan,
                                       guint *ret_rows)
{
    Batch batch;
    guint rows;
    gboolean micro_batches;
    gather_batch(self, plan, &batch);
    EepGraphMode mode = step_mode(self, &batch, &rows, &micro_batches);
    if (ret_rows)
        *ret_rows = rows;
    return mode;
}

/* Cost of routing `tokens`, of which the largest rank sends `sent`, in all MoE layers: adds to the
 * parts of `shared`. imbalance: of this round. */
static void add_round(EepStepModel *self, const EepStepPlan *plan, guint32 sent, gboolean sends_all,
                      double expert_seconds, double imbalance, guint64 tokens, Shared *shared)
{
    EepCostWork work = {
        .max_rank_tokens = sent,
        .total_tokens = sends_all ? (double)sent * plan->n_engines : (double)tokens,
        .imbalance = imbalance,
    };
    const double tp = self->context.options->tensor_parallel_size;
    work.max_rank_tokens /= tp; /* an engine's ranks hand over a share each */
    shared->all2all_s +=
        self->n_moe_layers * eep_all2all_seconds(self->backend, &self->context, &work, NULL, NULL);
    shared->experts_s +=
        self->n_moe_layers * eep_cost_experts.seconds(&self->context, &work) + expert_seconds;
}

/* Expert seconds and imbalance of one round of the engines' tokens. */
static double round_experts(EepStepModel *self, const EepStepPlan *plan, guint64 draw,
                            const guint32 *tokens, guint64 total, double *ret_imbalance)
{
    if (!plan->placement) {
        *ret_imbalance = 1.0;
        return 0.0;
    }
    if (!self->sample) {
        *ret_imbalance = eep_expert_load_imbalance(self->tables, total);
        return eep_expert_load_seconds(self->tables, total);
    }
    EepSampledStep step;
    sample_from(self, eep_popularity_version(self->popularity));
    eep_expert_sample_step(self->sample, plan->placement, draw, tokens, plan->n_engines, &step);
    *ret_imbalance = step.imbalance;
    return step.seconds;
}

static guint rounds_of(const EepStepModel *self, guint32 sent)
{
    return eep_all2all_rounds(self->backend,
                              sent / (double)self->context.options->tensor_parallel_size);
}

/* All tokens of the step, for take_round(). */
static void count_tokens(EepStepModel *self, const EepStepPlan *plan)
{
    const guint n = plan->n_engines * eep_popularity_n_components(self->popularity);
    if (n > self->n_tokens) {
        self->n_tokens = n;
        self->tokens = g_renew(guint32, self->tokens, n);
        self->round = g_renew(guint32, self->round, n);
    }
    eep_popularity_count_each(self->popularity, plan, self->tokens);
    if (self->sample) {
        EepTokenMix all;
        eep_popularity_count(self->popularity, plan, &all);
        eep_expert_sample_set_chunk(self->sample, all.chunk);
    }
}

/* An engine's tokens in a round of one of `parts` micro-batches: `limit` at most, behind the
 * `before` of the rounds so far, in the order of its batch, which is decodes first. */
static guint32 take_round(EepStepModel *self, guint engine, guint parts, guint32 before,
                          guint32 limit)
{
    const guint n = eep_popularity_n_components(self->popularity);
    const guint32 *tokens = self->tokens + engine * n;
    guint32 *taken = self->round + engine * n, sum = 0;
    for (guint i = 0; i < n; i++) {
        const guint component = i < n / 2 ? 2 * i + 1 : 2 * (i - n / 2);
        guint32 mine = (tokens[component] + parts - 1) / parts;
        const guint32 passed = MIN(mine, before);
        before -= passed;
        mine = MIN(mine - passed, limit);
        limit -= mine;
        sum += taken[component] = mine;
    }
    return sum;
}

/* Routed work in as many rounds as the backend needs; `parts` micro-batches share the tokens. */
static void add_rounds(EepStepModel *self, const EepStepPlan *plan, const Key *key, guint parts,
                       Shared *shared)
{
    const guint32 sent = (key->sent + parts - 1) / parts;
    const guint n_rounds = rounds_of(self, sent);
    if (n_rounds == 1 && !self->sample) {
        double imbalance;
        double seconds =
            round_experts(self, plan, 0, NULL, (key->tokens + parts - 1) / parts, &imbalance);
        add_round(self, plan, sent, key->sends_all, seconds, imbalance,
                  (key->tokens + parts - 1) / parts, shared);
        shared->imbalance = imbalance;
        return;
    }
    count_tokens(self, plan);
    const guint32 limit =
        n_rounds == 1
            ? sent
            : (guint32)(self->backend->max_tokens * self->context.options->tensor_parallel_size);
    double imbalance_sum = 0.0;
    for (guint round = 0; round < n_rounds; round++) {
        guint64 total = 0;
        for (guint i = 0; i < plan->n_engines; i++)
            total += take_round(self, i, parts, round * limit, limit);
        guint32 now = MIN(limit, sent - round * limit);
        double imbalance;
        /* The first round draws what add_load() counts; later ones are streams of their own. */
        guint64 draw = plan->first_step ^ (guint64)round << 56;
        double seconds = round_experts(self, plan, draw, self->round, total, &imbalance);
        add_round(self, plan, now, key->sends_all, seconds, fmax(1.0, imbalance), total, shared);
        imbalance_sum += imbalance;
    }
    shared->imbalance = imbalance_sum / n_rounds;
}

/* Everything of the step but attention and the CPU, for one of `parts` micro-batches. */
static void compute_shared(EepStepModel *self, const EepStepPlan *plan, const Key *key, guint parts,
                           Shared *ret_shared)
{
    const EepCostContext *context = &self->context;
    *ret_shared = (Shared){.key = *key};
    add_rounds(self, plan, key, parts, ret_shared);
    double received =
        eep_all2all_received_rows(self->backend, context, key->tokens / (double)parts);
    EepCostWork work = {
        .rows = key->rows / (double)parts,
        .sequences = key->sequences / (double)parts,
        .received_rows = received * fmax(1.0, ret_shared->imbalance),
    };
    double other = self->n_moe_layers * (eep_cost_router.seconds(context, &work) +
                                         eep_cost_replica_choice.seconds(context, &work) +
                                         eep_cost_shared_expert.seconds(context, &work)) +
                   eep_cost_head.seconds(context, &work);
    if (self->n_dense_layers > 0)
        other += self->n_dense_layers * eep_cost_dense_ffn.seconds(context, &work);
    if (context->options->tensor_parallel_size > 1)
        other += (self->n_moe_layers + 2 * self->n_dense_layers) *
                 eep_cost_allreduce.seconds(context, &work);
    ret_shared->other_s = other;
}

static const Shared *shared_cost(EepStepModel *self, const EepStepPlan *plan, const Key *key,
                                 gboolean is_odd, Shared *scratch)
{
    if (is_odd || self->sample || rounds_of(self, key->sent) > 1) {
        compute_shared(self, plan, key, 1, scratch); /* depends on more than the key */
        return scratch;
    }
    guint64 hash = (key->tokens ^ (guint64)key->rows << 40 ^ (guint64)key->sequences << 24 ^
                    (guint64)key->n_engines << 54 ^ key->mix * MIX_SPREAD) *
                   G_GUINT64_CONSTANT(0x9E3779B97F4A7C15);
    Shared *cell = &self->memo[hash >> (64 - MEMO_BITS)];
    if (cell->key.tokens != key->tokens || cell->key.rows != key->rows ||
        cell->key.sent != key->sent || cell->key.sequences != key->sequences ||
        cell->key.n_engines != key->n_engines || cell->key.mix != key->mix ||
        cell->key.epoch != key->epoch || cell->key.sends_all != key->sends_all)
        compute_shared(self, plan, key, 1, cell);
    return cell;
}

/* Seconds of the slowest engine's attention. padded_rows 0: each runs its own. `part` of the batch
 * at a time. */
static double slowed_attention(const EepStepModel *self, const EepStepPlan *plan,
                               const EepStepSlowness *slowness, guint padded_rows, double part)
{
    const EepAttentionCost *attention = &self->attention;
    double slowest = 0.0;
    for (guint i = 0; i < plan->n_engines; i++) {
        const EepEngineWork *work = &plan->work[i];
        const double rows = padded_rows > 0 ? padded_rows : tokens_of(work);
        const double kv =
            eep_attention_cost_kv(attention, work->n_decodes, (double)work->decode_context_tokens,
                                  work->n_prefill_tokens, (double)work->prefill_query_key_pairs);
        const double seconds = attention->fixed_s + part * (rows * attention->per_row_s + kv);
        slowest = fmax(slowest, seconds * (slowness->engines ? slowness->engines[i] : 1.0));
    }
    return slowest;
}

/* Times as long as usual. */
typedef struct {
    double attention, all2all, experts, other, cpu;
} Factors;

/* A slow engine has its part of the experts, which is the mean: it decides only as far as it is
 * slower than the busiest one is busier. */
static Factors factors_of(const EepStepPlan *plan, const EepStepSlowness *slowness,
                          double imbalance)
{
    if (!slowness)
        return (Factors){1.0, 1.0, 1.0, 1.0, 1.0};
    const double slowest = eep_step_slowness_worst(slowness, plan->n_engines);
    return (Factors){
        .attention = slowness->compute,
        .all2all = slowness->all2all,
        .experts = slowness->compute * fmax(1.0, slowest / fmax(1.0, imbalance)),
        .other = slowness->compute * slowest,
        .cpu = slowness->cpu * slowest,
    };
}

/* Two micro-batches: one computes while the other communicates. A layer takes
 * max(2 compute, compute + communication, 2 communication), each half reading its experts anew. */
static double overlap(EepStepModel *self, const EepStepPlan *plan, const Key *key,
                      const Batch *batch, const EepStepSlowness *slowness, EepStepCost *cost)
{
    Shared half;
    compute_shared(self, plan, key, 2, &half);
    const Factors factors = factors_of(plan, slowness, half.imbalance);
    const double slow = GPU_SMS / (GPU_SMS - (double)self->backend->n_sms);
    double attention = slow * (self->attention.fixed_s +
                               0.5 * (key->rows * self->attention.per_row_s + batch->max_kv_s));
    if (slowness)
        attention =
            slow * factors.attention * slowed_attention(self, plan, slowness, key->rows, 0.5);
    half.all2all_s *= factors.all2all;
    half.experts_s *= factors.experts;
    half.other_s *= factors.other;
    double compute = attention + slow * (half.experts_s + half.other_s);
    double both = fmax(2.0 * compute, fmax(compute, half.all2all_s) + half.all2all_s);
    cost->attention_s = 2.0 * attention;
    cost->experts_s = 2.0 * slow * half.experts_s;
    cost->other_s = 2.0 * slow * half.other_s;
    cost->all2all_s = both - 2.0 * compute; /* what does not hide */
    cost->imbalance = half.imbalance;
    return both;
}

/* The tables for the step's tokens, dummies among them, become those in use. */
static EepMix update_tables(EepStepModel *self, const EepStepPlan *plan, const Batch *batch)
{
    if (self->sample || !plan->placement)
        return 0;
    EepMix mix = EEP_MIX_SHARES;
    const guint n = eep_popularity_n_components(self->popularity);
    if (n > 1) {
        EepTokenMix tokens;
        guint64 n_real = 0;
        eep_popularity_count(self->popularity, plan, &tokens);
        for (guint i = 0; i < n; i++)
            n_real += tokens.n[i];
        tokens.n[eep_skew_component(0, TRUE)] += batch->tokens - n_real;
        mix = eep_mix_load_mix_of(self->mixes, &tokens);
    }
    gboolean changed;
    self->tables =
        eep_mix_load_update(self->mixes, mix, plan->placement, plan->n_engines, &changed);
    if (changed)
        self->epoch++;
    return mix;
}

/* How the step runs. */
typedef struct {
    Batch batch;
    EepGraphMode mode;
    gboolean micro_batches, is_padded;
    Key key;
} Shape;

static inline __attribute__((always_inline)) void shape_of(EepStepModel *self,
                                                           const EepStepPlan *plan, Shape *shape)
{
    guint rows;
    gather_batch(self, plan, &shape->batch);
    const EepMix mix = update_tables(self, plan, &shape->batch);
    shape->mode = step_mode(self, &shape->batch, &rows, &shape->micro_batches);
    shape->is_padded = shape->mode != EEP_GRAPH_NONE || shape->micro_batches;
    const gboolean sends_all = shape->is_padded && self->backend->sends_padding;
    shape->key = (Key){
        .tokens = shape->batch.tokens,
        .rows = rows,
        .sent = sends_all ? rows : shape->batch.max_tokens,
        .sequences = shape->batch.max_sequences,
        .n_engines = plan->n_engines,
        .mix = mix,
        .epoch = plan->placement ? self->epoch : 0,
        .sends_all = sends_all,
    };
}

/* The whole step from its time on the GPU. Launches of single kernels overlap with the GPU even
 * when scheduling does not; a full graph starts only after its one launch. */
static inline __attribute__((always_inline)) void
add_cpu(const EepStepModel *self, const Shape *shape, double factor, double gpu, EepStepCost *cost)
{
    const EepCostContext *context = &self->context;
    double scheduler = factor * eep_cost_scheduler_seconds(context, shape->batch.max_sequences);
    double launch = factor * eep_cost_launch_seconds(context, shape->mode);
    double step;
    if (context->options->async_scheduling)
        step = fmax(gpu, scheduler + launch);
    else if (shape->mode == EEP_GRAPH_FULL)
        step = scheduler + launch + gpu;
    else
        step = scheduler + fmax(gpu, launch);
    cost->cpu_s = step - gpu; /* what does not hide */
    cost->step = eep_time_from_seconds(step);
}

/* slowness: NULL in the usual case, for which alone this is inlined. */
static inline __attribute__((always_inline)) void cost_of(EepStepModel *self,
                                                          const EepStepPlan *plan,
                                                          const EepStepSlowness *slowness,
                                                          EepStepCost *ret_cost)
{
    Shape shape;
    double gpu, cpu_factor = 1.0;

    self->context.n_ranks = plan->n_engines * (guint)self->context.options->tensor_parallel_size;
    shape_of(self, plan, &shape);
    const Key *key = &shape.key;
    if (shape.micro_batches) {
        gpu = overlap(self, plan, key, &shape.batch, slowness, ret_cost);
        if (slowness)
            cpu_factor = factors_of(plan, slowness, 1.0).cpu;
    } else {
        Shared scratch;
        const Shared *shared =
            shared_cost(self, plan, key, slowness && slowness->link != 1.0, &scratch);
        ret_cost->attention_s =
            self->attention.fixed_s +
            (shape.is_padded ? key->rows * self->attention.per_row_s + shape.batch.max_kv_s
                             : shape.batch.max_attention_s);
        ret_cost->all2all_s = shared->all2all_s;
        ret_cost->experts_s = shared->experts_s;
        ret_cost->other_s = shared->other_s;
        ret_cost->imbalance = shared->imbalance;
        if (slowness) {
            const Factors factors = factors_of(plan, slowness, shared->imbalance);
            ret_cost->attention_s =
                factors.attention *
                slowed_attention(self, plan, slowness, shape.is_padded ? key->rows : 0, 1.0);
            ret_cost->all2all_s *= factors.all2all;
            ret_cost->experts_s *= factors.experts;
            ret_cost->other_s *= factors.other;
            cpu_factor = factors.cpu;
        }
        gpu = ret_cost->attention_s + ret_cost->all2all_s + ret_cost->experts_s + ret_cost->other_s;
    }
    if (plan->is_dummy)
        ret_cost->imbalance = 0.0;
    add_cpu(self, &shape, cpu_factor, gpu, ret_cost);
}

void eep_step_model_cost(EepStepModel *self, const EepStepPlan *plan, EepStepCost *ret_cost)
{
    cost_of(self, plan, NULL, ret_cost);
}

void eep_step_model_slowed_cost(EepStepModel *self, const EepStepPlan *plan,
                                const EepStepSlowness *slowness, EepStepCost *ret_cost)
{
    const EepHardware *hardware = self->context.hardware;
    const EepHardware slow = eep_hardware_with_links(hardware, slowness->link);

    self->context.hardware = &slow;
    cost_of(self, plan, slowness, ret_cost);
    self->context.hardware = hardware;
}

double eep_step_slowness_worst(const EepStepSlowness *slowness, guint n_engines)
{
    double worst = 1.0;
    for (guint i = 0; slowness->engines && i < n_engines; i++)
        worst = fmax(worst, slowness->engines[i]);
    return worst;
}

void eep_step_model_add_load(EepStepModel *self, guint64 version, guint64 first_step,
                             guint64 n_steps, const EepTokenMix *tokens, double *ret_load)
{
    if (!self->sample) {
        EepTokenMix all = *tokens;
        for (guint i = 0; i < EEP_MAX_COMPONENTS; i++)
            all.n[i] *= n_steps;
        eep_popularity_add_load(self->popularity, version, &all, ret_load);
        return;
    }
    sample_from(self, version);
    for (guint64 i = 0; i < n_steps; i++)
        eep_expert_sample_add_load(self->sample, first_step + i, tokens, ret_load);
}
