#include "sim/popularity.h"

#include <string.h>

#include "core/inclusion.h"

/* As many as a load window can tell apart (load_runs.h); a power of two. */
#define N_VERSIONS 8192

struct EepPopularity {
    EepSkew *skew;
    guint n_layers, n_experts, top_k, n_components;
    guint n_classes; /* that are told apart */
    gboolean with_replacement;
    double keep;
    guint64 next_step; /* popularity is asked from this step on; never again: G_MAXUINT64 */
    guint64 version;
    EepTime *times;    /* of versions, modulo N_VERSIONS; NULL: the first is for ever */
    double *p, *picks; /* [component][L][E], at present */
    guint alias[EEP_MAX_COMPONENTS]; /* by component */
    double *scratch;                 /* [2][E] */
};

static gsize row_of(const EepPopularity *self, guint component, guint layer)
{
    return ((gsize)component * self->n_layers + layer) * self->n_experts;
}

static void picks_of(const EepPopularity *self, const double *p, double *ret_picks)
{
    if (!self->with_replacement) {
        eep_inclusion(p, self->n_experts, self->top_k, ret_picks);
        return;
    }
    for (guint e = 0; e < self->n_experts; e++)
        ret_picks[e] = self->top_k * p[e];
}

/* Asks for one row; equal ones are neither told apart nor computed twice. Returns TRUE if it
 * changed. */
static gboolean refresh_row(EepPopularity *self, EepTime now, guint component, guint layer)
{
    const gsize row = row_of(self, component, layer), bytes = self->n_experts * sizeof(double);
    double *p = self->scratch;
    if (layer > 0 && eep_skew_layers_are_equal(self->skew))
        p = self->p + row - self->n_experts;
    else
        eep_skew_popularity(self->skew, now, component, layer, p);
    if (memcmp(self->p + row, p, bytes) == 0)
        return FALSE;
    memcpy(self->p + row, p, bytes);
    if (layer > 0 && memcmp(p, self->p + row - self->n_experts, bytes) == 0)
        memcpy(self->picks + row, self->picks + row - self->n_experts, bytes);
    else
        picks_of(self, p, self->picks + row);
    return TRUE;
}

/* Tokens of a chunk vary together where they stick, so that prefill is no decode then. */
static gboolean is_alike(const EepPopularity *self, guint component, guint other)
{
    const gsize n = (gsize)self->n_layers * self->n_experts;
    return (self->keep == 0.0 || component % 2 == other % 2) &&
           memcmp(self->p + component * n, self->p + other * n, n * sizeof(double)) == 0;
}

static gboolean refresh(EepPopularity *self, EepTime now)
{
    gboolean changed = FALSE;
    for (guint component = 0; component < self->n_components; component++)
        for (guint layer = 0; layer < self->n_layers; layer++)
            changed |= refresh_row(self, now, component, layer);
    for (guint component = 0; component < self->n_components && changed; component++) {
        guint alias = 0;
        while (!is_alike(self, component, alias))
            alias++;
        self->alias[component] = alias;
    }
    return changed;
}

EepPopularity *eep_popularity_new(EepSkew *skew, guint n_layers, guint n_experts, guint top_k)
{
    EepPopularity *self = g_new0(EepPopularity, 1);
    self->skew = skew;
    self->n_layers = n_layers;
    self->n_experts = n_experts;
    self->top_k = top_k;
    self->with_replacement = eep_skew_with_replacement(skew);
    self->keep = eep_skew_keep(skew, top_k);
    const gboolean is_one = eep_skew_is_one_component(skew);
    self->n_classes = is_one ? 1 : eep_skew_n_classes(skew);
    self->n_components = is_one && self->keep == 0.0 ? 1 : 2 * self->n_classes;
    const gsize cells = row_of(self, self->n_components, 0);
    self->p = g_new0(double, cells);
    self->picks = g_new0(double, cells);
    self->scratch = g_new(double, 2 * n_experts);
    self->version = 1;
    self->next_step = G_MAXUINT64;
    if (!eep_skew_is_constant(skew)) {
        self->next_step = 0;
        self->times = g_new0(EepTime, N_VERSIONS);
    }
    refresh(self, 0);
    return self;
}

void eep_popularity_free(EepPopularity *self)
{
    if (!self)
        return;
    eep_skew_free(self->skew);
    g_free(self->times);
    g_free(self->p);
    g_free(self->picks);
    g_free(self->scratch);
    g_free(self);
}

guint eep_popularity_n_components(const EepPopularity *self)
{
    return self->n_components;
}

guint64 eep_popularity_version(const EepPopularity *self)
{
    return self->version;
}

gboolean eep_popularity_is_one_law(const EepPopularity *self)
{
    return eep_skew_is_one_component(self->skew);
}

gboolean eep_popularity_with_replacement(const EepPopularity *self)
{
    return self->with_replacement;
}

double eep_popularity_keep(const EepPopularity *self)
{
    return self->keep;
}

guint eep_popularity_alias(const EepPopularity *self, guint component)
{
    return self->alias[component];
}

gboolean eep_popularity_advance(EepPopularity *self, EepTime now, guint64 step)
{
    if (step < self->next_step)
        return FALSE;
    const guint64 period = eep_skew_period(self->skew);
    self->next_step = step - step % period + period;
    if (!refresh(self, now))
        return FALSE;
    self->version++;
    self->times[self->version % N_VERSIONS] = now;
    return TRUE;
}

static gboolean is_present(const EepPopularity *self, guint64 version)
{
    return version == 0 || version == self->version;
}

void eep_popularity_get(const EepPopularity *self, guint64 version, guint component, guint layer,
                        double *ret_p)
{
    if (is_present(self, version)) {
        memcpy(ret_p, self->p + row_of(self, component, layer), self->n_experts * sizeof *ret_p);
        return;
    }
    if (version + N_VERSIONS <= self->version)
        version = self->version - N_VERSIONS + 1;
    eep_skew_popularity(self->skew, self->times[version % N_VERSIONS], component, layer, ret_p);
}

const double *eep_popularity_picks(const EepPopularity *self, guint component, guint layer)
{
    return self->picks + row_of(self, component, layer);
}

static void add_row(const EepPopularity *self, guint64 version, guint component, guint layer,
                    double tokens, double *ret_load)
{
    const double *picks = eep_popularity_picks(self, component, layer);
    if (!is_present(self, version)) {
        double *p = self->scratch, *past = self->scratch + self->n_experts;
        eep_popularity_get(self, version, component, layer, p);
        if (layer == 0 || !eep_skew_layers_are_equal(self->skew))
            picks_of(self, p, past);
        picks = past;
    }
    for (guint e = 0; e < self->n_experts; e++)
        ret_load[(gsize)layer * self->n_experts + e] += tokens * picks[e];
}

void eep_popularity_add_load(const EepPopularity *self, guint64 version, const EepTokenMix *tokens,
                             double *ret_load)
{
    for (guint component = 0; component < self->n_components; component++)
        for (guint layer = 0; layer < self->n_layers && tokens->n[component] > 0; layer++)
            add_row(self, version, component, layer, (double)tokens->n[component], ret_load);
}

/* Prefill tokens that follow one another are those of a chunk; of chunks the plan knows the mean
 * length. */
static guint32 chunk_of(const EepStepPlan *plan)
{
    guint64 n_tokens = 0, n_chunks = 0;
    for (guint i = 0; i < plan->n_engines; i++) {
        n_tokens += plan->work[i].n_prefill_tokens;
        n_chunks += plan->work[i].n_prefill_chunks;
    }
    return n_chunks > 0 ? (guint32)((n_tokens + n_chunks - 1) / n_chunks) : 0;
}

void eep_popularity_count(const EepPopularity *self, const EepStepPlan *plan,
                          EepTokenMix *ret_tokens)
{
    *ret_tokens = (EepTokenMix){.chunk = self->keep > 0.0 ? chunk_of(plan) : 0};
    guint64 *n = ret_tokens->n;
    if (self->n_classes > 1 && plan->classes) {
        for (guint i = 0; i < MIN(plan->n_classes, self->n_classes); i++) {
            n[eep_skew_component(i, FALSE)] = plan->classes[i].n_prefill_tokens;
            n[eep_skew_component(i, TRUE)] = plan->classes[i].n_decodes;
        }
        return;
    }
    const guint decode = self->n_components > 1 ? eep_skew_component(0, TRUE) : 0;
    for (guint i = 0; i < plan->n_engines; i++) {
        n[decode] += plan->work[i].n_decodes;
        n[0] += plan->work[i].n_prefill_tokens;
    }
}

/* The class of the next token, in turns that come as often as `shares` [n] say. */
static guint next_class(const guint64 *shares, guint n, gint64 *credits)
{
    guint best = 0;
    gint64 total = 0;
    for (guint i = 0; i < n; i++) {
        credits[i] += (gint64)shares[i];
        total += (gint64)shares[i];
        if (credits[i] > credits[best])
            best = i;
    }
    credits[best] -= total;
    return best;
}

void eep_popularity_count_each(const EepPopularity *self, const EepStepPlan *plan,
                               guint32 *ret_tokens)
{
    const guint n = self->n_components;
    EepTokenMix all;
    gint64 credits[2][EEP_SKEW_MAX_CLASSES] = {{0}};
    guint64 shares[2][EEP_SKEW_MAX_CLASSES] = {{0}};
    eep_popularity_count(self, plan, &all);
    for (guint i = 0; i < n; i++)
        shares[i % 2][i / 2] = all.n[i];
    memset(ret_tokens, 0, (gsize)plan->n_engines * n * sizeof *ret_tokens);
    for (guint i = 0; i < plan->n_engines; i++, ret_tokens += n) {
        const EepEngineWork *work = &plan->work[i];
        const guint32 tokens[2] = {work->n_prefill_tokens, work->n_decodes};
        if (n == 1)
            ret_tokens[0] = MAX(1, tokens[0] + tokens[1]);
        else if (tokens[0] + tokens[1] == 0)
            ret_tokens[eep_skew_component(0, TRUE)] = 1;
        for (guint kind = 0; kind < 2 && n > 1; kind++)
            for (guint32 t = 0; t < tokens[kind]; t++)
                ret_tokens[2 * next_class(shares[kind], n / 2, credits[kind]) + kind]++;
    }
}
