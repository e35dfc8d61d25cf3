/* cli/run_folder.h: which folder, what is in it, and what is left when it cannot be written. */
#include <check.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/output_file.h"
#include "cli/run_folder.h"
#include "cli/run_trace.h"
#include "tests/run_folder/sample_run.h"
#include "tests/run_folder/schema_check.h"

static char *home; /* where each test runs */

static void enter(void)
{
    home = g_dir_make_tmp("eep-run-folder-XXXXXX", NULL);
    ck_assert(home != NULL && g_chdir(home) == 0);
}

static void leave(void)
{
    g_autofree char *command = g_strdup_printf("chmod -R u+rwx '%s'; rm -rf '%s'", home, home);

    ck_assert_int_eq(g_chdir("/"), 0);
    ck_assert_int_eq(system(command), 0);
    g_free(home);
}

static EepRunFolder *open_folder(const char *out, EepOutputEvents events, GError **error)
{
    const EepRunFolderOptions options = {events, sample_run_pools, 1};

    return eep_run_folder_open(out, "sample", &options, error);
}

/* A whole sample run; FALSE with an error where it could not be written. */
static gboolean run(const char *out, EepOutputEvents events, GError **error)
{
    EepRunFacts facts = sample_run_facts(NULL);
    g_autoptr(EepRunFolder) folder = open_folder(out, events, error);

    if (folder == NULL)
        return FALSE;
    g_autoptr(EepMetrics) metrics = sample_run_metrics(TRUE);
    g_autoptr(EepSummary) summary = eep_summary_new(metrics, &facts, NULL);
    sample_run_tell(eep_run_folder_observer(folder));
    return eep_run_folder_finish(folder, metrics, &facts, summary, error);
}

static char *read_file(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;

    ck_assert_msg(g_file_get_contents(path, &text, NULL, NULL), "%s", path);
    return text;
}

static gint count_entries(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    gint n = 0;

    if (dir == NULL)
        return -1;
    while (g_dir_read_name(dir) != NULL)
        n++;
    return n;
}

/* A folder that this run may not use is bad input, one that the system refuses to make is a
 * failure. */
static void check_not_opened(const char *out, GQuark domain, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(EepRunFolder) folder = open_folder(out, EEP_OUTPUT_DECISIONS, &error);

    ck_assert(folder == NULL);
    ck_assert_msg(error->domain == domain, "%s", error->message);
    ck_assert_msg(strstr(error->message, message) != NULL, "%s", error->message);
}

START_TEST(names_and_link)
{
    for (guint i = 1; i <= 3; i++) {
        g_autofree char *name = i == 1 ? g_strdup("sample") : g_strdup_printf("sample-%u", i);
        ck_assert(run(NULL, EEP_OUTPUT_DECISIONS, NULL));
        g_autofree char *target = g_file_read_link("runs/latest", NULL);
        ck_assert_str_eq(target, name);
        g_autofree char *path = g_build_filename("runs", name, NULL);
        ck_assert_int_eq(count_entries(path), 7);
    }
    ck_assert_int_eq(count_entries("runs"), 4);
}
END_TEST

START_TEST(odd_names)
{
    const EepRunFolderOptions options = {EEP_OUTPUT_DECISIONS, NULL, 0};
    const struct {
        const char *name, *path;
    } cases[] = {{"../../x", "runs/-.-..-x"},
                 {"", "runs/run"},
                 {"latest", "runs/latest-2"},
                 {".hidden", "runs/-hidden"},
                 {"a b", "runs/a-b"}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(EepRunFolder) folder = eep_run_folder_open(NULL, cases[i].name, &options, NULL);
        ck_assert_str_eq(eep_run_folder_path(folder), cases[i].path);
    }
    ck_assert_int_eq(count_entries("runs"), 0); /* none of them was finished */
}
END_TEST

START_TEST(a_user_s_latest_stays)
{
    ck_assert_int_eq(g_mkdir_with_parents("runs/latest", 0777), 0);
    ck_assert(run(NULL, EEP_OUTPUT_DECISIONS, NULL));
    ck_assert(!g_file_test("runs/latest", G_FILE_TEST_IS_SYMLINK));
    ck_assert_int_eq(count_entries("runs"), 2);
}
END_TEST

START_TEST(given_folder)
{
    ck_assert(run("deep/er/out", EEP_OUTPUT_DECISIONS, NULL));
    ck_assert_int_eq(count_entries("deep/er/out"), 7);
    ck_assert(!g_file_test("runs", G_FILE_TEST_EXISTS));
    g_autofree char *before = read_file("deep/er/out", "events.jsonl");

    /* An earlier run is replaced; what else is there stays. */
    ck_assert(g_file_set_contents("deep/er/out/notes.txt", "mine", -1, NULL));
    ck_assert(run("deep/er/out", EEP_OUTPUT_REQUESTS, NULL));
    g_autofree char *after = read_file("deep/er/out", "events.jsonl");
    ck_assert_uint_gt(strlen(after), strlen(before));
    ck_assert_int_eq(count_entries("deep/er/out"), 8);

    /* Empty, or left by a run that was killed. */
    ck_assert_int_eq(g_mkdir("empty", 0777), 0);
    ck_assert(run("empty", EEP_OUTPUT_DECISIONS, NULL));
    ck_assert_int_eq(g_mkdir("killed", 0777), 0);
    ck_assert(g_file_set_contents("killed/.requests.csv.partial", "id", -1, NULL));
    ck_assert(run("killed", EEP_OUTPUT_DECISIONS, NULL));
    ck_assert_int_eq(count_entries("killed"), 7);
}
END_TEST

START_TEST(refused_folders)
{
    ck_assert_int_eq(g_mkdir("papers", 0777), 0);
    ck_assert(g_file_set_contents("papers/thesis.tex", "x", -1, NULL));
    ck_assert(g_file_set_contents("file", "x", -1, NULL));
    check_not_opened("papers", G_FILE_ERROR,
                     "is not empty and holds no earlier run (\"thesis.tex\" is in it)");
    ck_assert(g_file_set_contents("papers/summary.json", "{}", -1, NULL));
    check_not_opened("papers", G_FILE_ERROR, "holds no earlier run");
    check_not_opened("file", G_FILE_ERROR, "file");
    check_not_opened("file/below", EEP_OUTPUT_ERROR, "cannot be made");
    check_not_opened("", G_FILE_ERROR, "is empty");
    ck_assert_int_eq(count_entries("papers"), 2);
}
END_TEST

/* Root may write anywhere, so the test is somebody else. */
START_TEST(unwritable_folder)
{
    ck_assert_int_eq(g_mkdir("closed", 0777), 0);
    ck_assert_int_eq(g_chmod("closed", 0555), 0);
    ck_assert_int_eq(g_chmod(".", 0777), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
    check_not_opened("closed/out", EEP_OUTPUT_ERROR, "cannot be made");

    g_autoptr(GError) error = NULL;
    g_autoptr(EepRunFolder) folder = open_folder("closed", EEP_OUTPUT_DECISIONS, &error);
    ck_assert(folder == NULL);
    ck_assert(error->domain == EEP_OUTPUT_ERROR);
    ck_assert_msg(strstr(error->message, "cannot be created") != NULL, "%s", error->message);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(count_entries("closed"), 0);
}
END_TEST

static void limit_files(rlim_t bytes)
{
    const struct rlimit limit = {bytes, RLIM_INFINITY};

    signal(SIGXFSZ, SIG_IGN);
    /* A check that holds is written to Check's own file, which the limit may stop. */
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
        ck_abort_msg("setrlimit failed");
}

/* As on a full disk: some files fit, others do not. */
START_TEST(full_disk)
{
    for (rlim_t bytes = 0; bytes < 30000; bytes = bytes * 3 + 10) {
        g_autoptr(GError) error = NULL;
        limit_files(bytes);
        gboolean written = run("full", EEP_OUTPUT_STEPS, &error);
        limit_files(RLIM_INFINITY);
        ck_assert(!written);
        ck_assert(error->domain == EEP_OUTPUT_ERROR);
        ck_assert(!g_file_test("full", G_FILE_TEST_EXISTS));
    }
}
END_TEST

START_TEST(full_disk_spares_the_earlier_run)
{
    static const char *const names[] = {"requests.csv", "events.jsonl",  "trace.json",
                                        "timeline.csv", "scenario.yaml", "summary.json"};
    char *before[G_N_ELEMENTS(names)];
    g_autoptr(GError) error = NULL;

    ck_assert(run("out", EEP_OUTPUT_DECISIONS, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        before[i] = read_file("out", names[i]);
    limit_files(5000);
    ck_assert(!run("out", EEP_OUTPUT_STEPS, &error));
    limit_files(RLIM_INFINITY);
    ck_assert_int_eq(count_entries("out"), 7);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *after = read_file("out", names[i]);
        ck_assert_str_eq(after, before[i]);
        g_free(before[i]);
    }
}
END_TEST

START_TEST(abandoned_run)
{
    g_autoptr(EepRunFolder) folder = open_folder("out", EEP_OUTPUT_DECISIONS, NULL);

    sample_run_tell(eep_run_folder_observer(folder));
    ck_assert_int_eq(count_entries("out"), 7); /* all hidden */
    ck_assert(!g_file_test("out/requests.csv", G_FILE_TEST_EXISTS));
    g_clear_pointer(&folder, eep_run_folder_free);
    ck_assert(!g_file_test("out", G_FILE_TEST_EXISTS));
}
END_TEST

START_TEST(equal_runs_equal_bytes)
{
    static const char *const names[] = {"requests.csv", "events.jsonl",  "trace.json",
                                        "timeline.csv", "scenario.yaml", "summary.json"};

    ck_assert(run("one", EEP_OUTPUT_STEPS, NULL));
    ck_assert(run("other/two", EEP_OUTPUT_STEPS, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *one = read_file("one", names[i]), *two = read_file("other/two", names[i]);
        ck_assert_str_eq(one, two);
        ck_assert(strstr(one, "node17") == NULL);
    }
}
END_TEST

static void check_line(const char *text, const char *line)
{
    g_autofree char *whole = g_strdup_printf("\n%s\n", line);

    ck_assert_msg(strstr(text, whole) != NULL, "no line %s", line);
}

START_TEST(tables)
{
    ck_assert(run("out", EEP_OUTPUT_DECISIONS, NULL));
    g_autofree char *requests = read_file("out", "requests.csv");
    ck_assert(g_str_has_prefix(
        requests, "id,arrival_ns,first_token_ns,finish_ns,prompt_tokens,output_tokens,engine,pool,"
                  "attempts,preemptions,fate,reason,cached_tokens,ttft_ms,tpot_ms,e2el_ms,"
                  "max_itl_ms,migrations,retries\n"));
    check_line(requests, "7,3500000000,3770000000,4370000000,1000,11,7,main,1,0,completed,,0,"
                         "270.000000,60.000000,870.000000,60.000000,0,0");
    check_line(requests,
               "95,47500000000,,50500000000,1000,0,,main,3,0,rejected,scaling_503,0,,,,,0,0");
    check_line(requests, "96,48000000000,48260000000,48350000000,1000,4,0,main,1,0,aborted,"
                         "scale_down,64,260.000000,,,30.000000,2,1");

    g_autofree char *timeline = read_file("out", "timeline.csv");
    ck_assert(g_str_has_prefix(timeline, "time_s,pool,arrivals,completed,"));
    check_line(timeline, "1,main,2,2,0,0,16,12,2,0.25,980,20,2,225,,230,2,30,,30,30.000000,1.25,0");
    check_line(timeline, "42,main,2,0,0,0,16,,,,0,0,0,,,,0,,,,,,0.8");
    check_line(timeline, "121,main,0,0,0,0,20,12,2,0.25,980,20,0,,,,0,,,,30.000000,1,0");
    g_auto(GStrv) rows = g_strsplit(timeline, "\n", -1);
    ck_assert_uint_eq(g_strv_length(rows), 1 + 123 + 1);

    g_autofree char *events = read_file("out", "events.jsonl");
    ck_assert_str_eq(events,
                     "{\"t_ns\":40000000000,\"pool\":\"main\",\"event\":\"resize_accepted\","
                     "\"id\":\"grow\",\"from\":16,\"to\":20,\"commit_ns\":41000000000,"
                     "\"share\":0.25}\n"
                     "{\"t_ns\":46500000000,\"pool\":\"main\",\"event\":\"eplb_rearranged\","
                     "\"trigger\":\"resize\",\"experts_moved\":12,\"bytes_moved\":8000000000,"
                     "\"bytes_intra_node\":6000000000,\"bytes_inter_node\":2000000000,"
                     "\"balancedness_before\":0.7,\"balancedness_after\":0.9,"
                     "\"stalled_ns\":0}\n"
                     "{\"t_ns\":55000000000,\"pool\":\"main\",\"event\":\"eplb_kept\","
                     "\"trigger\":\"cost_benefit\",\"reason\":\"not_worth_it\","
                     "\"balancedness\":0.75,\"predicted_saved_s\":0.5,\"cost_s\":0.625}\n"
                     "{\"t_ns\":60000000000,\"pool\":\"main\",\"event\":\"eplb_rearranged\","
                     "\"trigger\":\"cost_benefit\",\"experts_moved\":7,"
                     "\"bytes_moved\":5000000000,"
                     "\"bytes_intra_node\":0,\"bytes_inter_node\":0,\"balancedness_before\":0.8,"
                     "\"balancedness_after\":0.95,\"stalled_ns\":125000000,"
                     "\"predicted_saved_s\":2.5,\"cost_s\":0.125}\n");
    g_autofree char *scenario = read_file("out", "scenario.yaml");
    ck_assert_str_eq(scenario, "eep: 1\nname: sample\n");
}
END_TEST

/* Each line of events.jsonl, whatever was asked for, and wallclock.json. */
START_TEST(schemas)
{
    json_t *event_schema = schema_load("event"), *clock_schema = schema_load("wallclock");
    guint n_lines = 0;

    ck_assert(run("out", EEP_OUTPUT_STEPS, NULL));
    g_autofree char *events = read_file("out", "events.jsonl");
    g_auto(GStrv) lines = g_strsplit(events, "\n", -1);
    for (guint i = 0; lines[i] != NULL && *lines[i] != '\0'; i++) {
        json_t *line = json_loads(lines[i], JSON_REJECT_DUPLICATES, NULL);
        g_autofree char *fault = schema_check(event_schema, line);
        ck_assert_msg(line != NULL && fault == NULL, "%s: %s", lines[i], fault);
        json_decref(line);
        n_lines++;
    }
    ck_assert_uint_eq(n_lines, 4 + 240 + 236); /* decisions, requests, steps */
    g_autofree char *text = read_file("out", "wallclock.json");
    json_t *wallclock = json_loads(text, 0, NULL);
    g_autofree char *fault = schema_check(clock_schema, wallclock);
    ck_assert_msg(fault == NULL, "%s", fault);
    ck_assert_str_eq(json_string_value(json_object_get(wallclock, "host")), "node17");
    ck_assert_str_eq(json_string_value(json_object_get(wallclock, "started")),
                     "2023-11-14T22:13:20Z");
    json_decref(wallclock);
    json_decref(event_schema);
    json_decref(clock_schema);
}
END_TEST

static guint count_trace(json_t *events, const char *phase, const char *name)
{
    guint n = 0;
    gsize i;
    json_t *event;

    json_array_foreach(events, i, event)
    {
        n += strcmp(json_string_value(json_object_get(event, "ph")), phase) == 0 &&
             (name == NULL || strcmp(json_string_value(json_object_get(event, "name")), name) == 0);
    }
    return n;
}

/* Spans of one track either nest or do not touch: what overlaps otherwise is drawn wrong. */
static void check_nesting(json_t *events)
{
    gsize i, k;
    json_t *x, *y;

    json_array_foreach(events, i, x)
    {
        if (strcmp(json_string_value(json_object_get(x, "ph")), "X") != 0)
            continue;
        double x_begin = json_number_value(json_object_get(x, "ts"));
        double x_end = x_begin + json_number_value(json_object_get(x, "dur"));
        json_array_foreach(events, k, y)
        {
            double y_begin = json_number_value(json_object_get(y, "ts"));
            double y_end = y_begin + json_number_value(json_object_get(y, "dur"));
            gboolean same = json_equal(json_object_get(x, "tid"), json_object_get(y, "tid")) &&
                            json_equal(json_object_get(x, "pid"), json_object_get(y, "pid"));
            if (same && strcmp(json_string_value(json_object_get(y, "ph")), "X") == 0)
                ck_assert(!(x_begin < y_begin && y_begin < x_end && x_end < y_end));
        }
    }
}

/* Background phases of one role overlap, and so do faults. */
START_TEST(overlapping_spans)
{
    const EepSloOptions slo = {0};
    const EepMeasureOptions measure = {.bucket = EEP_NS_PER_S};
    const EepMetricsEnd end = {60 * EEP_NS_PER_S, 60 * EEP_NS_PER_S, 0};
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&slo, &measure);
    EepObserver *observer = eep_metrics_observer(metrics);
    EepResizeRecord record;
    g_auto(EepText) text = {0};

    eep_resize_record_init(&record, 0, "", "scenario", 0);
    record.generation = "eep";
    record.accepted = 0;
    record.n_phases = 24;
    for (guint i = 0; i < record.n_phases; i++)
        record.phases[i] = (EepResizePhase){
            "part", "new", i % 12 * EEP_NS_PER_S, (i % 12 + 8 + i / 12) * EEP_NS_PER_S, FALSE, 0};
    observer->ops->resize_ended(observer, &record);
    for (guint i = 0; i < 3; i++) {
        const EepIncident incident = {.fault = "hang",
                                      .outcome = "recovered",
                                      .at = i * EEP_NS_PER_S,
                                      .detection = EEP_NS_PER_S,
                                      .recovery = 5 * EEP_NS_PER_S};
        eep_metrics_add_incident(metrics, &incident);
    }
    eep_metrics_finish(metrics, &end);
    eep_run_trace_begin(&text);
    const EepRunFacts facts = sample_run_facts(NULL);
    eep_run_trace_end(&text, metrics, &facts);
    json_t *root = json_loads(eep_text_string(&text), JSON_REJECT_DUPLICATES, NULL);
    json_t *events = json_object_get(root, "traceEvents");
    ck_assert_uint_eq(count_trace(events, "X", "part"), 24);
    ck_assert_uint_eq(count_trace(events, "X", "undetected"), 3);
    check_nesting(events);
    const char *const names[] = {"faults", "faults (3)", "new", "new (2)"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *named = g_strdup_printf("\"name\":\"thread_name\",\"ts\":0.000,\"args\":"
                                                 "{\"name\":\"%s\"}",
                                                 names[i]);
        ck_assert_msg(strstr(eep_text_string(&text), named) != NULL, "%s", named);
    }
    json_decref(root);
}
END_TEST

static const json_t *find_trace(json_t *events, const char *phase, const json_t *thread,
                                const char *name)
{
    gsize i;
    json_t *event;

    json_array_foreach(events, i, event)
    {
        const json_t *args = json_object_get(event, "args");
        const json_t *named = json_object_get(thread == NULL ? args : event, "name");
        if (strcmp(json_string_value(json_object_get(event, "ph")), phase) == 0 &&
            g_strcmp0(json_string_value(named), name) == 0 &&
            (thread == NULL || json_equal(json_object_get(event, "tid"), thread)))
            return event;
    }
    ck_abort_msg("no event %s %s", phase, name);
    return NULL;
}

/* A thread of its own for each rank, with what it did, up to its own end. */
static void check_rank(json_t *events, guint rank)
{
    g_autofree char *name = g_strdup_printf("rank %u", rank);
    const json_t *thread = json_object_get(find_trace(events, "M", NULL, name), "tid");
    gboolean is_new = rank >= 16;
    const json_t *span = find_trace(events, "X", thread, is_new ? "launch" : "pause");

    ck_assert(json_number_value(json_object_get(span, "ts")) == (is_new ? 40e6 : 41e6));
    ck_assert(json_number_value(json_object_get(span, "dur")) == (rank == 18 ? 55e4 : 60e4));
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(span, "args"), "who")),
                     is_new ? "new" : "existing");
}

START_TEST(trace)
{
    for (guint with_steps = 0; with_steps < 2; with_steps++) {
        ck_assert(run("out", with_steps ? EEP_OUTPUT_STEPS : EEP_OUTPUT_DECISIONS, NULL));
        json_t *root = json_load_file("out/trace.json", JSON_REJECT_DUPLICATES, NULL);
        ck_assert(root != NULL);
        json_t *events = json_object_get(root, "traceEvents");
        ck_assert_uint_eq(count_trace(events, "X", "step"), with_steps ? 236 : 0);
        ck_assert_uint_eq(count_trace(events, "X", "resize 16->20"), 1);
        ck_assert_uint_eq(count_trace(events, "X", "pause"), 16);
        ck_assert_uint_eq(count_trace(events, "X", "launch"), 4);
        ck_assert_uint_eq(count_trace(events, "X", "switch"), 20);
        ck_assert_uint_eq(count_trace(events, "X", "fail"), 1);
        ck_assert_uint_eq(count_trace(events, "X", "undetected"), 1);
        check_nesting(events);
        for (guint rank = 0; rank < 20; rank++)
            check_rank(events, rank);
        ck_assert_uint_eq(count_trace(events, "C", "engines"), 2);
        ck_assert_uint_eq(count_trace(events, "C", "requests"), 123);
        ck_assert_uint_eq(count_trace(events, "M", "process_name"), 1);
        ck_assert_str_eq(
            json_string_value(json_object_get(json_object_get(root, "otherData"), "label")),
            "SIMULATED");
        json_decref(root);
    }
    g_autofree char *text = read_file("out", "trace.json");
    ck_assert(strstr(text, "\"name\":\"switch\",\"ts\":41600000.000,\"dur\":3400000.000") != NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run folder");
    TCase *tcase = tcase_create("run folder");
    tcase_add_checked_fixture(tcase, enter, leave);
    tcase_add_test(tcase, names_and_link);
    tcase_add_test(tcase, odd_names);
    tcase_add_test(tcase, a_user_s_latest_stays);
    tcase_add_test(tcase, given_folder);
    tcase_add_test(tcase, refused_folders);
    tcase_add_test(tcase, unwritable_folder);
    tcase_add_test(tcase, full_disk);
    tcase_add_test(tcase, full_disk_spares_the_earlier_run);
    tcase_add_test(tcase, abandoned_run);
    tcase_add_test(tcase, equal_runs_equal_bytes);
    tcase_add_test(tcase, tables);
    tcase_add_test(tcase, schemas);
    tcase_add_test(tcase, trace);
    tcase_add_test(tcase, overlapping_spans);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
