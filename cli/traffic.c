#include "cli/traffic.h"

#include "scenarios/scenario_check.h"
#include "traces/synthetic.h"

static EepLengthLaw length_law(const EepLengthOptions *lengths)
{
    EepLengthLaw law = {.min = (guint32)lengths->min, .max = (guint32)lengths->max};

    switch (eep_length_options_form(lengths)) {
    case EEP_LENGTHS_UNIFORM:
        law.kind = EEP_LENGTH_UNIFORM;
        law.min = (guint32)lengths->uniform_min;
        law.max = (guint32)lengths->uniform_max;
        break;
    case EEP_LENGTHS_LOGNORMAL:
        law.kind = EEP_LENGTH_LOGNORMAL;
        law.p50 = lengths->p50;
        law.p99 = lengths->p99;
        break;
    case EEP_LENGTHS_EXPONENTIAL:
        law.kind = EEP_LENGTH_EXPONENTIAL;
        law.mean = lengths->mean;
        break;
    default: /* the loader has made sure that there is exactly one form */
        law.kind = EEP_LENGTH_CONSTANT;
        law.value = (guint32)lengths->constant;
        break;
    }
    return law;
}

static EepTrace *open_synthetic(const EepScenario *scenario, GError **error)
{
    const EepTrafficOptions *traffic = &scenario->traffic;
    g_autofree EepRatePoint *points = g_new0(EepRatePoint, scenario->n_rate_steps);

    for (guint i = 0; i < scenario->n_rate_steps; i++)
        points[i] = (EepRatePoint){scenario->rate_steps[i].at, scenario->rate_steps[i].rate};
    EepSyntheticOptions options = {
        .arrivals = {.kind = (EepArrivalsKind)traffic->synthetic.arrivals,
                     .burstiness = traffic->synthetic.burstiness,
                     .rate_per_s = traffic->synthetic.rate,
                     .ramp = (EepRamp)traffic->synthetic.ramp,
                     .ramp_start_per_s = traffic->synthetic.rate,
                     .ramp_end_per_s = traffic->synthetic.end_rate,
                     .points = scenario->n_rate_steps > 0 ? points : NULL,
                     .n_points = scenario->n_rate_steps},
        .duration = traffic->synthetic.duration,
        .requests = (guint64)traffic->synthetic.requests,
        .input_tokens = length_law(&traffic->synthetic.input_tokens),
        .output_tokens = length_law(&traffic->synthetic.output_tokens),
        .prefix = {.groups = (guint32)traffic->synthetic.prefix.groups,
                   .tokens = (guint32)traffic->synthetic.prefix.tokens,
                   .zipf_exponent = traffic->synthetic.prefix.zipf_exponent},
        .priority = (gint32)traffic->synthetic.priority,
        .priority_share = traffic->synthetic.priority_share,
    };
    return eep_synthetic_open(&options, (guint64)scenario->seed, error);
}

EepTrace *eep_traffic_open(const EepScenario *scenario, GError **error)
{
    const EepTrafficOptions *traffic = &scenario->traffic;

    if (traffic->trace.path == NULL)
        return open_synthetic(scenario, error);
    if (!eep_scenario_check_files(scenario, error))
        return NULL;
    EepTraceOptions options = {
        .format = (EepTraceFormatId)traffic->trace.format,
        .on_error = (EepTraceOnError)traffic->trace.on_error,
        .rate_scale = traffic->trace.rate_scale,
        .until = traffic->trace.until > 0 ? traffic->trace.until : EEP_TIME_NEVER,
        .limit = (guint64)traffic->trace.limit,
        .spread_batches = traffic->trace.spread_batches,
    };
    EepTrace *trace = eep_trace_open(traffic->trace.path, &options, error);

    if (trace != NULL && !eep_scenario_check_hashes(scenario, eep_trace_hash_tokens(trace), error))
        g_clear_pointer(&trace, eep_trace_free);
    return trace;
}
