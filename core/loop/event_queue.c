#include "core/loop/event_queue.h"

#include <stdlib.h>
#include <string.h>

/* A handle is push number << SLOT_BITS | slot. 2^40 pushes are a day at one every 80 ns. */
#define SLOT_BITS  24
#define SLOT_MASK  ((1u << SLOT_BITS) - 1)
#define N_KINDS    256
#define INDEX_MASK 0xffffffu
#define NO_SLOT    G_MAXUINT32

typedef struct {
    guint64 time;  /* with the sign bit flipped: compares unsigned */
    guint64 order; /* class << 32 | source */
    guint64 seq;
    guint32 slot;
} Key;

typedef struct {
    EepEvent event;
    guint64 handle; /* 0: the slot is free */
} Slot;

typedef struct {
    guint64 *next; /* next[index]: sequence number of the source's next event */
    guint n;
} Sequences;

struct EepEventQueue {
    Key *heap; /* heap[i]'s children are heap[4i + 1 .. 4i + 4] */
    Slot *slots;
    guint32 *positions; /* of a used slot: its key's place in the heap; of a free one: next free */
    guint n, capacity;
    gboolean has_hole; /* heap[0] is free: its event was taken, and the next push, often an event
                          close to it, can have the place; counts in n */
    guint32 first_free;
    guint64 n_pushes;
    Sequences sequences[N_KINDS];
    const EepEvent **first; /* scratch of list_first() */
    guint n_first_capacity;
};

__extension__ typedef unsigned __int128 Rank;

/* Without branches: which of two waiting events comes first is a coin toss for the processor. */
static inline gboolean key_before(const Key *x, const Key *y)
{
    Rank x_rank = (Rank)x->time << 64 | x->order, y_rank = (Rank)y->time << 64 | y->order;
    return (x_rank < y_rank) | ((x_rank == y_rank) & (x->seq < y->seq));
}

#define SIGN_BIT (G_GUINT64_CONSTANT(1) << 63)

static inline void place(EepEventQueue *queue, guint position, const Key *key)
{
    queue->heap[position] = *key;
    queue->positions[key->slot] = position;
}

static void sift_up(EepEventQueue *queue, guint position, Key key)
{
    while (position > 0) {
        guint parent = (position - 1) / 4;
        if (!key_before(&key, &queue->heap[parent]))
            break;
        place(queue, position, &queue->heap[parent]);
        position = parent;
    }
    place(queue, position, &key);
}

static void sift_down(EepEventQueue *queue, guint position, Key key)
{
    for (guint child; (child = 4 * position + 1) < queue->n;) {
        guint end = MIN(child + 4, queue->n);
        guint first = child;
        for (guint i = child + 1; i < end; i++)
            first = key_before(&queue->heap[i], &queue->heap[first]) ? i : first;
        if (!key_before(&queue->heap[first], &key))
            break;
        place(queue, position, &queue->heap[first]);
        position = first;
    }
    place(queue, position, &key);
}

static void sift(EepEventQueue *queue, guint position, Key key)
{
    if (position > 0 && key_before(&key, &queue->heap[(position - 1) / 4]))
        sift_up(queue, position, key);
    else
        sift_down(queue, position, key);
}

static void grow(EepEventQueue *queue)
{
    guint capacity = queue->capacity ? 2 * queue->capacity : 64;
    if (capacity > SLOT_MASK + 1)
        g_error("event queue: more than %u events are waiting", SLOT_MASK + 1);
    queue->heap = g_renew(Key, queue->heap, capacity);
    queue->slots = g_renew(Slot, queue->slots, capacity);
    queue->positions = g_renew(guint32, queue->positions, capacity);
    for (guint i = capacity; i-- > queue->capacity;) {
        queue->slots[i].handle = 0;
        queue->positions[i] = queue->first_free;
        queue->first_free = i;
    }
    queue->capacity = capacity;
}

/* Closes the hole as a heap does; to be called before positions are looked at. */
static inline void settle(EepEventQueue *queue)
{
    if (!queue->has_hole)
        return;
    queue->has_hole = FALSE;
    queue->n--;
    if (queue->n > 0)
        sift_down(queue, 0, queue->heap[queue->n]);
}

/* Place of the first event; the queue must not be empty. */
static inline guint first_position(const EepEventQueue *queue)
{
    guint first = queue->has_hole;
    for (guint i = 2; queue->has_hole && i < MIN(5, queue->n); i++)
        first = key_before(&queue->heap[i], &queue->heap[first]) ? i : first;
    return first;
}

static guint64 *grow_sequences(Sequences *sequences, guint index)
{
    guint n = MAX(16, sequences->n);
    while (n <= index)
        n *= 2;
    sequences->next = g_renew(guint64, sequences->next, n);
    memset(sequences->next + sequences->n, 0, (n - sequences->n) * sizeof(guint64));
    sequences->n = n;
    return &sequences->next[index];
}

static inline guint64 next_sequence(EepEventQueue *queue, guint32 source)
{
    Sequences *sequences = &queue->sequences[source >> 24];
    guint index = source & INDEX_MASK;
    guint64 *next =
        G_LIKELY(index < sequences->n) ? &sequences->next[index] : grow_sequences(sequences, index);
    return (*next)++;
}

/* Takes the key at `position` out of the settled heap and frees its slot; the event stays readable
 * there. */
static void take_out(EepEventQueue *queue, guint position)
{
    guint32 slot = queue->heap[position].slot;
    queue->slots[slot].handle = 0;
    queue->positions[slot] = queue->first_free;
    queue->first_free = slot;
    if (position == 0) {
        queue->has_hole = TRUE;
        return;
    }
    queue->n--;
    if (position < queue->n)
        sift(queue, position, queue->heap[queue->n]);
}

/* NO_SLOT when the handle's event is gone. */
static inline guint32 find_slot(const EepEventQueue *queue, guint64 handle)
{
    guint32 slot = handle & SLOT_MASK;
    if (handle == 0 || slot >= queue->capacity || queue->slots[slot].handle != handle)
        return NO_SLOT;
    return slot;
}

EepEventQueue *eep_event_queue_new(void)
{
    EepEventQueue *queue = g_new0(EepEventQueue, 1);
    queue->first_free = NO_SLOT;
    return queue;
}

void eep_event_queue_free(EepEventQueue *queue)
{
    if (queue == NULL)
        return;
    for (guint i = queue->has_hole; i < queue->n; i++)
        g_clear_pointer(&queue->slots[queue->heap[i].slot].event.blob, g_bytes_unref);
    for (guint i = 0; i < N_KINDS; i++)
        g_free(queue->sequences[i].next);
    g_free(queue->heap);
    g_free(queue->slots);
    g_free(queue->positions);
    g_free(queue->first);
    g_free(queue);
}

guint64 eep_event_queue_push(EepEventQueue *queue, const EepEvent *event)
{
    if (G_UNLIKELY(queue->n == queue->capacity && !queue->has_hole))
        grow(queue);
    guint32 index = queue->first_free;
    queue->first_free = queue->positions[index];

    Slot *slot = &queue->slots[index];
    slot->event = *event;
    slot->event.seq = next_sequence(queue, event->source);
    slot->handle = ++queue->n_pushes << SLOT_BITS | index;

    Key key = {
        .time = (guint64)event->time ^ SIGN_BIT,
        .order = (guint64)event->event_class << 32 | event->source,
        .seq = slot->event.seq,
        .slot = index,
    };
    if (queue->has_hole) {
        queue->has_hole = FALSE;
        sift_down(queue, 0, key);
    } else {
        sift_up(queue, queue->n++, key);
    }
    return slot->handle;
}

gboolean eep_event_queue_move(EepEventQueue *queue, guint64 handle, EepTime at)
{
    guint32 slot = find_slot(queue, handle);
    if (slot == NO_SLOT)
        return FALSE;
    settle(queue);
    guint position = queue->positions[slot];
    Key key = queue->heap[position];
    key.time = (guint64)at ^ SIGN_BIT;
    queue->slots[slot].event.time = at;
    sift(queue, position, key);
    return TRUE;
}

gboolean eep_event_queue_remove(EepEventQueue *queue, guint64 handle)
{
    guint32 slot = find_slot(queue, handle);
    if (slot == NO_SLOT)
        return FALSE;
    g_clear_pointer(&queue->slots[slot].event.blob, g_bytes_unref);
    settle(queue);
    take_out(queue, queue->positions[slot]);
    return TRUE;
}

guint eep_event_queue_n_events(const EepEventQueue *queue)
{
    return queue->n - queue->has_hole;
}

EepTime eep_event_queue_first_time(const EepEventQueue *queue)
{
    if (eep_event_queue_n_events(queue) == 0)
        return EEP_TIME_NEVER;
    return (EepTime)(queue->heap[first_position(queue)].time ^ SIGN_BIT);
}

const EepEvent *eep_event_queue_first(const EepEventQueue *queue)
{
    if (eep_event_queue_n_events(queue) == 0)
        return NULL;
    return &queue->slots[queue->heap[first_position(queue)].slot].event;
}

gboolean eep_event_queue_pop(EepEventQueue *queue, EepEvent *ret_event)
{
    settle(queue);
    if (queue->n == 0)
        return FALSE;
    *ret_event = queue->slots[queue->heap[0].slot].event;
    take_out(queue, 0);
    return TRUE;
}

static int compare_events(const void *x, const void *y)
{
    return eep_event_compare(*(const EepEvent *const *)x, *(const EepEvent *const *)y);
}

const EepEvent *const *eep_event_queue_list_first(EepEventQueue *queue, guint *ret_n_events)
{
    settle(queue);
    if (queue->n_first_capacity < queue->capacity) {
        queue->first = g_renew(const EepEvent *, queue->first, queue->capacity);
        queue->n_first_capacity = queue->capacity;
    }
    /* The events of the earliest instant are a subtree at the heap's root: a walk that never
     * leaves it. An event's address stands in for its place in the heap until the walk is over. */
    guint n = 0;
    if (queue->n > 0)
        queue->first[n++] = &queue->slots[queue->heap[0].slot].event;
    for (guint i = 0; i < n; i++) {
        guint slot = (const Slot *)(gconstpointer)queue->first[i] - queue->slots;
        guint child = 4 * queue->positions[slot] + 1;
        for (guint end = MIN(child + 4, queue->n); child < end; child++)
            if (queue->heap[child].time == queue->heap[0].time)
                queue->first[n++] = &queue->slots[queue->heap[child].slot].event;
    }
    qsort(queue->first, n, sizeof *queue->first, compare_events);
    *ret_n_events = n;
    return queue->first;
}

void eep_event_queue_take(EepEventQueue *queue, const EepEvent *event, EepEvent *ret_event)
{
    guint slot = (const Slot *)(gconstpointer)event - queue->slots;
    g_assert(slot < queue->capacity && queue->slots[slot].handle != 0);
    *ret_event = *event;
    settle(queue);
    take_out(queue, queue->positions[slot]);
}
