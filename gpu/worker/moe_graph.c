/* Captured graphs. What is captured of a layer is eep_moe_layer_local(): attention's projection,
 * router and permute, which need no other rank and whose launches depend on the number of rows
 * alone. The KV cache's reads, the exchange and the experts are not: their sizes are known only in
 * the step. A forward takes the smallest captured size that its rows fit in. */
#include "gpu/worker/moe_internal.h"

#define LARGEST_BATCH 512 /* tokens; larger steps gain nothing by a replay */

static gboolean destroy_exec(cudaGraphExec_t exec, GError **error)
{
    return EEP_CUDA(cudaGraphExecDestroy(exec), error);
}

void eep_moe_keep_graphs(EepMoe *moe, guint n_ranks)
{
    for (guint i = moe->graphs ? moe->graphs->len : 0; i-- > 0;) {
        const EepMoeGraph *graph = &g_array_index(moe->graphs, EepMoeGraph, i);
        g_autoptr(GError) failed = NULL;
        if (graph->n_slots == n_ranks * moe->shape.slots_per_rank)
            continue;
        if (!destroy_exec(graph->exec, &failed))
            g_debug("%s", failed->message);
        g_array_remove_index(moe->graphs, i);
    }
}

void eep_moe_drop_graphs(EepMoe *moe)
{
    eep_moe_keep_graphs(moe, 0);
}

static gboolean instantiate(cudaGraph_t graph, cudaGraphExec_t *ret_exec, GError **error)
{
    gboolean is_made = EEP_CUDA(cudaGraphInstantiate(ret_exec, graph, 0), error);
    if (EEP_CUDA(cudaGraphDestroy(graph), is_made ? error : NULL))
        return is_made;
    g_autoptr(GError) ignored = NULL;
    if (is_made && !destroy_exec(*ret_exec, &ignored))
        g_debug("%s", ignored->message);
    return FALSE;
}

static gboolean capture_layer(EepMoe *moe, guint layer, guint max_rows, GError **error)
{
    EepMoeGraph made = {layer, max_rows, moe->layers[layer].n_slots, NULL};
    cudaGraph_t graph = NULL;
    if (!EEP_CUDA(cudaStreamBeginCapture(moe->stream, cudaStreamCaptureModeThreadLocal), error))
        return FALSE;
    gboolean is_enqueued = eep_moe_layer_local(moe, layer, max_rows, error);
    /* A capture that was begun has to be ended, whatever happened in it. */
    gboolean is_ended =
        EEP_CUDA(cudaStreamEndCapture(moe->stream, &graph), is_enqueued ? error : NULL);
    if (is_ended && !is_enqueued) {
        g_autoptr(GError) ignored = NULL;
        if (graph && !EEP_CUDA(cudaGraphDestroy(graph), &ignored))
            g_debug("%s", ignored->message);
    }
    if (!is_enqueued || !is_ended || !instantiate(graph, &made.exec, error))
        return FALSE;
    g_array_append_val(moe->graphs, made);
    return TRUE;
}

/* Everything once before: what a library sets up on its first call does not belong in a graph. */
static gboolean run_once(EepMoe *moe, guint layer, guint max_rows, GError **error)
{
    *moe->pinned.facts = (EepStepFacts){.seed = moe->shape.seed, .n_probes = EEP_WIRE_N_PROBES};
    return EEP_CUDA(cudaMemcpyAsync(moe->at.facts, moe->pinned.facts, sizeof(EepStepFacts),
                                    cudaMemcpyHostToDevice, moe->stream),
                    error) &&
           eep_moe_layer_local(moe, layer, max_rows, error) &&
           eep_device_wait(moe->device, moe->stream, moe->wait_ns, NULL, error);
}

/* The graph of the layer's present map that is captured for the fewest rows, but these many. */
static const EepMoeGraph *find(const EepMoe *moe, guint layer, guint n_rows)
{
    const EepMoeGraph *best = NULL;
    for (guint i = 0; i < moe->graphs->len; i++) {
        const EepMoeGraph *graph = &g_array_index(moe->graphs, EepMoeGraph, i);
        if (graph->layer == layer && graph->n_slots == moe->layers[layer].n_slots &&
            graph->max_rows >= n_rows && (!best || graph->max_rows < best->max_rows))
            best = graph;
    }
    return best;
}

static gboolean lacks(const EepMoe *moe, guint layer, guint max_rows)
{
    const EepMoeGraph *graph = find(moe, layer, max_rows);
    return moe->layers[layer].n_ranks > 0 && (!graph || graph->max_rows != max_rows);
}

/* Of every layer that has a map, for so many tokens, unless it is there. */
static gboolean capture_size(EepMoe *moe, guint n_tokens, GError **error)
{
    guint max_rows = EEP_WIRE_N_PROBES + n_tokens;
    for (guint layer = 0; layer < moe->shape.n_layers; layer++)
        if (lacks(moe, layer, max_rows) && !(run_once(moe, layer, max_rows, error) &&
                                             capture_layer(moe, layer, max_rows, error))) {
            eep_moe_drop_graphs(moe);
            return FALSE;
        }
    return TRUE;
}

static guint largest_batch(const EepMoe *moe)
{
    return MIN(moe->shape.max_tokens, LARGEST_BATCH);
}

/* 0, 1, 2, 4 .. the largest. */
static guint next_batch(const EepMoe *moe, guint n_tokens)
{
    return MIN(n_tokens == 0 ? 1 : 2 * n_tokens, largest_batch(moe));
}

gboolean eep_moe_capture(EepMoe *moe, guint *ret_n_graphs, GError **error)
{
    *ret_n_graphs = 0;
    if (moe->shape.n_layers > 0 && !eep_moe_settle(moe, moe->wait_ns, NULL, error))
        return FALSE;
    for (guint n = 0, is_last = FALSE; !is_last; n = next_batch(moe, n)) {
        if (!capture_size(moe, n, error))
            return FALSE;
        is_last = n == largest_batch(moe);
    }
    *ret_n_graphs = moe->graphs ? moe->graphs->len : 0;
    return TRUE;
}

void eep_moe_set_captures(EepMoe *moe, gboolean captures)
{
    moe->captures = captures;
}

gboolean eep_moe_graph_prepare(EepMoe *moe, guint n_rows, GError **error)
{
    guint n_tokens = 0;
    if (!moe->captures || n_rows > EEP_WIRE_N_PROBES + largest_batch(moe))
        return TRUE;
    while (EEP_WIRE_N_PROBES + n_tokens < n_rows)
        n_tokens = next_batch(moe, n_tokens);
    return capture_size(moe, n_tokens, error);
}

gboolean eep_moe_graph_replay(EepMoe *moe, guint layer, guint n_rows, gboolean *ret_replayed,
                              GError **error)
{
    const EepMoeGraph *graph = find(moe, layer, n_rows);
    *ret_replayed = graph != NULL;
    return graph == NULL || EEP_CUDA(cudaGraphLaunch(graph->exec, moe->stream), error);
}
