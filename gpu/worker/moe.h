/* EepMoe: the synthetic Mixture-of-Experts model of one rank, at a scenario's shape, with real
 * work.
 *
 * A forward of n_layers layers; each: attention-like work (reads the KV bytes that a real step
 * reads, does its GEMM flops), router (top-k of popularity, by a hash of step, token and layer),
 * permute, dispatch to the ranks that hold the chosen experts, grouped GEMM with SwiGLU, combine in
 * the order of k, which does not depend on ranks. Weights are bf16 values of a counter-based hash
 * of (seed, layer, expert, matrix, row, column): any rank can check any expert without a transfer.
 * A few probe tokens go through each forward beside the batch, always the same; their result must
 * be the same on every rank, at every size, before, during and after every resize. Not a language
 * model: it knows no requests. Two threads use one object, steps one and moves the other: functions
 * say which. */
#ifndef EEP_GPU_WORKER_MOE_H
#define EEP_GPU_WORKER_MOE_H

#include "gpu/wire.h"
#include "gpu/worker/transport.h"

G_BEGIN_DECLS

typedef struct EepMoe EepMoe;

typedef struct {
    guint64 probe_hash; /* of the probe tokens' output bits; 0: there is nothing to compare, since
                           n_layers is 0 or an expert of a probe token has no slot in the map */
    gfloat probe[EEP_WIRE_N_PROBES]; /* a figure of each probe token's output (probe.h) */
    guint64
        n_dropped; /* pairs of a token and an expert, of this rank, that no slot could compute */
} EepMoeResult;

/* Steps whose load is remembered, the last ones; a window of EPLB is at most that long. */
#define EEP_MOE_LOAD_STEPS 1024

/* Allocates everything that steps need, for any number of ranks up to EEP_WIRE_MAX_SLOTS /
 * slots_per_rank; runs the start-up self-test of the GEMMs. A rank's memory for rows that arrive is
 * 1.5 times what its own tokens send at most (and a row a rank): what a skewed router sends beyond
 * goes in further rounds, which all ranks know of. Non-expert weights are zeros until they are
 * filled or received. No wait that is not part of a forward is
 * longer than the device's patience. */
EepMoe *eep_moe_new(EepDevice *device, const EepWireModel *shape, GError **error);
void eep_moe_free(EepMoe *moe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepMoe, eep_moe_free)

const char *eep_moe_gemm(const EepMoe *moe); /* which one the self-test picked */

/* Of the object's own: steps run on it. */
EepStream eep_moe_stream(const EepMoe *moe);

/* -- the steps' thread -- */

gboolean eep_moe_set_popularity(EepMoe *moe, guint layer, const gfloat *popularity, GError **error);

/* The layer's map for the steps that follow; `rank` is this one's. Staged experts (below) whose
 * slot wants them are committed; what another slot of the rank holds or has staged is copied. A
 * slot that wants an expert that the rank neither holds nor has staged is filled from the hash if
 * map->may_load, else an error says which, and nothing has changed. An empty slot gets no tokens;
 * what it held can still be sent, and serve again. */
gboolean eep_moe_set_map(EepMoe *moe, const EepWireMap *map, guint rank, GError **error);

/* One forward on the group, whose size is that of every layer's map. A step of no tokens takes
 * part all the same. A token-expert pair whose expert has no slot is left out of the sum. After
 * a failure the next call first waits until the stream is at rest. */
gboolean eep_moe_forward(EepMoe *moe, EepComm *comm, const EepWireStep *step, gint64 wait_ns,
                         const gint *stop, EepMoeResult *ret_result, guint *ret_suspect,
                         GError **error);

/* Captures what of the forward can be: of each layer that has a map, attention's projection, router
 * and permute, for batches of 0, 1, 2, 4 .. 512 tokens; later forwards replay it while the map has
 * as many slots. Not captured: reads of the KV cache, exchange, experts. What is there already
 * stays. Returns how many graphs there are. */
gboolean eep_moe_capture(EepMoe *moe, guint *ret_n_graphs, GError **error);
/* From now on a forward captures first what of it could be and is not. FALSE at first. */
void eep_moe_set_captures(EepMoe *moe, gboolean captures);
/* Drops the graphs that are not for maps of so many ranks. */
void eep_moe_keep_graphs(EepMoe *moe, guint n_ranks);
void eep_moe_drop_graphs(EepMoe *moe);

/* Tokens that this rank routed to each expert of the layer in the steps [from, to), a token for
 * each of its experts, probe tokens left out. Steps that are no longer recorded count as none. */
void eep_moe_read_load(const EepMoe *moe, guint64 from_step, guint64 to_step, guint layer,
                       guint64 *ret_tokens);

/* -- the moves' thread -- */

gsize eep_moe_expert_bytes(const EepMoe *moe);
/* Device memory of a slot to send the expert from: what it holds or, of earlier moves, what has
 * arrived for it and no map has wanted yet; NULL: neither is that expert. */
gconstpointer eep_moe_held(EepMoe *moe, guint layer, guint slot, guint expert);
/* The slot for which eep_moe_held() has the expert; G_MAXUINT: none. */
guint eep_moe_find(EepMoe *moe, guint layer, guint expert);
/* Memory to receive an expert for a slot into, beside what serves. It counts as staged from here
 * on: who does not receive it has to unstage. What has arrived for the slot before stays. */
gpointer eep_moe_stage(EepMoe *moe, guint layer, guint slot, guint expert, GError **error);
/* All that was staged in the layer is there: a later move may send it on before a map wants it. */
void eep_moe_arrived(EepMoe *moe, guint layer);
/* What was staged and has not arrived is forgotten; layer G_MAXUINT: everywhere. */
void eep_moe_unstage(EepMoe *moe, guint layer);
/* Fills an expert's memory from the hash: "from disk", "from host". */
gboolean eep_moe_fill(EepMoe *moe, guint layer, guint expert, gpointer memory, EepStream stream,
                      GError **error);

/* The non-expert weights, in one piece: received, sent, or filled from the hash. */
gpointer eep_moe_non_expert(EepMoe *moe, gsize *ret_bytes);
gboolean eep_moe_fill_non_expert(EepMoe *moe, EepStream stream, GError **error);
gpointer eep_moe_kv(EepMoe *moe, gsize *ret_bytes); /* the KV cache, to move pieces of */

/* Order-independent 64-bit sum over memory on the device; `bytes` a multiple of 8. Any thread, on
 * its own stream; waits for it. */
gboolean eep_moe_checksum(EepMoe *moe, gconstpointer memory, gsize bytes, EepStream stream,
                          guint64 *ret_sum, GError **error);
/* What an expert's checksum must be, computed on the host from the hash alone. */
guint64 eep_moe_expected_checksum(const EepWireModel *shape, guint layer, guint expert);

/* Of all slots in which the map wants an expert; free with g_free(). NULL with an error: who holds
 * nothing gives an empty array. */
EepWireSlotSum *eep_moe_check(EepMoe *moe, EepStream stream, guint *ret_n, GError **error);

G_END_DECLS

#endif
