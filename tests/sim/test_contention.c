/* sim/contention.c and core/link_share.h: by hand, and against a queue that goes on nanosecond by
 * nanosecond. */
#include "sim/contention.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "core/link_share.h"

START_TEST(rates_at_the_ends)
{
    static const struct {
        double share, all2all, step, move;
    } rows[] = {
        {0.0, 0.5, 1.0, 1.0},        /* off */
        {0.5, 0.0, 1.0, 1.0},        /* no all-to-all */
        {0.5, 1.0, 0.5, 0.5},        /* nothing but all-to-all: halves */
        {0.5, 0.5, 2 / 3., 2 / 3.},  /* one own second takes 1 + a q = 1.5 */
        {0.25, 0.5, 6 / 7., 4 / 7.}, /* q = 1/3: 1 + 1/6, in which the move does 1/2 + 1/6 */
        {1.0, 0.25, 0.0, 1.0},       /* moves first */
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        EepLinkRates rates = eep_link_share_rates(rows[i].share, rows[i].all2all);
        ck_assert_double_eq_tol(rates.step, rows[i].step, 1e-12);
        ck_assert_double_eq_tol(rates.move, rows[i].move, 1e-12);
    }
    ck_assert_double_eq_tol(eep_link_share_steps_lose_s(0.5, 0.3, 2.0), 0.6, 1e-12);
    ck_assert_double_eq_tol(eep_link_share_move_lasts_s(0.5, 0.3, 2.0), 2.6, 1e-12);
    ck_assert_double_eq(eep_link_share_steps_lose_s(0.0, 0.3, 2.0), 0.0);
}
END_TEST

START_TEST(alone_each_lasts_its_own_time)
{
    EepContentionStep steps[] = {{0, 1000, 0.5, 0}, {0, 700, 0.5, 0}};
    EepContentionMove moves[] = {{2000, 100, 300, 0}, {0, 5, 0, 0}};
    eep_contention_run(0.5, steps, 2, moves, 2, 0, EEP_TIME_NEVER);
    ck_assert_int_eq(steps[0].end, 1000);
    ck_assert_int_eq(steps[1].end, 1700);
    ck_assert_int_eq(moves[0].end, 2400);
    ck_assert_int_eq(moves[1].end, 2405);
}
END_TEST

START_TEST(both_slow_down_where_they_overlap)
{
    /* At 2/3 the transfers of 400 take 600, in which the step does 400: it ends 200 late, which is
     * q * all-to-all (500) * overlapped fraction of its own time (0.4). */
    EepContentionStep step = {0, 1000, 0.5, 0};
    EepContentionMove move = {0, 0, 400, 0};
    eep_contention_run(0.5, &step, 1, &move, 1, 0, EEP_TIME_NEVER);
    ck_assert_int_eq(move.end, 600);
    ck_assert_int_eq(step.end, 1200);
    /* What needs no links slows nothing; what is left of the transfers when the step is over runs
     * alone: 100 of the step's time in 150, in which the move does 100. */
    step = (EepContentionStep){0, 1000, 0.5, 0};
    move = (EepContentionMove){0, 900, 400, 0};
    eep_contention_run(0.5, &step, 1, &move, 1, 0, EEP_TIME_NEVER);
    ck_assert_int_eq(step.end, 1050);
    ck_assert_int_eq(move.end, 1350);
}
END_TEST

START_TEST(all_of_the_links_stop_the_step)
{
    EepContentionStep step = {0, 1000, 0.1, 0};
    EepContentionMove move = {250, 0, 400, 0};
    eep_contention_run(1.0, &step, 1, &move, 1, 0, EEP_TIME_NEVER);
    ck_assert_int_eq(move.end, 650);
    ck_assert_int_eq(step.end, 1400);
}
END_TEST

START_TEST(until_takes_off_what_is_done)
{
    EepContentionStep step = {10, 1000, 0.5, -1};
    EepContentionMove move = {0, 100, 400, -1};
    eep_contention_run(0.5, &step, 1, &move, 1, 0, 400);
    ck_assert_int_eq(move.local, 0);
    ck_assert_int_eq(move.link, 200); /* 300 at 2/3 */
    ck_assert_int_eq(step.left, 1000 - 90 - 200);
    ck_assert_int_eq(step.end, -1);
    ck_assert_int_eq(move.end, -1);
}
END_TEST

/* -- random queues -- */

enum { MOST = 4 };

typedef struct {
    double share;
    EepContentionStep steps[MOST];
    EepContentionMove moves[MOST];
    guint n_steps, n_moves;
} Queues;

static void draw(Queues *queues)
{
    *queues = (Queues){.share = (rand() % 11) / 10.0,
                       .n_steps = (guint)rand() % (MOST + 1),
                       .n_moves = (guint)rand() % (MOST + 1)};
    for (guint i = 0; i < queues->n_steps; i++)
        queues->steps[i] =
            (EepContentionStep){rand() % 3000, 1 + rand() % 2000, (rand() % 9) / 10.0, 0};
    for (guint i = 0; i < queues->n_moves; i++)
        queues->moves[i] =
            (EepContentionMove){rand() % 3000, rand() % 3 ? rand() % 500 : 0, 1 + rand() % 900, 0};
}

/* The all-to-all of each nanosecond of a step, and the move, taken literally. */
static void run_slowly(Queues *queues)
{
    const double s = queues->share;
    guint i = 0, j = 0;
    double step = 0.0, local = 0.0, link = 0.0;
    for (EepTime now = 0; i < queues->n_steps || j < queues->n_moves; now++) {
        gboolean has_step = i < queues->n_steps && queues->steps[i].begin <= now;
        gboolean has_move = j < queues->n_moves && queues->moves[j].begin <= now;
        gboolean on_links = has_move && local >= (double)queues->moves[j].local;
        const double a = has_step ? queues->steps[i].all2all : 0.0;
        /* own time of a step that passes in a nanosecond in which its all-to-all is slowed */
        double step_rate = 1.0, link_rate = 1.0;
        if (has_step && on_links && a > 0.0 && s > 0.0) {
            step_rate = s < 1.0 ? 1.0 / (1.0 - a + a / (1.0 - s)) : 0.0;
            link_rate = s < 1.0 ? step_rate * (1.0 - a + a * s / (1.0 - s)) : 1.0;
        }
        if (has_step)
            step += step_rate;
        if (on_links)
            link += link_rate;
        else if (has_move)
            local += 1.0;
        if (has_step && step > (double)queues->steps[i].left - 1e-6) {
            queues->steps[i++].end = now + 1;
            step = 0.0;
        }
        if (on_links && link > (double)queues->moves[j].link - 1e-6) {
            queues->moves[j++].end = now + 1;
            link = local = 0.0;
        }
    }
}

START_TEST(agrees_with_a_nanosecond_queue)
{
    srand(9);
    for (guint round = 0; round < 1000; round++) {
        Queues fast, slow, parts;
        draw(&fast);
        slow = parts = fast;
        run_slowly(&slow);
        eep_contention_run(fast.share, fast.steps, fast.n_steps, fast.moves, fast.n_moves, 0,
                           EEP_TIME_NEVER);
        const EepTime cut = rand() % 5000;
        eep_contention_run(parts.share, parts.steps, parts.n_steps, parts.moves, parts.n_moves, 0,
                           cut);
        /* What has ended leaves the queues, as in the backend. */
        guint i = 0, j = 0;
        while (i < parts.n_steps && parts.steps[i].left == 0)
            i++;
        while (j < parts.n_moves && parts.moves[j].local + parts.moves[j].link == 0)
            j++;
        eep_contention_run(parts.share, parts.steps + i, parts.n_steps - i, parts.moves + j,
                           parts.n_moves - j, cut, EEP_TIME_NEVER);
        for (i = 0; i < fast.n_steps; i++) {
            ck_assert_int_le(ABS(fast.steps[i].end - slow.steps[i].end), 8);
            ck_assert_int_le(ABS(fast.steps[i].end - parts.steps[i].end), 8);
        }
        for (j = 0; j < fast.n_moves; j++) {
            ck_assert_int_le(ABS(fast.moves[j].end - slow.moves[j].end), 8);
            ck_assert_int_le(ABS(fast.moves[j].end - parts.moves[j].end), 8);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("contention");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, rates_at_the_ends);
    tcase_add_test(tcase, alone_each_lasts_its_own_time);
    tcase_add_test(tcase, both_slow_down_where_they_overlap);
    tcase_add_test(tcase, all_of_the_links_stop_the_step);
    tcase_add_test(tcase, until_takes_off_what_is_done);
    tcase_add_test(tcase, agrees_with_a_nanosecond_queue);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
