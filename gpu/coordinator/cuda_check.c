/* Whether what workers compute and hold is right. */
#include <string.h>

#include "gpu/coordinator/cuda_internal.h"
#include "gpu/coordinator/expert_sums.h"

/* How far the probe tokens' results may be apart where the GEMM's order of sums is not ours. */
#define TOLERANCE 1e-2
/* A placement that has not changed for so long is looked at. */
#define SETTLED EEP_NS_PER_S

void eep_cuda_breach(EepCudaBackend *self, const char *format, ...)
{
    va_list arguments;

    if (self->breach != NULL)
        return;
    va_start(arguments, format);
    self->breach = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    eep_cuda_say(self, "breach: %s", self->breach);
}

/* -- probe tokens -- */

static gboolean is_close(const gfloat *x, const gfloat *y)
{
    for (guint i = 0; i < EEP_WIRE_N_PROBES; i++) {
        double scale = MAX(ABS((double)x[i]), ABS((double)y[i]));

        /* Not a number is not close to anything. */
        if (!(ABS((double)x[i] - (double)y[i]) <= TOLERANCE * scale))
            return FALSE;
    }
    return TRUE;
}

static gboolean is_same(const EepCudaWorker *worker, const EepWireDone *done, guint64 hash,
                        const gfloat *sums)
{
    return worker->facts.device.is_emulated ? done->probe_hash == hash
                                            : is_close(done->probe, sums);
}

/* All ranks of a step against its first, and the first step against all others. */
void eep_cuda_note_probe(EepCudaWorker *worker, EepTask *task, const EepWireDone *done)
{
    EepCudaBackend *self = worker->backend;
    EepCudaPoolState *pool = eep_cuda_pool(self, worker->pool);

    if (done->probe_hash == 0 || done->done != EEP_DONE_OK || !task->compares_probes)
        return;
    if (!pool->has_reference) {
        pool->has_reference = TRUE;
        pool->probe_hash = done->probe_hash;
        memcpy(pool->probe, done->probe, sizeof pool->probe);
    }
    if (!is_same(worker, done, pool->probe_hash, pool->probe))
        eep_cuda_breach(self,
                        "pool %u, operation %" G_GUINT64_FORMAT
                        ", epoch %u: worker %u computes the probe tokens as %016" G_GINT64_MODIFIER
                        "x (%g %g %g %g), before it was %016" G_GINT64_MODIFIER "x (%g %g %g %g)",
                        pool->id, task->op.id, task->op.epoch, worker->id, done->probe_hash,
                        (double)done->probe[0], (double)done->probe[1], (double)done->probe[2],
                        (double)done->probe[3], pool->probe_hash, (double)pool->probe[0],
                        (double)pool->probe[1], (double)pool->probe[2], (double)pool->probe[3]);
    else
        self->counts.n_probes++;
}

/* -- experts -- */

/* What the worker's slots hold by the maps that it had been sent when it was asked. */
typedef struct {
    EepCudaBackend *backend;
    EepWorkerId worker;
    EepOpId op;
    gint32 *map;  /* [n_layers][slots_per_rank] */
    guint8 *seen; /* the same */
} Question;

static void question_free(gpointer data)
{
    Question *question = data;

    g_free(question->map);
    g_free(question->seen);
    g_free(question);
}

static void on_answered(gpointer self, const EepTask *task)
{
    question_free(self);
}

/* FALSE: nothing to ask. */
static gboolean ask(EepCudaBackend *self, const EepCudaPoolState *pool, EepCudaWorker *worker)
{
    gsize n = (gsize)pool->model.n_layers * pool->model.slots_per_rank;
    EepOp op = {.id = eep_tasks_own_id(self->tasks), .pool = pool->id};
    EepWireMessage message = {.type = EEP_WIRE_CHECK, .check = {op.id}};
    Question *question;
    EepTask *task;

    if (worker == NULL || worker->link == NULL || worker->state != EEP_CUDA_READY ||
        worker->is_silent || worker->is_broken_on_purpose || worker->map_epoch == 0)
        return FALSE;
    question = g_new0(Question, 1);
    *question = (Question){self, worker->id, op.id, g_memdup2(worker->map, n * sizeof(gint32)),
                           g_new0(guint8, n)};
    task = eep_tasks_begin(self->tasks, &op, EEP_OP_READ_LOAD, 1, &worker->id);
    task->ended = on_answered;
    task->self = question;
    eep_link_send(worker->link, &message);
    return TRUE;
}

void eep_cuda_check_experts(EepCudaBackend *self, EepCudaPoolState *pool)
{
    gboolean is_settled =
        pool->map_changed_at != 0 && eep_monotonic_ns() - pool->map_changed_at > SETTLED;

    if (!self->gpu.check_experts || pool->model.n_layers == 0 ||
        (!pool->is_check_due && !is_settled))
        return;
    pool->is_check_due = FALSE;
    pool->map_changed_at = 0;
    for (guint i = 0; i < pool->last_members->len; i++)
        ask(self, pool, eep_cuda_worker(self, g_array_index(pool->last_members, EepWorkerId, i)));
}

static void check_sum(const Question *question, const EepCudaPoolState *pool,
                      const EepWireSlotSum *sum)
{
    EepCudaBackend *self = question->backend;
    gint32 wanted;
    guint64 expected;
    gsize at = (gsize)sum->layer * pool->model.slots_per_rank + sum->slot;

    if (sum->layer >= pool->model.n_layers || sum->slot >= pool->model.slots_per_rank ||
        sum->expert >= pool->model.n_experts) {
        eep_cuda_breach(self, "worker %u: there is no layer %u, slot %u, expert %u",
                        question->worker, sum->layer, sum->slot, sum->expert);
        return;
    }
    wanted = question->map[at];
    question->seen[at] = 1;
    /* What a slot holds that shall be empty is nobody's business. */
    if (wanted == EEP_PLACEMENT_EMPTY)
        return;
    expected = eep_expert_sum(self->sums, &pool->model, sum->layer, sum->expert);
    if (wanted != (gint32)sum->expert)
        eep_cuda_breach(self, "worker %u, layer %u, slot %u: holds expert %u instead of %d",
                        question->worker, sum->layer, sum->slot, sum->expert, wanted);
    else if (sum->checksum != expected)
        eep_cuda_breach(self,
                        "worker %u, layer %u, slot %u: expert %u has checksum "
                        "%016" G_GINT64_MODIFIER "x instead of %016" G_GINT64_MODIFIER "x",
                        question->worker, sum->layer, sum->slot, sum->expert, sum->checksum,
                        expected);
    else
        self->counts.n_checksums++;
}

void eep_cuda_on_checked(EepCudaWorker *worker, const EepWireChecked *checked)
{
    EepCudaBackend *self = worker->backend;
    const EepCudaPoolState *pool = eep_cuda_pool(self, worker->pool);
    EepTask *task = eep_tasks_find(self->tasks, checked->op);
    Question *question = task != NULL && task->ended == on_answered ? task->self : NULL;
    guint slots = pool->model.slots_per_rank;

    if (question == NULL || question->worker != worker->id)
        return;
    /* What it was sent it may not have taken: the forward told. */
    if (worker->has_old_maps || !worker->has_stepped) {
        eep_tasks_end_part(self->tasks, task, worker->id, EEP_DONE_OK, 0);
        return;
    }
    for (guint i = 0; i < checked->n_sums; i++)
        check_sum(question, pool, &checked->sums[i]);
    for (gsize at = 0; at < (gsize)pool->model.n_layers * slots; at++)
        if (!question->seen[at] && question->map[at] != EEP_PLACEMENT_EMPTY)
            eep_cuda_breach(
                self, "worker %u, layer %u, slot %u: holds nothing instead of expert %d",
                worker->id, (guint)(at / slots), (guint)(at % slots), question->map[at]);
    eep_tasks_end_part(self->tasks, task, worker->id, EEP_DONE_OK, 0);
}

static gboolean has_questions(const EepCudaBackend *self)
{
    for (guint i = 0; i < eep_tasks_n(self->tasks); i++)
        if (eep_tasks_nth(self->tasks, i)->ended == on_answered)
            return TRUE;
    return FALSE;
}

void eep_cuda_check_at_end(EepCudaBackend *self)
{
    gint64 until = eep_monotonic_ns() + self->gpu.wait_timeout;

    for (guint i = 0; i < self->pools->len; i++) {
        EepCudaPoolState *pool = eep_cuda_pool(self, i);

        if (pool != NULL)
            pool->is_check_due = TRUE;
        if (pool != NULL)
            eep_cuda_check_experts(self, pool);
    }
    while (has_questions(self) && eep_monotonic_ns() < until)
        eep_clock_real_poll(self->options.clock, 20 * EEP_NS_PER_MS);
    if (has_questions(self))
        eep_cuda_breach(self, "not every worker has told the checksums of its experts in time");
}

void eep_cuda_drop_questions(EepCudaBackend *self)
{
    for (guint i = 0; i < eep_tasks_n(self->tasks); i++) {
        EepTask *task = eep_tasks_nth(self->tasks, i);

        if (task->ended == on_answered)
            question_free(task->self);
    }
}
