#include "traces/synthetic.h"

#include "core/math.h"
#include "traces/stream.h"

typedef struct {
    EepTrace base;
    EepArrivals *arrivals;
    EepRng input_rng, output_rng, prefix_rng, priority_rng;
    EepLengthSampler input, output;
    EepSyntheticPrefix prefix;
    double *weights_below; /* [prefix.groups]: sum of the weights of groups 1 to k */
    gint32 priority;
    double priority_share;
    guint64 next_row;
    guint64 hash; /* of the row returned last */
} Synthetic;

/* Index from 0: group k is drawn when the sum of weights up to k is the first above a uniform
 * share. */
static guint32 draw_group(Synthetic *synthetic)
{
    guint32 low = 0, high = synthetic->prefix.groups - 1;
    double share = eep_rng_uniform(&synthetic->prefix_rng) * synthetic->weights_below[high];
    while (low < high) {
        guint32 middle = low + (high - low) / 2;
        if (synthetic->weights_below[middle] > share)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static EepTraceStatus synthetic_next(EepTrace *base, EepTraceRow *ret_row, GError **error)
{
    Synthetic *synthetic = (Synthetic *)base;
    EepTime arrival = eep_arrivals_next(synthetic->arrivals);
    if (arrival == EEP_TIME_NEVER)
        return EEP_TRACE_END;
    *ret_row = (EepTraceRow){
        .arrival = arrival,
        .prompt_tokens = eep_length_sampler_draw(&synthetic->input, &synthetic->input_rng),
        .output_tokens = eep_length_sampler_draw(&synthetic->output, &synthetic->output_rng),
        .priority = eep_rng_uniform(&synthetic->priority_rng) < synthetic->priority_share
                        ? synthetic->priority
                        : 0,
        .row = synthetic->next_row++,
    };
    if (synthetic->prefix.groups > 0) {
        guint64 tokens = (guint64)ret_row->prompt_tokens + synthetic->prefix.tokens;
        synthetic->hash = draw_group(synthetic);
        ret_row->prompt_tokens = (guint32)MIN(tokens, G_MAXUINT32);
        ret_row->n_hashes = 1;
        ret_row->hashes = &synthetic->hash;
    }
    return EEP_TRACE_ROW;
}

static void synthetic_free(EepTrace *base)
{
    Synthetic *synthetic = (Synthetic *)base;
    eep_arrivals_free(synthetic->arrivals);
    g_free(synthetic->weights_below);
    g_free(synthetic);
}

static const EepTraceOps synthetic_ops = {.next = synthetic_next, .free = synthetic_free};

static gboolean check_options(const EepSyntheticOptions *options, GError **error)
{
    const EepSyntheticPrefix *prefix = &options->prefix;
    if (options->duration == 0 && options->requests == 0) {
        g_set_error(
            error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION,
            "synthetic has no end: duration or requests (or both) is allowed; try duration: 10min");
        return FALSE;
    }
    if (prefix->groups > EEP_SYNTHETIC_GROUPS_MAX || (prefix->groups > 0 && prefix->tokens == 0) ||
        !(prefix->zipf_exponent >= 0 && prefix->zipf_exponent <= 10)) {
        g_set_error(
            error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION,
            "synthetic.prefix is out of range: up to 1000000 groups of at least 1 token, zipf "
            "exponent from 0 to 10 is allowed; try {groups: 100, tokens: 512, zipf: 1}");
        return FALSE;
    }
    return TRUE;
}

static double *sum_weights(const EepSyntheticPrefix *prefix)
{
    double *weights_below = g_new(double, prefix->groups);
    double sum = 0;
    for (guint32 i = 0; i < prefix->groups; i++) {
        sum += eep_pow(i + 1.0, -prefix->zipf_exponent);
        weights_below[i] = sum;
    }
    return weights_below;
}

EepTrace *eep_synthetic_open(const EepSyntheticOptions *options, guint64 seed, GError **error)
{
    g_return_val_if_fail(options != NULL, NULL);
    EepLengthSampler input, output;
    if (!check_options(options, error) ||
        !eep_length_sampler_init(&input, &options->input_tokens, "input_tokens", error) ||
        !eep_length_sampler_init(&output, &options->output_tokens, "output_tokens", error))
        return NULL;
    EepArrivals *arrivals = eep_arrivals_new(&options->arrivals, options->duration, seed, error);
    if (arrivals == NULL)
        return NULL;
    Synthetic *synthetic = g_new0(Synthetic, 1);
    eep_trace_init(&synthetic->base, &synthetic_ops);
    synthetic->base.format_name = "synthetic";
    if (options->requests > 0)
        synthetic->base.rows_left = options->requests;
    synthetic->arrivals = arrivals;
    synthetic->input = input;
    synthetic->output = output;
    synthetic->priority = options->priority;
    synthetic->priority_share = options->priority_share;
    eep_rng_init(&synthetic->input_rng, seed, "input");
    eep_rng_init(&synthetic->output_rng, seed, "output");
    eep_rng_init(&synthetic->prefix_rng, seed, "prefix");
    eep_rng_init(&synthetic->priority_rng, seed, "priority");
    if (options->prefix.groups > 0) {
        synthetic->prefix = options->prefix;
        synthetic->base.hash_tokens = options->prefix.tokens;
        synthetic->weights_below = sum_weights(&options->prefix);
    }
    return &synthetic->base;
}
