#include "sim/graph_mode.h"

#include "sim/all2all.h"

#define FINE_STEP   8
#define FINE_END    256
#define COARSE_STEP 16

guint eep_graph_max_size(const EepPoolOptions *options)
{
    gint64 max = options->max_cudagraph_capture_size;
    if (options->enforce_eager || max < 1)
        return 0;
    if (max >= FINE_END)
        return (guint)(max / COARSE_STEP * COARSE_STEP);
    if (max >= FINE_STEP)
        return (guint)(max / FINE_STEP * FINE_STEP);
    return max >= 4 ? 4 : max >= 2 ? 2 : 1;
}

guint eep_graph_n_sizes(const EepPoolOptions *options)
{
    guint max = eep_graph_max_size(options);
    if (max < FINE_STEP)
        return max >= 4 ? 3 : max; /* 1, 2, 4 */
    guint fine = MIN(max, FINE_END - FINE_STEP) / FINE_STEP;
    return 3 + fine + (max >= FINE_END ? (max - FINE_END) / COARSE_STEP + 1 : 0);
}

guint eep_graph_pad(guint rows, guint max_size)
{
    guint size;
    if (rows <= 2)
        size = MAX(rows, 1);
    else if (rows <= 4)
        size = 4;
    else if (rows <= FINE_END)
        size = (rows + FINE_STEP - 1) / FINE_STEP * FINE_STEP;
    else
        size = (rows + COARSE_STEP - 1) / COARSE_STEP * COARSE_STEP;
    return MIN(size, max_size);
}

EepGraphMode eep_graph_mode(const EepPoolOptions *options, guint max_rows, gboolean decode_only)
{
    if (max_rows > eep_graph_max_size(options) ||
        !eep_all2all(options->all2all_backend)->is_graph_capturable)
        return EEP_GRAPH_NONE;
    return decode_only ? EEP_GRAPH_FULL : EEP_GRAPH_PIECEWISE;
}

gboolean eep_micro_batches(const EepPoolOptions *options, guint min_rows, guint max_rows,
                           gboolean decode_only)
{
    if (!options->enable_dbo || options->enable_elastic_ep ||
        !eep_all2all(options->all2all_backend)->has_micro_batches)
        return FALSE;
    gint64 threshold =
        decode_only ? options->dbo_decode_token_threshold : options->dbo_prefill_token_threshold;
    return min_rows >= threshold && max_rows / 2 < min_rows;
}
