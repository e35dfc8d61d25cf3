#include "cli/calibration_plan.h"

#define KIB 1024
#define MIB (1024 * 1024)

/* Kernels of a layer in a captured forward; what profiles take for a layer's launches too. */
#define KERNELS_OF_A_LAYER 30

/* A grouped GEMM's samples are of so many at most (gpu/worker/gemm.h). */
#define GROUPED_EACH 2

/* What differs between a GPU and a core that plays one. Lists end with 0. */
typedef struct {
    guint64 read_sizes[4], copy_sizes[4];
    guint64 first_message, last_message; /* of collectives; a factor of 4 apart */
    guint rows[8], grouped_rows[6], groups[3];
    guint most_side; /* of a matrix */
    guint n_samples, n_comms;
    guint n_each;
} Scale;

static const Scale on_gpu = {
    .read_sizes = {256 * MIB, 512 * MIB, 1024 * MIB},
    .copy_sizes = {16 * MIB, 64 * MIB, 256 * MIB},
    .first_message = KIB,
    .last_message = 64 * MIB,
    .rows = {16, 64, 256, 1024, 2048, 4096, 8192},
    .grouped_rows = {8, 32, 128, 512, 2048},
    .groups = {8, 32},
    .most_side = EEP_MEASURE_MAX_SIDE,
    .n_samples = 20,
    .n_comms = 7,
    .n_each = 20,
};

static const Scale on_emulated = {
    .read_sizes = {256 * KIB, MIB, 4 * MIB},
    .copy_sizes = {256 * KIB, MIB, 4 * MIB},
    .first_message = KIB,
    .last_message = MIB,
    .rows = {8, 32, 64},
    .grouped_rows = {4, 16, 32},
    .groups = {2, 4},
    .most_side = 128,
    .n_samples = 25,
    .n_comms = 9,
    .n_each = 4,
};

#define QUICK_SAMPLES 9
#define QUICK_COMMS   5

typedef struct {
    const EepCalibrationOptions *options;
    const Scale *scale;
    GArray *list;
} Plan;

static EepMeasurement *add(Plan *plan, EepMeasureKind kind, guint n_ranks, guint64 size)
{
    EepMeasurement measurement = {.kind = kind,
                                  .n_ranks = n_ranks,
                                  .size = size,
                                  .n_warm_ups = 2,
                                  .n_samples = plan->options->is_quick ? QUICK_SAMPLES
                                                                       : plan->scale->n_samples,
                                  .n_each = plan->scale->n_each};

    g_array_append_val(plan->list, measurement);
    return &g_array_index(plan->list, EepMeasurement, plan->list->len - 1);
}

/* All sizes, or with --quick all but the largest. */
static void add_sizes(Plan *plan, EepMeasureKind kind, const guint64 *sizes)
{
    for (guint i = 0; sizes[i] > 0; i++)
        if (!plan->options->is_quick || sizes[i + 1] > 0)
            add(plan, kind, plan->options->n_ranks, sizes[i])->n_each = 1;
}

static guint side(const Plan *plan, gint64 elements)
{
    return (guint)CLAMP(elements / 8 * 8, 8, plan->scale->most_side);
}

static void add_gemms(Plan *plan, guint n, guint k)
{
    for (guint i = 0; plan->scale->rows[i] > 0; i++) {
        EepMeasurement *made;

        if (plan->options->is_quick && i % 2 == 1)
            continue;
        made = add(plan, EEP_MEASURE_GEMM, plan->options->n_ranks, 0);
        made->n_groups = 1;
        made->n_rows = plan->scale->rows[i];
        made->n = n;
        made->k = k;
    }
}

static void add_grouped(Plan *plan, guint n, guint k)
{
    for (guint g = 0; plan->scale->groups[g] > 0; g++)
        for (guint i = 0; plan->scale->grouped_rows[i] > 0; i++) {
            EepMeasurement *made;

            if (plan->options->is_quick && (g + i) % 2 == 1)
                continue;
            made = add(plan, EEP_MEASURE_GROUPED_GEMM, plan->options->n_ranks, 0);
            made->n_groups = plan->scale->groups[g];
            made->n_rows = plan->scale->grouped_rows[i];
            made->n = n;
            made->k = k;
            made->n_each = GROUPED_EACH;
        }
}

/* Messages of all sizes; with --quick every other one. */
static void add_messages(Plan *plan, EepMeasureKind kind, guint n_ranks)
{
    guint64 factor = plan->options->is_quick ? 16 : 4;

    for (guint64 size = plan->scale->first_message; size <= plan->scale->last_message;
         size *= factor)
        add(plan, kind, n_ranks, size);
}

static void add_communicators(Plan *plan, guint n_ranks)
{
    static const EepMeasureKind kinds[] = {EEP_MEASURE_COMM_INIT, EEP_MEASURE_COMM_SHRINK,
                                           EEP_MEASURE_COMM_DESTROY};

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        EepMeasurement *made;

        if (eep_measures[kinds[i]].needs_peers && n_ranks < 2)
            continue;
        made = add(plan, kinds[i], n_ranks, 0);
        made->n_warm_ups = made->n_each = 1;
        made->n_samples = plan->options->is_quick ? QUICK_COMMS : plan->scale->n_comms;
    }
}

/* 2, 4, 8, ... and all. */
static void add_between_ranks(Plan *plan)
{
    guint n = plan->options->n_ranks;

    for (guint i = 2; i <= n; i = i < n ? MIN(2 * i, n) : n + 1) {
        add_messages(plan, EEP_MEASURE_ALL_TO_ALL, i);
        add_messages(plan, EEP_MEASURE_ALL_GATHER, i);
        add_communicators(plan, i);
    }
    if (n < 2)
        return;
    add_messages(plan, EEP_MEASURE_PEER_COPY, 2);
    /* A slope needs two sizes. */
    if (n == 2)
        add_communicators(plan, 1);
}

GArray *eep_calibration_plan(const EepCalibrationOptions *options)
{
    const EepModel *model = options->model;
    Plan plan = {.options = options,
                 .scale = options->is_emulated ? &on_emulated : &on_gpu,
                 .list = g_array_new(FALSE, FALSE, sizeof(EepMeasurement))};
    guint hidden, inter, many = options->is_emulated ? 50 : 200;
    EepMeasurement *capture;

    hidden = side(&plan, model->hidden_size);
    inter = side(&plan, model->moe_intermediate_size);
    add(&plan, EEP_MEASURE_KERNEL, options->n_ranks, 0)->n_each = many;
    add(&plan, EEP_MEASURE_LAUNCH, options->n_ranks, 0)->n_each = many;
    add_sizes(&plan, EEP_MEASURE_MEMORY_READ, plan.scale->read_sizes);
    add_sizes(&plan, EEP_MEASURE_HOST_COPY, plan.scale->copy_sizes);
    add_gemms(&plan, hidden, hidden);
    add_gemms(&plan, side(&plan, 2 * model->moe_intermediate_size), hidden);
    add_grouped(&plan, side(&plan, 2 * model->moe_intermediate_size), hidden);
    add_grouped(&plan, hidden, inter);
    add_between_ranks(&plan);
    capture = add(&plan, EEP_MEASURE_GRAPH_CAPTURE, options->n_ranks,
                  KERNELS_OF_A_LAYER * (guint64)model->n_layers);
    capture->n_each = 1;
    capture->n_samples = options->is_quick ? QUICK_COMMS : plan.scale->n_comms;
    return plan.list;
}
