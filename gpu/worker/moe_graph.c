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

void eep_moe_drop_graphs(EepMoe *moe)
{
    for (guint i = 0; moe->graphs && i < moe->graphs->len; i++) {
        g_autoptr(GError) failed = NULL;
        if (!destroy_exec(g_array_index(moe->graphs, EepMoeGraph, i).exec, &failed))
            g_debug("%s", failed->message);
    }
    if (moe->graphs)
        g_array_set_size(moe->graphs, 0);
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

gboolean eep_moe_capture(EepMoe *moe, guint *ret_n_graphs, GError **error)
{
    guint largest = MIN(moe->shape.max_tokens, LARGEST_BATCH);
    *ret_n_graphs = 0;
    if (moe->shape.n_layers > 0 && !eep_moe_settle(moe, moe->wait_ns, NULL, error))
        return FALSE;
    eep_moe_drop_graphs(moe);
    for (guint layer = 0; layer < moe->shape.n_layers; layer++) {
        for (guint n_tokens = 0, is_last = FALSE; !is_last && moe->layers[layer].n_ranks > 0;) {
            guint max_rows = EEP_WIRE_N_PROBES + n_tokens;
            if (!run_once(moe, layer, max_rows, error) ||
                !capture_layer(moe, layer, max_rows, error)) {
                eep_moe_drop_graphs(moe);
                return FALSE;
            }
            is_last = n_tokens == largest;
            n_tokens = MIN(n_tokens == 0 ? 1 : 2 * n_tokens, largest);
        }
    }
    *ret_n_graphs = moe->graphs ? moe->graphs->len : 0;
    return TRUE;
}

gboolean eep_moe_graph_replay(EepMoe *moe, guint layer, guint n_rows, gboolean *ret_replayed,
                              GError **error)
{
    const EepMoeGraph *best = NULL;
    *ret_replayed = FALSE;
    for (guint i = 0; i < moe->graphs->len; i++) {
        const EepMoeGraph *graph = &g_array_index(moe->graphs, EepMoeGraph, i);
        if (graph->layer == layer && graph->n_slots == moe->layers[layer].n_slots &&
            graph->max_rows >= n_rows && (!best || graph->max_rows < best->max_rows))
            best = graph;
    }
    if (!best)
        return TRUE;
    *ret_replayed = TRUE;
    return EEP_CUDA(cudaGraphLaunch(best->exec, moe->stream), error);
}
