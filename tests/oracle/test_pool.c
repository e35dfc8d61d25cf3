/* The product against the oracle: random cases must agree in every time and count. */
#include <check.h>
#include <stdlib.h>

#include "tests/oracle/pool_run.h"

#define CASES_PER_FEATURE_SET 1500

static char *difference(const OracleCase *c, const EagerResult *want, const EagerResult *got)
{
    for (guint i = 0; i < c->n_requests; i++) {
        const EagerResult *w = &want[i], *g = &got[i];

        if (w->rejected != g->rejected || w->engine != g->engine ||
            w->first_token != g->first_token || w->finish != g->finish ||
            w->preemptions != g->preemptions || w->cached_tokens != g->cached_tokens ||
            w->max_itl != g->max_itl)
            return g_strdup_printf(
                "request %u: oracle says rejected %d engine %d first %" G_GINT64_FORMAT
                " finish %" G_GINT64_FORMAT " preemptions %u cached %u max_itl %" G_GINT64_FORMAT
                ", the pool %d %d %" G_GINT64_FORMAT " %" G_GINT64_FORMAT
                " %u %u %" G_GINT64_FORMAT,
                i, w->rejected, w->engine, w->first_token, w->finish, w->preemptions,
                w->cached_tokens, w->max_itl, g->rejected, g->engine, g->first_token, g->finish,
                g->preemptions, g->cached_tokens, g->max_itl);
    }
    return NULL;
}

static void compare(guint64 seed, guint features, guint fail_every)
{
    OracleCase c;
    EagerTotals totals;
    PoolRunTotals pool_totals;
    g_autofree EagerResult *want = NULL, *got = NULL;
    g_autofree char *text = NULL, *what = NULL;
    g_autoptr(GError) error = NULL;

    oracle_case_draw(seed, features, &c);
    want = g_new0(EagerResult, c.n_requests);
    got = g_new0(EagerResult, c.n_requests);
    eager_run(&c.config, c.requests, c.n_requests, want, &totals);
    if (!pool_run(&c.config, c.requests, c.n_requests, fail_every, got, &pool_totals, &error))
        what = g_strdup(error->message);
    else
        what = difference(&c, want, got);
    if (what == NULL && fail_every == 0 && pool_totals.preemptions != totals.preemptions)
        what = g_strdup("preemptions differ in total");
    if (what == NULL && fail_every == 0 && pool_totals.n_steps != totals.n_steps)
        what = g_strdup_printf("the oracle took %" G_GUINT64_FORMAT
                               " steps, the pool %" G_GUINT64_FORMAT,
                               totals.n_steps, pool_totals.n_steps);
    if (what != NULL)
        text = oracle_case_describe(&c);
    ck_assert_msg(what == NULL, "seed %" G_GUINT64_FORMAT ", features %u, failing every %u: %s\n%s",
                  seed, features, fail_every, what, text);
    oracle_case_clear(&c);
}

START_TEST(agrees_with_the_oracle)
{
    for (guint64 seed = 0; seed < CASES_PER_FEATURE_SET; seed++)
        compare(seed, (guint)_i, 0);
}
END_TEST

/* A step that fails is discarded and planned again at the same instant: nothing may differ. Not so
 * with prefix caching, where evictions stay, and with async scheduling, where the step behind is
 * planned later than it would have been. */
START_TEST(discarded_steps_leave_no_trace)
{
    guint features = (guint)_i;

    if (features & (ORACLE_PREFIX_CACHING | ORACLE_ASYNC_SCHEDULING))
        return;
    for (guint64 seed = 0; seed < CASES_PER_FEATURE_SET / 3; seed++)
        compare(seed, features, 2 + seed % 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool against oracle");
    TCase *tcase = tcase_create("random cases");
    SRunner *runner;
    int n_failed;

    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, agrees_with_the_oracle, 0, ORACLE_N_FEATURE_SETS);
    tcase_add_loop_test(tcase, discarded_steps_leave_no_trace, 0, ORACLE_N_FEATURE_SETS);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
