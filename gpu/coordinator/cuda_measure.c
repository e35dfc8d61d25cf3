/* Measurements (core/measurement.h) by the workers of a pool. */
#include "gpu/coordinator/cuda_internal.h"

/* Makes the first n workers a group of this epoch. The first one, of all, is made at the start. */
#define EPOCH_OF(n_ranks) ((EepEpoch)(n_ranks) + 1)

/* What is waited for: a group, or samples. */
typedef struct {
    gboolean has_ended;
    EepDone done;
    guint n_samples, n_answers;
    gint64 *ns; /* [n_samples], of the slowest so far */
} Asked;

static void on_ended(gpointer self, const EepTask *task)
{
    Asked *asked = self;

    asked->has_ended = TRUE;
    asked->done = task->done;
}

void eep_cuda_on_measured(EepCudaWorker *worker, const EepWireMeasured *measured)
{
    const EepTask *task = eep_tasks_find(worker->backend->tasks, measured->op);
    Asked *asked = task != NULL && task->ended == on_ended ? task->self : NULL;

    if (asked == NULL || eep_task_part(task, worker->id) == NULL ||
        measured->n_samples != asked->n_samples)
        return;
    asked->n_answers++;
    for (guint i = 0; i < measured->n_samples; i++)
        asked->ns[i] = MAX(asked->ns[i], (gint64)measured->samples[i]);
}

/* Whoever waits for a rank that has failed would wait in vain. */
static void look_for_failure(const EepCudaBackend *self, Asked *asked)
{
    for (guint i = 0; i < eep_tasks_n(self->tasks); i++) {
        const EepTask *task = eep_tasks_nth(self->tasks, i);

        if (task->self == asked && task->done != EEP_DONE_OK)
            on_ended(asked, task);
    }
}

static gboolean await(EepCudaBackend *self, Asked *asked, const char *what, GError **error)
{
    gint64 until = eep_monotonic_ns() + self->gpu.wait_timeout;

    while (!asked->has_ended && eep_monotonic_ns() < until) {
        eep_clock_real_poll(self->options.clock, 20 * EEP_NS_PER_MS);
        look_for_failure(self, asked);
    }
    eep_tasks_forget(self->tasks, asked);
    if (asked->has_ended && asked->done == EEP_DONE_OK)
        return TRUE;
    if (asked->has_ended)
        g_set_error(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_START,
                    "%s ended %s; what the workers said stands above", what,
                    eep_done_names[asked->done]);
    else
        g_set_error(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_START,
                    "%s had not ended after %.0f s", what,
                    eep_time_to_seconds(self->gpu.wait_timeout));
    return FALSE;
}

/* The pool's first n workers, in the order of their ids. */
static GArray *first_workers(const EepCudaBackend *self, EepPoolId pool, guint n)
{
    GArray *members = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));

    for (EepWorkerId i = 1; i < self->workers->len && members->len < n; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (worker != NULL && worker->pool == pool && worker->state == EEP_CUDA_READY)
            g_array_append_val(members, i);
    }
    return members;
}

static gboolean need_group(EepCudaBackend *self, EepPoolId id, GArray *members, GError **error)
{
    const EepCudaPoolState *pool = eep_cuda_pool(self, id);
    EepEpoch epoch = EPOCH_OF(members->len);
    Asked asked = {0};

    if (eep_worker_groups_find(pool->groups, epoch) != NULL)
        return TRUE;
    eep_cuda_own_phase(self, id, EEP_PHASE_STANDBY_GROUPS, epoch, members, on_ended, &asked);
    return await(self, &asked, "making a group", error);
}

static EepWireMessage message_of(const EepMeasurement *m, EepOpId op)
{
    return (EepWireMessage){.type = EEP_WIRE_MEASURE,
                            .measure = {.op = op,
                                        .epoch = EPOCH_OF(m->n_ranks),
                                        .kind = m->kind,
                                        .size = m->size,
                                        .n_groups = m->n_groups,
                                        .n_rows = m->n_rows,
                                        .n = m->n,
                                        .k = m->k,
                                        .n_warm_ups = m->n_warm_ups,
                                        .n_samples = m->n_samples,
                                        .n_each = m->n_each}};
}

gboolean eep_cuda_backend_measure(EepBackend *backend, EepPoolId id,
                                  const EepMeasurement *measurement, gint64 *ret_ns, GError **error)
{
    EepCudaBackend *self = (EepCudaBackend *)backend;
    g_autoptr(GArray) members = first_workers(self, id, measurement->n_ranks);
    EepOp op = {.id = eep_tasks_own_id(self->tasks), .pool = id};
    EepWireMessage message = message_of(measurement, op.id);
    Asked asked = {.n_samples = measurement->n_samples, .ns = ret_ns};
    EepTask *task;

    if (members->len < measurement->n_ranks) {
        g_set_error(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_START,
                    "%u workers are left of the %u that %s needs", members->len,
                    measurement->n_ranks, eep_measures[measurement->kind].name);
        return FALSE;
    }
    if (!need_group(self, id, members, error))
        return FALSE;
    for (guint i = 0; i < asked.n_samples; i++)
        ret_ns[i] = 0;
    task = eep_tasks_begin(self->tasks, &op, EEP_OP_READ_LOAD, members->len,
                           (const EepWorkerId *)(gconstpointer)members->data);
    task->ended = on_ended;
    task->self = &asked;
    for (guint i = 0; i < members->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, g_array_index(members, EepWorkerId, i));

        if (worker->link != NULL)
            eep_link_send(worker->link, &message);
    }
    if (!await(self, &asked, eep_measures[measurement->kind].name, error))
        return FALSE;
    if (asked.n_answers == members->len)
        return TRUE;
    g_set_error(error, EEP_CUDA_BACKEND_ERROR, EEP_CUDA_BACKEND_ERROR_START,
                "%s: %u of %u workers told their samples", eep_measures[measurement->kind].name,
                asked.n_answers, members->len);
    return FALSE;
}

const EepWireDevice *eep_cuda_backend_device(const EepBackend *backend)
{
    const EepCudaWorker *worker = eep_cuda_worker((const EepCudaBackend *)backend, 1);

    return worker != NULL ? &worker->facts.device : NULL;
}
