/* EepWire: what coordinator and workers say to each other.
 *
 * A connection is a stream of messages: a header of 8 bytes (u32 length of the body, u16 type, u16
 * zero), then the body. All numbers are little-endian, floats are IEEE. The layout of a body is a
 * table of fields (wire_messages.c), and one codec reads and writes all of them; decoding checks
 * every field against its bounds, every count against what has arrived, and leaves no byte over, so
 * that a decoded message can be used without a further look. The first message of a worker is
 * HELLO, with magic and version; nothing else is accepted before it. Not a connection (link.h) and
 * not a meaning: what the messages ask for is in docs/hardware.md. Pure functions, any thread. */
#ifndef EEP_GPU_WIRE_H
#define EEP_GPU_WIRE_H

#include "core/gpu_options.h"
#include "core/loop/backend.h"

G_BEGIN_DECLS

#define EEP_WIRE_MAGIC        G_GUINT64_CONSTANT(0x0a31504545706565) /* "eepEEP1\n" */
#define EEP_WIRE_VERSION      3
#define EEP_WIRE_HEADER_BYTES 8

#define EEP_WIRE_MAX_RANKS     1024
#define EEP_WIRE_MAX_LAYERS    256
#define EEP_WIRE_MAX_EXPERTS   1024
#define EEP_WIRE_MAX_SLOTS     4096 /* of one layer, all ranks */
#define EEP_WIRE_MAX_TRANSFERS 65536
#define EEP_WIRE_ID_BYTES      128 /* of one communicator: ncclUniqueId */
#define EEP_WIRE_TOKEN_BYTES   32
#define EEP_WIRE_N_PROBES      4 /* figures of the probe tokens' result (worker/probe.h) */

typedef enum {
    EEP_WIRE_HELLO = 1,  /* worker: who I am */
    EEP_WIRE_REFUSE,     /* coordinator: why not; it closes then */
    EEP_WIRE_WELCOME,    /* coordinator: your worker id and the model */
    EEP_WIRE_READY,      /* worker: device opened, model allocated, self-tests passed */
    EEP_WIRE_BEAT,       /* both, at the interval that WELCOME says */
    EEP_WIRE_POPULARITY, /* coordinator: of one layer's experts */
    EEP_WIRE_GROUP_ID,   /* worker of rank 0 -> coordinator -> the other members */
    EEP_WIRE_MAP,        /* coordinator: one layer's physical-to-logical map, before its step */
    EEP_WIRE_STEP,       /* coordinator: your share of a step */
    EEP_WIRE_PHASE,      /* coordinator: your part in a phase */
    EEP_WIRE_MOVE,       /* coordinator: transfers in which you send or receive */
    EEP_WIRE_READ_LOAD,  /* coordinator */
    EEP_WIRE_CHECK,      /* coordinator: checksums of all slots, please */
    EEP_WIRE_ABORT,      /* coordinator */
    EEP_WIRE_FAULT,      /* coordinator: break, slow down or heal yourself (scenario faults) */
    EEP_WIRE_SPAWN,      /* coordinator: another logical rank, please (loopback transport) */
    EEP_WIRE_BYE,        /* coordinator: end; worker: I end now */
    EEP_WIRE_DONE,       /* worker: my share of an operation has ended */
    EEP_WIRE_LOAD,       /* worker: one window of a read_load; all come before its DONE */
    EEP_WIRE_CHECKED,    /* worker: the answer to CHECK */
    EEP_WIRE_SAY,        /* worker: a line for the user */
    EEP_WIRE_MEASURE,    /* coordinator: time this, with the others of the group */
    EEP_WIRE_MEASURED,   /* worker: the samples; comes before its DONE */
    EEP_WIRE_TYPE_END,
} EepWireType;

typedef struct {
    char name[64];
    char bus_id[32];
    guint64 host_hash; /* equal for workers of one host */
    guint32 index;     /* CUDA ordinal as the worker sees it */
    guint32 cc_major, cc_minor, n_sms;
    guint64 memory_bytes;
    guint32 runtime_version, driver_version, nccl_version;
    guint32 is_emulated;
} EepWireDevice;

typedef struct {
    guint64 magic;
    guint32 version;
    guint32 rank; /* wanted, from flags or the launcher; EEP_RANK_NONE: any */
    char token[EEP_WIRE_TOKEN_BYTES];
    char program[32]; /* its version, for messages */
    char host[64];
    guint64 pid;
    guint32 worker; /* given by the coordinator that spawned it; 0: none */
    EepWireDevice device;
} EepWireHello;

typedef struct {
    char reason[256];
} EepWireRefuse;

/* The model's shape on one rank. */
typedef struct {
    guint32 n_layers; /* MoE layers that are computed; 0: workers do no work */
    guint32 n_experts, top_k;
    guint32 hidden, intermediate;
    guint32 slots_per_rank;
    guint32 max_tokens;                                          /* of one rank in one step */
    guint64 attention_flops_per_token, attention_flops_per_pair; /* of one layer */
    guint64 kv_bytes_per_token;                                  /* of one layer */
    guint64 kv_cache_bytes;   /* allocated for what steps read and requests move with */
    guint64 non_expert_bytes; /* all layers */
    guint64 seed;
} EepWireModel;

typedef struct {
    guint32 worker;
    guint32 transport;       /* EepTransportKind */
    guint32 captures_graphs; /* forwards are replayed; what is not captured yet is at first use */
    guint64 beat_ns;         /* interval of heartbeats */
    guint64 silence_ns; /* without a message for so long the worker ends: its coordinator has gone
                         */
    guint64 wait_ns;    /* for any single wait on device or group, then GROUP_BROKEN */
    guint64 grace_ns;   /* to give everything back at the end; then the process is killed */
    EepWireModel model;
} EepWireWelcome;

typedef struct {
    guint64 used_bytes; /* of device memory */
    char gemm[32];      /* which grouped GEMM the self-test picked */
} EepWireReady;

typedef struct {
    guint64 sequence;
    guint64 sent_ns; /* the sender's clock */
} EepWireBeat;

typedef struct {
    guint32 layer;
    guint32 n_experts;
    const gfloat *popularity; /* [n_experts], sums to 1 */
} EepWirePopularity;

typedef struct {
    guint64 op; /* of the phase that makes the group */
    guint32 epoch;
    guint8 serve[EEP_WIRE_ID_BYTES], move[EEP_WIRE_ID_BYTES]; /* its two communicators */
    guint32 is_grown; /* `move` is grown from that of the phase's `epoch` */
} EepWireGroupId;

#define EEP_WIRE_SLOT_EMPTY G_MAXUINT32

typedef struct {
    guint32 layer;
    guint32 version;
    guint32 epoch;
    guint32 n_ranks;
    guint32 may_load; /* slots that hold another expert are filled from the weights' source: the
                         first map of a fresh worker. Else it is an error, and told */
    guint32 n_slots;  /* n_ranks * slots_per_rank */
    const guint32 *experts; /* [n_slots], logical expert or EEP_WIRE_SLOT_EMPTY */
} EepWireMap;

typedef struct {
    guint64 op;
    guint32 epoch;
    guint64 step; /* the pool's forward counter */
    guint32 n_decodes, n_prefill_chunks, n_prefill_tokens;
    guint64 decode_context_tokens, prefill_pairs;
} EepWireStep;

typedef struct {
    guint32 from, to; /* ranks of the target group */
} EepWirePeers;

typedef enum { EEP_WIRE_BREAK_NONE, EEP_WIRE_BREAK_FAIL, EEP_WIRE_BREAK_HANG } EepWireBreak;

typedef struct {
    guint64 op;
    guint32 kind; /* EepPhaseKind */
    guint32 epoch, target_epoch;
    guint64 bytes;    /* per receiver; 0: none */
    guint32 breaks;   /* EepWireBreak: a scenario's phase_fail or phase_hang */
    guint32 rank;     /* of this worker in the target group; EEP_RANK_NONE: it is not in it */
    guint32 n_ranks;  /* of the target group */
    guint32 has_gone; /* members of groups that are left, or of `left_out`, are gone, 0 or 1 */
    guint32 n_kept;   /* its first ranks that are all those of the group `epoch`, which may grow */
    guint32 n_old;    /* ranks of the group `epoch`, out of which it is to shrink; 0: it is not */
    guint8 left_out[EEP_WIRE_MAX_RANKS / 8]; /* a bit for each of them, the lowest first */
    guint32 mends_moves; /* of a group that is there, the communicator for moves is made anew; in
                            the steps' lane that for steps is */
    guint32 n_routes;    /* weights: who sends `bytes` to whom, in this order */
    const EepWirePeers *routes;
} EepWirePhase;

typedef struct {
    guint32 from, to;     /* ranks of `epoch`; `from` may be EEP_TRANSFER_FROM_DISK, _HOST */
    guint32 expert, slot; /* KV: 0 */
    guint32 round;
    guint64 bytes; /* KV only; an expert has its own size */
} EepWireTransfer;

typedef struct {
    guint64 op;
    guint32 is_kv;
    guint32 epoch; /* of the group whose `move` communicator carries it */
    guint32 layer, version;
    guint32 n_transfers;
    const EepWireTransfer *transfers; /* only those of this worker, rounds ascending */
} EepWireMove;

typedef struct {
    guint64 op;
    guint64 from_step, to_step;
    guint32 n_windows;
} EepWireReadLoad;

typedef struct {
    guint64 op;
} EepWireCheck;

typedef struct {
    guint64 op;    /* to be answered */
    guint64 scope; /* operation; 0: all of `epoch` */
    guint32 epoch; /* 0: any */
} EepWireAbort;

typedef struct {
    guint32 kind; /* EepFaultKind: FAIL, HANG, SLOW; EEP_FAULT_KIND_COUNT: heal */
    gdouble factor;
} EepWireFault;

typedef struct {
    guint32 worker; /* id of the rank that connects next */
} EepWireSpawn;

typedef struct {
    char reason[160];
} EepWireBye;

typedef struct {
    guint64 op;
    guint32 kind; /* EepOpKind */
    guint32 done; /* EepDone */
    guint32 epoch;
    guint64 began_ns, ended_ns; /* the worker's clock */
    guint64 probe_hash;         /* of the probe tokens' results, all layers; 0: none ran */
    gfloat probe[EEP_WIRE_N_PROBES];
    guint32 suspect;  /* a rank of `epoch` that was waited for; EEP_RANK_NONE */
    char reason[160]; /* "" when it went well */
} EepWireDone;

typedef struct {
    guint64 op;
    guint32 window, layer;
    guint32 n_experts;
    const guint64 *tokens; /* [n_experts] that this worker routed */
} EepWireLoad;

typedef struct {
    guint32 layer, slot; /* of this rank */
    guint32 expert;
    guint64 checksum;
} EepWireSlotSum;

typedef struct {
    guint64 op;
    guint32 n_sums;
    const EepWireSlotSum *sums; /* of all slots that hold an expert */
} EepWireChecked;

typedef struct {
    guint32 level; /* 0 to know, 1 a warning */
    char text[240];
} EepWireSay;

typedef struct {
    guint64 op;
    guint32 epoch; /* of the group that does it */
    guint32 kind;  /* EepMeasureKind; what follows is as in EepMeasurement */
    guint64 size;
    guint32 n_groups, n_rows, n, k;
    guint32 n_warm_ups, n_samples, n_each;
} EepWireMeasure;

typedef struct {
    guint64 op;
    guint32 n_samples;
    const guint64 *samples; /* ns of one operation, in the order in which they were taken */
} EepWireMeasured;

typedef struct {
    EepWireType type;
    union {
        EepWireHello hello;
        EepWireRefuse refuse;
        EepWireWelcome welcome;
        EepWireReady ready;
        EepWireBeat beat;
        EepWirePopularity popularity;
        EepWireGroupId group_id;
        EepWireMap map;
        EepWireStep step;
        EepWirePhase phase;
        EepWireMove move;
        EepWireReadLoad read_load;
        EepWireCheck check;
        EepWireAbort abort;
        EepWireFault fault;
        EepWireSpawn spawn;
        EepWireBye bye;
        EepWireDone done;
        EepWireLoad load;
        EepWireChecked checked;
        EepWireSay say;
        EepWireMeasure measure;
        EepWireMeasured measured;
    };
    gpointer arrays; /* what the pointers above point into after decoding, else unused */
} EepWireMessage;

#define EEP_WIRE_ERROR (eep_wire_error_quark())
GQuark eep_wire_error_quark(void);
typedef enum {
    EEP_WIRE_ERROR_GARBAGE, /* not this protocol: unknown type, bad length, a field out of bounds */
    EEP_WIRE_ERROR_VERSION, /* another version of it */
} EepWireError;

const char *eep_wire_type_name(EepWireType type);

/* Whether this one of the old group's ranks is not in the smaller one. */
gboolean eep_wire_is_left_out(const EepWirePhase *body, guint rank);

/* A token as people hand it on: twice EEP_WIRE_TOKEN_BYTES hexadecimal digits in lower case. FALSE:
 * it is none; `ret_token` (nullable) is written on success only. */
gboolean eep_wire_parse_token(const char *hex, char ret_token[EEP_WIRE_TOKEN_BYTES]);

/* Appends the message, header included. Strings end where they end; longer ones are cut. The
 * message's fields must be within their bounds (asserted). */
void eep_wire_encode(const EepWireMessage *message, GByteArray *out);

/* TRUE when `data` begins with a whole message: *ret_bytes is its length with the header. FALSE
 * without an error: more bytes are needed; *ret_bytes is how many at least in all. FALSE with one:
 * what follows will never be a message. O(1). */
gboolean eep_wire_frame(const guint8 *data, gsize n_bytes, gsize *ret_bytes, GError **error);

/* Decodes one whole message of n_bytes. *ret_message is to be cleared by eep_wire_clear(). */
gboolean eep_wire_decode(const guint8 *data, gsize n_bytes, EepWireMessage *ret_message,
                         GError **error);
void eep_wire_clear(EepWireMessage *message);

G_END_DECLS

#endif
