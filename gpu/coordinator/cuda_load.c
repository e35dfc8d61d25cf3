/* What tokens pick: popularity on its way to workers, and their counts on the way back. */
#include <string.h>

#include "gpu/coordinator/cuda_internal.h"

/* How often popularity is looked at; a drift is slower. */
#define LOOK_EVERY EEP_NS_PER_S

/* -- popularity -- */

static void post_layer(const EepCudaPoolState *pool, EepCudaWorker *worker, guint layer)
{
    guint n = pool->model.n_experts;
    EepWireMessage message = {.type = EEP_WIRE_POPULARITY,
                              .popularity = {layer, n, pool->popularity + (gsize)layer * n}};

    eep_link_post(worker->link, &message);
}

static gboolean look_at_layer(EepCudaPoolState *pool, guint layer, EepTime now)
{
    guint n = pool->model.n_experts;
    g_autofree double *exact = g_new(double, n);
    g_autofree gfloat *sent = g_new(gfloat, n);
    gfloat *known = pool->popularity + (gsize)layer * n;

    pool->options.popularity(pool->options.self, layer, now, exact);
    for (guint i = 0; i < n; i++)
        sent[i] = (gfloat)exact[i];
    if (memcmp(known, sent, n * sizeof *sent) == 0)
        return FALSE;
    memcpy(known, sent, n * sizeof *sent);
    return TRUE;
}

void eep_cuda_post_popularity(const EepCudaPoolState *pool, EepCudaWorker *worker)
{
    for (guint layer = 0; layer < pool->model.n_layers; layer++)
        post_layer(pool, worker, layer);
}

void eep_cuda_follow_popularity(EepCudaBackend *self, EepCudaPoolState *pool)
{
    gint64 now = eep_monotonic_ns();

    if (pool->model.n_layers == 0 ||
        (pool->popularity_at != 0 && now - pool->popularity_at < LOOK_EVERY))
        return;
    pool->popularity_at = now;
    for (guint layer = 0; layer < pool->model.n_layers; layer++) {
        if (!look_at_layer(pool, layer, self->options.clock->ops->now(self->options.clock)))
            continue;
        /* The probe tokens pick by it too. */
        pool->has_reference = FALSE;
        for (guint i = 1; i < self->workers->len; i++) {
            EepCudaWorker *worker = eep_cuda_worker(self, i);

            if (worker != NULL && worker->pool == pool->id && worker->link != NULL &&
                worker->state == EEP_CUDA_READY)
                post_layer(pool, worker, layer);
        }
    }
}

/* -- load -- */

void eep_cuda_note_tokens(EepCudaPoolState *pool, guint64 step, guint32 n_tokens)
{
    pool->step_tokens[step % EEP_CUDA_STEPS_KEPT] = n_tokens;
    pool->step_of[step % EEP_CUDA_STEPS_KEPT] = step + 1;
}

static double tokens_between(const EepCudaPoolState *pool, guint64 from, guint64 to)
{
    double sum = 0.0;

    if (to - from > EEP_CUDA_STEPS_KEPT)
        from = to - EEP_CUDA_STEPS_KEPT;
    for (guint64 step = from; step < to; step++)
        if (pool->step_of[step % EEP_CUDA_STEPS_KEPT] == step + 1)
            sum += pool->step_tokens[step % EEP_CUDA_STEPS_KEPT];
    return sum;
}

/* Layers that nobody computes have the load that their popularity lets expect of the same tokens.
 */
static void fill_others(EepCudaBackend *self, const EepCudaPoolState *pool, guint64 from,
                        guint64 to, guint n_windows, EepLoadReport *report)
{
    guint n_experts = pool->model.n_experts, n_layers = pool->options.n_moe_layers;
    EepTime now = self->options.clock->ops->now(self->options.clock);
    g_autofree double *popularity = g_new(double, n_experts);

    for (guint layer = pool->model.n_layers; layer < n_layers; layer++) {
        pool->options.popularity(pool->options.self, layer, now, popularity);
        for (guint w = 0; w < n_windows; w++) {
            double picks = tokens_between(pool, eep_load_window_begin(from, to, n_windows, w),
                                          eep_load_window_begin(from, to, n_windows, w + 1)) *
                           pool->model.top_k;
            double *row = report->tokens + ((gsize)w * n_layers + layer) * n_experts;

            for (guint i = 0; i < n_experts; i++)
                row[i] = picks * popularity[i];
        }
    }
}

/* Who can be asked. */
static GArray *listeners(const EepCudaBackend *self, const EepCudaPoolState *pool)
{
    GArray *there = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));

    for (guint i = 0; pool->model.n_layers > 0 && i < pool->last_members->len; i++) {
        EepWorkerId id = g_array_index(pool->last_members, EepWorkerId, i);
        const EepCudaWorker *worker = eep_cuda_worker(self, id);

        if (worker != NULL && worker->link != NULL && worker->state == EEP_CUDA_READY &&
            !worker->is_silent && !worker->is_broken_on_purpose)
            g_array_append_val(there, id);
    }
    return there;
}

void eep_cuda_read_load(EepBackend *backend, const EepOp *op, guint64 from_step, guint64 to_step,
                        guint n_windows)
{
    EepCudaBackend *self = (EepCudaBackend *)backend;
    EepCudaPoolState *pool = eep_cuda_pool(self, op->pool);
    EepWireMessage message = {.type = EEP_WIRE_READ_LOAD,
                              .read_load = {op->id, from_step, to_step, n_windows}};
    g_autoptr(GArray) there = NULL;
    gsize cells;
    EepTask *task;

    if (pool == NULL || n_windows == 0 || n_windows > 4096 || pool->options.n_moe_layers == 0) {
        eep_tasks_end_at_once(self->tasks, op, EEP_OP_READ_LOAD, EEP_DONE_REFUSED);
        return;
    }
    there = listeners(self, pool);
    task = eep_tasks_begin(self->tasks, op, EEP_OP_READ_LOAD, there->len,
                           (const EepWorkerId *)(gconstpointer)there->data);
    cells = (gsize)n_windows * pool->options.n_moe_layers * pool->model.n_experts;
    task->report_bytes = sizeof(EepLoadReport) + cells * sizeof(double);
    task->report = g_malloc0(task->report_bytes);
    task->report->n_windows = n_windows;
    fill_others(self, pool, from_step, to_step, n_windows, task->report);
    eep_tasks_end_if_over(self->tasks, task);
    for (guint i = 0; i < there->len; i++) {
        EepCudaWorker *worker = eep_cuda_worker(self, g_array_index(there, EepWorkerId, i));

        if (worker->link != NULL)
            eep_link_send(worker->link, &message);
    }
}

void eep_cuda_on_load(EepCudaWorker *worker, const EepWireLoad *load)
{
    const EepCudaPoolState *pool = eep_cuda_pool(worker->backend, worker->pool);
    EepTask *task = eep_tasks_find(worker->backend->tasks, load->op);
    const EepTaskPart *part = task != NULL ? eep_task_part(task, worker->id) : NULL;
    double *row;

    if (part == NULL || part->has_ended || task->report == NULL ||
        load->window >= task->report->n_windows || load->layer >= pool->model.n_layers ||
        load->n_experts != pool->model.n_experts)
        return;
    row = task->report->tokens +
          ((gsize)load->window * pool->options.n_moe_layers + load->layer) * load->n_experts;
    for (guint i = 0; i < load->n_experts; i++)
        row[i] += (double)load->tokens[i];
}
