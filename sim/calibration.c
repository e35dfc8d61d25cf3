#include "sim/calibration.h"

#include "sim/cost.h"
#include "sim/robust_fit.h"

#define BF16_BYTES 2.0

/* Messages of an all-to-all: its send and its receive each begin with one, by the convention of the
 * profiles (half of the smallest all-to-all). */
#define EXCHANGE_MESSAGES 2.0

/* Where options have their bounds (core/hardware.c). */
#define LEAST_EFFICIENCY 0.001
#define LEAST_FLOPS      1e9
#define LEAST_RATE       1e6

/* -- what the simulator says -- */

static double seconds(EepTime time)
{
    return eep_time_to_seconds(time);
}

static double nvlink_rate(const EepHardware *hardware)
{
    return hardware->nvlink_bytes_per_s * hardware->nvlink_efficiency;
}

/* Every matrix of a measurement is bf16. */
static EepCostContext bf16(const EepModel *model, const EepHardware *hardware)
{
    return (EepCostContext){.model = model, .hardware = hardware};
}

static const EepModel bf16_model = {.weight_bytes_per_param = BF16_BYTES,
                                    .expert_flops_scale = 1.0};

static double predict_kernel(const EepHardware *hardware, const EepMeasurement *what)
{
    return seconds(hardware->kernel_latency);
}

static double predict_read(const EepHardware *hardware, const EepMeasurement *what)
{
    return seconds(hardware->kernel_latency) + (double)what->size / eep_cost_hbm_rate(hardware);
}

static double predict_host_copy(const EepHardware *hardware, const EepMeasurement *what)
{
    return (double)what->size / hardware->pcie_bytes_per_s;
}

static double predict_gemm(const EepHardware *hardware, const EepMeasurement *what)
{
    const EepCostContext context = bf16(&bf16_model, hardware);
    return seconds(hardware->kernel_latency) +
           eep_cost_gemm_seconds(&context, (double)what->n * what->k, what->n_rows);
}

static double predict_grouped(const EepHardware *hardware, const EepMeasurement *what)
{
    const EepCostContext context = bf16(&bf16_model, hardware);
    const double hbm = eep_cost_hbm_rate(hardware), elements = (double)what->n * what->k;
    const EepSlotCost slot = {
        .weights_s = BF16_BYTES * elements / hbm,
        .flops_s = 2.0 * elements / eep_cost_expert_flops(&context),
        .activations_s = BF16_BYTES * ((double)what->n + what->k) / hbm,
    };
    return seconds(hardware->kernel_latency) +
           what->n_groups * eep_slot_cost_seconds(&slot, what->n_rows);
}

static double predict_exchange(const EepHardware *hardware, const EepMeasurement *what)
{
    return EXCHANGE_MESSAGES * seconds(hardware->nvlink_latency) +
           (what->n_ranks - 1.0) * (double)what->size / nvlink_rate(hardware);
}

static double predict_peer_copy(const EepHardware *hardware, const EepMeasurement *what)
{
    return seconds(hardware->nvlink_latency) + (double)what->size / nvlink_rate(hardware);
}

static double predict_gather(const EepHardware *hardware, const EepMeasurement *what)
{
    return eep_cost_all_gather_seconds(hardware, what->n_ranks, (double)what->size);
}

static double predict_init(const EepHardware *hardware, const EepMeasurement *what)
{
    return seconds(hardware->communicator_base) +
           what->n_ranks * seconds(hardware->communicator_per_rank);
}

static double predict_shrink(const EepHardware *hardware, const EepMeasurement *what)
{
    return seconds(hardware->comm_split) +
           (what->n_ranks - 1.0) * seconds(hardware->communicator_per_rank);
}

static double predict_destroy(const EepHardware *hardware, const EepMeasurement *what)
{
    return seconds(hardware->group_destroy) / EEP_CALIBRATION_SET;
}

static double predict_capture(const EepHardware *hardware, const EepMeasurement *what)
{
    return seconds(hardware->graph_capture_size);
}

static double (*const predictions[EEP_MEASURE_COUNT])(const EepHardware *,
                                                      const EepMeasurement *) = {
    [EEP_MEASURE_KERNEL] = predict_kernel,        [EEP_MEASURE_MEMORY_READ] = predict_read,
    [EEP_MEASURE_HOST_COPY] = predict_host_copy,  [EEP_MEASURE_GEMM] = predict_gemm,
    [EEP_MEASURE_GROUPED_GEMM] = predict_grouped, [EEP_MEASURE_ALL_TO_ALL] = predict_exchange,
    [EEP_MEASURE_PEER_COPY] = predict_peer_copy,  [EEP_MEASURE_ALL_GATHER] = predict_gather,
    [EEP_MEASURE_COMM_INIT] = predict_init,       [EEP_MEASURE_COMM_SHRINK] = predict_shrink,
    [EEP_MEASURE_COMM_DESTROY] = predict_destroy, [EEP_MEASURE_GRAPH_CAPTURE] = predict_capture,
};

double eep_calibration_predict(const EepHardware *hardware, const EepMeasurement *what)
{
    return predictions[what->kind] != NULL ? predictions[what->kind](hardware, what) : 0.0;
}

/* -- fits, from the points of a row -- */

/* Points of seen = fixed + per_x x. */
static EepFitPoint *plain_points(const EepCalibrationPoint *points, guint n, double fixed)
{
    EepFitPoint *fit = g_new0(EepFitPoint, n);
    for (guint i = 0; i < n; i++)
        fit[i] = (EepFitPoint){.seen = points[i].seconds, .fixed = fixed};
    return fit;
}

/* One figure that is the time itself, or a multiple of it. */
static gboolean fit_time(const EepCalibrationPoint *points, guint n, double share, EepTime *ret)
{
    g_autofree EepFitPoint *fit = plain_points(points, n, 0.0);
    double x;
    for (guint i = 0; i < n; i++)
        fit[i].per_x = share;
    if (!eep_fit_one(fit, n, &x))
        return FALSE;
    *ret = eep_time_from_seconds(x);
    return TRUE;
}

/* Bytes a second from sizes; beside them something that is known. */
static gboolean fit_rate(const EepCalibrationPoint *points, guint n, double fixed, double *ret)
{
    g_autofree EepFitPoint *fit = plain_points(points, n, fixed);
    double x;
    for (guint i = 0; i < n; i++)
        fit[i].per_x = (double)points[i].what.size;
    if (!eep_fit_one(fit, n, &x))
        return FALSE;
    *ret = fmax(LEAST_RATE, 1.0 / x);
    return TRUE;
}

/* The share of the peak, if the peak is to stay and it is one; else the rate becomes the peak. */
static void set_rate(double rate, double *peak, double *efficiency)
{
    if (*peak > 0.0 && rate <= *peak && rate >= LEAST_EFFICIENCY * *peak) {
        *efficiency = rate / *peak;
        return;
    }
    *peak = rate;
    *efficiency = 1.0;
}

static gboolean fit_kernel(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    return fit_time(points, n, 1.0, &hardware->kernel_latency);
}

static gboolean fit_memory(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    double rate;
    if (!fit_rate(points, n, seconds(hardware->kernel_latency), &rate))
        return FALSE;
    set_rate(rate, &hardware->hbm_bytes_per_s, &hardware->hbm_efficiency);
    return TRUE;
}

static gboolean fit_host_copy(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    return fit_rate(points, n, 0.0, &hardware->pcie_bytes_per_s);
}

/* Whoever comes second keeps the rate of who came first when the peak moves. A peak that was
 * reached says nothing of FP8. */
static void set_flops(EepHardware *hardware, double rate, double *efficiency, double *other)
{
    double before = hardware->bf16_flops, other_rate = before * *other;
    rate = fmax(LEAST_EFFICIENCY * LEAST_FLOPS, rate);
    set_rate(rate, &hardware->bf16_flops, efficiency);
    if (hardware->bf16_flops == before)
        return;
    hardware->bf16_flops = fmax(LEAST_FLOPS, fmax(rate, other_rate));
    hardware->fp8_flops = 0.0;
    *efficiency = rate / hardware->bf16_flops;
    if (before > 0.0)
        *other = CLAMP(other_rate / hardware->bf16_flops, LEAST_EFFICIENCY, 1.0);
}

static gboolean fit_gemm(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    g_autofree EepFitPoint *fit = plain_points(points, n, seconds(hardware->kernel_latency));
    double x;
    for (guint i = 0; i < n; i++) {
        double elements = (double)points[i].what.n * points[i].what.k;
        fit[i].fixed += BF16_BYTES * elements / eep_cost_hbm_rate(hardware);
        fit[i].per_x = 2.0 * elements * points[i].what.n_rows;
    }
    if (!eep_fit_one(fit, n, &x))
        return FALSE;
    set_flops(hardware, 1.0 / x, &hardware->gemm_efficiency, &hardware->grouped_gemm_efficiency);
    return TRUE;
}

static gboolean fit_grouped(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    g_autofree EepFitPoint *fit = plain_points(points, n, seconds(hardware->kernel_latency));
    const double hbm = eep_cost_hbm_rate(hardware);
    double x;
    for (guint i = 0; i < n; i++) {
        const EepMeasurement *what = &points[i].what;
        double elements = (double)what->n * what->k, rows = (double)what->n_groups * what->n_rows;
        fit[i].fixed += BF16_BYTES * rows * ((double)what->n + what->k) / hbm;
        fit[i].least = BF16_BYTES * what->n_groups * elements / hbm;
        fit[i].per_x = 2.0 * elements * rows;
    }
    if (!eep_fit_one(fit, n, &x))
        return FALSE;
    set_flops(hardware, 1.0 / x, &hardware->grouped_gemm_efficiency, &hardware->gemm_efficiency);
    return TRUE;
}

/* x is the latency of a message, y a byte. */
static gboolean fit_links(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    g_autofree EepFitPoint *fit = plain_points(points, n, 0.0);
    double latency, byte;
    for (guint i = 0; i < n; i++) {
        gboolean is_exchange = points[i].what.kind == EEP_MEASURE_ALL_TO_ALL;
        fit[i].per_x = is_exchange ? EXCHANGE_MESSAGES : 1.0;
        fit[i].per_y =
            (double)points[i].what.size * (is_exchange ? points[i].what.n_ranks - 1.0 : 1.0);
    }
    if (!eep_fit_two(fit, n, &latency, &byte) || byte <= 0.0)
        return FALSE;
    hardware->nvlink_latency = eep_time_from_seconds(latency);
    set_rate(fmax(LEAST_RATE, 1.0 / byte), &hardware->nvlink_bytes_per_s,
             &hardware->nvlink_efficiency);
    return TRUE;
}

typedef struct {
    EepHardware hardware;
    const EepMeasurement *what;
} Gather;

static double gather_at(gconstpointer self, double latency)
{
    Gather gather = *(const Gather *)self;
    gather.hardware.collective_latency = eep_time_from_seconds(latency);
    return predict_gather(&gather.hardware, gather.what);
}

static double deviation_of(const EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    double sum = 0.0;
    for (guint i = 0; i < n; i++)
        sum += fabs(eep_calibration_predict(hardware, &points[i].what) / points[i].seconds - 1.0);
    return n > 0 ? sum / n : 0.0;
}

/* The formula has two branches: each point's own latency is tried on all. */
static gboolean fit_gather(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    double best = G_MAXDOUBLE;
    EepTime latency = 0;
    for (guint i = 0; i < n; i++) {
        Gather gather = {*hardware, &points[i].what};
        gather.hardware.collective_latency =
            eep_time_from_seconds(eep_fit_inverse(gather_at, &gather, points[i].seconds, 1.0));
        double deviation = deviation_of(&gather.hardware, points, n);
        if (deviation < best) {
            best = deviation;
            latency = gather.hardware.collective_latency;
        }
    }
    hardware->collective_latency = latency;
    return n > 0;
}

static gboolean fit_init(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    g_autofree EepFitPoint *fit = plain_points(points, n, 0.0);
    double base, per_rank;
    for (guint i = 0; i < n; i++) {
        fit[i].per_x = 1.0;
        fit[i].per_y = points[i].what.n_ranks;
    }
    if (!eep_fit_two(fit, n, &base, &per_rank))
        return FALSE;
    hardware->communicator_base = eep_time_from_seconds(base);
    hardware->communicator_per_rank = eep_time_from_seconds(per_rank);
    return TRUE;
}

/* A shrink that takes less than its ranks alone leaves nothing for the constant. */
static gboolean fit_shrink(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    g_autofree EepFitPoint *fit = plain_points(points, n, 0.0);
    double x = 0.0;
    for (guint i = 0; i < n; i++) {
        fit[i].fixed = (points[i].what.n_ranks - 1.0) * seconds(hardware->communicator_per_rank);
        fit[i].per_x = 1.0;
    }
    if (!eep_fit_one(fit, n, &x) ||
        eep_fit_deviation(fit, n, 0.0, 0.0) < eep_fit_deviation(fit, n, x, 0.0))
        x = 0.0;
    hardware->comm_split = eep_time_from_seconds(x);
    return n > 0;
}

static gboolean fit_destroy(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    return fit_time(points, n, 1.0 / EEP_CALIBRATION_SET, &hardware->group_destroy);
}

static gboolean fit_capture(EepHardware *hardware, const EepCalibrationPoint *points, guint n)
{
    return fit_time(points, n, 1.0, &hardware->graph_capture_size);
}

/* Later rows use the figures of earlier ones. */
const EepCalibrationRow eep_calibration_rows[] = {
    {{"kernel_latency"},
     "kernel_latency",
     {EEP_MEASURE_KERNEL, EEP_MEASURE_KERNEL},
     FALSE,
     fit_kernel},
    {{"hbm_bandwidth", "hbm_efficiency"},
     "kernel_latency + bytes / rate",
     {EEP_MEASURE_MEMORY_READ, EEP_MEASURE_MEMORY_READ},
     FALSE,
     fit_memory},
    {{"pcie_bandwidth"},
     "bytes / rate",
     {EEP_MEASURE_HOST_COPY, EEP_MEASURE_HOST_COPY},
     FALSE,
     fit_host_copy},
    {{"bf16_flops", "fp8_flops", "gemm_efficiency"},
     "kernel_latency + weights / memory rate + 2 rows n k / rate",
     {EEP_MEASURE_GEMM, EEP_MEASURE_GEMM},
     FALSE,
     fit_gemm},
    {{"bf16_flops", "fp8_flops", "grouped_gemm_efficiency"},
     "kernel_latency + groups (max(weights / memory rate, 2 rows n k / rate) + rows (n + k) 2 "
     "bytes / memory rate)",
     {EEP_MEASURE_GROUPED_GEMM, EEP_MEASURE_GROUPED_GEMM},
     FALSE,
     fit_grouped},
    {{"nvlink_bandwidth", "nvlink_efficiency", "nvlink_latency"},
     "all-to-all: 2 nvlink_latency + (ranks - 1) bytes / rate; copy: nvlink_latency + bytes / rate",
     {EEP_MEASURE_ALL_TO_ALL, EEP_MEASURE_PEER_COPY},
     FALSE,
     fit_links},
    {{"collective_latency"},
     "the simulator's all-gather (sim/cost_allreduce.c)",
     {EEP_MEASURE_ALL_GATHER, EEP_MEASURE_ALL_GATHER},
     FALSE,
     fit_gather},
    {{"communicator_base", "communicator_per_rank"},
     "communicator_base + ranks communicator_per_rank",
     {EEP_MEASURE_COMM_INIT, EEP_MEASURE_COMM_INIT},
     FALSE,
     fit_init},
    {{"comm_split"},
     "comm_split + (ranks - 1) communicator_per_rank",
     {EEP_MEASURE_COMM_SHRINK, EEP_MEASURE_COMM_SHRINK},
     FALSE,
     fit_shrink},
    {{"group_destroy"},
     "group_destroy / 3: a set of groups has three communicators",
     {EEP_MEASURE_COMM_DESTROY, EEP_MEASURE_COMM_DESTROY},
     TRUE,
     fit_destroy},
    {{"graph_capture_size"},
     "graph_capture_size, of as many kernels as a forward has",
     {EEP_MEASURE_GRAPH_CAPTURE, EEP_MEASURE_GRAPH_CAPTURE},
     FALSE,
     fit_capture},
};

const guint eep_calibration_n_rows = G_N_ELEMENTS(eep_calibration_rows);

/* Those of a row's kinds, in their order. */
static EepCalibrationPoint *points_of(const EepCalibrationRow *row,
                                      const EepCalibrationPoint *points, guint n, guint *ret_n)
{
    EepCalibrationPoint *mine = g_new(EepCalibrationPoint, MAX(1, n));
    *ret_n = 0;
    for (guint i = 0; i < n; i++)
        if ((points[i].what.kind == row->kinds[0] || points[i].what.kind == row->kinds[1]) &&
            points[i].seconds > 0.0)
            mine[(*ret_n)++] = points[i];
    return mine;
}

/* A time of 0 would say that something costs nothing, and nobody has measured that. */
static void bound_times(EepHardware *hardware, const EepCalibrationRow *row,
                        const EepCalibrationPoint *points, guint n, EepCalibrationFit *fit)
{
    double least = points[0].spread;
    for (guint i = 1; i < n; i++)
        least = fmin(least, points[i].spread);
    for (guint k = 0; k < EEP_CALIBRATION_MAX_KEYS && row->keys[k] != NULL; k++) {
        const EepOption *option = eep_options_find(&eep_hardware_options, row->keys[k]);
        EepTime *time = (EepTime *)(gpointer)((char *)hardware + option->offset);
        if (option->type != EEP_OPTION_TIME || *time > 0)
            continue;
        *time = MAX(1, eep_time_from_seconds(least));
        fit->is_bound[k] = TRUE;
    }
}

void eep_calibration_fit(EepHardware *hardware, gboolean has_peaks,
                         const EepCalibrationPoint *points, guint n, EepCalibrationFit *ret_fits)
{
    double *const peaks[] = {&hardware->bf16_flops, &hardware->hbm_bytes_per_s,
                             &hardware->nvlink_bytes_per_s};
    const double base_peaks[] = {*peaks[0], *peaks[1], *peaks[2]};

    for (guint i = 0; !has_peaks && i < G_N_ELEMENTS(peaks); i++)
        *peaks[i] = 0.0;
    for (guint r = 0; r < eep_calibration_n_rows; r++) {
        const EepCalibrationRow *row = &eep_calibration_rows[r];
        guint n_mine;
        g_autofree EepCalibrationPoint *mine = points_of(row, points, n, &n_mine);

        ret_fits[r] = (EepCalibrationFit){.n_points = n_mine};
        ret_fits[r].is_fitted = n_mine > 0 && row->fit(hardware, mine, n_mine);
        if (ret_fits[r].is_fitted)
            bound_times(hardware, row, mine, n_mine, &ret_fits[r]);
    }
    for (guint i = 0; i < G_N_ELEMENTS(peaks); i++)
        if (*peaks[i] <= 0.0)
            *peaks[i] = base_peaks[i];
    /* Only now are all figures there that a prediction rests on. */
    for (guint r = 0; r < eep_calibration_n_rows; r++) {
        guint n_mine;
        g_autofree EepCalibrationPoint *mine =
            points_of(&eep_calibration_rows[r], points, n, &n_mine);

        ret_fits[r].deviation = deviation_of(hardware, mine, n_mine);
        for (guint i = 0; i < n_mine; i++)
            ret_fits[r].spread += mine[i].spread / mine[i].seconds / n_mine;
    }
}
