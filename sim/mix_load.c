#include "sim/mix_load.h"

#include <string.h>

#include "core/math.h"

#define MAX_TABLES 64

typedef struct {
    EepExpertLoad *load;
    EepMix mix;
    guint64 version;   /* of popularity */
    guint64 placement; /* EepMixLoad.placement of its last update */
    guint64 used;
} Table;

struct EepMixLoad {
    const EepPopularity *popularity;
    guint n_layers, n_experts, top_k;
    EepSlotCost cost;
    EepExpertDispatch dispatch;
    guint64 max_tokens;
    Table tables[MAX_TABLES], *last;
    guint n_tables;
    guint64 n_updates;
    /* The placement of the last update, and how often it was another one than before. */
    const EepPlacement *seen;
    guint64 seen_generation, placement;
    EepPick *picks; /* [E] scratch */
};

/* Moments that one component adds. */
typedef struct {
    double weight;
    const double *picks;
    double draws;              /* a token; > 1 with replacement */
    double keep;               /* of its experts, by the next token */
    double variance, skewness; /* factors that stickiness brings to the second and third moment */
} Part;

EepMixLoad *eep_mix_load_new(const EepPopularity *popularity, guint n_layers, guint n_experts,
                             guint top_k, const EepSlotCost *cost, guint64 max_tokens)
{
    EepMixLoad *self = g_new0(EepMixLoad, 1);
    self->popularity = popularity;
    self->n_layers = n_layers;
    self->n_experts = n_experts;
    self->top_k = top_k;
    self->cost = *cost;
    self->max_tokens = max_tokens;
    self->picks = g_new(EepPick, n_experts);
    return self;
}

void eep_mix_load_free(EepMixLoad *self)
{
    if (!self)
        return;
    for (guint i = 0; i < self->n_tables; i++)
        eep_expert_load_free(self->tables[i].load);
    g_free(self->picks);
    g_free(self);
}

void eep_mix_load_set_dispatch(EepMixLoad *self, const EepExpertDispatch *dispatch)
{
    self->dispatch = *dispatch;
}

EepMix eep_mix_load_mix_of(const EepMixLoad *self, const EepTokenMix *tokens)
{
    const guint n = eep_popularity_n_components(self->popularity);
    if (n == 1)
        return EEP_MIX_SHARES;
    guint64 counts[EEP_MAX_COMPONENTS] = {0}, rest[EEP_MAX_COMPONENTS], total = 0;
    for (guint i = 0; i < n; i++) {
        counts[eep_popularity_alias(self->popularity, i)] += tokens->n[i];
        total += tokens->n[i];
    }
    if (total == 0)
        counts[eep_popularity_alias(self->popularity, eep_skew_component(0, TRUE))] = total = 1;
    EepMix mix = 0;
    guint left = EEP_MIX_SHARES;
    for (guint i = 0; i < n; i++) {
        guint share = (guint)(counts[i] * EEP_MIX_SHARES / total);
        rest[i] = counts[i] * EEP_MIX_SHARES % total;
        mix |= share << (4 * i);
        left -= share;
    }
    for (; left > 0; left--) {
        guint most = 0;
        for (guint i = 1; i < n; i++)
            if (rest[i] > rest[most])
                most = i;
        rest[most] = 0;
        mix += 1u << (4 * most);
    }
    return mix;
}

static guint parts_of(const EepMixLoad *self, EepMix mix, guint layer, Part *ret_parts)
{
    const gboolean with_replacement = eep_popularity_with_replacement(self->popularity);
    guint n = 0;
    for (guint i = 0; mix > 0; i++, mix >>= 4) {
        if ((mix & 0xF) == 0)
            continue;
        const double keep = i % 2 == 0 ? eep_popularity_keep(self->popularity) : 0.0;
        const double fresh = 1.0 - keep;
        ret_parts[n++] = (Part){
            .weight = (mix & 0xF) / (double)EEP_MIX_SHARES,
            .picks = eep_popularity_picks(self->popularity, i, layer),
            .draws = with_replacement ? self->top_k : 1.0,
            .keep = keep,
            .variance = (1.0 + keep) / fresh,
            .skewness = (1.0 + keep * (4.0 + keep)) / (fresh * fresh),
        };
    }
    return n;
}

/* Picks of one expert: moments add up, and none is picked by the product over tokens of the
 * probabilities that each does not. */
static EepPick pick_of(const Part *parts, guint n, guint e)
{
    if (n == 1 && parts->draws == 1.0 && parts->keep == 0.0)
        return eep_pick_of(parts->picks[e]);
    double mean = 0.0, variance = 0.0, third = 0.0, log_none = 0.0;
    for (const Part *part = parts; part < parts + n; part++) {
        const double p = part->picks[e] / part->draws;
        const double m = part->weight * part->picks[e], v = m * (1.0 - p);
        mean += m;
        variance += v * part->variance;
        third += v * (1.0 - 2.0 * p) * part->skewness;
        log_none +=
            part->weight * part->draws * eep_log(fmax(1e-300, 1.0 - (1.0 - part->keep) * p));
    }
    return (EepPick){mean, eep_exp(log_none), variance / mean,
                     variance > 0.0 ? third / variance : 0.0};
}

static void refresh(EepMixLoad *self, Table *table)
{
    Part parts[EEP_MAX_COMPONENTS];
    for (guint layer = 0; layer < self->n_layers; layer++) {
        const guint n = parts_of(self, table->mix, layer, parts);
        for (guint e = 0; e < self->n_experts; e++)
            self->picks[e] = pick_of(parts, n, e);
        eep_expert_load_set_picks(table->load, layer, self->picks);
    }
    table->version = eep_popularity_version(self->popularity);
}

/* The mix's table, or the one that is longest out of use for it. */
static Table *table_of(EepMixLoad *self, EepMix mix)
{
    Table *oldest = self->tables;
    for (guint i = 0; i < self->n_tables; i++) {
        if (self->tables[i].mix == mix)
            return &self->tables[i];
        if (self->tables[i].used < oldest->used)
            oldest = &self->tables[i];
    }
    if (self->n_tables < MAX_TABLES) {
        oldest = &self->tables[self->n_tables++];
        oldest->load = eep_expert_load_new(self->n_layers, self->n_experts, self->top_k,
                                           &self->cost, self->max_tokens);
        eep_expert_load_set_dispatch(oldest->load, &self->dispatch);
    }
    oldest->mix = mix;
    oldest->version = 0;
    return oldest;
}

EepExpertLoad *eep_mix_load_update(EepMixLoad *self, EepMix mix, const EepPlacement *placement,
                                   guint n_sources, gboolean *ret_changed)
{
    Table *table = self->last;
    if (!table || table->mix != mix)
        table = self->last = table_of(self, mix);
    table->used = ++self->n_updates;
    if (table->version != eep_popularity_version(self->popularity))
        refresh(self, table);
    if (self->seen != placement || self->seen_generation != placement->generation) {
        self->seen = placement;
        self->seen_generation = placement->generation;
        self->placement++;
    }
    /* An address that others had in the meantime says nothing. */
    if (table->placement != self->placement && self->n_tables > 1)
        eep_expert_load_forget_placement(table->load);
    table->placement = self->placement;
    *ret_changed = eep_expert_load_update(table->load, placement, n_sources);
    return table->load;
}
