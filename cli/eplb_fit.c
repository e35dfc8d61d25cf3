/* eep eplb fit: the skew that recorded loads have, and the lines of a scenario that say it. */
#include "cli/eplb_commands.h"
#include "cli/eplb_input.h"
#include "core/json.h"
#include "core/skew_fit.h"

#include <math.h>
#include <string.h>

typedef struct {
    EepEplbFlags flags;
    char *against, *window_time;
    gboolean as_json;
} Options;

typedef struct {
    const char *name;
    EepSkewFit fit;
    gboolean has_likeness;
    EepSkewLikeness likeness; /* to the file of --against */
    EepTime window;           /* that a window lasts; 0: not told */
} Fitted;

static const char *law_name(EepSkewLaw law)
{
    return law == EEP_SKEW_ZIPF ? "zipf" : law == EEP_SKEW_POWER_LAW ? "power_law" : "lognormal";
}

/* A value of a scenario, within what its key allows. */
static double bounded(const char *key, double value)
{
    const EepOption *option = eep_options_find(&eep_skew_options, key);
    return CLAMP(value, option->min, option->max);
}

static void add_value(EepText *text, const char *key, double value)
{
    eep_text_add_string(text, "  ");
    eep_text_add_string(text, key);
    eep_text_add_string(text, ": ");
    eep_text_add_double(text, bounded(key, value), 3);
    eep_text_add_char(text, '\n');
}

/* To paste into a scenario. */
static void add_lines(EepText *text, const Fitted *fitted)
{
    const EepSkewFit *fit = &fitted->fit;
    eep_command_add_line(text, "skew:\n  law: %s", law_name(fit->law));
    if (fit->law == EEP_SKEW_ZIPF)
        add_value(text, "exponent", fit->exponent);
    if (fit->law == EEP_SKEW_LOGNORMAL)
        add_value(text, "sigma", fit->sigma);
    if (fit->law == EEP_SKEW_POWER_LAW) {
        add_value(text, "alpha", fit->alpha);
        add_value(text, "spread", fit->spread);
    }
    if (fit->n_layers > 1)
        add_value(text, "layer_correlation", fit->layer_correlation);
    if (fit->stickiness > 0.0)
        add_value(text, "stickiness", fit->stickiness);
    if (fitted->has_likeness) {
        eep_command_add_line(text, "  classes: 2");
        add_value(text, "class_correlation", fitted->likeness.score_correlation);
    }
    if (fitted->window > 0 && fit->n_lags > 0 && isfinite(fit->half_life_windows)) {
        const EepOption *option = eep_options_find(&eep_skew_options, "drift.half_life");
        const double s = fit->half_life_windows * eep_time_to_seconds(fitted->window);
        eep_command_add_line(text, "  drift:\n    kind: random_walk");
        eep_command_add_line(text, "    half_life: %.*fs", s < 10.0 ? 3 : 0,
                             CLAMP(s, option->min / 1e9, option->max / 1e9));
    }
}

static void add_lags(EepText *text, const char *what, const double *value, guint n)
{
    g_autoptr(GString) line = g_string_new(NULL);
    for (guint i = 0; i < n; i++)
        g_string_append_printf(line, " %6.3f", value[i]);
    eep_command_add_line(text, "%-42s%s", what, line->str);
}

static void add_laws(EepText *text, const EepSkewFit *fit)
{
    eep_command_add_line(text, "%-42s %6.3f, r2 %.3f; misplaces %.1f%%", "zipf: exponent",
                         fit->exponent, fit->exponent_r2, 100.0 * fit->zipf_misfit);
    eep_command_add_line(text, "%-42s %6.3f, spread %.3g; misplaces %.1f%%", "power_law: alpha",
                         fit->alpha, fit->spread, 100.0 * fit->power_law_misfit);
    eep_command_add_line(text, "%-42s %6.3f; misplaces %.1f%%", "lognormal: sigma", fit->sigma,
                         100.0 * fit->lognormal_misfit);
}

static void add_text(EepText *text, const Fitted *fitted)
{
    const EepSkewFit *fit = &fitted->fit;
    eep_command_add_line(text, "%s: %u windows of %u layers, %u experts", fitted->name,
                         fit->n_windows, fit->n_layers, fit->n_experts);
    eep_command_add_line(text, "%s", "");
    eep_command_add_line(text, "Counts, all windows together");
    eep_command_add_line(text, "%-42s %6.2f, %.2f, %.2f", "max / mean of a layer: min, median, max",
                         fit->max_over_mean_min, fit->max_over_mean_median, fit->max_over_mean_max);
    eep_command_add_line(text, "%-42s %6.3f", "Gini", fit->gini);
    eep_command_add_line(text, "%-42s %6.3f, %.3f", "exponent by rank: all ranks, upper half",
                         fit->counts_exponent, fit->counts_exponent_top);
    eep_command_add_line(text, "%s", "\nPopularity (of one draw), by law");
    add_laws(text, fit);
    eep_command_add_line(text, "%-42s %6.3f", "correlation of layers", fit->layer_correlation);
    if (fit->n_lags > 0) {
        eep_command_add_line(text, "%s", "\nDrift, by lag in windows from 1");
        add_lags(text, "cosine of counts", fit->counts_cosine, fit->n_lags);
        add_lags(text, "cosine, sampling taken out", fit->cosine, fit->n_lags);
        add_lags(text, "correlation of scores", fit->score_correlation, fit->n_lags);
        if (isfinite(fit->half_life_windows))
            eep_command_add_line(text, "%-42s %6.1f windows", "half-life of a random walk",
                                 fit->half_life_windows);
        else
            eep_command_add_line(text, "%-42s   none: it does not fall with lag",
                                 "half-life of a random walk");
    }
    if (fit->chance_overlap > 0.0) {
        eep_command_add_line(text, "%s", "\nTokens");
        eep_command_add_line(text, "%-42s %6.3f", "experts shared by chance", fit->chance_overlap);
        if (fit->stickiness > 0.0)
            eep_command_add_line(text, "%-42s %6.3f", "shared by consecutive tokens",
                                 fit->stickiness);
    }
    if (fitted->has_likeness) {
        eep_command_add_line(text, "%s", "\nAgainst the other file");
        eep_command_add_line(text, "%-42s %6.3f", "cosine of counts", fitted->likeness.cosine);
        eep_command_add_line(text, "%-42s %6.3f", "correlation of scores",
                             fitted->likeness.score_correlation);
        eep_command_add_line(text, "%-42s %6.2f", "of the 8 most popular experts, shared",
                             fitted->likeness.shared_top8);
    }
    eep_command_add_line(text, "%s", "\nFor a scenario");
    add_lines(text, fitted);
}

static void add_array(EepJson *json, const char *key, const double *value, guint n)
{
    eep_json_begin_array(json, key);
    for (guint i = 0; i < n; i++)
        eep_json_add_double(json, NULL, value[i], 0);
    eep_json_end_array(json);
}

static void add_json(EepText *text, const Fitted *fitted)
{
    const EepSkewFit *fit = &fitted->fit;
    const struct {
        const char *key;
        double value;
    } figures[] = {{"tokens", fit->tokens},
                   {"counts_exponent", fit->counts_exponent},
                   {"counts_exponent_top", fit->counts_exponent_top},
                   {"gini", fit->gini},
                   {"max_over_mean_min", fit->max_over_mean_min},
                   {"max_over_mean_median", fit->max_over_mean_median},
                   {"max_over_mean_max", fit->max_over_mean_max},
                   {"exponent", fit->exponent},
                   {"exponent_r2", fit->exponent_r2},
                   {"alpha", fit->alpha},
                   {"spread", fit->spread},
                   {"sigma", fit->sigma},
                   {"zipf_misfit", fit->zipf_misfit},
                   {"power_law_misfit", fit->power_law_misfit},
                   {"lognormal_misfit", fit->lognormal_misfit},
                   {"layer_correlation", fit->layer_correlation},
                   {"half_life_windows", fit->half_life_windows},
                   {"chance_overlap", fit->chance_overlap},
                   {"stickiness", fit->stickiness}};
    g_auto(EepText) lines = {0};
    EepJson json;
    eep_json_init(&json, text, EEP_JSON_PRETTY);
    eep_json_begin_object(&json, NULL);
    eep_json_add_uint(&json, "n_windows", fit->n_windows);
    eep_json_add_uint(&json, "n_layers", fit->n_layers);
    eep_json_add_uint(&json, "n_experts", fit->n_experts);
    eep_json_add_uint(&json, "top_k", fit->top_k);
    eep_json_add_string(&json, "law", law_name(fit->law));
    for (guint i = 0; i < G_N_ELEMENTS(figures); i++)
        eep_json_add_double(&json, figures[i].key, figures[i].value, 0);
    add_array(&json, "counts_cosine", fit->counts_cosine, fit->n_lags);
    add_array(&json, "cosine", fit->cosine, fit->n_lags);
    add_array(&json, "score_correlation", fit->score_correlation, fit->n_lags);
    if (fitted->has_likeness) {
        eep_json_begin_object(&json, "against");
        eep_json_add_double(&json, "cosine", fitted->likeness.cosine, 0);
        eep_json_add_double(&json, "score_correlation", fitted->likeness.score_correlation, 0);
        eep_json_add_double(&json, "shared_top8", fitted->likeness.shared_top8, 0);
        eep_json_end_object(&json);
    }
    add_lines(&lines, fitted);
    eep_json_add_string(&json, "scenario", eep_text_string(&lines));
    eep_json_end_object(&json);
}

static gboolean read_window_time(const char *text, EepTime *ret_time, GError **error)
{
    static const EepOption option = {
        "--window-time", EEP_OPTION_TIME, 0, "0s", 1, 1e18, NULL, NULL, ""};
    if (text == NULL || eep_option_parse(&option, ret_time, text, error))
        return TRUE;
    g_prefix_error(error, "--window-time: ");
    return FALSE;
}

/* The error's message with the file's name, exit status 2. */
static gboolean fail_fit(const char *name, GError *local, GError **error)
{
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "%s: %s", name, local->message);
    g_error_free(local);
    return FALSE;
}

static gboolean run(gconstpointer data, EepText *text, GError **error)
{
    const Options *options = data;
    g_auto(EepEplbInput) input = {0}, other = {0};
    Fitted fitted = {0};
    GError *local = NULL;
    if (!eep_eplb_input_read(&input, &options->flags, FALSE, error) ||
        !read_window_time(options->window_time, &fitted.window, error))
        return FALSE;
    fitted.name = input.name;
    /* Counts alone do not say how many experts a token has. */
    if (input.record->top_k == 0 && input.has_model &&
        input.model.n_routed_experts == input.record->n_experts)
        input.record->top_k = (guint)input.model.experts_per_token;
    if (!eep_skew_fit(input.record, &fitted.fit, &local))
        return fail_fit(input.name, local, error);
    if (options->against != NULL) {
        EepEplbFlags flags = options->flags;
        flags.load = options->against;
        if (!eep_eplb_input_read(&other, &flags, FALSE, error))
            return FALSE;
        if (!eep_skew_fit_likeness(input.record, other.record, &fitted.likeness, &local))
            return fail_fit(other.name, local, error);
        fitted.has_likeness = TRUE;
    }
    if (options->as_json)
        add_json(text, &fitted);
    else
        add_text(text, &fitted);
    return TRUE;
}

int eep_command_eplb_fit(int argc, char **argv)
{
    Options options = {0};
    const GOptionEntry entries[] = {
        EEP_EPLB_LOAD_ENTRIES(options.flags),
        {"against", 0, 0, G_OPTION_ARG_FILENAME, &options.against,
         "loads of another task: how alike they are", "FILE"},
        {"window-time", 0, 0, G_OPTION_ARG_STRING, &options.window_time,
         "time that a window stands for, for drift: 10s", "TIME"},
        {"json", 0, 0, G_OPTION_ARG_NONE, &options.as_json, "print data for programs", NULL},
        G_OPTION_ENTRY_NULL};
    int status = eep_eplb_command(entries, argc, argv, run, &options, NULL);

    g_free(options.against);
    g_free(options.window_time);
    eep_eplb_flags_clear(&options.flags);
    return status;
}
