/* Which CUDA graph mode a step runs in, and to how many rows it is padded.
 *
 * vLLM's rules: capture sizes 1, 2, 4, then every 8 below 256, then every 16 up to
 * max_cudagraph_capture_size (vllm/config/vllm.py, _set_cudagraph_sizes). A batch of decodes only
 * runs a full graph, a mixed one a piecewise graph, both padded to the next size; beyond the
 * largest size, or with enforce_eager, nothing is captured. All ranks run in the lowest mode of
 * any (vllm/v1/worker/dp_utils.py). Pure functions. */
#ifndef EEP_SIM_GRAPH_MODE_H
#define EEP_SIM_GRAPH_MODE_H

#include "sim/cost.h"

G_BEGIN_DECLS

/* Largest capture size that is in the list, 0 when there is none. */
guint eep_graph_max_size(const EepPoolOptions *options);

/* Number of sizes captured. */
guint eep_graph_n_sizes(const EepPoolOptions *options);

/* The next size of the list for rows <= eep_graph_max_size(). */
guint eep_graph_pad(guint rows, guint max_size);

/* The mode of a step whose largest rank has max_rows. */
EepGraphMode eep_graph_mode(const EepPoolOptions *options, guint max_rows, gboolean decode_only);

/* vLLM's dual batch overlap: two micro-batches when every rank has at least the threshold's rows
 * and no rank's second half would be all padding. */
gboolean eep_micro_batches(const EepPoolOptions *options, guint min_rows, guint max_rows,
                           gboolean decode_only);

G_END_DECLS

#endif
