#include "gpu/worker/moe_internal.h"

/* -- memory -- */

gpointer eep_moe_alloc(EepMoe *moe, gsize bytes, GError **error)
{
    gpointer memory = eep_device_alloc(moe->device, bytes, error);
    if (memory)
        g_ptr_array_add(moe->device_memory, memory);
    return memory;
}

gpointer eep_moe_alloc_pinned(EepMoe *moe, gsize bytes, GError **error)
{
    gpointer memory = NULL;
    if (!EEP_CUDA(cudaMallocHost(&memory, bytes), error))
        return NULL;
    memset(memory, 0, bytes);
    g_ptr_array_add(moe->pinned_memory, memory);
    return memory;
}

typedef struct {
    gpointer where; /* of a pointer */
    gsize n, bytes; /* how many of how large */
} Want;

static gboolean take_all(EepMoe *moe, guint n, const Want *wants,
                         gpointer (*alloc)(EepMoe *, gsize, GError **), GError **error)
{
    for (guint i = 0; i < n; i++) {
        gsize bytes = wants[i].n * wants[i].bytes;
        gpointer memory = bytes > 0 ? alloc(moe, bytes, error) : NULL;
        if (bytes > 0 && !memory)
            return FALSE;
        memcpy(wants[i].where, &memory, sizeof(memory));
    }
    return TRUE;
}

static gboolean take_memory(EepMoe *moe, GError **error)
{
    const EepWireModel *shape = &moe->shape;
    EepMoeMemory *at = &moe->at;
    gsize row = 2 * (gsize)moe->pitch, rows = moe->max_rows, pairs = moe->max_pairs;
    gsize capacity = moe->row_capacity, load = (gsize)shape->n_layers * shape->n_experts;
    gsize n_chunks = (pairs + EEP_PERMUTE_CHUNK - 1) / EEP_PERMUTE_CHUNK;
    gsize n_sums = (gsize)shape->n_layers * shape->slots_per_rank + 1;
    const Want on_device[] = {
        {&at->x, rows, row},
        {&at->h, rows, row},
        {&at->attention, rows, row},
        {&at->scratch, rows, 2 * (gsize)moe->scratch_columns},
        {&at->values, rows, 2 * row},
        {&at->sums, rows, 8},
        {&at->keys, rows, 4 * (gsize)shape->n_experts},
        {&at->experts, pairs, 4},
        {&at->slots, pairs, 4},
        {&at->positions, pairs, 4},
        {&at->chunk_counts, n_chunks, 4 * (gsize)moe->max_slots},
        {&at->counts, moe->max_slots, 4},
        {&at->first_rows, moe->max_slots, 4},
        {&at->matrix, moe->max_ranks, 4 * (gsize)moe->max_slots},
        {&at->load, load, 4},
        {&at->sent, pairs, row},
        {&at->arrived, capacity, row},
        {&at->grouped, capacity, row},
        {&at->gate_up, capacity, 4 * (gsize)shape->intermediate},
        {&at->activated, capacity, 2 * (gsize)moe->pitch_intermediate},
        {&at->segments, moe->max_slots, sizeof(EepSegment)},
        {&at->facts, 1, sizeof(EepStepFacts)},
        {&at->sink, EEP_MOE_N_SINKS, 8},
        {&at->checksums, n_sums, 8},
        {&at->kv, moe->kv_bytes, 1},
        {&at->shared, moe->shared_bytes, 1},
    };
    const Want pinned[] = {
        {&moe->pinned.facts, 1, sizeof(EepStepFacts)},
        {&moe->pinned.matrix, moe->max_ranks, 4 * (gsize)moe->max_slots},
        {&moe->pinned.load, load, 4},
        {&moe->pinned.segments, moe->max_slots, sizeof(EepSegment)},
        {&moe->pinned.probes, EEP_WIRE_N_PROBES, row},
        {&moe->pinned.checksums, n_sums, 8},
    };
    return take_all(moe, G_N_ELEMENTS(on_device), on_device, eep_moe_alloc, error) &&
           take_all(moe, G_N_ELEMENTS(pinned), pinned, eep_moe_alloc_pinned, error);
}

static gsize table_words(const EepMoe *moe)
{
    return 2 * (gsize)moe->shape.n_experts + 1 + moe->max_slots;
}

static gboolean take_layers(EepMoe *moe, GError **error)
{
    moe->layers = g_new0(EepMoeLayer, moe->shape.n_layers);
    for (guint i = 0; i < moe->shape.n_layers; i++) {
        EepMoeLayer *layer = &moe->layers[i];
        layer->slot_experts = g_new0(guint32, moe->max_slots);
        layer->is_changed = TRUE;
        layer->tables = eep_moe_alloc(moe, 4 * table_words(moe), error);
        layer->pinned_tables =
            layer->tables ? eep_moe_alloc_pinned(moe, 4 * table_words(moe), error) : NULL;
        if (!layer->pinned_tables)
            return FALSE;
    }
    moe->pieces = g_new0(EepPiece, 2 * moe->max_ranks);
    moe->begins = g_new0(guint, 2 * moe->max_ranks);
    moe->groups = g_new0(EepGemmGroup, moe->shape.slots_per_rank);
    return TRUE;
}

/* -- life -- */

static gboolean shape_is_sound(const EepWireModel *shape, GError **error)
{
    gboolean is_sound =
        shape->n_layers <= EEP_WIRE_MAX_LAYERS && shape->n_experts > 0 &&
        shape->n_experts <= EEP_WIRE_MAX_EXPERTS && shape->top_k > 0 &&
        shape->top_k <= shape->n_experts && shape->hidden > 0 && shape->intermediate > 0 &&
        shape->slots_per_rank > 0 && shape->slots_per_rank <= EEP_WIRE_MAX_SLOTS &&
        shape->hidden <= (1u << 20) && shape->intermediate <= (1u << 20) &&
        ((guint64)shape->max_tokens + EEP_WIRE_N_PROBES) * shape->top_k <= (1u << 28);
    if (!is_sound)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "a model of %u experts (top %u), hidden %u, intermediate %u, %u slots a rank "
                    "and %u tokens a step cannot be computed",
                    shape->n_experts, shape->top_k, shape->hidden, shape->intermediate,
                    shape->slots_per_rank, shape->max_tokens);
    return is_sound;
}

static guint aligned(guint n)
{
    return (n + EEP_ROW_ALIGN - 1) / EEP_ROW_ALIGN * EEP_ROW_ALIGN;
}

static void compute_sizes(EepMoe *moe)
{
    const EepWireModel *shape = &moe->shape;
    eep_weights_expert(shape->seed, 0, 0, shape->hidden, shape->intermediate, &moe->layout);
    moe->pitch = aligned(shape->hidden);
    moe->pitch_intermediate = aligned(shape->intermediate);
    moe->max_rows = shape->max_tokens + EEP_WIRE_N_PROBES;
    moe->max_pairs = moe->max_rows * shape->top_k;
    moe->max_ranks = MIN(EEP_WIRE_MAX_RANKS, EEP_WIRE_MAX_SLOTS / shape->slots_per_rank);
    moe->max_slots = moe->max_ranks * shape->slots_per_rank;
    moe->row_capacity = moe->max_pairs + moe->max_pairs / 2 + moe->max_ranks;
    moe->kv_bytes = shape->kv_cache_bytes / 8 * 8;
    moe->layer_bytes =
        shape->non_expert_bytes / shape->n_layers / EEP_WEIGHT_ALIGN * EEP_WEIGHT_ALIGN;
    moe->shared_bytes = moe->layer_bytes * shape->n_layers;
    guint64 columns = moe->layer_bytes / (2 * (guint64)shape->hidden);
    moe->attention_rows = (guint)MIN(columns, shape->hidden);
    moe->scratch_columns = (guint)MIN(columns, 4096);
}

static gboolean build(EepMoe *moe, EepGemmKind first, GError **error)
{
    if (moe->shape.n_layers == 0)
        return TRUE;
    if (!shape_is_sound(&moe->shape, error))
        return FALSE;
    compute_sizes(moe);
    moe->graphs = g_array_new(FALSE, FALSE, sizeof(EepMoeGraph));
    EepGemmShape like = {moe->shape.intermediate, moe->shape.hidden, moe->pitch, moe->shape.hidden,
                         2 * moe->shape.intermediate};
    if (!eep_device_make_stream(moe->device, TRUE, &moe->stream, error))
        return FALSE;
    moe->gemm =
        eep_gemm_new(moe->device, moe->stream, first, moe->shape.slots_per_rank, &like, error);
    return moe->gemm && take_memory(moe, error) && take_layers(moe, error) &&
           eep_moe_slots_new(moe, error) && eep_moe_load_new(moe, error);
}

EepMoe *eep_moe_new_with(EepDevice *device, const EepWireModel *shape, EepGemmKind first,
                         GError **error)
{
    g_autoptr(EepMoe) moe = g_new0(EepMoe, 1);
    moe->device = device;
    moe->shape = *shape;
    moe->wait_ns = eep_device_patience(device);
    moe->device_memory = g_ptr_array_new();
    moe->pinned_memory = g_ptr_array_new();
    pthread_mutex_init(&moe->lock, NULL);
    pthread_mutex_init(&moe->sums_lock, NULL);
    g_queue_init(&moe->spares);
    g_autoptr(GError) failed = NULL;
    if (build(moe, first, &failed))
        return g_steal_pointer(&moe);
    /* Freeing pinned memory waits for the device, however long: left to the process's end. */
    if (g_error_matches(failed, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT))
        eep_device_leave(g_steal_pointer(&moe));
    g_propagate_error(error, g_steal_pointer(&failed));
    return NULL;
}

EepMoe *eep_moe_new(EepDevice *device, const EepWireModel *shape, GError **error)
{
    return eep_moe_new_with(device, shape, EEP_GEMM_GROUPED, error);
}

static void free_layers(EepMoe *moe)
{
    eep_moe_slots_free(moe);
    for (guint i = 0; moe->layers && i < moe->shape.n_layers; i++)
        g_free(moe->layers[i].slot_experts);
    g_free(moe->layers);
    g_free(moe->pieces);
    g_free(moe->begins);
    g_free(moe->groups);
    g_free(moe->load_tags);
    g_free(moe->load_counts);
}

void eep_moe_free(EepMoe *moe)
{
    if (!moe)
        return;
    eep_moe_drop_graphs(moe);
    g_clear_pointer(&moe->graphs, g_array_unref);
    eep_gemm_free(moe->gemm);
    if (moe->stream)
        eep_device_drop_stream(moe->device, moe->stream);
    for (guint i = 0; i < moe->device_memory->len; i++)
        eep_device_free(moe->device, g_ptr_array_index(moe->device_memory, i));
    for (guint i = 0; i < moe->pinned_memory->len; i++) {
        g_autoptr(GError) failed = NULL;
        if (!EEP_CUDA(cudaFreeHost(g_ptr_array_index(moe->pinned_memory, i)), &failed))
            g_debug("%s", failed->message);
    }
    g_ptr_array_unref(moe->device_memory);
    g_ptr_array_unref(moe->pinned_memory);
    free_layers(moe);
    pthread_mutex_destroy(&moe->lock);
    pthread_mutex_destroy(&moe->sums_lock);
    g_free(moe);
}

const char *eep_moe_gemm(const EepMoe *moe)
{
    return moe->gemm ? eep_gemm_names[eep_gemm_kind(moe->gemm)] : "none";
}

EepStream eep_moe_stream(const EepMoe *moe)
{
    return moe->stream;
}
