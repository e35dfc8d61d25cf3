/* EepHardware: what one kind of GPU and its links can do, and what work around the step costs on
 * it.
 *
 * Facts from scenarios/hardware/NAME.yaml; each figure carries `basis: measured|derived|assumed`
 * and its source there. All resize generations draw on this one set of costs. Not a cost model:
 * formulas that use these numbers live in sim/. Filled by the profile loader, read-only afterwards.
 */
#ifndef EEP_CORE_HARDWARE_H
#define EEP_CORE_HARDWARE_H

#include "core/options.h"

G_BEGIN_DECLS

typedef struct {
    char *name;
    gint64 gpus_per_node; /* GPUs that share one NVLink domain (72 for GB200 NVL72) */
    gint64 gpus_per_host; /* GPUs that share one host's CPUs, memory and disks; 0: a node's */
    double bf16_flops, fp8_flops; /* dense peak, FLOP/s; fp8 0: not supported */
    double hbm_bytes_per_s;       /* peak */
    gint64 hbm_bytes;             /* usable by programs */
    double nvlink_bytes_per_s;    /* per GPU and direction */
    double nic_bytes_per_s;       /* per GPU and direction */
    double gemm_efficiency, grouped_gemm_efficiency,
        attention_efficiency; /* achieved / peak at large sizes */
    double hbm_efficiency;    /* achieved / peak for streaming weights and KV */
    double nvlink_efficiency, nic_efficiency;
    EepTime kernel_latency;              /* one memory-bound kernel's constant */
    EepTime nvlink_latency, nic_latency; /* one message */
    EepTime collective_latency;          /* small all-gather or reduce-scatter within a node */
    EepTime cpu_step,
        cpu_per_request; /* scheduler + launch work of one step; and each request in it */
    EepTime cpu_graph_launch, cpu_eager_layer; /* full-graph step; one layer launched eagerly */
    /* Phases of a resize and of a start (numbers.md 5.9-5.11). */
    EepTime process_launch, cuda_context,
        model_construct; /* actor or process start; context; modules with dummy weights */
    EepTime communicator_base, communicator_per_rank; /* one group: base + per_rank * ranks */
    EepTime kernel_warmup,
        graph_capture_size;      /* warm-up forward and autotune; one captured graph size */
    EepTime group_destroy;       /* tearing one set of groups down, in background */
    EepTime eplb_layer_overhead; /* a layer's exchange: control collectives, packing, launches */
    EepTime eplb_plan_slot;      /* planning a placement, for each of its layers' slots */
    double disk_bytes_per_s;     /* loading weights, one host */
    double host_bytes_per_s;     /* the same from its page cache */
    double pcie_bytes_per_s;     /* pinned host memory to one GPU and back */
    EepTime comm_split;          /* one group made of a larger one's members, constant part */
    EepTime control_latency;     /* one control-plane message */
    gint64 reserved_bytes;       /* context, NCCL buffers, fragmentation */
    gint64 graph_bytes;          /* captured graphs */
    gint64 standby_group_bytes;  /* groups and buffers held twice in a resize */
    /* Of a resource that steps and background work both want, what steps lose of it meanwhile
     * (sim/phase_load.h). */
    double background_sm_share, background_hbm_share, background_link_share, background_host_share;
    EepTime constant_step; /* > 0: every step lasts exactly this and nothing else costs anything */
} EepHardware;

extern const EepOptionTable eep_hardware_options; /* the keys of a hardware profile; prefix
                                                     "hardware" */

/* TRUE for the profile `constant-step`, under which an idle pool performs no dummy steps. */
static inline gboolean eep_hardware_is_constant(const EepHardware *hardware)
{
    return hardware->constant_step > 0;
}

static inline gint64 eep_hardware_gpus_per_host(const EepHardware *hardware)
{
    return hardware->gpus_per_host > 0 ? hardware->gpus_per_host : hardware->gpus_per_node;
}

/* The same machine, its links between GPUs at `factor` of their bandwidth. Borrows the name. */
static inline EepHardware eep_hardware_with_links(const EepHardware *hardware, double factor)
{
    EepHardware slow = *hardware;
    slow.nvlink_bytes_per_s *= factor;
    slow.nic_bytes_per_s *= factor;
    return slow;
}

G_END_DECLS

#endif
