#include "sim/expert_load.h"

#include <string.h>

#include "core/eplb/replica_choice.h"
#include "core/inclusion.h"
#include "core/math.h"
#include "sim/expert_draw.h"
#include "sim/max_expectation.h"

#define MAX_HASHED 256 /* local tokens beyond which replicas share evenly */

/* One curve over the grid: values at 1, 2, 4, …, and a cubic for each octave. */
typedef struct {
    double value[EEP_EXPERT_LOAD_MAX_POINTS];
    double cubic[EEP_EXPERT_LOAD_MAX_POINTS][4];
} Curve;

/* What the tables of one layer were built from, and the tables. */
typedef struct {
    double seconds[EEP_EXPERT_LOAD_MAX_POINTS];
    double busiest[EEP_EXPERT_LOAD_MAX_POINTS]; /* max/mean tokens over ranks */
    guint32 built;                              /* grid points, a bit each */
    gboolean is_copy;                           /* of the layer before it */
    gboolean picks_changed;
} Layer;

struct EepExpertLoad {
    guint n_layers, n_experts, top_k, n_points;
    EepSlotCost cost;
    EepExpertDispatch dispatch;
    EepExpertDraw *draw; /* NULL where moments do */
    EepPick *picks;      /* [L][E] */
    double *log_none;    /* [L][E] of the picks */
    Layer *layers;
    gboolean picks_changed;
    EepMaxExpectation *max;
    /* The placement last seen. */
    const EepPlacement *placement;
    guint64 generation;
    guint n_ranks, n_slots, n_sources;
    gint32 *rows; /* [L][n_slots], a copy */
    /* Sums over layers. */
    Curve seconds, busiest;
    guint32 fitted; /* octaves, a bit each, of which the curves are up to date */
    /* Scratch of one layer. */
    double *none;                       /* [E] P(expert gets none) at the current point */
    EepMoments *expert_cost;            /* [E][2] of an expert with one replica: cost, rest */
    guint32 *replica;                   /* [E] replicas seen so far */
    double *slot_share;                 /* [n_slots] of its expert's tokens, at the current point */
    guint32 *slots;                     /* [n_slots] replicas of one expert (static) */
    guint16 *nearest;                   /* [n_ranks] replica of each source (static) */
    EepMoments *ranks, *rests, *tokens; /* [n_ranks] cost, cost but for weights, tokens */
    double *active;                     /* [n_slots] P(slot gets a token), slots in use only */
    guint32 *n_active;                  /* [n_ranks] slots in use */
    double *pmf;                        /* scratch of eep_max_active() */
    double *share;                      /* [point][count][count] share of replica j of `count` */
    guint max_count;                    /* largest replica count that `share` serves */
};

EepExpertLoad *eep_expert_load_new(guint n_layers, guint n_experts, guint top_k,
                                   const EepSlotCost *cost, guint64 max_tokens)
{
    g_return_val_if_fail(n_layers > 0 && top_k > 0 && top_k <= n_experts, NULL);
    EepExpertLoad *self = g_new0(EepExpertLoad, 1);
    gsize cells = (gsize)n_layers * n_experts;
    self->n_layers = n_layers;
    self->n_experts = n_experts;
    self->top_k = top_k;
    self->cost = *cost;
    self->n_points = 2;
    while (self->n_points < EEP_EXPERT_LOAD_MAX_POINTS &&
           (G_GUINT64_CONSTANT(1) << (self->n_points - 1)) < max_tokens)
        self->n_points++;
    self->picks = g_new0(EepPick, cells);
    self->log_none = g_new(double, cells);
    self->layers = g_new0(Layer, n_layers);
    self->max = eep_max_expectation_new();
    self->none = g_new(double, n_experts);
    self->expert_cost = g_new(EepMoments, 2 * n_experts);
    self->replica = g_new(guint32, n_experts);
    g_autofree EepPick *uniform = g_new(EepPick, n_experts);
    for (guint e = 0; e < n_experts; e++)
        uniform[e] = eep_pick_of((double)top_k / n_experts);
    for (guint l = 0; l < n_layers; l++)
        eep_expert_load_set_picks(self, l, uniform);
    return self;
}

void eep_expert_load_free(EepExpertLoad *self)
{
    if (!self)
        return;
    g_free(self->picks);
    g_free(self->log_none);
    g_free(self->layers);
    eep_max_expectation_free(self->max);
    g_free(self->rows);
    g_free(self->none);
    g_free(self->expert_cost);
    g_free(self->replica);
    g_free(self->slot_share);
    g_free(self->slots);
    g_free(self->nearest);
    eep_expert_draw_free(self->draw);
    g_free(self->ranks);
    g_free(self->rests);
    g_free(self->active);
    g_free(self->n_active);
    g_free(self->pmf);
    g_free(self->tokens);
    g_free(self->share);
    g_free(self);
}

void eep_expert_load_set_picks(EepExpertLoad *self, guint layer, const EepPick *picks)
{
    g_return_if_fail(layer < self->n_layers);
    const guint n = self->n_experts;
    EepPick *mine = self->picks + (gsize)layer * n;
    double *log_none = self->log_none + (gsize)layer * n;
    if (memcmp(mine, picks, n * sizeof *picks) == 0)
        return;
    memcpy(mine, picks, n * sizeof *picks);
    if (layer > 0 && memcmp(mine, mine - n, n * sizeof *picks) == 0)
        memcpy(log_none, log_none - n, n * sizeof *log_none);
    else
        for (guint e = 0; e < n; e++)
            log_none[e] = eep_log(fmax(1e-300, mine[e].none));
    self->layers[layer].picks_changed = TRUE;
    self->picks_changed = TRUE;
}

void eep_expert_load_set_popularity(EepExpertLoad *self, guint layer, const double *p)
{
    g_autofree double *pi = g_new(double, self->n_experts);
    g_autofree EepPick *picks = g_new(EepPick, self->n_experts);
    eep_inclusion(p, self->n_experts, self->top_k, pi);
    for (guint e = 0; e < self->n_experts; e++)
        picks[e] = eep_pick_of(pi[e]);
    eep_expert_load_set_picks(self, layer, picks);
}

static inline EepMoments moments_of(const EepPick *pick, double trials)
{
    double mean = trials * pick->mean, variance = mean * pick->spread;
    return (EepMoments){mean, variance, variance * pick->skew};
}

void eep_expert_load_set_dispatch(EepExpertLoad *self, const EepExpertDispatch *dispatch)
{
    g_return_if_fail(self->placement == NULL);
    eep_expert_draw_free(self->draw);
    self->draw = NULL;
    self->dispatch = *dispatch;
    if (eep_expert_draw_is_needed(dispatch))
        self->draw = eep_expert_draw_new(self->n_layers, self->n_experts, self->top_k, &self->cost,
                                         dispatch);
}

/* Shares of the replicas by the hash of local indices below tokens / n_sources. */
static void fill_shares(EepExpertLoad *self, guint max_count)
{
    g_free(self->share);
    self->max_count = max_count;
    const gsize stride = (gsize)(max_count + 1) * max_count;
    self->share = g_new0(double, self->n_points *stride);
    for (guint i = 0; i < self->n_points; i++) {
        double local = (double)(G_GUINT64_CONSTANT(1) << i) / self->n_sources;
        for (guint count = 1; count <= max_count; count++) {
            double *share = self->share + i * stride + (gsize)count * max_count;
            guint whole = local < 1.0 ? 1 : (guint)fmin(local, MAX_HASHED);
            double rest = local > 1.0 && local < MAX_HASHED ? local - whole : 0.0;
            if (local >= MAX_HASHED) {
                for (guint j = 0; j < count; j++)
                    share[j] = 1.0 / count;
                continue;
            }
            for (guint t = 0; t < whole; t++)
                share[eep_replica_hash(t, count)] += 1.0 / (whole + rest);
            share[eep_replica_hash(whole, count)] += rest / (whole + rest);
        }
    }
}

/* Of one expert's tokens, the part that comes from sources that always take the replica. */
static void fill_static_shares(EepExpertLoad *self, const EepPlacement *placement, guint layer)
{
    const gint32 *row = eep_placement_layer(placement, layer);
    const guint node =
        self->dispatch.ranks_per_node ? self->dispatch.ranks_per_node : self->n_ranks;
    memset(self->slot_share, 0, self->n_slots * sizeof *self->slot_share);
    for (guint slot = 0; slot < self->n_slots; slot++) {
        const gint32 e = row[slot];
        if (e < 0 || self->slot_share[slot] > 0.0)
            continue;
        const guint n = eep_placement_replicas(placement, layer, (guint)e, (gint32 *)self->slots);
        if (self->slots[0] != slot) /* done with its first one */
            continue;
        eep_replica_static(layer, (guint)e, self->slots, n, placement->slots_per_rank,
                           self->n_ranks, node, self->nearest);
        for (guint r = 0; r < self->n_ranks; r++)
            self->slot_share[self->slots[self->nearest[r]]] += 1.0 / self->n_ranks;
    }
}

/* At grid point i, but of static, whose shares are the same at all. What the draws split by
 * themselves needs none. */
static void fill_slot_shares(EepExpertLoad *self, const EepPlacement *placement, guint layer,
                             guint i)
{
    const gint32 *count = placement->logcnt + (gsize)layer * self->n_experts;
    const gint32 *row = eep_placement_layer(placement, layer);
    const double *shares = self->share + i * (gsize)(self->max_count + 1) * self->max_count;
    if (self->dispatch.choice == EEP_REPLICA_STATIC)
        return;
    memset(self->replica, 0, self->n_experts * sizeof *self->replica);
    for (guint slot = 0; slot < self->n_slots; slot++) {
        const gint32 e = row[slot];
        if (e < 0)
            self->slot_share[slot] = 0.0;
        else if (self->dispatch.choice == EEP_REPLICA_HASH)
            self->slot_share[slot] = shares[(gsize)count[e] * self->max_count + self->replica[e]++];
        else
            self->slot_share[slot] = 1.0 / count[e];
    }
}

/* Moments of every rank's cost and tokens in one layer at grid point i. Returns the largest part of
 * any rank's variance that comes from whether slots are active at all. */
static double rank_moments(EepExpertLoad *self, const EepPlacement *placement, guint layer, guint i)
{
    const double tokens = (double)(G_GUINT64_CONSTANT(1) << i);
    const EepPick *picks = self->picks + (gsize)layer * self->n_experts;
    const double *log_none = self->log_none + (gsize)layer * self->n_experts;
    const gint32 *count = placement->logcnt + (gsize)layer * self->n_experts;
    const gint32 *row = eep_placement_layer(placement, layer);
    const gsize bytes = self->n_ranks * sizeof(EepMoments);

    for (guint e = 0; e < self->n_experts; e++)
        if (count[e] == 1) {
            EepMoments n = moments_of(&picks[e], tokens);
            eep_slot_cost_moments(&self->cost, &n, self->none[e], &self->expert_cost[2 * e],
                                  &self->expert_cost[2 * e + 1]);
        }
    memset(self->ranks, 0, bytes);
    memset(self->rests, 0, bytes);
    memset(self->tokens, 0, bytes);
    double *active = self->active, undecided = 0.0;
    for (guint r = 0, slot = 0; r < self->n_ranks; r++) {
        double *first = active;
        for (guint end = slot + self->n_slots / self->n_ranks; slot < end; slot++) {
            gint32 e = row[slot];
            if (e < 0)
                continue;
            double trials = tokens, none = self->none[e];
            EepMoments replica[2], *moments = &self->expert_cost[2 * e];
            if (count[e] > 1) {
                trials *= self->slot_share[slot];
                none = eep_exp(trials * log_none[e]);
                moments = replica;
            }
            EepMoments n = moments_of(&picks[e], trials);
            if (moments == replica)
                eep_slot_cost_moments(&self->cost, &n, none, &replica[0], &replica[1]);
            eep_moments_add(&self->ranks[r], &moments[0]);
            eep_moments_add(&self->rests[r], &moments[1]);
            eep_moments_add(&self->tokens[r], &n);
            *active++ = 1.0 - none;
            undecided = fmax(undecided, none * (1.0 - none));
        }
        self->n_active[r] = (guint32)(active - first);
    }
    return undecided;
}

/* Three moments do not know that no rank can have more than all its slots active, which matters
 * while most are. But max(weights + rest) <= max(weights) + max(rest), and the first is exact. */
static double busiest_cost(const EepExpertLoad *self, double undecided)
{
    double smooth = eep_max_expectation(self->max, self->ranks, self->n_ranks);
    if (undecided < 1e-4)
        return smooth;
    double weights = self->cost.weights_s *
                     eep_max_active(self->active, self->n_active, self->n_ranks, self->pmf);
    if (smooth <= weights)
        return smooth;
    return fmin(smooth, weights + eep_max_expectation(self->max, self->rests, self->n_ranks));
}

static void build_drawn(EepExpertLoad *self, guint i, Layer *table)
{
    const guint64 tokens = G_GUINT64_CONSTANT(1) << i;
    double most;
    eep_expert_draw_expect(self->draw, tokens, self->n_sources, self->slot_share,
                           &table->seconds[i], &most);
    table->busiest[i] = most / ((double)tokens * self->top_k / self->n_ranks);
}

static void build_point(EepExpertLoad *self, guint layer, guint i)
{
    Layer *table = &self->layers[layer];
    fill_slot_shares(self, self->placement, layer, i);
    if (self->draw) {
        build_drawn(self, i, table);
        return;
    }
    double undecided = rank_moments(self, self->placement, layer, i);
    double mean = (double)(G_GUINT64_CONSTANT(1) << i) * self->top_k / self->n_ranks;
    table->seconds[i] = busiest_cost(self, undecided);
    table->busiest[i] = eep_max_expectation(self->max, self->tokens, self->n_ranks) / mean;
}

/* The grid points of `points`, a bit each. */
static void build_layer(EepExpertLoad *self, guint layer, guint32 points)
{
    const EepPick *picks = self->picks + (gsize)layer * self->n_experts;
    for (guint e = 0; e < self->n_experts; e++)
        self->none[e] = picks[e].none;
    if (self->draw)
        eep_expert_draw_set_layer(self->draw, self->placement, layer, picks);
    if (self->dispatch.choice == EEP_REPLICA_STATIC)
        fill_static_shares(self, self->placement, layer);
    for (guint i = 0; points >> i > 0; i++) {
        if (points >> i & 1)
            build_point(self, layer, i);
        for (guint e = 0; e < self->n_experts; e++)
            self->none[e] *= self->none[e]; /* twice the tokens */
    }
    self->layers[layer].built |= points;
}

static double chord(const Curve *curve, guint i)
{
    return (curve->value[i + 1] - curve->value[i]) / (double)(G_GUINT64_CONSTANT(1) << i);
}

/* Of n points; the left octave is half as wide as the right one: weights 5/3 and 4/3. */
static double slope(const Curve *curve, guint n, guint i)
{
    if (i == 0 || i == n - 1)
        return chord(curve, i == 0 ? 0 : n - 2);
    double left = chord(curve, i - 1), right = chord(curve, i);
    return left * right > 0 ? 3.0 * left * right / (5.0 / 3.0 * right + 4.0 / 3.0 * left) : 0.0;
}

/* Octave i, [2^i, 2^(i+1)]: a cubic through the values with slopes that keep the curve monotone
 * (Fritsch and Butland, "A method for constructing local monotone piecewise cubic interpolants",
 * 1984). */
static void fit_octave(Curve *curve, guint n, guint i)
{
    double width = (double)(G_GUINT64_CONSTANT(1) << i);
    double rise = curve->value[i + 1] - curve->value[i];
    double a = slope(curve, n, i) * width, b = slope(curve, n, i + 1) * width;
    curve->cubic[i][0] = curve->value[i];
    curve->cubic[i][1] = a;
    curve->cubic[i][2] = 3.0 * rise - 2.0 * a - b;
    curve->cubic[i][3] = a + b - 2.0 * rise;
}

static void sum_layers(EepExpertLoad *self, guint i)
{
    double seconds = 0.0, busiest = 0.0;
    for (guint l = 0; l < self->n_layers; l++) {
        seconds += self->layers[l].seconds[i];
        busiest += self->layers[l].busiest[i];
    }
    self->seconds.value[i] = seconds;
    self->busiest.value[i] = busiest / self->n_layers;
}

static guint octave_of(const EepExpertLoad *self, double tokens)
{
    guint i = tokens > 1.0 ? 63 - (guint)__builtin_clzll((guint64)tokens) : 0;
    return MIN(i, self->n_points - 2);
}

/* Builds what the curves need at `tokens`: most batches are in few octaves. */
static void provide(EepExpertLoad *self, double tokens)
{
    const guint octave = octave_of(self, tokens);
    if (self->fitted >> octave & 1)
        return;
    g_return_if_fail(self->placement != NULL);
    const guint first = octave > 0 ? octave - 1 : 0, last = MIN(octave + 2, self->n_points - 1);
    const guint32 points = (2u << last) - (1u << first);
    for (guint l = 0; l < self->n_layers; l++) {
        Layer *table = &self->layers[l];
        const guint32 left = points & ~table->built;
        if (left && table->is_copy) {
            for (guint i = first; i <= last; i++) {
                table->seconds[i] = table[-1].seconds[i];
                table->busiest[i] = table[-1].busiest[i];
            }
            table->built |= points;
        } else if (left) {
            build_layer(self, l, left);
        }
    }
    for (guint i = first; i <= last; i++)
        sum_layers(self, i);
    fit_octave(&self->seconds, self->n_points, octave);
    fit_octave(&self->busiest, self->n_points, octave);
    self->fitted |= 1u << octave;
}

static double curve_at(const Curve *curve, guint n, double tokens)
{
    if (tokens <= 1.0)
        return curve->value[0];
    guint64 whole = (guint64)tokens;
    guint i = 63 - (guint)__builtin_clzll(whole);
    if (i + 1 >= n) { /* beyond the grid: along the last chord */
        double last = (double)(G_GUINT64_CONSTANT(1) << (n - 1));
        return curve->value[n - 1] +
               (curve->value[n - 1] - curve->value[n - 2]) * (tokens - last) / (0.5 * last);
    }
    double width = (double)(G_GUINT64_CONSTANT(1) << i);
    double u = (tokens - width) / width;
    const double *c = curve->cubic[i];
    return c[0] + u * (c[1] + u * (c[2] + u * c[3]));
}

/* Whether the layer's inputs are those of the layer before it, whose tables are up to date. Draws
 * and static choices differ from layer to layer all the same. */
static gboolean equals_previous(const EepExpertLoad *self, const EepPlacement *placement,
                                guint layer)
{
    gsize cell = (gsize)layer * self->n_experts;
    return layer > 0 && !self->draw && self->dispatch.choice != EEP_REPLICA_STATIC &&
           memcmp(self->picks + cell, self->picks + cell - self->n_experts,
                  self->n_experts * sizeof *self->picks) == 0 &&
           memcmp(eep_placement_layer(placement, layer), eep_placement_layer(placement, layer - 1),
                  self->n_slots * sizeof(gint32)) == 0;
}

gboolean eep_expert_load_update(EepExpertLoad *self, const EepPlacement *placement, guint n_sources)
{
    if (placement == self->placement && placement->generation == self->generation &&
        n_sources == self->n_sources && placement->n_ranks == self->n_ranks &&
        !self->picks_changed) {
#ifdef EEP_CHECK_INVARIANTS
        g_assert(memcmp(self->rows, placement->phy2log,
                        (gsize)self->n_layers * self->n_slots * sizeof(gint32)) == 0);
#endif
        return FALSE;
    }
    g_return_val_if_fail(placement->n_layers == self->n_layers &&
                             placement->n_experts == self->n_experts && n_sources > 0,
                         FALSE);
    gboolean all = self->n_ranks != placement->n_ranks || self->n_slots != placement->n_slots ||
                   self->n_sources != n_sources;
    if (all) {
        self->n_ranks = placement->n_ranks;
        self->n_slots = placement->n_slots;
        self->n_sources = n_sources;
        self->ranks = g_renew(EepMoments, self->ranks, self->n_ranks);
        self->rests = g_renew(EepMoments, self->rests, self->n_ranks);
        self->tokens = g_renew(EepMoments, self->tokens, self->n_ranks);
        self->active = g_renew(double, self->active, self->n_slots);
        self->slot_share = g_renew(double, self->slot_share, self->n_slots);
        self->slots = g_renew(guint32, self->slots, self->n_slots);
        self->nearest = g_renew(guint16, self->nearest, self->n_ranks);
        self->n_active = g_renew(guint32, self->n_active, self->n_ranks);
        self->pmf = g_renew(double, self->pmf, 2 * placement->slots_per_rank + 2);
        self->rows = g_renew(gint32, self->rows, (gsize)self->n_layers * self->n_slots);
    }
    guint max_count = 1;
    for (gsize i = 0; i < (gsize)self->n_layers * self->n_experts; i++)
        max_count = MAX(max_count, (guint)placement->logcnt[i]);
    if (all || max_count > self->max_count)
        fill_shares(self, max_count);

    gboolean changed = FALSE, before_changed = FALSE;
    const gsize row_bytes = self->n_slots * sizeof(gint32);
    for (guint l = 0; l < self->n_layers; l++) {
        gint32 *row = self->rows + (gsize)l * self->n_slots;
        const gint32 *now = eep_placement_layer(placement, l);
        Layer *table = &self->layers[l];
        if (!all && !table->picks_changed && memcmp(row, now, row_bytes) == 0) {
            /* What it has is right still, but not what a changed layer before it will have. */
            table->is_copy &= !before_changed;
            before_changed = FALSE;
            continue;
        }
        before_changed = TRUE;
        table->built = 0;
        table->is_copy = equals_previous(self, placement, l);
        memcpy(row, now, row_bytes);
        table->picks_changed = FALSE;
        changed = TRUE;
    }
    self->placement = placement;
    self->generation = placement->generation;
    self->picks_changed = FALSE;
    if (changed)
        self->fitted = 0;
    return changed;
}

void eep_expert_load_forget_placement(EepExpertLoad *self)
{
    self->placement = NULL;
}

double eep_expert_load_seconds(EepExpertLoad *self, double tokens)
{
    if (!(tokens > 0))
        return 0.0;
    provide(self, tokens);
    return curve_at(&self->seconds, self->n_points, tokens);
}

double eep_expert_load_imbalance(EepExpertLoad *self, double tokens)
{
    if (!(tokens > 0))
        return 0.0;
    provide(self, tokens);
    return fmax(1.0, curve_at(&self->busiest, self->n_points, tokens));
}

void eep_expert_load_add(const EepExpertLoad *self, double tokens, double *ret_load)
{
    for (gsize i = 0; i < (gsize)self->n_layers * self->n_experts; i++)
        ret_load[i] += tokens * self->picks[i].mean;
}

const EepPick *eep_expert_load_picks(const EepExpertLoad *self, guint layer)
{
    return self->picks + (gsize)layer * self->n_experts;
}
