#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop/journal.h"
#include "core/loop/loop.h"

#define HEADER "{\"seed\": 7}"

static gboolean append(gpointer self, gconstpointer bytes, gsize n_bytes, GError **error)
{
    g_byte_array_append(self, bytes, (guint)n_bytes);
    return TRUE;
}

static gboolean refuse(gpointer self, gconstpointer bytes, gsize n_bytes, GError **error)
{
    (*(guint *)self)++;
    g_set_error_literal(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_IO, "disk full");
    return FALSE;
}

static EepEvent make_event(guint i)
{
    return (EepEvent){.time = (EepTime)i * i * 1000,
                      .source = EEP_SOURCE(EEP_SOURCE_WORKER, i * 300),
                      .event_class = (guint8)(i % 5),
                      .kind = (guint8)(1 + i % 10),
                      .flags = (guint16)(i * 7),
                      .seq = (guint64)i << (i % 50),
                      .a = i % 3 == 0 ? G_MAXUINT64 : i,
                      .b = i % 2 == 0 ? 0 : (guint64)i << 40,
                      .c = i};
}

/* Events 1..n with i actions each; event 3 has an empty blob, event 5 one of `n_blob` bytes. */
static GBytes *record(guint n, gsize n_blob)
{
    GByteArray *bytes = g_byte_array_new();
    g_autoptr(EepJournal) journal = eep_journal_new_recording(append, bytes, HEADER);
    ck_assert(!eep_journal_is_replay(journal));
    ck_assert_str_eq(eep_journal_header(journal), HEADER);
    for (guint i = 1; i <= n; i++) {
        EepEvent event = make_event(i);
        g_autoptr(GBytes) blob = NULL;
        if (i == 3)
            blob = g_bytes_new_static("", 0);
        if (i == 5)
            blob = g_bytes_new_take(g_malloc0(n_blob), n_blob);
        event.blob = blob;
        for (guint j = 0; j < i; j++)
            eep_journal_action(journal, i, j, 1);
        ck_assert(eep_journal_event(journal, &event, NULL));
    }
    ck_assert(eep_journal_flush(journal, NULL));
    return g_byte_array_free_to_bytes(bytes);
}

/* Walks the whole replay with the right actions; returns the number of events. */
static guint replay(EepJournal *journal, gsize n_blob)
{
    guint n = 0;
    EepEvent event;
    while (eep_journal_next(journal, &event)) {
        EepEvent expected = make_event(++n);
        ck_assert_int_eq(event.time, expected.time);
        ck_assert_uint_eq(event.source, expected.source);
        ck_assert_uint_eq(event.event_class, expected.event_class);
        ck_assert_uint_eq(event.kind, expected.kind);
        ck_assert_uint_eq(event.flags, expected.flags);
        ck_assert_uint_eq(event.seq, expected.seq);
        ck_assert_uint_eq(event.a, expected.a);
        ck_assert_uint_eq(event.b, expected.b);
        ck_assert_uint_eq(event.c, expected.c);
        ck_assert(n == 3 || n == 5 ? event.blob != NULL : event.blob == NULL);
        if (event.blob != NULL)
            ck_assert_uint_eq(g_bytes_get_size(event.blob), n == 3 ? 0 : n_blob);
        for (guint j = 0; j < n; j++)
            eep_journal_action(journal, n, j, 1);
        ck_assert(eep_journal_event(journal, &event, NULL));
    }
    return n;
}

START_TEST(round_trip)
{
    const gsize blob_sizes[] = {1, 1000, 65536, 200000};
    for (guint i = 0; i < G_N_ELEMENTS(blob_sizes); i++) {
        g_autoptr(GBytes) bytes = record(3000, blob_sizes[i]);
        gsize n_dropped = 99;
        g_autoptr(EepJournal) journal = eep_journal_new_replay(bytes, &n_dropped, NULL);
        ck_assert_ptr_nonnull(journal);
        ck_assert_uint_eq(n_dropped, 0);
        ck_assert(eep_journal_is_replay(journal));
        ck_assert_str_eq(eep_journal_header(journal), HEADER);
        ck_assert_uint_eq(replay(journal, blob_sizes[i]), 3000);
    }
}
END_TEST

START_TEST(tail_torn_at_every_byte)
{
    g_autoptr(GBytes) bytes = record(6, 10);
    gsize n_bytes = g_bytes_get_size(bytes);
    gsize n_header = 8 + 8 + strlen(HEADER);
    guint n_before = 0;
    for (gsize n = 0; n < n_bytes; n++) {
        g_autoptr(GBytes) torn = g_bytes_new_from_bytes(bytes, 0, n);
        g_autoptr(GError) error = NULL;
        gsize n_dropped;
        g_autoptr(EepJournal) journal = eep_journal_new_replay(torn, &n_dropped, &error);
        if (n < n_header) {
            ck_assert(g_error_matches(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_FORMAT));
            continue;
        }
        ck_assert_ptr_nonnull(journal);
        guint n_events = replay(journal, 10);
        ck_assert(n_events == n_before || (n_events == n_before + 1 && n_dropped == 0));
        ck_assert_uint_lt(n_events, 6);
        n_before = n_events;
    }
    ck_assert_uint_eq(n_before, 5);
}
END_TEST

START_TEST(zeros_behind_the_end_are_a_torn_tail)
{
    g_autoptr(GBytes) bytes = record(6, 10);
    gsize n_bytes;
    gconstpointer data = g_bytes_get_data(bytes, &n_bytes);
    guint8 *longer = g_malloc0(n_bytes + 100);
    memcpy(longer, data, n_bytes);
    g_autoptr(GBytes) padded = g_bytes_new_take(longer, n_bytes + 100);
    gsize n_dropped;
    g_autoptr(EepJournal) journal = eep_journal_new_replay(padded, &n_dropped, NULL);
    ck_assert_ptr_nonnull(journal);
    ck_assert_uint_eq(n_dropped, 100);
    ck_assert_uint_eq(replay(journal, 10), 6);
}
END_TEST

/* A flipped bit is found wherever it is: an error, or (length fields, last record) a torn tail. */
START_TEST(damage_never_passes)
{
    g_autoptr(GBytes) bytes = record(6, 10);
    gsize n_bytes;
    gconstpointer data = g_bytes_get_data(bytes, &n_bytes);
    guint n_errors = 0;
    for (gsize bit = 0; bit < 8 * n_bytes; bit++) {
        guint8 *damaged = g_memdup2(data, n_bytes);
        damaged[bit / 8] ^= (guint8)(1 << bit % 8);
        g_autoptr(GBytes) damaged_bytes = g_bytes_new_take(damaged, n_bytes);
        g_autoptr(GError) error = NULL;
        gsize n_dropped = 0;
        g_autoptr(EepJournal) journal = eep_journal_new_replay(damaged_bytes, &n_dropped, &error);
        if (journal == NULL) {
            ck_assert(g_error_matches(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_FORMAT));
            n_errors++;
        } else {
            ck_assert_uint_gt(n_dropped, 0);
            replay(journal, 10);
        }
    }
    ck_assert_uint_gt(n_errors, 4 * n_bytes);
}
END_TEST

START_TEST(repeated_record_is_damage)
{
    g_autoptr(GBytes) two = record(2, 0), three = record(3, 0);
    gsize n_two, n_three;
    const guint8 *data_two = g_bytes_get_data(two, &n_two);
    const guint8 *data_three = g_bytes_get_data(three, &n_three);
    GByteArray *array = g_byte_array_new();
    g_byte_array_append(array, data_three, (guint)n_three);
    g_byte_array_append(array, data_three + n_two, (guint)(n_three - n_two));
    g_byte_array_append(array, data_two + 8, 8);
    g_autoptr(GBytes) bytes = g_byte_array_free_to_bytes(array);
    g_autoptr(GError) error = NULL;
    ck_assert_ptr_null(eep_journal_new_replay(bytes, NULL, &error));
    ck_assert(strstr(error->message, "bad record 4") != NULL);
}
END_TEST

START_TEST(first_differing_event_is_named)
{
    g_autoptr(GBytes) bytes = record(4, 0);
    g_autoptr(EepJournal) journal = eep_journal_new_replay(bytes, NULL, NULL);
    EepEvent event;
    ck_assert(eep_journal_next(journal, &event));
    eep_journal_action(journal, 1, 0, 1);
    ck_assert(eep_journal_event(journal, &event, NULL));
    guint64 hash = eep_journal_hash(journal);
    ck_assert(eep_journal_next(journal, &event));
    eep_journal_action(journal, 2, 0, 1); /* the second action is missing */
    g_autoptr(GError) error = NULL;
    ck_assert(!eep_journal_event(journal, &event, &error));
    ck_assert(g_error_matches(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_DIVERGED));
    ck_assert(strstr(error->message, "event 1: operator of source 0x2000258") != NULL);
    ck_assert(strstr(error->message, "at 4000 ns") != NULL);
    ck_assert_uint_ne(hash, eep_journal_hash(journal));
}
END_TEST

START_TEST(hash_sees_order_kind_and_words)
{
    const guint64 words[][3] = {{1, 2, 3}, {2, 1, 3}, {1, 3, 2}, {1, 2, 4}, {0, 0, 0}};
    guint64 hashes[G_N_ELEMENTS(words) + 2];
    guint n_sinks = 0;
    for (guint i = 0; i < G_N_ELEMENTS(hashes); i++) {
        g_autoptr(EepJournal) journal = eep_journal_new_recording(refuse, &n_sinks, "");
        if (i < G_N_ELEMENTS(words))
            eep_journal_action(journal, (guint32)words[i][0], words[i][1], words[i][2]);
        if (i == G_N_ELEMENTS(words))
            for (guint j = 0; j < 2; j++)
                eep_journal_action(journal, 0, 0, 0);
        hashes[i] = eep_journal_hash(journal);
        for (guint j = 0; j < i; j++)
            ck_assert_uint_ne(hashes[i], hashes[j]);
    }
    ck_assert_uint_eq(n_sinks, 0);
}
END_TEST

START_TEST(sink_error_stays)
{
    guint n_calls = 0;
    g_autoptr(EepJournal) journal = eep_journal_new_recording(refuse, &n_calls, HEADER);
    EepEvent event = make_event(1);
    ck_assert(eep_journal_event(journal, &event, NULL)); /* buffered */
    g_autoptr(GError) error = NULL;
    ck_assert(!eep_journal_flush(journal, &error));
    ck_assert_str_eq(error->message, "disk full");
    g_clear_error(&error);
    ck_assert(!eep_journal_flush(journal, &error));
    ck_assert(g_error_matches(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_IO));
    ck_assert_uint_eq(n_calls, 1);
}
END_TEST

/* A small world: a plan every 10 ns submits an operation that a "backend" ends 4 ns later. */
typedef struct {
    EepLoop *loop;
    gboolean has_backend, is_different;
    guint n_plans;
    GString *log;
} World;

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    World *world = self;
    g_string_append_printf(world->log, "%s@%d ", eep_event_names[event->kind], (int)event->time);
    if (event->kind == EEP_EVENT_OP_DONE) {
        ck_assert_str_eq(g_bytes_get_data(event->blob, NULL), "ends");
        eep_loop_record_action(world->loop, 2, event->a, 0);
        return TRUE;
    }
    guint64 n = ++world->n_plans;
    eep_loop_record_action(world->loop, 1, n == 3 && world->is_different ? 99 : n, 0);
    if (world->has_backend) {
        EepEvent done = {.source = EEP_SOURCE(EEP_SOURCE_WORKER, 1),
                         .event_class = EEP_CLASS_BACKEND,
                         .kind = EEP_EVENT_OP_DONE,
                         .a = n,
                         .blob = g_bytes_new_static("ends", 5)};
        eep_loop_schedule(world->loop, event->time + 4, &done);
    }
    EepEvent plan = {.event_class = EEP_CLASS_TIMER, .kind = EEP_EVENT_PLAN};
    if (n < 5)
        eep_loop_schedule(world->loop, event->time + 10, &plan);
    return TRUE;
}

static gboolean run_world(World *world, EepJournal *journal, GError **error)
{
    g_autoptr(EepClock) clock = eep_clock_replay_new(TRUE);
    g_autoptr(EepLoop) loop = world->loop = eep_loop_new(clock, handle, world, NULL, NULL, journal);
    EepEvent plan = {.event_class = EEP_CLASS_TIMER, .kind = EEP_EVENT_PLAN};
    eep_loop_schedule(loop, 0, &plan);
    return eep_loop_run(loop, 25, error) && eep_loop_run(loop, EEP_TIME_NEVER, error);
}

#define LOG                                                                                        \
    "plan@0 op_done@4 plan@10 op_done@14 plan@20 op_done@24 plan@30 op_done@34 plan@40 "           \
    "op_done@44 "

static GBytes *record_world(void)
{
    GByteArray *array = g_byte_array_new();
    g_autoptr(EepJournal) recording = eep_journal_new_recording(append, array, HEADER);
    World world = {.has_backend = TRUE, .log = g_string_new(NULL)};
    ck_assert(run_world(&world, recording, NULL));
    ck_assert_str_eq(world.log->str, LOG);
    ck_assert(eep_journal_flush(recording, NULL));
    g_string_free(world.log, TRUE);
    return g_byte_array_free_to_bytes(array);
}

START_TEST(loop_replays_with_and_without_backend)
{
    g_autoptr(GBytes) bytes = record_world();
    for (guint i = 0; i < 2; i++) {
        World world = {.has_backend = i == 0, .log = g_string_new(NULL)};
        g_autoptr(EepJournal) journal = eep_journal_new_replay(bytes, NULL, NULL);
        g_autoptr(GError) error = NULL;
        ck_assert(run_world(&world, journal, &error));
        ck_assert_str_eq(world.log->str, LOG);
        g_string_free(world.log, TRUE);
    }
}
END_TEST

START_TEST(loop_names_a_divergence)
{
    g_autoptr(GBytes) bytes = record_world();
    World world = {.is_different = TRUE, .log = g_string_new(NULL)};
    g_autoptr(EepJournal) journal = eep_journal_new_replay(bytes, NULL, NULL);
    g_autoptr(GError) error = NULL;
    ck_assert(!run_world(&world, journal, &error));
    ck_assert(g_error_matches(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_DIVERGED));
    ck_assert(strstr(error->message, "event 4: plan") != NULL);
    g_string_free(world.log, TRUE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal");
    TCase *tcase = tcase_create("journal");
    tcase_add_test(tcase, round_trip);
    tcase_add_test(tcase, tail_torn_at_every_byte);
    tcase_add_test(tcase, zeros_behind_the_end_are_a_torn_tail);
    tcase_add_test(tcase, damage_never_passes);
    tcase_add_test(tcase, repeated_record_is_damage);
    tcase_add_test(tcase, first_differing_event_is_named);
    tcase_add_test(tcase, hash_sees_order_kind_and_words);
    tcase_add_test(tcase, sink_error_stays);
    tcase_add_test(tcase, loop_replays_with_and_without_backend);
    tcase_add_test(tcase, loop_names_a_divergence);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
