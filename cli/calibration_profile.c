#include "cli/calibration_profile.h"

#include <string.h>

#include "cli/data.h"

/* By a part of the device's name; the first that fits. */
static const struct {
    const char *part, *profile;
} known[] = {
    {"GB200", "gb200"},   {"B200", "b200-sxm"}, {"H200", "h200-sxm"}, {"H100", "h100-sxm"},
    {"H800", "h800-sxm"}, {"H20", "h20-sxm"},   {"A100", "a100-sxm"},
};

#define ANY_BASE      "h100-sxm"
#define EMULATED_NAME "emulated-host"
#define EMULATED_WORD "emulated: times of the host, of no GPU"

const char *eep_calibration_default_base(const EepWireDevice *device, gboolean *ret_is_its)
{
    for (guint i = 0; !device->is_emulated && i < G_N_ELEMENTS(known); i++)
        if (strstr(device->name, known[i].part) != NULL) {
            *ret_is_its = TRUE;
            return known[i].profile;
        }
    *ret_is_its = FALSE;
    return ANY_BASE;
}

char *eep_calibration_device(const EepWireDevice *device)
{
    return g_strdup_printf("%s, CUDA %u.%u, driver %u.%u, NCCL %u.%u.%u", device->name,
                           device->runtime_version / 1000, device->runtime_version % 1000 / 10,
                           device->driver_version / 1000, device->driver_version % 1000 / 10,
                           device->nccl_version / 10000, device->nccl_version / 100 % 100,
                           device->nccl_version % 100);
}

/* "NVIDIA H100 80GB HBM3" as "nvidia-h100-80gb-hbm3-measured". New string. */
static char *name_of(const EepWireDevice *device)
{
    g_autoptr(GString) name = g_string_new(NULL);

    if (device->is_emulated)
        return g_strdup(EMULATED_NAME);
    for (const char *at = device->name; *at != '\0'; at++)
        if (g_ascii_isalnum(*at))
            g_string_append_c(name, g_ascii_tolower(*at));
        else if (name->len > 0 && name->str[name->len - 1] != '-')
            g_string_append_c(name, '-');
    if (name->len > 0 && name->str[name->len - 1] != '-')
        g_string_append_c(name, '-');
    g_string_append(name, "measured");
    return g_strdup(name->str);
}

/* -- where figures come from -- */

static guint option_index(const char *key)
{
    const EepOption *option = eep_options_find(&eep_hardware_options, key);

    g_assert(option != NULL);
    return (guint)(option - eep_hardware_options.options);
}

static void set_source(EepCalibrationProfile *profile, const char *key, EepBasis basis,
                       char *source)
{
    guint i = option_index(key);

    g_free(profile->sources[i]);
    profile->bases[i] = basis;
    profile->sources[i] = source;
}

static gboolean is_changed(const EepCalibrationProfile *profile, const char *key)
{
    const EepOption *option = &eep_hardware_options.options[option_index(key)];
    g_autofree char *before = eep_option_format(option, &profile->base_hardware);
    g_autofree char *after = eep_option_format(option, &profile->hardware);

    return g_strcmp0(before, after) != 0;
}

/* A peak that stayed is the base's. */
static gboolean is_peak(const char *key)
{
    static const char *const peaks[] = {"bf16_flops", "fp8_flops", "hbm_bandwidth",
                                        "nvlink_bandwidth", NULL};

    return g_strv_contains(peaks, key);
}

/* Two rows have the peak of bf16: it is of the one that reached it. */
static gboolean is_said(const EepCalibrationProfile *profile, const char *key,
                        const EepCalibrationRow *row)
{
    return profile->sources[option_index(key)] != NULL &&
           row->kinds[0] == EEP_MEASURE_GROUPED_GEMM &&
           profile->hardware.grouped_gemm_efficiency < profile->hardware.gemm_efficiency;
}

static guint most_ranks(const EepCalibrationRun *run)
{
    guint most = 1;

    for (guint i = 0; i < run->points->len; i++)
        most = MAX(most, g_array_index(run->points, EepCalibrationPoint, i).what.n_ranks);
    return most;
}

static char *source_of(const EepCalibrationRun *run, const EepCalibrationRow *row,
                       const EepCalibrationFit *fit, gboolean is_bound)
{
    g_autofree char *device = eep_calibration_device(&run->device);
    const char *first = eep_measures[row->kinds[0]].name,
               *second = eep_measures[row->kinds[1]].name;
    gboolean is_one = row->kinds[0] == row->kinds[1];

    return g_strdup_printf("eep calibrate, %s%s: %s%s%s, up to %u ranks, medians at %u points%s%s",
                           device, run->device.is_emulated ? " (" EMULATED_WORD ")" : "", first,
                           is_one ? "" : " and ", is_one ? "" : second, most_ranks(run),
                           fit->n_points, row->is_derived ? ", times 3" : "",
                           is_bound ? "; not told from noise: 0 fits best, this is their least "
                                      "scatter"
                                    : "");
}

static void note_row(EepCalibrationProfile *profile, const EepCalibrationRun *run,
                     const EepCalibrationRow *row, const EepCalibrationFit *fit)
{
    for (guint k = 0; k < EEP_CALIBRATION_MAX_KEYS && row->keys[k] != NULL; k++) {
        const char *key = row->keys[k];

        if (is_peak(key) && (!is_changed(profile, key) || is_said(profile, key, row)))
            continue;
        if (strcmp(key, "fp8_flops") == 0)
            set_source(profile, key, EEP_BASIS_ASSUMED,
                       g_strdup("not measured: the peak of bf16_flops is one that was reached"));
        else
            set_source(profile, key,
                       fit->is_bound[k]  ? EEP_BASIS_ASSUMED
                       : row->is_derived ? EEP_BASIS_DERIVED
                                         : EEP_BASIS_MEASURED,
                       source_of(run, row, fit, fit->is_bound[k]));
    }
}

/* What a worker says or shows without being timed. */
static void note_facts(EepCalibrationProfile *profile, const EepCalibrationRun *run)
{
    guint n_ranks = most_ranks(run);

    if (!run->device.is_emulated) {
        profile->hardware.hbm_bytes = (gint64)run->device.memory_bytes;
        set_source(profile, "hbm", EEP_BASIS_MEASURED,
                   g_strdup("eep calibrate: what the CUDA runtime says"));
    }
    if (n_ranks > profile->hardware.gpus_per_node) {
        profile->hardware.gpus_per_node = n_ranks;
        set_source(profile, "gpus_per_node", EEP_BASIS_MEASURED,
                   g_strdup("eep calibrate: so many ranks were measured on one host"));
    }
}

EepCalibrationProfile *eep_calibration_profile_new(const EepCalibrationRun *run, const char *base,
                                                   GError **error)
{
    g_autoptr(EepCalibrationProfile) profile = g_new0(EepCalibrationProfile, 1);
    g_autofree char *device = eep_calibration_device(&run->device);
    gboolean is_its;
    const char *nearest = eep_calibration_default_base(&run->device, &is_its);

    profile->base = eep_profile_load(&eep_profile_hardware, base != NULL ? base : nearest,
                                     eep_data_scenario_folders(), &profile->base_hardware, error);
    if (profile->base == NULL)
        return NULL;
    profile->name = name_of(&run->device);
    profile->description =
        run->device.is_emulated
            ? g_strdup_printf(EMULATED_WORD " (%s); the rest of %s", device, profile->base->name)
            : g_strdup_printf("%s, measured by eep calibrate; the rest of %s", device,
                              profile->base->name);
    profile->bases = g_new0(EepBasis, eep_hardware_options.n_options);
    profile->sources = g_new0(char *, eep_hardware_options.n_options);
    profile->fits = g_new0(EepCalibrationFit, eep_calibration_n_rows);
    eep_options_copy(&eep_hardware_options, &profile->hardware, &profile->base_hardware);
    note_facts(profile, run);
    /* A base that was asked for is taken as the device's. */
    eep_calibration_fit(&profile->hardware, !run->device.is_emulated && (is_its || base != NULL),
                        (const EepCalibrationPoint *)(gconstpointer)run->points->data,
                        run->points->len, profile->fits);
    for (guint i = 0; i < eep_calibration_n_rows; i++)
        if (profile->fits[i].is_fitted)
            note_row(profile, run, &eep_calibration_rows[i], &profile->fits[i]);
    return g_steal_pointer(&profile);
}

void eep_calibration_profile_free(EepCalibrationProfile *profile)
{
    if (profile == NULL)
        return;
    if (profile->base != NULL)
        eep_options_clear(&eep_hardware_options, &profile->base_hardware);
    if (profile->fits != NULL)
        eep_options_clear(&eep_hardware_options, &profile->hardware);
    for (guint i = 0; profile->sources != NULL && i < eep_hardware_options.n_options; i++)
        g_free(profile->sources[i]);
    g_free(profile->sources);
    g_free(profile->bases);
    g_free(profile->fits);
    g_free(profile->name);
    g_free(profile->description);
    eep_profile_free(profile->base);
    g_free(profile);
}

/* -- writing -- */

static void add_quoted(EepText *text, const char *value)
{
    eep_text_add_char(text, '"');
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            eep_text_add_char(text, '\\');
        eep_text_add_char(text, *value);
    }
    eep_text_add_char(text, '"');
}

static void add_figure(EepText *text, const char *key, const char *value, EepBasis basis,
                       const char *source)
{
    g_autofree char *head =
        g_strdup_printf("%s: {value: %s, basis: %s, source: ", key, value, eep_basis_words[basis]);

    eep_text_add_string(text, head);
    add_quoted(text, source);
    eep_text_add_string(text, "}\n");
}

void eep_calibration_profile_write(const EepCalibrationProfile *profile, EepText *text)
{
    eep_text_add_string(text, "kind: hardware\nname: ");
    eep_text_add_string(text, profile->name);
    eep_text_add_string(text, "\ndescription: ");
    add_quoted(text, profile->description);
    eep_text_add_char(text, '\n');
    for (guint i = 0; i < eep_hardware_options.n_options; i++) {
        const EepOption *option = &eep_hardware_options.options[i];
        const EepProfileFigure *base = &profile->base->figures[i];
        g_autofree char *value = eep_option_format(option, &profile->hardware);

        if (profile->sources[i] != NULL)
            add_figure(text, option->key, value, profile->bases[i], profile->sources[i]);
        else if (base->given && value != NULL)
            add_figure(text, option->key, value, base->basis, base->source);
    }
}
