#include "cli/calibration_report.h"

#include <math.h>

#include "cli/command.h"

static const EepCalibrationPoint *point_at(const EepCalibrationRun *run, guint index)
{
    return &g_array_index(run->points, EepCalibrationPoint, index);
}

/* Whose times they are. A name that a worker told may have any character. New string. */
static char *device_word(const EepWireDevice *device)
{
    return g_strdelimit(g_strdup(device->is_emulated ? "emulated" : device->name), ",\"\r\n", ' ');
}

void eep_calibration_add_samples(const EepCalibrationRun *run, EepText *text)
{
    g_autofree char *device = device_word(&run->device);

    eep_text_add_string(text, "measurement,ranks,size,repetition,ns,device\n");
    for (guint i = 0; i < run->points->len; i++) {
        const EepMeasurement *what = &point_at(run, i)->what;
        const GArray *samples = g_ptr_array_index(run->samples, i);
        g_autofree char *size = eep_measurement_size(what);

        for (guint k = 0; k < samples->len; k++)
            eep_command_add_line(text, "%s,%u,%s,%u,%" G_GINT64_FORMAT ",%s",
                                 eep_measures[what->kind].name, what->n_ranks, size, k,
                                 g_array_index(samples, gint64, k), device);
    }
}

/* -- the table -- */

/* Four digits: the profile has them all. */
static char *value_of(const EepCalibrationReport *report, const char *key)
{
    const EepOption *option = eep_options_find(&eep_hardware_options, key);
    gconstpointer value = (const char *)report->loaded + option->offset;
    EepTime time;

    switch (option->type) {
    case EEP_OPTION_DOUBLE:
        return g_strdup_printf("%.4g", *(const double *)value);
    case EEP_OPTION_BYTES_PER_S:
        return g_strdup_printf("%.4g GB/s", *(const double *)value / 1e9);
    case EEP_OPTION_TIME:
        time = *(const EepTime *)value;
        return time < EEP_NS_PER_MS ? g_strdup_printf("%.4g us", (double)time / 1e3)
                                    : g_strdup_printf("%.4g ms", (double)time / 1e6);
    default:
        return eep_option_format(option, report->loaded);
    }
}

static guint samples_of_row(const EepCalibrationRun *run, const EepCalibrationRow *row)
{
    guint n = 0;

    for (guint i = 0; i < run->points->len; i++) {
        EepMeasureKind kind = point_at(run, i)->what.kind;

        if (kind == row->kinds[0] || kind == row->kinds[1])
            n += ((const GArray *)g_ptr_array_index(run->samples, i))->len;
    }
    return n;
}

static gboolean is_bound(const EepCalibrationReport *report, guint row, const char *key)
{
    for (guint k = 0; k < EEP_CALIBRATION_MAX_KEYS; k++)
        if (g_strcmp0(eep_calibration_rows[row].keys[k], key) == 0)
            return report->profile->fits[row].is_bound[k];
    return FALSE;
}

/* Not a key that an earlier row has as well, a peak of the base's that was left, or what follows
 * from a peak that was not. */
static gboolean is_shown(const EepCalibrationReport *report, guint row, const char *key)
{
    const EepOption *option = eep_options_find(&eep_hardware_options, key);
    guint index = (guint)(option - eep_hardware_options.options);

    for (guint r = 0; r < row; r++)
        for (guint k = 0; report->profile->fits[r].is_fitted && k < EEP_CALIBRATION_MAX_KEYS; k++)
            if (g_strcmp0(eep_calibration_rows[r].keys[k], key) == 0)
                return FALSE;
    return report->profile->sources[index] != NULL &&
           (report->profile->bases[index] != EEP_BASIS_ASSUMED || is_bound(report, row, key));
}

typedef void (*Show)(gpointer self, const EepCalibrationReport *report, guint row, const char *key);

static void each_figure(const EepCalibrationReport *report, Show show, gpointer self)
{
    for (guint r = 0; r < eep_calibration_n_rows; r++)
        for (guint k = 0; k < EEP_CALIBRATION_MAX_KEYS && eep_calibration_rows[r].keys[k] != NULL;
             k++)
            if (report->profile->fits[r].is_fitted &&
                is_shown(report, r, eep_calibration_rows[r].keys[k]))
                show(self, report, r, eep_calibration_rows[r].keys[k]);
}

static void show_line(gpointer self, const EepCalibrationReport *report, guint row, const char *key)
{
    const EepCalibrationFit *fit = &report->profile->fits[row];
    g_autofree char *value = value_of(report, key);

    eep_command_add_line(self, "%-26s %12s %8u %8u %8.1f %% %8.1f %%%s", key, value, fit->n_points,
                         samples_of_row(report->run, &eep_calibration_rows[row]),
                         100.0 * fit->spread, 100.0 * fit->deviation,
                         is_bound(report, row, key) ? "  at most: noise" : "");
}

/* How far the profile's prediction is from what was seen; negative: it makes none. */
static double deviation_at(const EepCalibrationReport *report, const EepCalibrationPoint *point)
{
    double predicted = eep_calibration_predict(report->loaded, &point->what);

    return predicted > 0.0 && point->seconds > 0.0 ? fabs(predicted / point->seconds - 1.0) : -1.0;
}

static gint compare_doubles(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void add_prediction(const EepCalibrationReport *report, EepMeasureKind kind, EepText *text)
{
    g_autoptr(GArray) deviations = g_array_new(FALSE, FALSE, sizeof(double));
    guint n = 0;

    for (guint i = 0; i < report->run->points->len; i++) {
        const EepCalibrationPoint *point = point_at(report->run, i);
        double deviation = deviation_at(report, point);

        n += point->what.kind == kind;
        if (point->what.kind == kind && deviation >= 0.0)
            g_array_append_val(deviations, deviation);
    }
    g_array_sort(deviations, compare_doubles);
    if (n > 0 && deviations->len == 0)
        eep_command_add_line(text, "%-26s %8u   no figure is made of it", eep_measures[kind].name,
                             n);
    else if (n > 0)
        eep_command_add_line(text, "%-26s %8u %8.1f %% %8.1f %%", eep_measures[kind].name, n,
                             100.0 * g_array_index(deviations, double, deviations->len / 2),
                             100.0 * g_array_index(deviations, double, deviations->len - 1));
}

void eep_calibration_add_report(const EepCalibrationReport *report, EepText *text)
{
    g_autofree char *device = eep_calibration_device(&report->run->device);

    eep_command_add_line(text, "Device    %s%s", device,
                         report->run->device.is_emulated
                             ? "\n          EMULATED: these are times of the host, of no GPU"
                             : "");
    eep_command_add_line(text, "Base      %s: every figure that is not in the table\n",
                         report->profile->base->name);
    eep_command_add_line(text, "%-26s %12s %8s %8s %10s %10s", "figure", "value", "points",
                         "samples", "spread", "deviation");
    each_figure(report, show_line, text);
    eep_command_add_line(text, "\n%-26s %8s %10s %10s", "measured, and predicted by it", "points",
                         "median", "worst");
    for (guint kind = 0; kind < EEP_MEASURE_COUNT; kind++)
        add_prediction(report, kind, text);
    eep_command_add_line(text, "\nProfile   %s\nSamples   %s", report->profile_path,
                         report->samples_path);
    eep_command_add_line(text, "Next      eep run SCENARIO --set hardware.profile=%s",
                         report->profile_path);
}

/* -- JSON -- */

static void show_object(gpointer self, const EepCalibrationReport *report, guint row,
                        const char *key)
{
    const EepCalibrationFit *fit = &report->profile->fits[row];
    const EepOption *option = eep_options_find(&eep_hardware_options, key);
    g_autofree char *value = eep_option_format(option, report->loaded);
    EepJson *json = self;

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "key", key);
    eep_json_add_string(json, "value", value);
    eep_json_add_bool(json, "is_bound", is_bound(report, row, key));
    eep_json_add_string(json, "formula", eep_calibration_rows[row].formula);
    eep_json_add_int(json, "points", fit->n_points);
    eep_json_add_int(json, "samples", samples_of_row(report->run, &eep_calibration_rows[row]));
    eep_json_add_double(json, "spread", fit->spread, 6);
    eep_json_add_double(json, "deviation", fit->deviation, 6);
    eep_json_end_object(json);
}

static void add_point(const EepCalibrationReport *report, guint index, EepJson *json)
{
    const EepCalibrationPoint *point = point_at(report->run, index);
    g_autofree char *size = eep_measurement_size(&point->what);
    double predicted = eep_calibration_predict(report->loaded, &point->what);

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "measurement", eep_measures[point->what.kind].name);
    eep_json_add_int(json, "ranks", point->what.n_ranks);
    eep_json_add_string(json, "size", size);
    eep_json_add_int(json, "samples",
                     ((const GArray *)g_ptr_array_index(report->run->samples, index))->len);
    eep_json_add_double(json, "median_s", point->seconds, 10);
    eep_json_add_double(json, "spread_s", point->spread, 10);
    eep_json_add_double(json, "predicted_s", predicted > 0.0 ? predicted : (double)NAN, 10);
    eep_json_end_object(json);
}

void eep_calibration_add_json(const EepCalibrationReport *report, EepJson *json)
{
    g_autofree char *device = eep_calibration_device(&report->run->device);

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "device", device);
    eep_json_add_bool(json, "is_emulated", report->run->device.is_emulated != 0);
    eep_json_add_string(json, "base", report->profile->base->name);
    eep_json_add_string(json, "profile", report->profile_path);
    eep_json_add_string(json, "samples", report->samples_path);
    eep_json_begin_array(json, "figures");
    each_figure(report, show_object, json);
    eep_json_end_array(json);
    eep_json_begin_array(json, "measurements");
    for (guint i = 0; i < report->run->points->len; i++)
        add_point(report, i, json);
    eep_json_end_array(json);
    eep_json_end_object(json);
}
