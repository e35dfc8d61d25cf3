/* Slots and maps. The steps' thread changes what slots hold, the moves' thread what is staged; both
 * under the lock. Memory that leaves a slot is used again last, after all older spares.
 *
 * Moves may run ahead of maps: while no step runs, no map comes, and the next move already sends on
 * what the last one brought. So what was staged for a slot is a list. */
#include "gpu/worker/moe_internal.h"

/* Resizes that were undone leave behind what nobody will want: no more of it than this. */
#define MAX_STAGED 4

/* -- memory -- */

/* One layer's worth of spares is taken at the start; a resize that stages more layers at once takes
 * more, which then stays. Locked. */
static gpointer take_spare(EepMoe *moe, GError **error)
{
    gpointer memory = g_queue_pop_head(&moe->spares);
    return memory ? memory : eep_moe_alloc(moe, moe->layout.bytes, error);
}

static void give_spare(EepMoe *moe, gpointer memory)
{
    if (memory)
        g_queue_push_tail(&moe->spares, memory);
}

/* Takes it out of its list. */
static void drop_staged(EepMoe *moe, EepMoeStaged **link)
{
    EepMoeStaged *staged = *link;
    *link = staged->older;
    give_spare(moe, staged->memory);
    g_free(staged);
}

static EepMoeStaged **find_staged(EepMoeSlot *slot, guint expert)
{
    EepMoeStaged **link = &slot->staged;
    while (*link && (*link)->expert != expert)
        link = &(*link)->older;
    return link;
}

gboolean eep_moe_slots_new(EepMoe *moe, GError **error)
{
    guint n_slots = moe->shape.slots_per_rank;
    for (guint layer = 0; layer < moe->shape.n_layers; layer++) {
        moe->layers[layer].slots = g_new0(EepMoeSlot, n_slots);
        for (guint i = 0; i < n_slots; i++) {
            EepMoeSlot *slot = &moe->layers[layer].slots[i];
            slot->expert = EEP_MOE_NO_EXPERT;
            if (!(slot->memory = eep_moe_alloc(moe, moe->layout.bytes, error)))
                return FALSE;
        }
    }
    for (guint i = 0; i < n_slots; i++) {
        gpointer memory = eep_moe_alloc(moe, moe->layout.bytes, error);
        if (!memory)
            return FALSE;
        give_spare(moe, memory);
    }
    return TRUE;
}

void eep_moe_slots_free(EepMoe *moe)
{
    for (guint layer = 0; moe->layers && layer < moe->shape.n_layers; layer++) {
        EepMoeSlot *slots = moe->layers[layer].slots;
        for (guint i = 0; slots && i < moe->shape.slots_per_rank; i++)
            while (slots[i].staged)
                drop_staged(moe, &slots[i].staged);
        g_free(slots);
    }
    g_queue_clear(&moe->spares);
}

/* -- the moves' thread -- */

gsize eep_moe_expert_bytes(const EepMoe *moe)
{
    return moe->layout.bytes;
}

static EepMoeSlot *find_slot(EepMoe *moe, guint layer, guint slot)
{
    return layer < moe->shape.n_layers && slot < moe->shape.slots_per_rank
               ? &moe->layers[layer].slots[slot]
               : NULL;
}

/* Locked. */
static gconstpointer held(EepMoeSlot *slot, guint expert)
{
    const EepMoeStaged *staged = *find_staged(slot, expert);
    return slot->expert == expert       ? slot->memory
           : staged && staged->is_whole ? staged->memory
                                        : NULL;
}

gconstpointer eep_moe_held(EepMoe *moe, guint layer, guint slot, guint expert)
{
    EEP_MOE_HOLD(moe->lock);
    EepMoeSlot *found = find_slot(moe, layer, slot);
    return found ? held(found, expert) : NULL;
}

guint eep_moe_find(EepMoe *moe, guint layer, guint expert)
{
    EEP_MOE_HOLD(moe->lock);
    if (layer < moe->shape.n_layers && expert < moe->shape.n_experts)
        for (guint i = 0; i < moe->shape.slots_per_rank; i++)
            if (held(&moe->layers[layer].slots[i], expert))
                return i;
    return G_MAXUINT;
}

/* The newest becomes `expert`, with memory that nobody reads. */
static gpointer stage(EepMoe *moe, EepMoeSlot *slot, guint expert, GError **error)
{
    EepMoeStaged **link = find_staged(slot, expert), *staged = *link;
    guint n = 0;
    if (!staged && slot->staged && !slot->staged->is_whole)
        staged = *(link = &slot->staged);
    if (staged) {
        *link = staged->older;
    } else {
        gpointer memory = take_spare(moe, error);
        if (!memory)
            return NULL;
        staged = g_new0(EepMoeStaged, 1);
        staged->memory = memory;
    }
    staged->expert = expert;
    staged->is_whole = FALSE;
    staged->older = slot->staged;
    slot->staged = staged;
    for (link = &slot->staged; *link;)
        if (++n > MAX_STAGED)
            drop_staged(moe, link);
        else
            link = &(*link)->older;
    return staged->memory;
}

gpointer eep_moe_stage(EepMoe *moe, guint layer, guint slot, guint expert, GError **error)
{
    EEP_MOE_HOLD(moe->lock);
    EepMoeSlot *found = find_slot(moe, layer, slot);
    if (found && expert < moe->shape.n_experts)
        return stage(moe, found, expert, error);
    g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                "expert %u of layer %u for slot %u: this rank has %u layers of %u slots and %u "
                "experts",
                expert, layer, slot, moe->shape.n_layers, moe->shape.slots_per_rank,
                moe->shape.n_experts);
    return NULL;
}

void eep_moe_arrived(EepMoe *moe, guint layer)
{
    EEP_MOE_HOLD(moe->lock);
    for (guint i = 0; layer < moe->shape.n_layers && i < moe->shape.slots_per_rank; i++) {
        EepMoeStaged *newest = moe->layers[layer].slots[i].staged;
        if (newest)
            newest->is_whole = TRUE;
    }
}

void eep_moe_unstage(EepMoe *moe, guint layer)
{
    EEP_MOE_HOLD(moe->lock);
    for (guint l = 0; l < moe->shape.n_layers; l++) {
        for (guint i = 0; i < moe->shape.slots_per_rank && (layer == G_MAXUINT || layer == l);
             i++) {
            EepMoeSlot *slot = &moe->layers[l].slots[i];
            if (slot->staged && !slot->staged->is_whole)
                drop_staged(moe, &slot->staged);
        }
    }
}

/* -- maps, the steps' thread -- */

/* How a slot comes to the expert that the map wants in it. */
typedef enum {
    SLOT_KEEPS,
    SLOT_SWAPS,  /* with what was staged for it */
    SLOT_COPIES, /* from another slot of the rank, or what was staged for one */
    SLOT_FILLS,  /* from the hash */
} Way;

typedef struct {
    Way way;
    gconstpointer from; /* SLOT_COPIES */
    gpointer to;        /* SLOT_COPIES, SLOT_FILLS: the slot's memory hence */
} Plan;

static gconstpointer find_anywhere(const EepMoe *moe, const EepMoeLayer *layer, guint expert)
{
    for (guint i = 0; i < moe->shape.slots_per_rank; i++) {
        EepMoeSlot *slot = &layer->slots[i];
        const EepMoeStaged *staged = *find_staged(slot, expert);
        if (slot->expert == expert)
            return slot->memory;
        if (staged)
            return staged->memory;
    }
    return NULL;
}

static gboolean plan_slot(EepMoe *moe, const EepWireMap *map, guint slot_index, guint wanted,
                          Plan *ret_plan, GError **error)
{
    EepMoeLayer *layer = &moe->layers[map->layer];
    EepMoeSlot *slot = &layer->slots[slot_index];
    *ret_plan = (Plan){SLOT_KEEPS};
    if (wanted == EEP_WIRE_SLOT_EMPTY || slot->expert == wanted)
        return TRUE;
    if (*find_staged(slot, wanted)) {
        ret_plan->way = SLOT_SWAPS;
        return TRUE;
    }
    ret_plan->from = find_anywhere(moe, layer, wanted);
    if (!ret_plan->from && !map->may_load) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "layer %u, slot %u: version %u of the map wants expert %u, which is neither "
                    "held nor staged",
                    map->layer, slot_index, map->version, wanted);
        return FALSE;
    }
    ret_plan->way = ret_plan->from ? SLOT_COPIES : SLOT_FILLS;
    /* Nobody copies from a slot that holds nothing. */
    ret_plan->to = slot->expert == EEP_MOE_NO_EXPERT ? slot->memory : take_spare(moe, error);
    return ret_plan->to != NULL;
}

static gboolean enqueue_plan(EepMoe *moe, guint layer, guint wanted, const Plan *plan,
                             GError **error)
{
    if (plan->way == SLOT_COPIES)
        return EEP_CUDA(cudaMemcpyAsync(plan->to, plan->from, moe->layout.bytes,
                                        cudaMemcpyDeviceToDevice, moe->stream),
                        error);
    return plan->way != SLOT_FILLS ||
           eep_moe_fill(moe, layer, wanted, plan->to, moe->stream, error);
}

/* Copies and fills have ended: pointers change. */
static void commit_slot(EepMoe *moe, EepMoeSlot *slot, guint wanted, const Plan *plan)
{
    gpointer old = slot->memory;
    if (plan->way == SLOT_SWAPS) {
        EepMoeStaged **link = find_staged(slot, wanted), *staged = *link;
        slot->memory = staged->memory;
        /* Moves come in order: what came before it is of a map that is past. */
        while (staged->older)
            drop_staged(moe, &staged->older);
        *link = NULL;
        g_free(staged);
    } else if (plan->to) {
        slot->memory = plan->to;
    }
    if (slot->memory != old)
        give_spare(moe, old);
    slot->serves = wanted != EEP_WIRE_SLOT_EMPTY;
    if (slot->serves)
        slot->expert = wanted;
}

static gboolean commit(EepMoe *moe, const EepWireMap *map, guint rank, GError **error)
{
    EepMoeLayer *layer = &moe->layers[map->layer];
    guint n = moe->shape.slots_per_rank, n_planned = 0, n_enqueued = 0;
    const guint32 *wanted = map->experts + (gsize)rank * n;
    g_autofree Plan *plans = g_new0(Plan, n);
    EEP_MOE_HOLD(moe->lock);
    gboolean is_right = TRUE;
    for (; is_right && n_planned < n; n_planned++)
        is_right = plan_slot(moe, map, n_planned, wanted[n_planned], &plans[n_planned], error);
    for (guint i = 0; is_right && i < n; i++) {
        n_enqueued += plans[i].to != NULL;
        is_right = enqueue_plan(moe, map->layer, wanted[i], &plans[i], error);
    }
    if (is_right && n_enqueued > 0 &&
        !eep_device_wait(moe->device, moe->stream, moe->wait_ns, NULL, error)) {
        moe->is_unsettled = TRUE;
        is_right = FALSE;
    }
    for (guint i = 0; i < n_planned; i++) {
        if (is_right)
            commit_slot(moe, &layer->slots[i], wanted[i], &plans[i]);
        else if (plans[i].to != layer->slots[i].memory)
            give_spare(moe, plans[i].to);
    }
    return is_right;
}

/* The map as the router's kernels want it: slots by expert. */
static void write_tables(EepMoe *moe, const EepWireMap *map, guint rank)
{
    EepMoeLayer *layer = &moe->layers[map->layer];
    guint n_experts = moe->shape.n_experts, n = 0;
    guint32 *first = layer->pinned_tables, *replicas = first + n_experts + 1;
    memset(first, 0, sizeof(guint32) * (n_experts + 1));
    for (guint slot = 0; slot < map->n_slots; slot++)
        if (map->experts[slot] != EEP_WIRE_SLOT_EMPTY)
            first[map->experts[slot]]++;
    for (guint expert = 0; expert <= n_experts; expert++) {
        guint count = first[expert];
        first[expert] = n;
        n += count;
    }
    for (guint slot = 0; slot < map->n_slots; slot++)
        if (map->experts[slot] != EEP_WIRE_SLOT_EMPTY)
            replicas[first[map->experts[slot]]++] = slot;
    memmove(first + 1, first, sizeof(guint32) * n_experts);
    first[0] = 0;
    layer->n_ranks = map->n_ranks;
    layer->rank = rank;
    layer->n_slots = map->n_slots;
    memcpy(layer->slot_experts, map->experts, sizeof(guint32) * map->n_slots);
    layer->lacks_probe = FALSE;
    for (guint probe = 0; probe < EEP_WIRE_N_PROBES; probe++) {
        guint32 experts[EEP_WIRE_MAX_EXPERTS];
        eep_probe_experts(&moe->shape, map->layer, probe, experts);
        for (guint j = 0; j < moe->shape.top_k; j++)
            if (first[experts[j]] == first[experts[j] + 1])
                layer->lacks_probe = TRUE;
    }
    layer->is_changed = TRUE;
}

static gboolean map_is_sound(const EepMoe *moe, const EepWireMap *map, guint rank, GError **error)
{
    gboolean is_sound = map->layer < moe->shape.n_layers && map->n_ranks > 0 &&
                        map->n_ranks <= moe->max_ranks && rank < map->n_ranks &&
                        map->n_slots == map->n_ranks * moe->shape.slots_per_rank;
    for (guint slot = 0; is_sound && slot < map->n_slots; slot++)
        is_sound =
            map->experts[slot] == EEP_WIRE_SLOT_EMPTY || map->experts[slot] < moe->shape.n_experts;
    if (!is_sound)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "the map of layer %u for rank %u of %u with %u slots does not fit a model of "
                    "%u layers, %u slots a rank and %u experts",
                    map->layer, rank, map->n_ranks, map->n_slots, moe->shape.n_layers,
                    moe->shape.slots_per_rank, moe->shape.n_experts);
    return is_sound;
}

gboolean eep_moe_set_map(EepMoe *moe, const EepWireMap *map, guint rank, GError **error)
{
    if (moe->shape.n_layers == 0)
        return TRUE;
    if (!map_is_sound(moe, map, rank, error) || !eep_moe_settle(moe, moe->wait_ns, NULL, error) ||
        !commit(moe, map, rank, error))
        return FALSE;
    write_tables(moe, map, rank);
    return TRUE;
}

gboolean eep_moe_set_popularity(EepMoe *moe, guint layer, const gfloat *popularity, GError **error)
{
    if (moe->shape.n_layers == 0)
        return TRUE;
    if (layer >= moe->shape.n_layers) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "popularity of layer %u: this model has %u layers", layer, moe->shape.n_layers);
        return FALSE;
    }
    if (!eep_moe_settle(moe, moe->wait_ns, NULL, error))
        return FALSE;
    EepMoeLayer *l = &moe->layers[layer];
    gint32 *weights = (gint32 *)(l->pinned_tables + moe->shape.n_experts + 1 + moe->max_slots);
    for (guint i = 0; i < moe->shape.n_experts; i++)
        weights[i] = eep_route_log2(popularity[i]);
    l->is_changed = TRUE;
    return TRUE;
}
