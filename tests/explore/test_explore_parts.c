/* sim/explore_table.h, sim/explore_frontier.h and sim/explore_hash.h. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "sim/explore_event.h"
#include "sim/explore_frontier.h"
#include "sim/explore_search.h"
#include "sim/explore_table.h"

static EepExploreHash nth(guint64 i)
{
    return (EepExploreHash){i * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15), (i + 1) << 2};
}

START_TEST(table_keeps_what_it_was_given)
{
    const guint64 n = 200000;
    EepExploreTable table;
    guint before;

    eep_explore_table_init(&table, G_GUINT64_CONSTANT(1) << 30);
    for (guint64 i = 0; i < n; i++) {
        ck_assert(eep_explore_table_mark(&table, nth(i), EEP_EXPLORE_VISITED, &before));
        ck_assert_uint_eq(before, 0);
    }
    ck_assert_uint_eq(table.n_visited, n);
    for (guint64 i = 0; i < n; i++) {
        ck_assert_uint_eq(eep_explore_table_marks(&table, nth(i)), EEP_EXPLORE_VISITED);
        ck_assert(eep_explore_table_mark(&table, nth(i), EEP_EXPLORE_ENDS, &before));
        ck_assert_uint_eq(before, EEP_EXPLORE_VISITED);
    }
    ck_assert_uint_eq(eep_explore_table_marks(&table, nth(n)), 0);
    ck_assert_uint_eq(table.n_entries, n);
    ck_assert_uint_eq(table.n_visited, n);
    /* 16 bytes each, in at most twice and a little more the places. */
    ck_assert_uint_eq(sizeof(EepExploreHash), 16);
    ck_assert_uint_le(eep_explore_table_bytes(&table), 4 * 16 * n);
    eep_explore_table_clear(&table);
}
END_TEST

START_TEST(table_stops_at_its_limit)
{
    EepExploreTable table;
    guint64 n = 0;
    guint before;

    eep_explore_table_init(&table, 4u << 20);
    while (n < 1000000 && eep_explore_table_mark(&table, nth(n), EEP_EXPLORE_VISITED, &before))
        n++;
    ck_assert_uint_le(eep_explore_table_bytes(&table), 4u << 20);
    ck_assert_uint_lt(n, 4 * 65536);
    ck_assert_uint_gt(n, 65536);
    for (guint64 i = 0; i < n; i++)
        ck_assert_uint_eq(eep_explore_table_marks(&table, nth(i)), EEP_EXPLORE_VISITED);
    eep_explore_table_clear(&table);
}
END_TEST

/* Sparse and dense states, enough of them for several chunks. */
START_TEST(frontier_gives_back_what_it_took)
{
    EepExploreFrontier frontier;
    guint8 state[2048], got[2048], path[3], got_path[3];
    EepRng rng, again;

    eep_rng_init(&rng, 7, "frontier");
    again = rng;
    eep_explore_frontier_init(&frontier, sizeof state);
    for (guint round = 0; round < 2; round++)
        for (guint i = 0; i < 3000; i++) {
            EepRng *from = round == 0 ? &rng : &again;

            memset(state, 0, sizeof state);
            for (guint k = 0; k < (i % 7 == 0 ? 5000u : 60u); k++)
                state[eep_rng_below(from, sizeof state)] = (guint8)eep_rng_below(from, 256);
            for (guint k = 0; k < sizeof path; k++)
                path[k] = (guint8)eep_rng_below(from, 256);
            if (round == 0) {
                eep_explore_frontier_push(&frontier, state, path, sizeof path);
                continue;
            }
            ck_assert(eep_explore_frontier_pop(&frontier, got, got_path, sizeof path));
            ck_assert(memcmp(got, state, sizeof state) == 0);
            ck_assert(memcmp(got_path, path, sizeof path) == 0);
        }
    ck_assert(!eep_explore_frontier_pop(&frontier, got, got_path, sizeof path));
    ck_assert_uint_eq(frontier.n_states, 0);
    eep_explore_frontier_clear(&frontier);
}
END_TEST

static gboolean is_same(EepExploreHash a, EepExploreHash b)
{
    return a.high == b.high && a.low == b.low;
}

/* Two ways to one state have one name; saved and loaded it keeps it. */
START_TEST(hash_forgets_the_way)
{
    static const char *const one[] = {"request for 3 engines", "e1 gets prepare",
                                      "e2 gets prepare"};
    static const char *const two[] = {"request for 3 engines", "e2 gets prepare",
                                      "e1 gets prepare"};
    EepExploreSetting setting;
    EepExploreHash hashes[2];
    GError *error = NULL;

    eep_explore_setting_init(&setting, "g2.1", 2, 3, 3, 1);
    for (guint i = 0; i < 2; i++) {
        EepExploreRig *rig = eep_explore_rig_new(&setting, NULL, &error);
        gpointer state = g_malloc0(eep_explore_rig_size(rig));
        EepExploreHash first = eep_explore_hash(rig, TRUE), last = first;

        for (guint k = 0; k < 3; k++) {
            const char *name = i == 0 ? one[k] : two[k];
            EepExploreEvent events[EEP_EXPLORE_MAX_EVENTS];
            guint n_due, n = eep_explore_events(rig, events, &n_due), at = 0;
            g_autoptr(GString) text = g_string_new(NULL);

            for (at = 0; at < n; at++) {
                g_string_truncate(text, 0);
                eep_explore_event_print(rig, events[at], text);
                if (strcmp(text->str, name) == 0)
                    break;
            }
            ck_assert_uint_lt(at, n);
            eep_explore_apply(rig, events[at]);
            ck_assert_str_eq(rig->violation, "");
            ck_assert(!is_same(last, eep_explore_hash(rig, TRUE)));
            last = eep_explore_hash(rig, TRUE);
        }
        hashes[i] = last;
        eep_explore_rig_save(rig, state);
        eep_explore_apply(rig, (EepExploreEvent){.kind = EEP_EXPLORE_STEP_BEGIN});
        ck_assert(!is_same(last, eep_explore_hash(rig, TRUE)));
        eep_explore_rig_load(rig, state);
        ck_assert(is_same(last, eep_explore_hash(rig, TRUE)));
        g_free(state);
        eep_explore_rig_free(rig);
    }
    ck_assert(is_same(hashes[0], hashes[1]));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("explore_parts");
    TCase *tests = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_test(tests, table_keeps_what_it_was_given);
    tcase_add_test(tests, table_stops_at_its_limit);
    tcase_add_test(tests, frontier_gives_back_what_it_took);
    tcase_add_test(tests, hash_forgets_the_way);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
