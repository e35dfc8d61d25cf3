#include "sim/move_cost.h"

#include <string.h>

enum { NVLINK_OUT, NVLINK_IN, NIC_OUT, NIC_IN, LOCAL, PORTS };

typedef struct {
    const EepHardware *hardware;
    const EepMove *move;
    guint n_ranks, n_rounds;
    double rate[PORTS];
    gint64 *bytes; /* [n_ranks][PORTS] of one round */
} Ports;

/* The sender is no rank. */
static gboolean is_outside(guint32 from_rank)
{
    return from_rank == EEP_TRANSFER_FROM_DISK || from_rank == EEP_TRANSFER_FROM_HOST;
}

static void ports_init(Ports *ports, const EepHardware *hardware, const EepMove *move)
{
    const double nvlink = hardware->nvlink_bytes_per_s * hardware->nvlink_efficiency;
    const double nic = hardware->nic_bytes_per_s * hardware->nic_efficiency;
    *ports = (Ports){.hardware = hardware,
                     .move = move,
                     .n_ranks = move->n_ranks,
                     .rate = {nvlink, nvlink, nic, nic, eep_cost_hbm_rate(hardware) / 2.0}};
    for (guint i = 0; i < move->n_transfers; i++) {
        const EepTransfer *t = &move->transfers[i];
        ports->n_ranks = MAX(ports->n_ranks, t->to_rank + 1);
        if (!is_outside(t->from_rank))
            ports->n_ranks = MAX(ports->n_ranks, t->from_rank + 1);
        ports->n_rounds = MAX(ports->n_rounds, t->round + 1);
    }
    ports->bytes = g_new(gint64, (gsize)ports->n_ranks * PORTS);
}

static gint64 bytes_of(const EepMove *move, guint transfer)
{
    return move->bytes != NULL ? move->bytes[transfer] : move->bytes_each;
}

static double round_seconds(const Ports *ports, guint32 round)
{
    const EepMove *move = ports->move;
    const guint32 node = (guint32)ports->hardware->gpus_per_node;
    /* Ranks of two pools are not on the same GPUs, whatever their numbers. */
    const gboolean between_pools = move->is_kv && move->to_pool != move->op.pool;
    gboolean crosses = FALSE, is_empty = TRUE;
    memset(ports->bytes, 0, (gsize)ports->n_ranks * PORTS * sizeof(gint64));
    for (guint i = 0; i < move->n_transfers; i++) {
        const guint32 from = move->transfers[i].from_rank, to = move->transfers[i].to_rank;
        if (move->transfers[i].round != round || is_outside(from))
            continue;
        const gboolean nic = between_pools || from / node != to / node;
        crosses |= nic;
        is_empty = FALSE;
        if (from == to && !nic) {
            ports->bytes[from * PORTS + LOCAL] += bytes_of(move, i);
            continue;
        }
        ports->bytes[from * PORTS + (nic ? NIC_OUT : NVLINK_OUT)] += bytes_of(move, i);
        ports->bytes[to * PORTS + (nic ? NIC_IN : NVLINK_IN)] += bytes_of(move, i);
    }
    double seconds = 0.0;
    for (guint rank = 0; rank < ports->n_ranks; rank++)
        for (int port = 0; port < PORTS; port++)
            seconds = fmax(seconds, (double)ports->bytes[rank * PORTS + port] / ports->rate[port]);
    if (is_empty)
        return 0.0;
    return seconds + eep_time_to_seconds(crosses ? ports->hardware->nic_latency
                                                 : ports->hardware->nvlink_latency);
}

/* Experts that no rank holds any more, from a source that so many ranks share: a host's disk, or
 * the link of each from its host's memory. */
static double outside_seconds(const Ports *ports, guint32 from, guint n_sharing, double bytes_per_s)
{
    const EepMove *move = ports->move;
    gint64 most = 0;
    memset(ports->bytes, 0, (gsize)ports->n_ranks * PORTS * sizeof(gint64));
    for (guint i = 0; i < move->n_transfers; i++) {
        if (move->transfers[i].from_rank != from)
            continue;
        gint64 *bytes = &ports->bytes[move->transfers[i].to_rank / n_sharing];
        *bytes += bytes_of(move, i);
        most = MAX(most, *bytes);
    }
    return (double)most / bytes_per_s;
}

EepTime eep_move_cost(const EepCostContext *context, const EepMove *move, EepTime *ret_link)
{
    const EepHardware *h = context->hardware;
    EepTime link = 0, rest = 0;
    if (!eep_hardware_is_constant(h)) {
        Ports ports;
        ports_init(&ports, h, move);
        double link_s = 0.0;
        for (guint round = 0; round < ports.n_rounds; round++)
            link_s += round_seconds(&ports, round);
        const guint host = (guint)eep_hardware_gpus_per_host(h);
        double rest_s = outside_seconds(&ports, EEP_TRANSFER_FROM_DISK, host, h->disk_bytes_per_s) +
                        outside_seconds(&ports, EEP_TRANSFER_FROM_HOST, 1, h->pcie_bytes_per_s) +
                        move->n_copies * (double)move->bytes_each / ports.rate[LOCAL];
        if (!move->is_kv && (move->n_transfers > 0 || move->n_copies > 0))
            rest_s += eep_time_to_seconds(h->eplb_layer_overhead);
        rest_s += (double)move->n_planned_slots * eep_time_to_seconds(h->eplb_plan_slot);
        g_free(ports.bytes);
        link = eep_time_from_seconds(link_s);
        rest = eep_time_from_seconds(rest_s);
    }
    if (ret_link)
        *ret_link = link;
    return link + rest;
}
