/* The messages' bodies. A change here is a change of EEP_WIRE_VERSION. */
#include "gpu/wire_table.h"

#include "core/fault.h"
#include "core/measurement.h"
#include "core/resize/group.h"
#include "core/resize/phase.h"

#define ANY32 G_MAXUINT32
#define ANY64 G_MAXUINT64

#define U32(type, member, low, high)                                                               \
    {                                                                                              \
#member, EEP_WIRE_FIELD_U32, offsetof(type, member), 0, low, high, FALSE, 0, NULL          \
    }
/* EEP_RANK_NONE, EEP_TRANSFER_FROM_DISK and the like lie above the bound. */
#define U32_OR_NONE(type, member, low, high)                                                       \
    {                                                                                              \
#member, EEP_WIRE_FIELD_U32, offsetof(type, member), 0, low, high, TRUE, 0, NULL           \
    }
#define U64(type, member, low, high)                                                               \
    {                                                                                              \
#member, EEP_WIRE_FIELD_U64, offsetof(type, member), 0, low, high, FALSE, 0, NULL          \
    }
#define F32(type, member)                                                                          \
    {                                                                                              \
#member, EEP_WIRE_FIELD_F32, offsetof(type, member), 0, 0, 0, FALSE, 0, NULL               \
    }
#define F64(type, member, high)                                                                    \
    {                                                                                              \
#member, EEP_WIRE_FIELD_F64, offsetof(type, member), 0, 0, high, FALSE, 0, NULL            \
    }
#define TEXT(type, member)                                                                         \
    {                                                                                              \
#member, EEP_WIRE_FIELD_TEXT, offsetof(type, member), sizeof(((type *)NULL)->member), 0,   \
            0, FALSE, 0, NULL                                                                      \
    }
#define BYTES(type, member)                                                                        \
    {                                                                                              \
#member, EEP_WIRE_FIELD_BYTES, offsetof(type, member), sizeof(((type *)NULL)->member), 0,  \
            0, FALSE, 0, NULL                                                                      \
    }
#define ARRAY(type, member, count, high, elements)                                                 \
    {                                                                                              \
#member, EEP_WIRE_FIELD_ARRAY, offsetof(type, member), sizeof(*((type *)NULL)->member), 0, \
            high, FALSE, offsetof(type, count), elements                                           \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, EEP_WIRE_FIELD_U32, 0, 0, 0, 0, FALSE, 0, NULL                                       \
    }

#define TIB       (G_GUINT64_CONSTANT(1) << 40)
#define MAX_NS    (G_GUINT64_CONSTANT(1) << 52) /* 52 days */
#define MAX_COUNT (G_GUINT64_CONSTANT(1) << 48)

static const EepWireField hello[] = {
    /* Magic and version are looked at by whoever says what is wrong with them. */
    U64(EepWireHello, magic, 0, ANY64),
    U32(EepWireHello, version, 0, ANY32),
    U32_OR_NONE(EepWireHello, rank, 0, EEP_WIRE_MAX_RANKS - 1),
    BYTES(EepWireHello, token),
    TEXT(EepWireHello, program),
    TEXT(EepWireHello, host),
    U64(EepWireHello, pid, 0, G_MAXINT32),
    U32(EepWireHello, worker, 0, ANY32),
    TEXT(EepWireHello, device.name),
    TEXT(EepWireHello, device.bus_id),
    U64(EepWireHello, device.host_hash, 0, ANY64),
    U32(EepWireHello, device.index, 0, 1024),
    U32(EepWireHello, device.cc_major, 0, 1000),
    U32(EepWireHello, device.cc_minor, 0, 1000),
    U32(EepWireHello, device.n_sms, 0, 100000),
    U64(EepWireHello, device.memory_bytes, 0, TIB * 16),
    U32(EepWireHello, device.runtime_version, 0, 1000000),
    U32(EepWireHello, device.driver_version, 0, 1000000),
    U32(EepWireHello, device.nccl_version, 0, 1000000),
    U32(EepWireHello, device.is_emulated, 0, 1),
    END,
};

static const EepWireField refuse[] = {TEXT(EepWireRefuse, reason), END};

static const EepWireField welcome[] = {
    U32(EepWireWelcome, worker, 1, ANY32),
    U32(EepWireWelcome, transport, 0, EEP_TRANSPORT_COUNT - 1),
    U32(EepWireWelcome, captures_graphs, 0, 1),
    U64(EepWireWelcome, beat_ns, 1000000, MAX_NS),
    U64(EepWireWelcome, silence_ns, 1000000, MAX_NS),
    U64(EepWireWelcome, wait_ns, 1000000, MAX_NS),
    U64(EepWireWelcome, grace_ns, 0, MAX_NS),
    U32(EepWireWelcome, model.n_layers, 0, EEP_WIRE_MAX_LAYERS),
    U32(EepWireWelcome, model.n_experts, 1, EEP_WIRE_MAX_EXPERTS),
    U32(EepWireWelcome, model.top_k, 1, 64),
    U32(EepWireWelcome, model.hidden, 8, 65536),
    U32(EepWireWelcome, model.intermediate, 8, 65536),
    U32(EepWireWelcome, model.slots_per_rank, 1, EEP_WIRE_MAX_SLOTS),
    U32(EepWireWelcome, model.max_tokens, 1, 1 << 20),
    U64(EepWireWelcome, model.attention_flops_per_token, 0, MAX_COUNT),
    U64(EepWireWelcome, model.attention_flops_per_pair, 0, MAX_COUNT),
    U64(EepWireWelcome, model.kv_bytes_per_token, 0, MAX_COUNT),
    U64(EepWireWelcome, model.kv_cache_bytes, 0, TIB),
    U64(EepWireWelcome, model.non_expert_bytes, 0, TIB),
    U64(EepWireWelcome, model.seed, 0, ANY64),
    END,
};

static const EepWireField ready[] = {
    U64(EepWireReady, used_bytes, 0, TIB),
    TEXT(EepWireReady, gemm),
    END,
};

static const EepWireField beat[] = {
    U64(EepWireBeat, sequence, 0, ANY64),
    U64(EepWireBeat, sent_ns, 0, ANY64),
    END,
};

static const EepWireField one_float[] = {
    {"value", EEP_WIRE_FIELD_F32, 0, 0, 0, 0, FALSE, 0, NULL},
    END,
};

static const EepWireField popularity[] = {
    U32(EepWirePopularity, layer, 0, EEP_WIRE_MAX_LAYERS - 1),
    ARRAY(EepWirePopularity, popularity, n_experts, EEP_WIRE_MAX_EXPERTS, one_float),
    END,
};

static const EepWireField group_id[] = {
    U64(EepWireGroupId, op, 0, ANY64),   U32(EepWireGroupId, epoch, 1, ANY32),
    BYTES(EepWireGroupId, serve),        BYTES(EepWireGroupId, move),
    U32(EepWireGroupId, is_grown, 0, 1), END,
};

static const EepWireField one_expert[] = {
    {"expert", EEP_WIRE_FIELD_U32, 0, 0, 0, EEP_WIRE_MAX_EXPERTS - 1, TRUE, 0, NULL},
    END,
};

static const EepWireField map[] = {
    U32(EepWireMap, layer, 0, EEP_WIRE_MAX_LAYERS - 1),
    U32(EepWireMap, version, 0, ANY32),
    U32(EepWireMap, epoch, 1, ANY32),
    U32(EepWireMap, n_ranks, 1, EEP_WIRE_MAX_RANKS),
    U32(EepWireMap, may_load, 0, 1),
    ARRAY(EepWireMap, experts, n_slots, EEP_WIRE_MAX_SLOTS, one_expert),
    END,
};

static const EepWireField step[] = {
    U64(EepWireStep, op, 1, ANY64),
    U32(EepWireStep, epoch, 1, ANY32),
    U64(EepWireStep, step, 0, ANY64),
    U32(EepWireStep, n_decodes, 0, 1 << 20),
    U32(EepWireStep, n_prefill_chunks, 0, 1 << 20),
    U32(EepWireStep, n_prefill_tokens, 0, 1 << 20),
    U64(EepWireStep, decode_context_tokens, 0, MAX_COUNT),
    U64(EepWireStep, prefill_pairs, 0, MAX_COUNT),
    END,
};

static const EepWireField one_route[] = {
    U32(EepWirePeers, from, 0, EEP_WIRE_MAX_RANKS - 1),
    U32(EepWirePeers, to, 0, EEP_WIRE_MAX_RANKS - 1),
    END,
};

static const EepWireField phase[] = {
    U64(EepWirePhase, op, 1, ANY64),
    U32(EepWirePhase, kind, 0, EEP_PHASE_COUNT - 1),
    U32(EepWirePhase, epoch, 0, ANY32),
    U32(EepWirePhase, target_epoch, 0, ANY32),
    U64(EepWirePhase, bytes, 0, TIB),
    U32(EepWirePhase, breaks, 0, EEP_WIRE_BREAK_HANG),
    U32_OR_NONE(EepWirePhase, rank, 0, EEP_WIRE_MAX_RANKS - 1),
    U32(EepWirePhase, n_ranks, 0, EEP_WIRE_MAX_RANKS),
    U32(EepWirePhase, has_gone, 0, 1),
    U32(EepWirePhase, n_kept, 0, EEP_WIRE_MAX_RANKS),
    U32(EepWirePhase, n_old, 0, EEP_WIRE_MAX_RANKS),
    BYTES(EepWirePhase, left_out),
    U32(EepWirePhase, mends_moves, 0, 1),
    ARRAY(EepWirePhase, routes, n_routes, EEP_WIRE_MAX_RANKS, one_route),
    END,
};

static const EepWireField one_transfer[] = {
    U32_OR_NONE(EepWireTransfer, from, 0, EEP_WIRE_MAX_RANKS - 1),
    U32(EepWireTransfer, to, 0, EEP_WIRE_MAX_RANKS - 1),
    U32(EepWireTransfer, expert, 0, EEP_WIRE_MAX_EXPERTS - 1),
    U32(EepWireTransfer, slot, 0, EEP_WIRE_MAX_SLOTS - 1),
    U32(EepWireTransfer, round, 0, EEP_WIRE_MAX_TRANSFERS),
    U64(EepWireTransfer, bytes, 0, TIB),
    END,
};

static const EepWireField move[] = {
    U64(EepWireMove, op, 1, ANY64),
    U32(EepWireMove, is_kv, 0, 1),
    U32(EepWireMove, epoch, 1, ANY32),
    U32(EepWireMove, layer, 0, EEP_WIRE_MAX_LAYERS - 1),
    U32(EepWireMove, version, 0, ANY32),
    ARRAY(EepWireMove, transfers, n_transfers, EEP_WIRE_MAX_TRANSFERS, one_transfer),
    END,
};

static const EepWireField read_load[] = {
    U64(EepWireReadLoad, op, 1, ANY64),
    U64(EepWireReadLoad, from_step, 0, ANY64),
    U64(EepWireReadLoad, to_step, 0, ANY64),
    U32(EepWireReadLoad, n_windows, 1, 4096),
    END,
};

static const EepWireField check[] = {U64(EepWireCheck, op, 1, ANY64), END};

static const EepWireField abort_[] = {
    U64(EepWireAbort, op, 1, ANY64),
    U64(EepWireAbort, scope, 0, ANY64),
    U32(EepWireAbort, epoch, 0, ANY32),
    END,
};

static const EepWireField fault[] = {
    U32(EepWireFault, kind, 0, EEP_FAULT_KIND_COUNT),
    F64(EepWireFault, factor, 1000000),
    END,
};

static const EepWireField spawn[] = {U32(EepWireSpawn, worker, 1, ANY32), END};
static const EepWireField bye[] = {TEXT(EepWireBye, reason), END};

static const EepWireField done[] = {
    U64(EepWireDone, op, 1, ANY64),
    U32(EepWireDone, kind, 0, EEP_OP_COUNT - 1),
    U32(EepWireDone, done, 0, EEP_DONE_COUNT - 1),
    U32(EepWireDone, epoch, 0, ANY32),
    U64(EepWireDone, began_ns, 0, ANY64),
    U64(EepWireDone, ended_ns, 0, ANY64),
    U64(EepWireDone, probe_hash, 0, ANY64),
    F32(EepWireDone, probe[0]),
    F32(EepWireDone, probe[1]),
    F32(EepWireDone, probe[2]),
    F32(EepWireDone, probe[3]),
    U32_OR_NONE(EepWireDone, suspect, 0, EEP_WIRE_MAX_RANKS - 1),
    TEXT(EepWireDone, reason),
    END,
};
G_STATIC_ASSERT(EEP_WIRE_N_PROBES == 4);

static const EepWireField one_count[] = {
    {"tokens", EEP_WIRE_FIELD_U64, 0, 0, 0, MAX_COUNT, FALSE, 0, NULL},
    END,
};

static const EepWireField load[] = {
    U64(EepWireLoad, op, 1, ANY64),
    U32(EepWireLoad, window, 0, 4095),
    U32(EepWireLoad, layer, 0, EEP_WIRE_MAX_LAYERS - 1),
    ARRAY(EepWireLoad, tokens, n_experts, EEP_WIRE_MAX_EXPERTS, one_count),
    END,
};

static const EepWireField one_sum[] = {
    U32(EepWireSlotSum, layer, 0, EEP_WIRE_MAX_LAYERS - 1),
    U32(EepWireSlotSum, slot, 0, EEP_WIRE_MAX_SLOTS - 1),
    U32(EepWireSlotSum, expert, 0, EEP_WIRE_MAX_EXPERTS - 1),
    U64(EepWireSlotSum, checksum, 0, ANY64),
    END,
};

static const EepWireField checked[] = {
    U64(EepWireChecked, op, 1, ANY64),
    ARRAY(EepWireChecked, sums, n_sums, EEP_WIRE_MAX_TRANSFERS, one_sum),
    END,
};

static const EepWireField say[] = {
    U32(EepWireSay, level, 0, 1),
    TEXT(EepWireSay, text),
    END,
};

static const EepWireField measure[] = {
    U64(EepWireMeasure, op, 1, ANY64),
    U32(EepWireMeasure, epoch, 1, ANY32),
    U32(EepWireMeasure, kind, 0, EEP_MEASURE_COUNT - 1),
    U64(EepWireMeasure, size, 0, EEP_MEASURE_MAX_SIZE),
    U32(EepWireMeasure, n_groups, 0, EEP_MEASURE_MAX_GROUPS),
    U32(EepWireMeasure, n_rows, 0, EEP_MEASURE_MAX_ROWS),
    U32(EepWireMeasure, n, 0, EEP_MEASURE_MAX_SIDE),
    U32(EepWireMeasure, k, 0, EEP_MEASURE_MAX_SIDE),
    U32(EepWireMeasure, n_warm_ups, 0, EEP_MEASURE_MAX_SAMPLES),
    U32(EepWireMeasure, n_samples, 1, EEP_MEASURE_MAX_SAMPLES),
    U32(EepWireMeasure, n_each, 1, EEP_MEASURE_MAX_EACH),
    END,
};

static const EepWireField one_sample[] = {
    {"ns", EEP_WIRE_FIELD_U64, 0, 0, 0, MAX_NS, FALSE, 0, NULL},
    END,
};

static const EepWireField measured[] = {
    U64(EepWireMeasured, op, 1, ANY64),
    ARRAY(EepWireMeasured, samples, n_samples, EEP_MEASURE_MAX_SAMPLES, one_sample),
    END,
};

static const char *check_model(const EepWireMessage *message)
{
    const EepWireModel *model = &message->welcome.model;

    return model->top_k > model->n_experts ? "top_k is more than n_experts" : NULL;
}

static const char *check_map(const EepWireMessage *message)
{
    return message->map.n_slots % message->map.n_ranks != 0 ? "n_slots is no multiple of n_ranks"
                                                            : NULL;
}

static guint count_left(const EepWirePhase *body)
{
    guint n = 0;

    for (guint rank = 0; rank < body->n_old; rank++)
        n += !eep_wire_is_left_out(body, rank);
    return n;
}

static const char *check_phase(const EepWireMessage *message)
{
    const EepWirePhase *body = &message->phase;

    if (body->rank != EEP_RANK_NONE && body->rank >= body->n_ranks)
        return "rank is not below n_ranks";
    for (guint i = 0; i < body->n_routes; i++)
        if (body->routes[i].from >= body->n_ranks || body->routes[i].to >= body->n_ranks)
            return "a route's rank is not below n_ranks";
    if (body->n_old > 0 && body->n_kept > 0)
        return "a group cannot grow and shrink";
    return body->n_old > 0 && count_left(body) != body->n_ranks ? "left_out does not leave n_ranks"
                                                                : NULL;
}

/* What a measurement is of is there. */
static const char *check_measure(const EepWireMessage *message)
{
    const EepWireMeasure *body = &message->measure;
    const char *unit = eep_measures[body->kind].unit;

    if (*unit == 's')
        return body->n_groups == 0 || body->n_rows == 0 || body->n == 0 || body->k == 0
                   ? "a matrix has no elements"
                   : NULL;
    return *unit != '\0' && body->size == 0 ? "size is 0" : NULL;
}

static const char *check_read_load(const EepWireMessage *message)
{
    return message->read_load.from_step > message->read_load.to_step ? "from_step is after to_step"
                                                                     : NULL;
}

gboolean eep_wire_is_left_out(const EepWirePhase *body, guint rank)
{
    return (body->left_out[rank / 8] >> (rank % 8) & 1) != 0;
}

const EepWireLayout eep_wire_layouts[EEP_WIRE_TYPE_END] = {
    [EEP_WIRE_HELLO] = {"HELLO", hello, NULL},
    [EEP_WIRE_REFUSE] = {"REFUSE", refuse, NULL},
    [EEP_WIRE_WELCOME] = {"WELCOME", welcome, check_model},
    [EEP_WIRE_READY] = {"READY", ready, NULL},
    [EEP_WIRE_BEAT] = {"BEAT", beat, NULL},
    [EEP_WIRE_POPULARITY] = {"POPULARITY", popularity, NULL},
    [EEP_WIRE_GROUP_ID] = {"GROUP_ID", group_id, NULL},
    [EEP_WIRE_MAP] = {"MAP", map, check_map},
    [EEP_WIRE_STEP] = {"STEP", step, NULL},
    [EEP_WIRE_PHASE] = {"PHASE", phase, check_phase},
    [EEP_WIRE_MOVE] = {"MOVE", move, NULL},
    [EEP_WIRE_READ_LOAD] = {"READ_LOAD", read_load, check_read_load},
    [EEP_WIRE_CHECK] = {"CHECK", check, NULL},
    [EEP_WIRE_ABORT] = {"ABORT", abort_, NULL},
    [EEP_WIRE_FAULT] = {"FAULT", fault, NULL},
    [EEP_WIRE_SPAWN] = {"SPAWN", spawn, NULL},
    [EEP_WIRE_BYE] = {"BYE", bye, NULL},
    [EEP_WIRE_DONE] = {"DONE", done, NULL},
    [EEP_WIRE_LOAD] = {"LOAD", load, NULL},
    [EEP_WIRE_CHECKED] = {"CHECKED", checked, NULL},
    [EEP_WIRE_SAY] = {"SAY", say, NULL},
    [EEP_WIRE_MEASURE] = {"MEASURE", measure, check_measure},
    [EEP_WIRE_MEASURED] = {"MEASURED", measured, NULL},
};
