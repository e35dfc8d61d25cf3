#include "sim/phase_load.h"

#include <math.h>

const EepPhaseLoad eep_phase_loads[EEP_PHASE_COUNT] = {
    {EEP_PHASE_LAUNCH, 0, EEP_LOAD_HOST, "imports and module construction keep CPUs busy"},
    {EEP_PHASE_STANDBY_GROUPS, EEP_LOAD_HOST, 0, "bootstrap and proxy threads beside the engine"},
    {EEP_PHASE_WEIGHTS_FROM_PEER, EEP_LOAD_LINKS | EEP_LOAD_HBM | EEP_LOAD_SMS, 0,
     "senders read and send, by kernels of NCCL"},
    {EEP_PHASE_WEIGHTS_FROM_DISK, 0, EEP_LOAD_HOST, "loader threads"},
    {EEP_PHASE_KV_SYNC, 0, 0, "a few messages"},
    {EEP_PHASE_MAP_BROADCAST, EEP_LOAD_LINKS, 0, "rank 0 sends"},
    {EEP_PHASE_SWITCH, 0, 0, "a few messages"},
    {EEP_PHASE_WARM_UP, EEP_LOAD_SMS, 0, "a forward on the worker's own GPUs"},
    {EEP_PHASE_GRAPH_CAPTURE, EEP_LOAD_SMS | EEP_LOAD_HOST, 0, "forwards, launched one by one"},
    {EEP_PHASE_RETIRE_GROUPS, EEP_LOAD_HOST, 0, "a thread of the engine's process"},
    {EEP_PHASE_KERNEL_WARM_UP, EEP_LOAD_SMS, 0, "forwards on the new worker's own GPUs"},
    {EEP_PHASE_DESTROY, 0, 0, "only the leaving process"},
    {EEP_PHASE_WEIGHTS_TREE, EEP_LOAD_LINKS | EEP_LOAD_HBM | EEP_LOAD_SMS, 0,
     "old ranks read and send, by kernels of NCCL"},
    {EEP_PHASE_WEIGHTS_FROM_CACHE, 0, EEP_LOAD_HOST, "loader threads"},
    {EEP_PHASE_WEIGHTS_FROM_HOST, 0, 0, "copy engines of GPUs that do not serve"},
    {EEP_PHASE_COMM_SPLIT, EEP_LOAD_HOST, 0, "bootstrap and proxy threads beside the engine"},
    {EEP_PHASE_OFFLOAD, 0, 0, "copy engines of GPUs that do not serve"},
    {EEP_PHASE_MASK, 0, 0, "a few messages"},
};

guint8 eep_phase_load_on_worker(const EepPhase *phase)
{
    return phase->kind < EEP_PHASE_COUNT ? eep_phase_loads[phase->kind].on_workers : 0;
}

guint8 eep_phase_load_on_others(const EepHardware *hardware, const EepPhase *phase)
{
    const gboolean shares_host =
        phase->n_ranks_new > phase->n_ranks_old &&
        phase->n_ranks_old % (guint)eep_hardware_gpus_per_host(hardware) != 0;

    return phase->kind < EEP_PHASE_COUNT && shares_host ? eep_phase_loads[phase->kind].on_others
                                                        : 0;
}

static double longer(double background, double share)
{
    return 1.0 / (1.0 - background * share);
}

void eep_phase_load_slow(const EepHardware *hardware, double background, guint8 load,
                         EepStepSlowness *slowness)
{
    const double sms = load & EEP_LOAD_SMS ? hardware->background_sm_share : 0.0;
    const double hbm = load & EEP_LOAD_HBM ? hardware->background_hbm_share : 0.0;

    slowness->compute = longer(background, fmax(sms, hbm));
    slowness->all2all =
        longer(background, load & EEP_LOAD_LINKS ? hardware->background_link_share : 0.0);
    slowness->cpu =
        longer(background, load & EEP_LOAD_HOST ? hardware->background_host_share : 0.0);
}
