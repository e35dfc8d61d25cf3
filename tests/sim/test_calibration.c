/* Figures from points that are known: the formulas, outliers, peaks that stay and that do not. */
#include "sim/calibration.h"

#include <check.h>
#include <stdlib.h>

#include "sim/robust_fit.h"
#include "tests/sim/sim_fixture.h"

static EepHardware truth, fitted;
static GArray *points; /* EepCalibrationPoint */
static EepCalibrationFit *fits;

static EepMeasurement *add(EepMeasureKind kind, guint n_ranks, guint64 size)
{
    EepCalibrationPoint point = {.what = {.kind = kind, .n_ranks = n_ranks, .size = size}};

    g_array_append_val(points, point);
    return &g_array_index(points, EepCalibrationPoint, points->len - 1).what;
}

static void add_gemm(EepMeasureKind kind, guint n_groups, guint n_rows)
{
    EepMeasurement *what = add(kind, 8, 0);

    what->n_groups = n_groups;
    what->n_rows = n_rows;
    what->n = 2048;
    what->k = 7168;
}

/* Everything that a machine like `truth` would be seen to do. */
static void see(void)
{
    static const EepMeasureKind communicators[] = {EEP_MEASURE_COMM_INIT, EEP_MEASURE_COMM_SHRINK,
                                                   EEP_MEASURE_COMM_DESTROY};

    add(EEP_MEASURE_KERNEL, 8, 0);
    for (guint i = 26; i < 31; i++)
        add(EEP_MEASURE_MEMORY_READ, 8, G_GUINT64_CONSTANT(1) << i);
    for (guint i = 20; i < 25; i++)
        add(EEP_MEASURE_HOST_COPY, 8, G_GUINT64_CONSTANT(1) << i);
    for (guint rows = 16; rows <= 8192; rows *= 2)
        add_gemm(EEP_MEASURE_GEMM, 1, rows);
    for (guint rows = 8; rows <= 2048; rows *= 2)
        add_gemm(EEP_MEASURE_GROUPED_GEMM, 32, rows);
    for (guint n = 2; n <= 8; n *= 2)
        for (guint64 size = 1024; size <= 1 << 26; size *= 8) {
            add(EEP_MEASURE_ALL_TO_ALL, n, size);
            add(EEP_MEASURE_ALL_GATHER, n, size);
        }
    for (guint64 size = 1024; size <= 1 << 26; size *= 8)
        add(EEP_MEASURE_PEER_COPY, 2, size);
    for (guint n = 2; n <= 8; n *= 2)
        for (guint i = 0; i < G_N_ELEMENTS(communicators); i++)
            add(communicators[i], n, 0);
    add(EEP_MEASURE_GRAPH_CAPTURE, 8, 1800);
    for (guint i = 0; i < points->len; i++) {
        EepCalibrationPoint *point = &g_array_index(points, EepCalibrationPoint, i);

        point->seconds = eep_calibration_predict(&truth, &point->what);
        point->spread = point->seconds / 10.0;
        ck_assert_double_gt(point->seconds, 0.0);
    }
}

static void setup(void)
{
    fixture_h100(&truth);
    fixture_h100(&fitted);
    truth.gemm_efficiency = 0.61;
    truth.grouped_gemm_efficiency = 0.37;
    truth.hbm_efficiency = 0.9;
    truth.nvlink_efficiency = 0.8;
    truth.kernel_latency = 2100;
    truth.nvlink_latency = 4400;
    truth.collective_latency = 12300;
    truth.pcie_bytes_per_s = 41e9;
    truth.communicator_base = 700 * EEP_NS_PER_MS;
    truth.communicator_per_rank = 30 * EEP_NS_PER_MS;
    truth.comm_split = 210 * EEP_NS_PER_MS;
    truth.group_destroy = 600 * EEP_NS_PER_MS;
    truth.graph_capture_size = 17 * EEP_NS_PER_MS;
    points = g_array_new(FALSE, FALSE, sizeof(EepCalibrationPoint));
    fits = g_new0(EepCalibrationFit, eep_calibration_n_rows);
    see();
}

static void teardown(void)
{
    g_array_unref(points);
    g_free(fits);
}

static void fit(gboolean has_peaks)
{
    eep_calibration_fit(&fitted, has_peaks,
                        (const EepCalibrationPoint *)(gconstpointer)points->data, points->len,
                        fits);
}

static void is_near(double seen, double expected)
{
    ck_assert_double_eq_tol(seen / expected, 1.0, 1e-3);
}

static void rates_are_right(void)
{
    is_near(fitted.bf16_flops * fitted.gemm_efficiency, truth.bf16_flops * truth.gemm_efficiency);
    is_near(fitted.bf16_flops * fitted.grouped_gemm_efficiency,
            truth.bf16_flops * truth.grouped_gemm_efficiency);
    is_near(fitted.hbm_bytes_per_s * fitted.hbm_efficiency,
            truth.hbm_bytes_per_s * truth.hbm_efficiency);
    is_near(fitted.nvlink_bytes_per_s * fitted.nvlink_efficiency,
            truth.nvlink_bytes_per_s * truth.nvlink_efficiency);
    is_near(fitted.pcie_bytes_per_s, truth.pcie_bytes_per_s);
}

static void times_are_right(void)
{
    is_near((double)fitted.kernel_latency, (double)truth.kernel_latency);
    is_near((double)fitted.nvlink_latency, (double)truth.nvlink_latency);
    is_near((double)fitted.collective_latency, (double)truth.collective_latency);
    is_near((double)fitted.communicator_base, (double)truth.communicator_base);
    is_near((double)fitted.communicator_per_rank, (double)truth.communicator_per_rank);
    is_near((double)fitted.comm_split, (double)truth.comm_split);
    is_near((double)fitted.group_destroy, (double)truth.group_destroy);
    is_near((double)fitted.graph_capture_size, (double)truth.graph_capture_size);
}

START_TEST(known_points_give_known_figures)
{
    fit(TRUE);
    rates_are_right();
    times_are_right();
    /* The peaks are the machine's, so efficiencies are what was fitted. */
    ck_assert_double_eq(fitted.bf16_flops, truth.bf16_flops);
    is_near(fitted.gemm_efficiency, 0.61);
    is_near(fitted.hbm_efficiency, 0.9);
    for (guint i = 0; i < eep_calibration_n_rows; i++) {
        ck_assert(fits[i].is_fitted);
        ck_assert_uint_gt(fits[i].n_points, 0);
        ck_assert_double_lt(fits[i].deviation, 1e-3);
        ck_assert_double_eq_tol(fits[i].spread, 0.1, 1e-9);
    }
}
END_TEST

START_TEST(without_peaks_what_was_reached_is_one)
{
    fit(FALSE);
    rates_are_right();
    times_are_right();
    is_near(fitted.bf16_flops, truth.bf16_flops * 0.61);
    ck_assert_double_eq(fitted.gemm_efficiency, 1.0);
    is_near(fitted.grouped_gemm_efficiency, 0.37 / 0.61);
    ck_assert_double_eq(fitted.hbm_efficiency, 1.0);
    ck_assert_double_eq(fitted.fp8_flops, 0.0);
}
END_TEST

START_TEST(a_rate_above_the_peak_becomes_it)
{
    fitted.bf16_flops = truth.bf16_flops * 0.5; /* a base of another machine */
    fit(TRUE);
    rates_are_right();
    ck_assert_double_eq(fitted.gemm_efficiency, 1.0);
    ck_assert_double_eq(fitted.fp8_flops, 0.0);
}
END_TEST

START_TEST(the_second_rate_may_be_the_higher_one)
{
    truth.grouped_gemm_efficiency = 0.9;
    g_array_set_size(points, 0);
    see();
    fit(FALSE);
    rates_are_right();
    ck_assert_double_eq(fitted.grouped_gemm_efficiency, 1.0);
    is_near(fitted.gemm_efficiency, 0.61 / 0.9);
}
END_TEST

START_TEST(outliers_do_not_pull)
{
    for (guint i = 1; i < points->len; i += 5) {
        EepCalibrationPoint *point = &g_array_index(points, EepCalibrationPoint, i);

        if (point->what.kind < EEP_MEASURE_COMM_INIT)
            point->seconds *= 7.0;
    }
    fit(TRUE);
    rates_are_right();
    times_are_right();
}
END_TEST

START_TEST(what_nobody_measured_stays)
{
    EepHardware base = fitted;

    g_array_set_size(points, 1); /* the kernel alone */
    fit(FALSE);
    ck_assert_int_eq(fitted.kernel_latency, truth.kernel_latency);
    ck_assert_double_eq(fitted.bf16_flops, base.bf16_flops);
    ck_assert_double_eq(fitted.fp8_flops, base.fp8_flops);
    ck_assert_double_eq(fitted.hbm_bytes_per_s, base.hbm_bytes_per_s);
    ck_assert_double_eq(fitted.nvlink_bytes_per_s, base.nvlink_bytes_per_s);
    ck_assert_double_eq(fitted.nvlink_efficiency, base.nvlink_efficiency);
    ck_assert_int_eq(fitted.communicator_base, base.communicator_base);
    for (guint i = 1; i < eep_calibration_n_rows; i++)
        ck_assert(!fits[i].is_fitted);
}
END_TEST

static guint row_of(const char *key)
{
    guint r = 0;

    while (g_strcmp0(eep_calibration_rows[r].keys[0], key) != 0)
        r++;
    return r;
}

/* What takes less than its parts leaves nothing for the figure: it is not 0, but unseen. */
START_TEST(what_is_below_the_noise_is_a_bound)
{
    for (guint i = 0; i < points->len; i++) {
        EepCalibrationPoint *point = &g_array_index(points, EepCalibrationPoint, i);

        if (point->what.kind != EEP_MEASURE_COMM_SHRINK &&
            point->what.kind != EEP_MEASURE_ALL_GATHER)
            continue;
        point->seconds = 1e-7;
        point->spread = 1e-6 * point->what.n_ranks;
    }
    fit(TRUE);
    ck_assert_int_eq(fitted.comm_split, 2000); /* of the two ranks' point */
    ck_assert_int_eq(fitted.collective_latency, 2000);
    ck_assert(fits[row_of("comm_split")].is_bound[0]);
    ck_assert(fits[row_of("collective_latency")].is_bound[0]);
    ck_assert(!fits[row_of("communicator_base")].is_bound[0]);
    is_near((double)fitted.communicator_base, (double)truth.communicator_base);
}
END_TEST

START_TEST(one_unknown)
{
    /* seen = 3 + max(10, 2 x), at x = 8 but where the floor hides it; one point is far off. */
    const EepFitPoint some[] = {
        {.seen = 19, .fixed = 3, .least = 10, .per_x = 2},
        {.seen = 13, .fixed = 3, .least = 10, .per_x = 1},
        {.seen = 35, .fixed = 3, .least = 10, .per_x = 4},
        {.seen = 900, .fixed = 3, .least = 10, .per_x = 4},
    };
    double x = 0;

    ck_assert(eep_fit_one(some, G_N_ELEMENTS(some), &x));
    ck_assert_double_eq(x, 8.0);
    ck_assert_double_eq(eep_fit_deviation(some, 3, 8.0, 0.0), 0.0);
    /* All seen times are below what is fixed: nothing above 0 goes through any of them. */
    const EepFitPoint low[] = {{.seen = 1, .fixed = 3, .per_x = 2}};
    ck_assert(!eep_fit_one(low, 1, &x));
}
END_TEST

START_TEST(two_unknowns)
{
    EepFitPoint some[9];
    double x = 0, y = 0;

    for (guint i = 0; i < G_N_ELEMENTS(some); i++)
        some[i] = (EepFitPoint){.seen = 5.0 + 0.25 * (1u << i), .per_x = 1, .per_y = 1u << i};
    some[4].seen *= 3.0;
    ck_assert(eep_fit_two(some, G_N_ELEMENTS(some), &x, &y));
    ck_assert_double_eq_tol(x, 5.0, 1e-12);
    ck_assert_double_eq_tol(y, 0.25, 1e-12);
    /* One size cannot tell them apart: all is x. A falling line has no slope below 0. */
    ck_assert(eep_fit_two(some, 1, &x, &y));
    ck_assert_double_eq_tol(x, 5.25, 1e-12);
    ck_assert_double_eq(y, 0.0);
    const EepFitPoint falling[] = {{.seen = 4, .per_x = 1, .per_y = 1},
                                   {.seen = 2, .per_x = 1, .per_y = 2}};
    ck_assert(eep_fit_two(falling, 2, &x, &y));
    ck_assert_double_ge(y, 0.0);
    ck_assert_double_gt(x, 0.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("calibration");
    TCase *figures = tcase_create("figures"), *fitting = tcase_create("fitting");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_checked_fixture(figures, setup, teardown);
    tcase_add_test(figures, known_points_give_known_figures);
    tcase_add_test(figures, without_peaks_what_was_reached_is_one);
    tcase_add_test(figures, a_rate_above_the_peak_becomes_it);
    tcase_add_test(figures, the_second_rate_may_be_the_higher_one);
    tcase_add_test(figures, outliers_do_not_pull);
    tcase_add_test(figures, what_nobody_measured_stays);
    tcase_add_test(figures, what_is_below_the_noise_is_a_bound);
    tcase_add_test(fitting, one_unknown);
    tcase_add_test(fitting, two_unknowns);
    suite_add_tcase(suite, figures);
    suite_add_tcase(suite, fitting);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
