/* EepPictureData's tables: windows, percentiles and distributions as gnuplot reads them. */
#include "cli/gnuplot.h"
#include "cli/picture_data.h"
#include "core/percentile.h"
#include "core/text.h"

#include <math.h>

#define CDF_POINTS 400

static void add_field(EepText *text, double value)
{
    eep_text_add_double(text, value, 6);
    eep_text_add_char(text, ' ');
}

/* time, arrivals/s, completions/s, rejections and aborts/s, running, waiting. Time is the window's
 * middle; running and waiting are means over the intervals in it, summed over pools. An interval in
 * which forwards stood still and no step ended says nothing of them: where all of a window are
 * such, there is a gap. */
static gboolean write_windows(const EepPictureData *data, const char *folder, GError **error)
{
    typedef struct {
        double arrivals, completed, lost;
    } Window;
    typedef struct {
        double running, waiting, n;
    } Level;
    guint n = (guint)ceil(data->end_s / data->window_s) + 1;
    g_autofree Window *windows = g_new0(Window, n);
    g_autofree Level *levels = g_new0(Level, (gsize)n * data->pools->len);
    g_auto(EepText) text = {0};

    for (guint i = 0; i < data->requests->len; i++) {
        const EepPictureRequest *r = &g_array_index(data->requests, EepPictureRequest, i);
        windows[MIN((guint)((double)r->arrival_ns / 1e9 / data->window_s), n - 1)].arrivals++;
        if (r->finish_ns < 0)
            continue;
        Window *end = &windows[MIN((guint)((double)r->finish_ns / 1e9 / data->window_s), n - 1)];
        end->completed += r->is_completed;
        end->lost += r->is_lost;
    }
    for (guint i = 0; i < data->intervals->len; i++) {
        const EepPictureInterval *at = &g_array_index(data->intervals, EepPictureInterval, i);
        /* An interval's own half makes the index safe from rounding at the window's edge. */
        guint window = MIN((guint)(at->begin_s / data->window_s + 1e-6), n - 1);
        Level *level = &levels[(gsize)window * data->pools->len + at->pool];
        if (isnan(at->running) && at->stalled_share > 0.0)
            continue;
        level->running += isnan(at->running) ? 0.0 : at->running;
        level->waiting += isnan(at->waiting) ? 0.0 : at->waiting;
        level->n++;
    }
    for (guint i = 0; i < n && i * data->window_s < data->end_s; i++) {
        const Window *window = &windows[i];
        double running = 0.0, waiting = 0.0;
        guint n_known = 0;
        for (guint pool = 0; pool < data->pools->len; pool++) {
            const Level *level = &levels[(gsize)i * data->pools->len + pool];
            if (level->n > 0.0) {
                running += level->running / level->n;
                waiting += level->waiting / level->n;
                n_known++;
            }
        }
        /* The last window may be cut short by the run's end. */
        double length = fmin(data->window_s, data->end_s - i * data->window_s);
        if (length < 0.5 * data->window_s && i > 0)
            break;
        add_field(&text, i * data->window_s + length / 2);
        add_field(&text, window->arrivals / length);
        add_field(&text, window->completed / length);
        add_field(&text, window->lost / length);
        add_field(&text, n_known > 0 ? running : (double)NAN);
        add_field(&text, n_known > 0 ? waiting : (double)NAN);
        eep_text_add_char(&text, '\n');
    }
    return eep_gnuplot_add_table(folder, "windows.dat", &text, error);
}

/* Of one pool: size_N.dat (time, engines, where they change) and imbalance_N.dat (time, mean
 * max/mean of the window). */
static gboolean write_pool(const EepPictureData *data, guint pool, const char *folder,
                           guint *ret_n_imbalance, GError **error)
{
    g_auto(EepText) sizes = {0}, imbalance = {0};
    double engines = NAN, sum = 0.0, window = -1.0;
    guint n = 0;

    for (guint i = 0; i <= data->intervals->len; i++) {
        const EepPictureInterval *at = i < data->intervals->len
                                           ? &g_array_index(data->intervals, EepPictureInterval, i)
                                           : NULL;
        if (at != NULL && at->pool != pool)
            continue;
        double now = at == NULL ? INFINITY : floor(at->begin_s / data->window_s + 1e-6);
        if (now > window && n > 0) {
            add_field(&imbalance, (window + 0.5) * data->window_s);
            add_field(&imbalance, sum / n);
            eep_text_add_char(&imbalance, '\n');
            ++*ret_n_imbalance;
            n = 0;
            sum = 0.0;
        }
        if (at == NULL)
            break;
        /* A gap in the data is a gap in the line. */
        if (window >= 0.0 && now > window + 1.5)
            eep_text_add_char(&imbalance, '\n');
        window = now;
        if (!isnan(at->imbalance) && at->imbalance > 0.0) {
            sum += at->imbalance;
            n++;
        }
        if (!isnan(at->engines) && at->engines != engines) {
            engines = at->engines;
            add_field(&sizes, at->begin_s);
            add_field(&sizes, engines);
            eep_text_add_char(&sizes, '\n');
        }
    }
    add_field(&sizes, data->end_s);
    add_field(&sizes, engines);
    eep_text_add_char(&sizes, '\n');
    g_autofree char *sizes_name = g_strdup_printf("size_%u.dat", pool + 1);
    g_autofree char *imbalance_name = g_strdup_printf("imbalance_%u.dat", pool + 1);
    return eep_gnuplot_add_table(folder, sizes_name, &sizes, error) &&
           eep_gnuplot_add_table(folder, imbalance_name, &imbalance, error);
}

typedef struct {
    const char *name;
    goffset value, time; /* in EepPictureRequest: µs, and the ns at which it counts */
} Latency;

static const Latency latencies[] = {
    {"ttft", G_STRUCT_OFFSET(EepPictureRequest, ttft_us),
     G_STRUCT_OFFSET(EepPictureRequest, first_token_ns)},
    {"tpot", G_STRUCT_OFFSET(EepPictureRequest, tpot_us),
     G_STRUCT_OFFSET(EepPictureRequest, finish_ns)},
    {"e2el", G_STRUCT_OFFSET(EepPictureRequest, e2el_us),
     G_STRUCT_OFFSET(EepPictureRequest, finish_ns)},
};

/* NAME.dat: time, p50, p99 (nan below 100 requests), largest; ms; one line a window with requests,
 * an empty line for those without. */
static gboolean write_latency(const EepPictureData *data, const Latency *latency,
                              const char *folder, GError **error)
{
    guint n = (guint)ceil(data->end_s / data->latency_window_s) + 1;
    g_autofree GArray **windows = g_new0(GArray *, n);
    g_auto(EepText) text = {0};
    static const double q[] = {0.5, 0.99, 1.0};

    for (guint i = 0; i < n; i++)
        windows[i] = g_array_new(FALSE, FALSE, sizeof(gint64));
    for (guint i = 0; i < data->requests->len; i++) {
        const EepPictureRequest *request = &g_array_index(data->requests, EepPictureRequest, i);
        gint64 value = G_STRUCT_MEMBER(gint64, request, latency->value);
        gint64 time = G_STRUCT_MEMBER(gint64, request, latency->time);
        if (value < 0 || time < 0)
            continue;
        guint at = MIN((guint)((double)time / 1e9 / data->latency_window_s), n - 1);
        g_array_append_val(windows[at], value);
    }
    for (guint i = 0; i < n; i++) {
        double at[G_N_ELEMENTS(q)];
        if (eep_percentile_select((gint64 *)(gpointer)windows[i]->data, windows[i]->len, q,
                                  G_N_ELEMENTS(q), at)) {
            add_field(&text, (i + 0.5) * data->latency_window_s);
            add_field(&text, at[0] / 1e3);
            add_field(&text,
                      windows[i]->len >= EEP_PICTURE_P99_REQUESTS ? at[1] / 1e3 : (double)NAN);
            add_field(&text, at[2] / 1e3);
        }
        eep_text_add_char(&text, '\n');
        g_array_unref(windows[i]);
    }
    g_autofree char *name = g_strconcat(latency->name, ".dat", NULL);
    return eep_gnuplot_add_table(folder, name, &text, error);
}

static int compare_values(gconstpointer a, gconstpointer b)
{
    gint64 left = *(const gint64 *)a, right = *(const gint64 *)b;
    return (left > right) - (left < right);
}

/* NAME_cdf.dat: ms, share of completed and measured requests at most as long; as many lines as the
 * eye can tell apart, and all of the last hundredth. Values below 1 µs stand at 1 µs, for the log
 * axis. */
static gboolean write_cdf(const EepPictureData *data, const Latency *latency, const char *folder,
                          guint *ret_n, GError **error)
{
    g_autoptr(GArray) values = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_auto(EepText) text = {0};

    for (guint i = 0; i < data->requests->len; i++) {
        const EepPictureRequest *r = &g_array_index(data->requests, EepPictureRequest, i);
        gint64 value = G_STRUCT_MEMBER(gint64, r, latency->value);
        if (value >= 0 && (double)r->arrival_ns >= data->warmup_s * 1e9)
            g_array_append_val(values, value);
    }
    g_array_sort(values, compare_values);
    *ret_n = values->len;
    guint step = MAX(values->len / CDF_POINTS, 1);
    for (guint i = 0; i < values->len; i++) {
        if (i % step != 0 && i + 1 != values->len &&
            (i < 0.99 * values->len || i % MAX(step / 50, 1) != 0))
            continue;
        add_field(&text, (double)MAX(g_array_index(values, gint64, i), 1) / 1e3);
        add_field(&text, (i + 0.5) / values->len);
        eep_text_add_char(&text, '\n');
    }
    g_autofree char *name = g_strconcat(latency->name, "_cdf.dat", NULL);
    return eep_gnuplot_add_table(folder, name, &text, error);
}

/* gnuplot has no empty arrays: one element more than there are. */
static void add_arrays(EepText *text, const EepPictureData *data)
{
    g_autofree char *arrays = g_strdup_printf(
        "n_pools = %u\narray pool_name[%u]\nn_resizes = %u\narray resize_at[%u]\n"
        "array resize_commit[%u]\narray resize_serving[%u]\narray resize_end[%u]\n",
        data->pools->len, data->pools->len + 1, data->resizes->len, data->resizes->len + 1,
        data->resizes->len + 1, data->resizes->len + 1, data->resizes->len + 1);
    eep_text_add_string(text, arrays);
    for (guint i = 0; i < data->pools->len; i++) {
        g_autofree char *name = g_strdup_printf("pool_name[%u]", i + 1);
        eep_gnuplot_add_string(text, name, (const char *)data->pools->pdata[i]);
    }
    for (guint i = 0; i < data->resizes->len; i++) {
        const EepPictureResize *resize = &g_array_index(data->resizes, EepPictureResize, i);
        const struct {
            const char *name;
            double value;
        } parts[] = {{"resize_at", resize->at_s},
                     {"resize_commit", resize->commit_s},
                     {"resize_serving", resize->serving_s},
                     {"resize_end", resize->complete_s}};
        for (guint k = 0; k < G_N_ELEMENTS(parts); k++) {
            g_autofree char *name = g_strdup_printf("%s[%u]", parts[k].name, i + 1);
            eep_gnuplot_add_number(text, name, parts[k].value);
        }
    }
}

/* reshuffles.dat: a time a line. */
static gboolean write_reshuffles(const EepPictureData *data, const char *folder, GError **error)
{
    g_auto(EepText) text = {0};
    for (guint i = 0; i < data->reshuffles->len; i++) {
        add_field(&text, g_array_index(data->reshuffles, double, i));
        eep_text_add_char(&text, '\n');
    }
    return eep_gnuplot_add_table(folder, "reshuffles.dat", &text, error);
}

gboolean eep_picture_data_write(const EepPictureData *data, const char *folder, GError **error)
{
    g_auto(EepText) text = {0};
    guint n_imbalance = 0, n = 0;
    double largest = 1.0;

    if (!write_windows(data, folder, error) || !write_reshuffles(data, folder, error))
        return FALSE;
    for (guint i = 0; i < data->pools->len; i++)
        if (!write_pool(data, i, folder, &n_imbalance, error))
            return FALSE;
    for (guint i = 0; i < data->gantts->len; i++)
        if (!eep_picture_gantt_write(&g_array_index(data->gantts, EepPictureGantt, i), folder,
                                     error))
            return FALSE;
    eep_gnuplot_add_string(&text, "title", data->title);
    eep_gnuplot_add_number(&text, "end_s", data->end_s);
    eep_gnuplot_add_number(&text, "window_s", data->window_s);
    eep_gnuplot_add_number(&text, "latency_window_s", data->latency_window_s);
    eep_gnuplot_add_number(&text, "ttft_limit_ms", data->ttft_limit_ms);
    eep_gnuplot_add_number(&text, "tpot_limit_ms", data->tpot_limit_ms);
    eep_gnuplot_add_number(&text, "n_requests", data->requests->len);
    eep_gnuplot_add_number(&text, "n_imbalance", n_imbalance);
    eep_gnuplot_add_number(&text, "n_reshuffles", data->reshuffles->len);
    for (guint i = 0; i < data->intervals->len; i++)
        largest = fmax(largest, g_array_index(data->intervals, EepPictureInterval, i).engines);
    eep_gnuplot_add_number(&text, "largest_size", largest);
    for (guint i = 0; i < G_N_ELEMENTS(latencies); i++) {
        if (!write_latency(data, &latencies[i], folder, error) ||
            !write_cdf(data, &latencies[i], folder, &n, error))
            return FALSE;
        g_autofree char *name = g_strconcat("n_", latencies[i].name, NULL);
        eep_gnuplot_add_number(&text, name, n);
    }
    add_arrays(&text, data);
    return eep_gnuplot_add_table(folder, "run.gp", &text, error);
}
