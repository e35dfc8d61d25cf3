/* Properties of generated traces. Bounds are four to six standard errors of the estimate, and the
 * seeds are fixed, so nothing here can fail by chance. */
#include "tests/traces/trace_kit.h"

#include <math.h>

#include "traces/synthetic.h"

#define SECONDS(s) ((EepTime)((s)*1e9))

static EepSyntheticOptions base_options(void)
{
    return (EepSyntheticOptions){
        .arrivals = {.kind = EEP_ARRIVALS_POISSON, .rate_per_s = 40, .burstiness = 1},
        .requests = 200000,
        .input_tokens = {.kind = EEP_LENGTH_CONSTANT, .value = 1000},
        .output_tokens = {.kind = EEP_LENGTH_CONSTANT, .value = 200},
    };
}

static EepTrace *open_synthetic(const EepSyntheticOptions *options, guint64 seed)
{
    g_autoptr(GError) error = NULL;
    EepTrace *trace = eep_synthetic_open(options, seed, &error);
    ck_assert_msg(trace != NULL, "%s", error != NULL ? error->message : "no error set");
    return trace;
}

/* All rows; hashes are not valid any more. g_array_unref() when done. */
static GArray *collect(const EepSyntheticOptions *options, guint64 seed)
{
    g_autoptr(EepTrace) trace = open_synthetic(options, seed);
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(EepTraceRow));
    EepTraceRow row;
    EepTime last = 0;
    guint bad = 0; /* one assertion a row would cost more than the rest of the test */
    while (eep_trace_next(trace, &row, NULL) == EEP_TRACE_ROW) {
        bad += row.arrival < last || row.prompt_tokens < 1 || row.output_tokens < 1 ||
               row.row != rows->len;
        last = row.arrival;
        g_array_append_val(rows, row);
    }
    ck_assert_uint_eq(bad, 0);
    return rows;
}

#define ROW(rows, i) g_array_index(rows, EepTraceRow, i)

static guint count_between(const GArray *rows, EepTime from, EepTime to)
{
    guint count = 0;
    for (guint i = 0; i < rows->len; i++)
        count += ROW(rows, i).arrival >= from && ROW(rows, i).arrival < to;
    return count;
}

/* Mean and coefficient of variation of the gaps, the first one from time 0. */
static void measure_gaps(const GArray *rows, double *ret_mean_s, double *ret_cv)
{
    double sum = 0, squares = 0;
    EepTime last = 0;
    for (guint i = 0; i < rows->len; i++) {
        double gap = eep_time_to_seconds(ROW(rows, i).arrival - last);
        last = ROW(rows, i).arrival;
        sum += gap;
        squares += gap * gap;
    }
    *ret_mean_s = sum / rows->len;
    *ret_cv = sqrt(squares / rows->len - *ret_mean_s * *ret_mean_s) / *ret_mean_s;
}

static const struct {
    EepArrivalsKind kind;
    double burstiness;
} laws[] = {{EEP_ARRIVALS_POISSON, 1},
            {EEP_ARRIVALS_GAMMA, 0.25},
            {EEP_ARRIVALS_GAMMA, 0.7},
            {EEP_ARRIVALS_GAMMA, 1},
            {EEP_ARRIVALS_GAMMA, 4}};

START_TEST(arrivals_have_the_rate_and_the_burstiness)
{
    EepSyntheticOptions options = base_options();
    options.arrivals.kind = laws[_i].kind;
    options.arrivals.burstiness = laws[_i].burstiness;
    g_autoptr(GArray) rows = collect(&options, 7);
    ck_assert_uint_eq(rows->len, 200000);
    double mean, cv, expected_cv = 1 / sqrt(laws[_i].burstiness);
    measure_gaps(rows, &mean, &cv);
    ck_assert_double_eq_tol(mean * 40, 1, 5 * expected_cv / sqrt(200000));
    /* The estimate of a CV errs more the heavier the tail: at b = 0.25 by 0.5 %. */
    ck_assert_double_eq_tol(cv / expected_cv, 1, 0.02);
}
END_TEST

START_TEST(constant_arrivals_do_not_drift)
{
    EepSyntheticOptions options = base_options();
    options.arrivals.kind = EEP_ARRIVALS_CONSTANT;
    options.arrivals.rate_per_s = 3;
    options.requests = 0;
    options.duration = 3600 * EEP_NS_PER_S;
    g_autoptr(GArray) rows = collect(&options, 1);
    ck_assert_uint_eq(rows->len, 10800);
    ck_assert_int_eq(ROW(rows, 0).arrival, 0);
    ck_assert_int_eq(ROW(rows, 1).arrival, 333333333);
    for (guint i = 0; i < rows->len; i += 3)
        ck_assert_int_eq(ROW(rows, i).arrival, (EepTime)(i / 3) * EEP_NS_PER_S);
}
END_TEST

START_TEST(duration_and_requests_end_the_trace)
{
    EepSyntheticOptions options = base_options();
    options.requests = 10;
    options.duration = EEP_NS_PER_S * 1000;
    g_autoptr(GArray) few = collect(&options, 1);
    ck_assert_uint_eq(few->len, 10);
    options.requests = 0;
    g_autoptr(GArray) many = collect(&options, 1);
    ck_assert_uint_gt(many->len, 39000); /* 40,000 +- 200 */
    ck_assert_uint_lt(many->len, 41000);
    ck_assert_int_lt(ROW(many, many->len - 1).arrival, options.duration);
    ck_assert_int_eq(ROW(many, 9).arrival, ROW(few, 9).arrival);
}
END_TEST

/* Constant gaps through a ramp: request n arrives when the expected number is n, in closed form. */
START_TEST(ramps_follow_the_inverse_of_the_expected_number)
{
    EepSyntheticOptions options = base_options();
    options.arrivals.kind = EEP_ARRIVALS_CONSTANT;
    options.arrivals.ramp = EEP_RAMP_LINEAR;
    options.arrivals.ramp_start_per_s = 0;
    options.arrivals.ramp_end_per_s = 20;
    options.requests = 0;
    options.duration = 100 * EEP_NS_PER_S;
    /* L(t) = t^2 / 10 */
    g_autoptr(GArray) linear = collect(&options, 1);
    ck_assert_uint_eq(linear->len, 1000);
    ck_assert_int_eq(ROW(linear, 10).arrival, 10 * EEP_NS_PER_S);
    ck_assert_int_eq(ROW(linear, 90).arrival, 30 * EEP_NS_PER_S);
    ck_assert_int_eq(ROW(linear, 810).arrival, 90 * EEP_NS_PER_S);

    options.arrivals.ramp_start_per_s = 20;
    options.arrivals.ramp_end_per_s = 0;
    /* 1000 - L(t) = (100 - t)^2 / 10 */
    g_autoptr(GArray) down = collect(&options, 1);
    ck_assert_uint_eq(down->len, 1000);
    ck_assert_int_eq(ROW(down, 990).arrival, 90 * EEP_NS_PER_S);

    options.arrivals.ramp = EEP_RAMP_EXPONENTIAL;
    options.arrivals.ramp_start_per_s = 1;
    options.arrivals.ramp_end_per_s = 8;
    options.duration = 300 * EEP_NS_PER_S;
    /* r(t) = 2^(t / 100), L(t) = 100 / ln 2 (2^(t / 100) - 1): L(300) = 1009.9 */
    g_autoptr(GArray) exponential = collect(&options, 1);
    ck_assert_uint_eq(exponential->len, 1010);
    for (guint i = 0; i < exponential->len; i += 101) {
        double t = eep_time_to_seconds(ROW(exponential, i).arrival);
        ck_assert_double_eq_tol(100 / log(2) * (exp2(t / 100) - 1), i, 1e-6);
    }
}
END_TEST

START_TEST(poisson_ramps_have_the_expected_counts)
{
    EepSyntheticOptions options = base_options();
    options.arrivals.ramp = EEP_RAMP_LINEAR;
    options.arrivals.ramp_start_per_s = 100;
    options.arrivals.ramp_end_per_s = 900;
    options.requests = 0;
    options.duration = 100 * EEP_NS_PER_S;
    g_autoptr(GArray) rows = collect(&options, 3);
    /* Means 1,400 in [0, 10 s), 8,600 in [90 s, 100 s), 50,000 in all; five standard deviations. */
    ck_assert_double_eq_tol(count_between(rows, 0, SECONDS(10)), 1400, 5 * sqrt(1400));
    ck_assert_double_eq_tol(count_between(rows, SECONDS(90), SECONDS(100)), 8600, 5 * sqrt(8600));
    ck_assert_double_eq_tol(rows->len, 50000, 5 * sqrt(50000));
}
END_TEST

START_TEST(piecewise_rates_hold_from_their_times)
{
    static const EepRatePoint points[] = {
        {0, 100}, {SECONDS(100), 0}, {SECONDS(200), 1000}, {SECONDS(210), 10}};
    EepSyntheticOptions options = base_options();
    options.arrivals.points = points;
    options.arrivals.n_points = G_N_ELEMENTS(points);
    options.requests = 0;
    options.duration = SECONDS(1000);
    g_autoptr(GArray) rows = collect(&options, 5);
    ck_assert_double_eq_tol(count_between(rows, 0, SECONDS(100)), 10000, 500);
    ck_assert_uint_eq(count_between(rows, SECONDS(100), SECONDS(200)), 0);
    ck_assert_double_eq_tol(count_between(rows, SECONDS(200), SECONDS(210)), 10000, 500);
    ck_assert_double_eq_tol(count_between(rows, SECONDS(210), SECONDS(1000)), 7900, 445);

    options.arrivals.kind = EEP_ARRIVALS_CONSTANT;
    g_autoptr(GArray) constant = collect(&options, 5);
    ck_assert_uint_eq(constant->len, 10000 + 10000 + 7900);
    ck_assert_int_eq(ROW(constant, 9999).arrival, SECONDS(99.99));
    ck_assert_int_eq(ROW(constant, 10000).arrival, SECONDS(200));
    ck_assert_int_eq(ROW(constant, 20001).arrival, SECONDS(210.1));

    /* Silence at the end ends the trace. */
    options.arrivals.n_points = 2;
    options.duration = 0;
    options.requests = 1000000;
    g_autoptr(GArray) silent = collect(&options, 5);
    ck_assert_uint_eq(silent->len, 10000);
}
END_TEST

static int compare_tokens(const void *a, const void *b)
{
    guint32 x = ((const EepTraceRow *)a)->prompt_tokens,
            y = ((const EepTraceRow *)b)->prompt_tokens;
    return (x > y) - (x < y);
}

static double mean_prompt(const GArray *rows)
{
    double sum = 0;
    for (guint i = 0; i < rows->len; i++)
        sum += ROW(rows, i).prompt_tokens;
    return sum / rows->len;
}

START_TEST(lengths_follow_their_laws)
{
    EepSyntheticOptions options = base_options();
    options.input_tokens = (EepLengthLaw){.kind = EEP_LENGTH_LOGNORMAL, .p50 = 1000, .p99 = 8000};
    g_autoptr(GArray) lognormal = collect(&options, 11);
    g_array_sort(lognormal, compare_tokens);
    /* Standard errors: sqrt(p (1 - p) / n) / density = 0.25 % at p50, 0.75 % at p99. */
    ck_assert_double_eq_tol(ROW(lognormal, 100000).prompt_tokens / 1000.0, 1, 0.0125);
    ck_assert_double_eq_tol(ROW(lognormal, 198000).prompt_tokens / 8000.0, 1, 0.0375);
    ck_assert_uint_lt(ROW(lognormal, 0).prompt_tokens, 100);

    options.input_tokens.min = 500;
    options.input_tokens.max = 4000;
    g_autoptr(GArray) clamped = collect(&options, 11);
    g_array_sort(clamped, compare_tokens);
    ck_assert_uint_eq(ROW(clamped, 0).prompt_tokens, 500);
    ck_assert_uint_eq(ROW(clamped, 199999).prompt_tokens, 4000);
    ck_assert_uint_eq(ROW(clamped, 100000).prompt_tokens, ROW(lognormal, 100000).prompt_tokens);

    options.input_tokens = (EepLengthLaw){.kind = EEP_LENGTH_EXPONENTIAL, .mean = 300};
    g_autoptr(GArray) exponential = collect(&options, 12);
    ck_assert_double_eq_tol(mean_prompt(exponential), 300, 5 * 300 / sqrt(200000));

    options.input_tokens = (EepLengthLaw){.kind = EEP_LENGTH_UNIFORM, .min = 3, .max = 5};
    g_autoptr(GArray) uniform = collect(&options, 13);
    guint counts[3] = {0};
    for (guint i = 0; i < uniform->len; i++) {
        if (ROW(uniform, i).prompt_tokens < 3 || ROW(uniform, i).prompt_tokens > 5)
            ck_abort_msg("%u tokens", ROW(uniform, i).prompt_tokens);
        counts[ROW(uniform, i).prompt_tokens - 3]++;
    }
    for (int i = 0; i < 3; i++)
        ck_assert_double_eq_tol(counts[i], 200000 / 3.0, 5 * sqrt(200000 * 2 / 9.0));
}
END_TEST

START_TEST(same_seed_same_rows)
{
    EepSyntheticOptions options = base_options();
    options.requests = 1000;
    options.input_tokens = (EepLengthLaw){.kind = EEP_LENGTH_LOGNORMAL, .p50 = 1000, .p99 = 8000};
    options.output_tokens = (EepLengthLaw){.kind = EEP_LENGTH_EXPONENTIAL, .mean = 200};
    g_autoptr(GArray) a = collect(&options, 42), b = collect(&options, 42),
                      c = collect(&options, 43);
    guint same = 0;
    for (guint i = 0; i < 1000; i++) {
        ck_assert_int_eq(ROW(a, i).arrival, ROW(b, i).arrival);
        ck_assert_uint_eq(ROW(a, i).prompt_tokens, ROW(b, i).prompt_tokens);
        ck_assert_uint_eq(ROW(a, i).output_tokens, ROW(b, i).output_tokens);
        same += ROW(a, i).arrival == ROW(c, i).arrival;
    }
    ck_assert_uint_eq(same, 0);
}
END_TEST

/* Changing one law leaves what the others draw as it was. */
START_TEST(streams_are_independent)
{
    EepSyntheticOptions options = base_options();
    options.requests = 1000;
    options.input_tokens = (EepLengthLaw){.kind = EEP_LENGTH_LOGNORMAL, .p50 = 1000, .p99 = 8000};
    options.output_tokens = (EepLengthLaw){.kind = EEP_LENGTH_EXPONENTIAL, .mean = 200};
    g_autoptr(GArray) a = collect(&options, 42);
    options.arrivals.kind = EEP_ARRIVALS_GAMMA;
    options.arrivals.burstiness = 0.3;
    g_autoptr(GArray) b = collect(&options, 42);
    options.input_tokens = (EepLengthLaw){.kind = EEP_LENGTH_CONSTANT, .value = 5};
    g_autoptr(GArray) c = collect(&options, 42);
    options.prefix = (EepSyntheticPrefix){.groups = 3, .tokens = 100};
    g_autoptr(GArray) d = collect(&options, 42);
    for (guint i = 0; i < 1000; i++) {
        ck_assert_uint_eq(ROW(a, i).prompt_tokens, ROW(b, i).prompt_tokens);
        ck_assert_uint_eq(ROW(a, i).output_tokens, ROW(c, i).output_tokens);
        ck_assert_int_eq(ROW(b, i).arrival, ROW(c, i).arrival);
        ck_assert_int_eq(ROW(c, i).arrival, ROW(d, i).arrival);
        ck_assert_uint_eq(ROW(d, i).prompt_tokens, 105);
    }
    /* Prompt and output of a row are uncorrelated: |r| < 5 / sqrt(n). */
    double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
    for (guint i = 0; i < 1000; i++) {
        double x = log(ROW(a, i).prompt_tokens), y = ROW(a, i).output_tokens;
        sx += x, sy += y, sxx += x * x, syy += y * y, sxy += x * y;
    }
    double r = (sxy - sx * sy / 1000) / sqrt((sxx - sx * sx / 1000) * (syy - sy * sy / 1000));
    ck_assert_double_lt(fabs(r), 5 / sqrt(1000));
}
END_TEST

START_TEST(prefixes_are_drawn_by_their_weights)
{
    EepSyntheticOptions options = base_options();
    options.prefix = (EepSyntheticPrefix){.groups = 3, .tokens = 700, .zipf_exponent = 1};
    options.priority = -4;
    options.priority_share = 1;
    g_autoptr(EepTrace) trace = open_synthetic(&options, 9);
    ck_assert_uint_eq(eep_trace_hash_tokens(trace), 700);
    ck_assert_str_eq(eep_trace_format_name(trace), "synthetic");
    guint counts[3] = {0};
    for (guint i = 0; i < 200000; i++) {
        EepTraceRow row;
        if (eep_trace_next(trace, &row, NULL) != EEP_TRACE_ROW || row.prompt_tokens != 1700 ||
            row.priority != -4 || row.n_hashes != 1 || row.hashes[0] >= 3)
            ck_abort_msg("row %u is wrong", i);
        counts[row.hashes[0]]++;
    }
    kit_end(trace);
    /* Weights 1, 1/2, 1/3: shares 6/11, 3/11, 2/11. */
    ck_assert_double_eq_tol(counts[0], 200000 * 6 / 11.0, 1150);
    ck_assert_double_eq_tol(counts[1], 200000 * 3 / 11.0, 1000);
    ck_assert_double_eq_tol(counts[2], 200000 * 2 / 11.0, 900);
}
END_TEST

static void expect_refused(const EepSyntheticOptions *options, const char *says)
{
    g_autoptr(GError) error = NULL;
    ck_assert_msg(eep_synthetic_open(options, 1, &error) == NULL, "accepted: %s", says);
    ck_assert(g_error_matches(error, EEP_TRACE_ERROR, EEP_TRACE_ERROR_OPTION));
    ck_assert_msg(strstr(error->message, says) != NULL, "%s", error->message);
}

#define REFUSED(says, ...)                                                                         \
    do {                                                                                           \
        EepSyntheticOptions o = base_options();                                                    \
        __VA_ARGS__;                                                                               \
        expect_refused(&o, says);                                                                  \
    } while (0)

START_TEST(refuses_options_out_of_range)
{
    static const EepRatePoint late[] = {{1, 5}}, unsorted[] = {{0, 5}, {9, 5}, {9, 6}},
                              negative[] = {{0, -1}};
    REFUSED("synthetic has no end", o.requests = 0);
    REFUSED("synthetic.duration is negative", o.duration = -1);
    REFUSED("synthetic.rate is 0/s", o.arrivals.rate_per_s = 0);
    REFUSED("synthetic.rate is nan/s", o.arrivals.rate_per_s = NAN);
    REFUSED("synthetic.rate is 2e+09/s", o.arrivals.rate_per_s = 2e9);
    REFUSED("synthetic.burstiness is 0", o.arrivals.kind = EEP_ARRIVALS_GAMMA,
            o.arrivals.burstiness = 0);
    REFUSED("synthetic.ramp has no duration", o.arrivals.ramp = EEP_RAMP_LINEAR);
    REFUSED("synthetic.ramp goes from 0/s to 0/s", o.arrivals.ramp = EEP_RAMP_LINEAR,
            o.duration = 1);
    REFUSED("synthetic.ramp goes from 0/s to 5/s", o.arrivals.ramp = EEP_RAMP_EXPONENTIAL,
            o.duration = 1, o.arrivals.ramp_end_per_s = 5);
    REFUSED("synthetic.piecewise[0] begins at", o.arrivals.points = late, o.arrivals.n_points = 1);
    REFUSED("synthetic.piecewise[2] begins at", o.arrivals.points = unsorted,
            o.arrivals.n_points = 3);
    REFUSED("synthetic.piecewise[0] is -1/s", o.arrivals.points = negative,
            o.arrivals.n_points = 1);
    REFUSED("ramp is given with a list", o.arrivals.points = unsorted, o.arrivals.n_points = 1,
            o.arrivals.ramp = EEP_RAMP_LINEAR, o.duration = 1);
    REFUSED("synthetic.input_tokens is 0", o.input_tokens.value = 0);
    REFUSED("synthetic.output_tokens has min above max", o.output_tokens.min = 2,
            o.output_tokens.max = 1);
    REFUSED("uniform has no bounds", o.input_tokens.kind = EEP_LENGTH_UNIFORM);
    REFUSED("uniform has no max", o.input_tokens.kind = EEP_LENGTH_UNIFORM, o.input_tokens.min = 1);
    REFUSED("p50 <= p99", o.input_tokens.kind = EEP_LENGTH_LOGNORMAL, o.input_tokens.p50 = 5);
    REFUSED("a mean from 1", o.input_tokens.kind = EEP_LENGTH_EXPONENTIAL);
    REFUSED("synthetic.prefix", o.prefix.groups = 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("synthetic");
    TCase *tests = tcase_create("synthetic");
    tcase_add_loop_test(tests, arrivals_have_the_rate_and_the_burstiness, 0, G_N_ELEMENTS(laws));
    tcase_add_test(tests, constant_arrivals_do_not_drift);
    tcase_add_test(tests, duration_and_requests_end_the_trace);
    tcase_add_test(tests, ramps_follow_the_inverse_of_the_expected_number);
    tcase_add_test(tests, poisson_ramps_have_the_expected_counts);
    tcase_add_test(tests, piecewise_rates_hold_from_their_times);
    tcase_add_test(tests, lengths_follow_their_laws);
    tcase_add_test(tests, same_seed_same_rows);
    tcase_add_test(tests, streams_are_independent);
    tcase_add_test(tests, prefixes_are_drawn_by_their_weights);
    tcase_add_test(tests, refuses_options_out_of_range);
    suite_add_tcase(suite, tests);
    return kit_run(suite, NULL);
}
