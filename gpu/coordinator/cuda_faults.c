/* Faults on purpose: the scenario's, done to real processes. */
#include <signal.h>

#include "gpu/coordinator/cuda_internal.h"

static EepCudaBackend *backend_of(EepFaultInjector *injector)
{
    return ((EepCudaInjector *)injector)->backend;
}

/* Signals reach processes of ours that are one rank each. */
static gboolean takes_signals(const EepCudaWorker *worker)
{
    return worker->is_own_process && worker->backend->gpu.transport != EEP_TRANSPORT_LOOPBACK;
}

static void ask(EepCudaWorker *worker, guint32 kind, double factor)
{
    EepWireMessage message = {.type = EEP_WIRE_FAULT, .fault = {kind, factor}};

    if (worker->link != NULL)
        eep_link_send(worker->link, &message);
}

static void stop_worker(EepFaultInjector *injector, EepWorkerId id, gboolean is_gone)
{
    EepCudaWorker *worker = eep_cuda_worker(backend_of(injector), id);

    if (worker == NULL || worker->state == EEP_CUDA_GONE)
        return;
    worker->is_broken_on_purpose = TRUE;
    if (takes_signals(worker))
        eep_crew_signal(worker->backend->crew, id, is_gone ? SIGKILL : SIGSTOP);
    else
        ask(worker, is_gone ? EEP_FAULT_KIND_FAIL : EEP_FAULT_KIND_HANG, 1.0);
}

static void heal_worker(EepFaultInjector *injector, EepWorkerId id)
{
    EepCudaWorker *worker = eep_cuda_worker(backend_of(injector), id);

    if (worker == NULL || worker->state == EEP_CUDA_GONE)
        return;
    worker->is_broken_on_purpose = FALSE;
    if (takes_signals(worker))
        eep_crew_signal(worker->backend->crew, id, SIGCONT);
    else
        ask(worker, EEP_FAULT_KIND_COUNT, 1.0);
}

static void slow_worker(EepFaultInjector *injector, EepWorkerId id, double factor)
{
    EepCudaWorker *worker = eep_cuda_worker(backend_of(injector), id);

    if (worker != NULL)
        ask(worker, EEP_FAULT_KIND_SLOW, CLAMP(factor, 1.0, 1e6));
}

static void set_link(EepFaultInjector *injector, EepPoolId pool, guint node, double factor)
{
    if (factor < 1.0)
        eep_cuda_say(backend_of(injector),
                     "fault link of node %u: links of real workers cannot be made slower; the run "
                     "goes on without it",
                     node);
}

static void break_phase(EepFaultInjector *injector, EepPoolId id, guint phase, guint nth,
                        gboolean hangs)
{
    EepCudaPoolState *pool = eep_cuda_pool(backend_of(injector), id);
    EepCudaBreak entry = {phase, nth, nth == 0, hangs};

    if (pool != NULL)
        g_array_append_val(pool->breaks, entry);
}

const EepFaultInjectorOps eep_cuda_injector_ops = {
    .size = sizeof(EepFaultInjectorOps),
    .stop_worker = stop_worker,
    .heal_worker = heal_worker,
    .slow_worker = slow_worker,
    .set_link = set_link,
    .break_phase = break_phase,
};

EepWireBreak eep_cuda_take_break(EepCudaPoolState *pool, guint phase)
{
    EepWireBreak found = EEP_WIRE_BREAK_NONE;

    for (guint i = pool->breaks->len; i > 0; i--) {
        EepCudaBreak *entry = &g_array_index(pool->breaks, EepCudaBreak, i - 1);

        if (entry->phase != phase || (!entry->is_each && --entry->n_left > 0))
            continue;
        found = entry->hangs ? EEP_WIRE_BREAK_HANG : EEP_WIRE_BREAK_FAIL;
        if (!entry->is_each)
            g_array_remove_index(pool->breaks, i - 1);
    }
    return found;
}
