/* The oracle and its cases, checked by themselves: thousands of random cases for every set of
 * features. eager_run() asserts rules 40 to 46 in every step; here the results are held against the
 * totals, and runs that must not differ are compared. */
#include "tests/oracle/cases.h"
#include "tests/oracle/semantics_expect.h"

#define N_CASES 3000

typedef struct {
    EagerResult *results;
    EagerTotals totals;
} Run;

static Run run_case(const OracleCase *oracle_case)
{
    Run run = {.results = g_new(EagerResult, oracle_case->n_requests)};
    eager_run(&oracle_case->config, oracle_case->requests, oracle_case->n_requests, run.results,
              &run.totals);
    return run;
}

/* One comparison in a random case; a failure prints the case that reproduces it. */
#define REQUIRE(oracle_case, condition)                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            g_autofree char *text = oracle_case_describe(oracle_case);                             \
            ck_abort_msg("%s\n%s", #condition, text);                                              \
        }                                                                                          \
    } while (0)

static void require_same(const OracleCase *oracle_case, const Run *a, const Run *b, gint64 scale)
{
    for (guint i = 0; i < oracle_case->n_requests; i++) {
        const EagerResult *x = &a->results[i], *y = &b->results[i];
        REQUIRE(oracle_case, x->rejected == y->rejected && x->engine == y->engine);
        if (x->rejected)
            continue;
        REQUIRE(oracle_case, x->first_token * scale == y->first_token);
        REQUIRE(oracle_case, x->finish * scale == y->finish);
        REQUIRE(oracle_case, x->max_itl * scale == y->max_itl);
        REQUIRE(oracle_case, x->preemptions == y->preemptions);
        REQUIRE(oracle_case, x->cached_tokens == y->cached_tokens);
    }
    const EagerTotals *x = &a->totals, *y = &b->totals;
    REQUIRE(oracle_case, x->n_steps == y->n_steps && x->n_empty_steps == y->n_empty_steps);
    REQUIRE(oracle_case, x->prefill_tokens_computed == y->prefill_tokens_computed);
    REQUIRE(oracle_case, x->decode_tokens_computed == y->decode_tokens_computed);
    REQUIRE(oracle_case, x->blocks_hit == y->blocks_hit && x->blocks_evicted == y->blocks_evicted);
    REQUIRE(oracle_case, x->end * scale == y->end);
}

static void require_sound_result(const OracleCase *oracle_case, const Run *run, guint id)
{
    const EagerConfig *config = &oracle_case->config;
    const EagerRequest *request = &oracle_case->requests[id];
    const EagerResult *result = &run->results[id];
    const gint64 gaps = request->output - 1;
    REQUIRE(oracle_case, result->engine >= 0 && (guint)result->engine < config->n_engines);
    REQUIRE(oracle_case, result->first_token >= request->arrival + config->step_time);
    REQUIRE(oracle_case, result->finish >= result->first_token + gaps * config->step_time);
    REQUIRE(oracle_case, result->finish <= result->first_token + gaps * result->max_itl);
    REQUIRE(oracle_case, result->finish <= run->totals.end);
    REQUIRE(oracle_case,
            result->max_itl % config->step_time == 0); /* while it is there, one grid */
    REQUIRE(oracle_case, result->cached_tokens < request->prompt);
}

/* What any run's results have to be, from the requests alone. */
static void require_sound(const OracleCase *oracle_case, const Run *run)
{
    const EagerConfig *config = &oracle_case->config;
    const EagerTotals *totals = &run->totals;
    guint64 n_rejected = 0, outputs = 0, computed = 0, preemptions = 0;
    for (guint i = 0; i < oracle_case->n_requests; i++) {
        const EagerRequest *request = &oracle_case->requests[i];
        const EagerResult *result = &run->results[i];
        const guint64 tokens = (guint64)request->prompt + request->output;
        const gboolean fits = tokens <= config->num_blocks * config->block_size;
        REQUIRE(oracle_case, result->rejected == !fits); /* rule 11 */
        if (result->rejected) {
            n_rejected++;
            REQUIRE(oracle_case, result->engine == -1 && result->finish == -1);
            continue;
        }
        require_sound_result(oracle_case, run, i);
        outputs += request->output;
        computed += tokens - 1 - result->cached_tokens;
        preemptions += result->preemptions;
    }
    REQUIRE(oracle_case, totals->rejected == n_rejected);
    REQUIRE(oracle_case, totals->completed == oracle_case->n_requests - n_rejected);
    REQUIRE(oracle_case, totals->generated_tokens == outputs); /* rule 46 */
    REQUIRE(oracle_case, totals->preemptions == preemptions);
    const guint64 scheduled = totals->prefill_tokens_computed + totals->decode_tokens_computed;
    REQUIRE(oracle_case, scheduled <= totals->n_steps * config->n_engines *
                                          (guint64)config->max_num_batched_tokens);
    REQUIRE(oracle_case, preemptions > 0 || scheduled == computed);
    REQUIRE(oracle_case, config->prefix_caching || scheduled >= computed);
    REQUIRE(oracle_case, config->priority_policy || config->prefill_schedule_interval > 1 ||
                             totals->n_empty_steps == 0); /* rule 40 */
}

START_TEST(every_feature_set)
{
    const guint features = _i;
    guint64 n_preempted = 0, n_rejected = 0, n_hits = 0, n_evicted = 0, n_empty = 0;
    for (guint64 seed = 0; seed < N_CASES; seed++) {
        OracleCase oracle_case;
        oracle_case_draw(seed, features, &oracle_case);
        Run run = run_case(&oracle_case);
        require_sound(&oracle_case, &run);
        n_preempted += run.totals.preemptions > 0;
        n_rejected += run.totals.rejected > 0;
        n_hits += run.totals.blocks_hit > 0;
        n_evicted += run.totals.blocks_evicted > 0;
        n_empty += run.totals.n_empty_steps > 0;
        g_free(run.results);
        oracle_case_clear(&oracle_case);
    }
    /* The cases are worth something only while what they are for is common among them. */
    ck_assert_uint_ge(n_preempted, N_CASES / 8);
    ck_assert_uint_ge(n_rejected, N_CASES / 8);
    if (features & ORACLE_PREFIX_CACHING) {
        ck_assert_uint_ge(n_hits, N_CASES / 4);
        ck_assert_uint_ge(n_evicted, N_CASES / 4);
    }
    if (features & ORACLE_PREFILL_INTERVAL)
        ck_assert_uint_ge(n_empty, N_CASES / 8);
}
END_TEST

/* What is not in the set is turned on where it must change nothing: a priority that all share (by
 * rule 43 the last of the list is then the victim anyway), a cache without hashes, a watermark
 * below a block. */
START_TEST(neutral_settings)
{
    for (guint64 seed = 0; seed < N_CASES / 10; seed++) {
        OracleCase oracle_case;
        oracle_case_draw(seed, _i, &oracle_case);
        EagerConfig *config = &oracle_case.config;
        Run plain = run_case(&oracle_case);
        config->priority_policy = TRUE;
        config->prefix_caching = TRUE;
        config->watermark = MAX(config->watermark, 0.999 / (double)config->num_blocks);
        Run neutral = run_case(&oracle_case);
        require_same(&oracle_case, &plain, &neutral, 1);
        g_free(plain.results);
        g_free(neutral.results);
        oracle_case_clear(&oracle_case);
    }
}
END_TEST

/* All times times seven: the results times seven, nothing else. */
START_TEST(time_scales)
{
    for (guint64 seed = 0; seed < N_CASES / 10; seed++) {
        OracleCase oracle_case;
        oracle_case_draw(seed, _i, &oracle_case);
        Run plain = run_case(&oracle_case);
        oracle_case.config.step_time *= 7;
        for (guint i = 0; i < oracle_case.n_requests; i++)
            oracle_case.requests[i].arrival *= 7;
        Run scaled = run_case(&oracle_case);
        require_same(&oracle_case, &plain, &scaled, 7);
        g_free(plain.results);
        g_free(scaled.results);
        oracle_case_clear(&oracle_case);
    }
}
END_TEST

START_TEST(draws_are_reproducible)
{
    OracleCase a, b, c;
    oracle_case_draw(42, ORACLE_PREFIX_CACHING, &a);
    oracle_case_draw(42, ORACLE_PREFIX_CACHING, &b);
    oracle_case_draw(43, ORACLE_PREFIX_CACHING, &c);
    g_autofree char *text_a = oracle_case_describe(&a), *text_b = oracle_case_describe(&b),
                    *text_c = oracle_case_describe(&c);
    ck_assert_str_eq(text_a, text_b);
    ck_assert_str_ne(text_a, text_c);
    oracle_case_clear(&a);
    oracle_case_clear(&b);
    oracle_case_clear(&c);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("eager");
    tcase_add_loop_test(tcase, every_feature_set, 0, ORACLE_N_FEATURE_SETS);
    tcase_add_loop_test(tcase, neutral_settings, 0, ORACLE_N_FEATURE_SETS);
    tcase_add_loop_test(tcase, time_scales, 0, ORACLE_N_FEATURE_SETS);
    tcase_add_test(tcase, draws_are_reproducible);
    return expect_main(tcase);
}
