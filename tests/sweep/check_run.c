#include "tests/sweep/check_run.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#define D G_GINT64_FORMAT

enum { COMPLETED, REJECTED, ABORTED, UNFINISHED, N_FATES };
static const char *const fates[N_FATES] = {"completed", "rejected", "aborted", "unfinished"};

enum {
    ID,
    ARRIVAL,
    FIRST,
    FINISH,
    PROMPT,
    OUTPUT,
    ENGINE,
    POOL,
    ATTEMPTS,
    PREEMPTIONS,
    FATE,
    REASON,
    CACHED,
    TTFT,
    TPOT,
    E2EL,
    MAX_ITL,
    MIGRATIONS,
    RETRIES,
    N_COLUMNS
};

/* Sums over the rows; [1] those of the measured window, [0] the others. */
typedef struct {
    gint64 n[2][N_FATES];
    gint64 attempts, preemptions, output_tokens, prompt_tokens, n_ttft;
    double ttft_ns;
} Sums;

#define WRONG(...) return g_strdup_printf(__VA_ARGS__)

/* Dotted path; NULL where there is nothing. */
static json_t *find(json_t *root, const char *path)
{
    g_auto(GStrv) keys = g_strsplit(path, ".", -1);

    for (char **key = keys; *key != NULL && root != NULL; key++)
        root = json_object_get(root, *key);
    return root;
}

static double number(json_t *root, const char *path)
{
    return json_number_value(find(root, path));
}

static gint64 integer(json_t *root, const char *path)
{
    return json_integer_value(find(root, path));
}

static gboolean is_near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (fabs(a) + fabs(b)) + 1e-12;
}

/* -- requests.csv ------------------------------------------------------------------------------ */

static gint64 cell(char **cells, int column)
{
    return cells[column][0] != '\0' ? g_ascii_strtoll(cells[column], NULL, 10) : -1;
}

static gboolean is_ms(const char *text, gint64 ns)
{
    g_autofree char *expected = g_strdup_printf("%" D ".%06" D, ns / 1000000, ns % 1000000);

    return strcmp(text, expected) == 0;
}

static char *check_times(char **cells, int fate)
{
    gint64 arrival = cell(cells, ARRIVAL), first = cell(cells, FIRST), finish = cell(cells, FINISH);

    if (arrival < 0 || (first >= 0 && first <= arrival))
        WRONG("the first token is not after the arrival");
    if ((fate == UNFINISHED) != (finish < 0) || (finish >= 0 && finish < MAX(arrival, first)))
        WRONG("the finish is not after arrival and first token");
    if (fate == COMPLETED && first < 0)
        WRONG("completed without a first token");
    if (first >= 0 && !is_ms(cells[TTFT], first - arrival))
        WRONG("TTFT %s is not first token - arrival", cells[TTFT]);
    if (fate == COMPLETED && !is_ms(cells[E2EL], finish - arrival))
        WRONG("E2EL %s is not finish - arrival", cells[E2EL]);
    if (fate == COMPLETED && cell(cells, OUTPUT) > 1) {
        double gap = (double)(finish - first) / (double)(cell(cells, OUTPUT) - 1);

        if (fabs(g_ascii_strtod(cells[TPOT], NULL) * 1e6 - gap) > 0.51)
            WRONG("TPOT %s is not (finish - first) / (output - 1)", cells[TPOT]);
        /* The longest gap is no shorter than the mean one. */
        if (g_ascii_strtod(cells[MAX_ITL], NULL) * 1e6 < gap - 1.0)
            WRONG("the longest gap %s is below TPOT %s", cells[MAX_ITL], cells[TPOT]);
    }
    return NULL;
}

static char *check_row(char **cells, gint64 warmup_ns, gint64 *ret_id, Sums *sums)
{
    int fate = 0;
    gboolean is_measured = cell(cells, ARRIVAL) >= warmup_ns;
    char *wrong;

    if (g_strv_length(cells) != N_COLUMNS)
        WRONG("%u columns", g_strv_length(cells));
    while (fate < N_FATES && strcmp(cells[FATE], fates[fate]) != 0)
        fate++;
    if (fate == N_FATES)
        WRONG("fate \"%s\"", cells[FATE]);
    if ((fate == REJECTED || fate == ABORTED) != (cells[REASON][0] != '\0'))
        WRONG("fate %s with reason \"%s\"", cells[FATE], cells[REASON]);
    if (cell(cells, ATTEMPTS) < 1 || (fate == COMPLETED && cell(cells, ENGINE) < 0))
        WRONG("no attempt or no engine");
    if (cell(cells, CACHED) < 0 ||
        (cell(cells, PREEMPTIONS) == 0 && fate == COMPLETED && cell(cells, ATTEMPTS) == 1 &&
         cell(cells, CACHED) >= cell(cells, PROMPT)))
        WRONG("%s cached tokens of %s", cells[CACHED], cells[PROMPT]);
    wrong = check_times(cells, fate);
    if (wrong != NULL)
        return wrong;
    *ret_id = cell(cells, ID);
    sums->n[is_measured][fate]++;
    if (!is_measured)
        return NULL;
    sums->attempts += cell(cells, ATTEMPTS);
    sums->preemptions += cell(cells, PREEMPTIONS);
    if (fate != COMPLETED)
        return NULL;
    sums->output_tokens += cell(cells, OUTPUT);
    sums->prompt_tokens += cell(cells, PROMPT);
    sums->n_ttft++;
    sums->ttft_ns += (double)(cell(cells, FIRST) - cell(cells, ARRIVAL));
    return NULL;
}

static char *check_rows(const char *text, gint64 warmup_ns, Sums *sums)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    guint n_rows = g_strv_length(lines) - 2; /* the header and what follows the last line feed */
    g_autofree guint8 *seen = g_new0(guint8, n_rows + 1);

    for (guint i = 1; i <= n_rows; i++) {
        g_auto(GStrv) cells = g_strsplit(lines[i], ",", -1);
        gint64 id = -1;
        g_autofree char *wrong = check_row(cells, warmup_ns, &id, sums);

        if (wrong != NULL)
            WRONG("requests.csv:%u: %s\n    %s", i + 1, wrong, lines[i]);
        /* Ids are the trace's rows: each once, none left out. */
        if (id < 0 || id >= (gint64)n_rows || seen[id]++)
            WRONG("requests.csv:%u: id %" D " of %u is out of range or twice", i + 1, id, n_rows);
    }
    return NULL;
}

/* -- timeline.csv -------------------------------------------------------------------------------
 */

/* Its intervals hold every arrival and every end once. */
static char *check_timeline(const char *text, const Sums *sums)
{
    enum { ARRIVALS = 2, N_SUMMED = 4 }; /* arrivals, completed, rejected, aborted */
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    gint64 total[N_SUMMED] = {0}, expected[N_SUMMED] = {0};

    for (int fate = 0; fate < N_FATES; fate++) {
        gint64 n = sums->n[0][fate] + sums->n[1][fate];

        expected[0] += n;
        if (fate + 1 < N_SUMMED)
            expected[fate + 1] = n;
    }
    for (guint i = 1; lines[i] != NULL && lines[i][0] != '\0'; i++) {
        g_auto(GStrv) cells = g_strsplit(lines[i], ",", -1);

        for (guint j = 0; j < N_SUMMED; j++)
            total[j] += cell(cells, (int)(ARRIVALS + j));
    }
    for (guint j = 0; j < N_SUMMED; j++)
        if (total[j] != expected[j])
            WRONG("timeline.csv: column %u sums to %" D ", requests.csv has %" D, ARRIVALS + j + 1,
                  total[j], expected[j]);
    return NULL;
}

/* -- summary.json ------------------------------------------------------------------------------ */

static char *check_fates(json_t *summary, const char *prefix, const gint64 n[N_FATES])
{
    gint64 total = 0;

    for (int fate = 0; fate < N_FATES; fate++) {
        g_autofree char *path = g_strconcat(prefix, fates[fate], NULL);
        json_t *value = find(summary, path);
        gint64 count = json_integer_value(value), by_reason = 0;
        const char *reason;
        json_t *part;

        if (json_is_object(value)) {
            count = integer(value, "total");
            json_object_foreach(value, reason, part) by_reason +=
                strcmp(reason, "total") != 0 ? json_integer_value(part) : 0;
            if (by_reason != count)
                WRONG("%s: reasons sum to %" D " of %" D, path, by_reason, count);
        }
        if (count != n[fate])
            WRONG("%s is %" D ", requests.csv has %" D, path, count, n[fate]);
        total += count;
    }
    g_autofree char *submitted = g_strconcat(prefix, "submitted", NULL);
    if (integer(summary, submitted) != total)
        WRONG("%s is %" D ", the fates sum to %" D, submitted, integer(summary, submitted), total);
    return NULL;
}

/* Each GPU of the cluster does one thing at a time. */
static char *check_gpu_hours(json_t *summary, const Drawn *drawn)
{
    double most = drawn->n_gpus * number(summary, "duration") / 3600.0;

    if (number(summary, "gpu_hours") > most * (1.0 + 1e-9))
        WRONG("gpu_hours is %.17g, the cluster has %.17g", number(summary, "gpu_hours"), most);
    return NULL;
}

static char *check_sums(json_t *summary, const Sums *sums)
{
    const struct {
        const char *key;
        gint64 value;
    } rows[] = {{"attempts", sums->attempts},
                {"preemptions", sums->preemptions},
                {"total_output_tokens", sums->output_tokens},
                {"total_input_tokens", sums->prompt_tokens},
                {"n_ttft", sums->n_ttft}};
    json_t *uses = find(summary, "gpu_hours_by_use"), *hours;
    double total = 0.0, mean;
    const char *use;

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        if (integer(summary, rows[i].key) != rows[i].value)
            WRONG("%s is %" D ", requests.csv has %" D, rows[i].key, integer(summary, rows[i].key),
                  rows[i].value);
    mean = sums->ttft_ns / 1e6 / (double)sums->n_ttft;
    if (sums->n_ttft > 0 && !is_near(mean, number(summary, "mean_ttft_ms")))
        WRONG("mean_ttft_ms is %.17g, requests.csv has %.17g", number(summary, "mean_ttft_ms"),
              mean);
    json_object_foreach(uses, use, hours)
    {
        if (json_number_value(hours) < 0.0)
            WRONG("gpu_hours_by_use.%s is %g", use, json_number_value(hours));
        total += json_number_value(hours);
    }
    if (!is_near(total, number(summary, "gpu_hours")))
        WRONG("gpu_hours is %.17g, its parts sum to %.17g", number(summary, "gpu_hours"), total);
    if (!(number(summary, "gpu_hours_tail") >= 0.0))
        WRONG("gpu_hours_tail is %g", number(summary, "gpu_hours_tail"));
    if (json_is_number(find(summary, "balancedness")) &&
        !(number(summary, "balancedness") > 0.0 && number(summary, "balancedness") <= 1.0 + 1e-12))
        WRONG("balancedness is %g", number(summary, "balancedness"));
    return NULL;
}

static char *check_phases(json_t *resize, double t0, double t3)
{
    json_t *phases = find(resize, "phases"), *phase;
    gsize i;

    json_array_foreach(phases, i, phase)
    {
        double start = number(phase, "start_s"), end = number(phase, "end_s");
        const char *name = json_string_value(find(phase, "name"));

        if (json_is_number(find(phase, "start_s")) && start < t0 - 1e-9)
            WRONG("phase %s begins at %.9f, before the resize", name, start);
        if (json_is_number(find(phase, "end_s")) && (end < start || end > t3 + 1e-9))
            WRONG("phase %s from %.9f to %.9f, resize ends at %.9f", name, start, end, t3);
    }
    return NULL;
}

/* t0 <= t1 <= t2 <= t3, and downtime is the union of stall and reject. */
static char *check_resize(json_t *resize)
{
    static const char *const parts[] = {"prepare_s", "commit_s", "settle_s",  "total_s",
                                        "stall_s",   "reject_s", "downtime_s"};
    const char *outcome = json_string_value(find(resize, "outcome"));
    double prepare = number(resize, "prepare_s"), commit = number(resize, "commit_s");
    double settle = number(resize, "settle_s"), total = number(resize, "total_s");
    double stall = number(resize, "stall_s"), reject = number(resize, "reject_s");
    double down = number(resize, "downtime_s"), t0 = number(resize, "accepted_s");

    for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
        if (number(resize, parts[i]) < 0.0)
            WRONG("%s is %g", parts[i], number(resize, parts[i]));
    if (strcmp(outcome, "complete") != 0)
        return NULL;
    if (t0 < number(resize, "at_s"))
        WRONG("accepted before it was asked for");
    if (fabs(prepare + commit + settle - total) > 2e-9 + 1e-12 * total)
        WRONG("%.9f + %.9f + %.9f s are not %.9f s", prepare, commit, settle, total);
    if (stall > down + 1e-9 || reject > down + 1e-9 || down > stall + reject + 1e-9)
        WRONG("downtime %.9f is no union of stall %.9f and reject %.9f", down, stall, reject);
    if (down > total + 1e-9)
        WRONG("downtime %.9f is longer than the resize, %.9f", down, total);
    return check_phases(resize, t0, t0 + total);
}

/* Each that was asked for once; recoveries are told besides. */
static char *check_resizes(json_t *summary, const Drawn *drawn)
{
    json_t *resizes = find(summary, "resizes"), *resize;
    guint n_asked = 0;
    gsize i;

    json_array_foreach(resizes, i, resize)
    {
        const char *id = json_string_value(find(resize, "id"));
        g_autofree char *wrong = check_resize(resize);

        if (wrong != NULL)
            WRONG("resizes.%s: %s", id, wrong);
        n_asked += id != NULL && id[0] == 'e';
    }
    if (n_asked > drawn->n_resizes || (!drawn->is_cut && n_asked != drawn->n_resizes))
        WRONG("%u resizes asked for, %u in the summary", drawn->n_resizes, n_asked);
    return NULL;
}

char *check_run(const char *folder, const Drawn *drawn)
{
    g_autofree char *rows_path = g_build_filename(folder, "requests.csv", NULL);
    g_autofree char *summary_path = g_build_filename(folder, "summary.json", NULL);
    g_autofree char *timeline_path = g_build_filename(folder, "timeline.csv", NULL);
    g_autofree char *rows = NULL, *timeline = NULL;
    json_t *summary = json_load_file(summary_path, 0, NULL);
    Sums sums = {0};
    char *wrong = NULL;

    if (summary == NULL || !g_file_get_contents(rows_path, &rows, NULL, NULL) ||
        !g_file_get_contents(timeline_path, &timeline, NULL, NULL)) {
        json_decref(summary);
        WRONG("no readable summary.json, requests.csv or timeline.csv");
    }
    wrong = check_rows(rows, (gint64)floor(number(summary, "warmup_s") * 1e9 + 0.5), &sums);
    if (wrong == NULL)
        wrong = check_timeline(timeline, &sums);
    if (wrong == NULL)
        wrong = check_fates(summary, "", sums.n[1]);
    if (wrong == NULL)
        wrong = check_fates(summary, "outside_window.", sums.n[0]);
    if (wrong == NULL && !drawn->is_cut && integer(summary, "unfinished") != 0)
        wrong = g_strdup("unfinished requests in a run that is drained");
    if (wrong == NULL)
        wrong = check_sums(summary, &sums);
    if (wrong == NULL)
        wrong = check_gpu_hours(summary, drawn);
    if (wrong == NULL)
        wrong = check_resizes(summary, drawn);
    json_decref(summary);
    return wrong;
}
