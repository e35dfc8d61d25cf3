#include "gpu/worker/self_check.h"

#include <stdio.h>

#include "gpu/worker/moe.h"

#define WAIT_NS G_GINT64_CONSTANT(30000000000)

/* Small, and with every part of a forward in it. */
static const EepWireModel shape = {.n_layers = 2,
                                   .n_experts = 8,
                                   .top_k = 2,
                                   .hidden = 256,
                                   .intermediate = 128,
                                   .slots_per_rank = 8,
                                   .max_tokens = 64,
                                   .attention_flops_per_token = 1 << 16,
                                   .attention_flops_per_pair = 1 << 8,
                                   .kv_bytes_per_token = 512,
                                   .kv_cache_bytes = 1 << 20,
                                   .non_expert_bytes = 1 << 16,
                                   .seed = 1};

typedef struct {
    EepDevice *device;
    EepMoe *moe;
    EepTransport *transport;
    EepComm *comm;
} Check;

static void print_version(const char *what, guint version, guint major, guint minor)
{
    printf("%s%u.%u", what, version / major, version % major / minor);
}

static void print_facts(const EepDevice *device)
{
    const EepDeviceFacts *facts = eep_device_facts(device);
    guint nccl = eep_transport_nccl_version();

    printf("device: %u, %s (%s), compute capability %u.%u, %u SMs, %.1f GiB%s\n", facts->index,
           facts->name, facts->bus_id, facts->cc_major, facts->cc_minor, facts->n_sms,
           (double)facts->memory_bytes / (1 << 30), facts->is_emulated ? ", EMULATED" : "");
    print_version("versions: CUDA runtime ", (guint)facts->runtime_version, 1000, 10);
    print_version(", driver ", (guint)facts->driver_version, 1000, 10);
    print_version(", NCCL ", nccl, 10000, 100);
    printf(".%u\n", nccl % 100);
}

static gboolean fail(GError **error, const char *what, guint layer, guint expert)
{
    g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_DEVICE,
                "layer %u, expert %u: %s: do not trust this GPU, or this build on it", layer,
                expert, what);
    return FALSE;
}

static gboolean place(Check *check, GError **error)
{
    g_autofree guint32 *experts = g_new(guint32, shape.n_experts);

    for (guint i = 0; i < shape.n_experts; i++)
        experts[i] = i;
    for (guint layer = 0; layer < shape.n_layers; layer++) {
        EepWireMap map = {.layer = layer,
                          .version = 1,
                          .epoch = 1,
                          .n_ranks = 1,
                          .may_load = TRUE,
                          .n_slots = shape.n_experts,
                          .experts = experts};

        if (!eep_moe_set_map(check->moe, &map, 0, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean check_weights(Check *check, GError **error)
{
    g_autofree EepWireSlotSum *sums = NULL;
    guint n = 0;

    sums = eep_moe_check(check->moe, eep_moe_stream(check->moe), &n, error);
    if (sums == NULL)
        return FALSE;
    for (guint i = 0; i < n; i++)
        if (sums[i].checksum != eep_moe_expected_checksum(&shape, sums[i].layer, sums[i].expert))
            return fail(error, "the weights' checksum is wrong", sums[i].layer, sums[i].expert);
    printf("weights: %u of %u experts have the right checksum\n", n,
           shape.n_layers * shape.n_experts);
    return n == shape.n_layers * shape.n_experts;
}

static gboolean check_forward(Check *check, GError **error)
{
    EepMoeResult results[2];
    guint suspect;

    for (guint i = 0; i < G_N_ELEMENTS(results); i++) {
        EepWireStep step = {.epoch = 1, .step = i, .n_decodes = 32, .decode_context_tokens = 1024};

        if (!eep_moe_forward(check->moe, check->comm, &step, WAIT_NS, NULL, &results[i], &suspect,
                             error))
            return FALSE;
    }
    if (results[0].probe_hash == 0 || results[0].probe_hash != results[1].probe_hash) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_DEVICE,
                    "two forwards gave probe tokens different results");
        return FALSE;
    }
    printf("forward: probe tokens come out the same twice, hash %016" G_GINT64_MODIFIER "x\n",
           results[0].probe_hash);
    return TRUE;
}

static gboolean look(Check *check, guint index, GError **error)
{
    g_autoptr(GError) why = NULL;
    EepCommId id;

    check->device = eep_device_open(index, error);
    if (check->device == NULL || !eep_device_use(check->device, error))
        return FALSE;
    print_facts(check->device);
    check->moe = eep_moe_new(check->device, &shape, error);
    if (check->moe == NULL)
        return FALSE;
    printf("gemm: %s\n", eep_moe_gemm(check->moe));
    if (!eep_transport_nccl_is_usable(&why)) {
        printf("nccl: not usable, loopback only: %s\n", why->message);
    }
    check->transport = eep_transport_loopback_new();
    if (!check->transport->ops->make_id(check->transport, &id, error))
        return FALSE;
    check->comm = check->transport->ops->join(check->transport, &id, 0, 1, WAIT_NS, NULL, error);
    return check->comm != NULL &&
           eep_moe_fill_non_expert(check->moe, eep_moe_stream(check->moe), error) &&
           place(check, error) && check_weights(check, error) && check_forward(check, error);
}

gboolean eep_self_check(guint device, GError **error)
{
    Check check = {NULL};
    gboolean is_good = look(&check, device, error);

    eep_comm_leave(check.comm);
    g_clear_pointer(&check.moe, eep_moe_free);
    g_clear_pointer(&check.transport, eep_transport_free);
    g_clear_pointer(&check.device, eep_device_close);
    return is_good;
}
