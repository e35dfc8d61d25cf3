#include "core/engine/prefix_cache.h"

#include <string.h>

#define NONE     0u /* node 0 is the queue's sentinel, so 0 never names a part */
#define NO_OWNER G_MAXUINT32

/* A part of an extent, or (extent == NO_OWNER) a run of anonymous free blocks. */
typedef struct {
    guint32 prev, next; /* in the queue of free blocks; a part with users is not in it */
    guint32 extent;
    guint32 sibling; /* the extent's next part */
    guint32 start;
    guint32 n_users;
    guint64 n;
} Node;

typedef struct {
    guint64 hash;
    guint32 first; /* part with the lowest start; NONE: the slot is free */
    guint32 next_free;
    guint32 seen; /* serial of the last lookup that met it */
} Extent;

struct EepPrefixCache {
    Node *nodes;
    guint32 n_nodes, nodes_allocated, free_node;
    Extent *extents;
    guint32 n_extents, extents_allocated, free_extent;
    guint32 *buckets; /* extent index + 1; open addressing, linear probing */
    guint32 bucket_mask, n_used_buckets;
    guint blocks_per_extent;
    guint32 serial; /* of lookups */
};

/* -- nodes and the queue of free blocks ------------------------------------------------------- */

static guint32 node_new(EepPrefixCache *cache, guint32 extent, guint32 start, guint64 n)
{
    guint32 index = cache->free_node;

    if (index != NONE) {
        cache->free_node = cache->nodes[index].next;
    } else {
        if (cache->n_nodes == cache->nodes_allocated) {
            cache->nodes_allocated *= 2;
            cache->nodes = g_renew(Node, cache->nodes, cache->nodes_allocated);
        }
        index = cache->n_nodes++;
    }
    cache->nodes[index] = (Node){.extent = extent, .start = start, .n = n};
    return index;
}

static void node_free(EepPrefixCache *cache, guint32 index)
{
    cache->nodes[index].next = cache->free_node;
    cache->free_node = index;
}

static void queue_insert_before(EepPrefixCache *cache, guint32 index, guint32 before)
{
    Node *nodes = cache->nodes;

    nodes[index].next = before;
    nodes[index].prev = nodes[before].prev;
    nodes[nodes[before].prev].next = index;
    nodes[before].prev = index;
}

static void queue_remove(EepPrefixCache *cache, guint32 index)
{
    Node *nodes = cache->nodes;

    nodes[nodes[index].prev].next = nodes[index].next;
    nodes[nodes[index].next].prev = nodes[index].prev;
}

static void queue_push_anonymous(EepPrefixCache *cache, guint64 n)
{
    guint32 last = cache->nodes[0].prev;

    if (n == 0)
        return;
    if (last != 0 && cache->nodes[last].extent == NO_OWNER)
        cache->nodes[last].n += n;
    else
        queue_insert_before(cache, node_new(cache, NO_OWNER, 0, n), 0);
}

/* -- hash table of extents -------------------------------------------------------------------- */

static inline guint32 bucket_of(const EepPrefixCache *cache, guint64 hash)
{
    return (guint32)((hash * G_GUINT64_CONSTANT(0x9E3779B97F4A7C15)) >> 32) & cache->bucket_mask;
}

static guint32 *bucket_find(const EepPrefixCache *cache, guint64 hash)
{
    guint32 bucket = bucket_of(cache, hash);

    while (cache->buckets[bucket] != 0 && cache->extents[cache->buckets[bucket] - 1].hash != hash)
        bucket = (bucket + 1) & cache->bucket_mask;
    return &cache->buckets[bucket];
}

static void buckets_grow(EepPrefixCache *cache)
{
    guint32 n_old = cache->bucket_mask + 1;
    guint32 *old = cache->buckets;

    cache->bucket_mask = n_old * 2 - 1;
    cache->buckets = g_new0(guint32, n_old * 2);
    for (guint32 i = 0; i < n_old; i++)
        if (old[i] != 0)
            *bucket_find(cache, cache->extents[old[i] - 1].hash) = old[i];
    g_free(old);
}

/* Deletion shifts later entries of the probe run back, so that no tombstones pile up. */
static void bucket_remove(EepPrefixCache *cache, guint64 hash)
{
    guint32 hole = (guint32)(bucket_find(cache, hash) - cache->buckets), next = hole;

    for (;;) {
        guint32 home;

        next = (next + 1) & cache->bucket_mask;
        if (cache->buckets[next] == 0)
            break;
        home = bucket_of(cache, cache->extents[cache->buckets[next] - 1].hash);
        if (((next - home) & cache->bucket_mask) >= ((next - hole) & cache->bucket_mask)) {
            cache->buckets[hole] = cache->buckets[next];
            hole = next;
        }
    }
    cache->buckets[hole] = 0;
    cache->n_used_buckets--;
}

static guint32 extent_get(EepPrefixCache *cache, guint64 hash)
{
    guint32 *bucket = bucket_find(cache, hash);
    guint32 index;

    if (*bucket != 0)
        return *bucket - 1;
    index = cache->free_extent;
    if (index != G_MAXUINT32) {
        cache->free_extent = cache->extents[index].next_free;
    } else {
        if (cache->n_extents == cache->extents_allocated) {
            cache->extents_allocated *= 2;
            cache->extents = g_renew(Extent, cache->extents, cache->extents_allocated);
        }
        index = cache->n_extents++;
    }
    cache->extents[index] = (Extent){.hash = hash, .first = NONE};
    *bucket = index + 1;
    if (++cache->n_used_buckets * 2 > cache->bucket_mask)
        buckets_grow(cache);
    return index;
}

/* -- parts of an extent ----------------------------------------------------------------------- */

static void part_unlink(EepPrefixCache *cache, guint32 part)
{
    Extent *extent = &cache->extents[cache->nodes[part].extent];
    guint32 *link = &extent->first;

    while (*link != part)
        link = &cache->nodes[*link].sibling;
    *link = cache->nodes[part].sibling;
    if (extent->first == NONE) {
        bucket_remove(cache, extent->hash);
        extent->next_free = cache->free_extent;
        cache->free_extent = (guint32)(extent - cache->extents);
    }
}

/* Leaves [start, at) in `part` and puts [at, end) into a new part behind it, users and place kept.
 */
static void part_split(EepPrefixCache *cache, guint32 part, guint32 at)
{
    Node before = cache->nodes[part];
    guint32 tail = node_new(cache, before.extent, at, before.start + before.n - at);

    cache->nodes[tail].n_users = before.n_users;
    cache->nodes[tail].sibling = before.sibling;
    cache->nodes[part].sibling = tail;
    cache->nodes[part].n = at - before.start;
    if (before.n_users == 0)
        queue_insert_before(cache, tail, part);
}

static void request_add_run(EepRequest *request, guint hash, guint32 start, guint32 n)
{
    if (request->n_runs > 0) {
        EepKvRun *last = &request->runs[request->n_runs - 1];

        if (last->hash == hash && (guint32)last->start + last->n == start) {
            last->n = (guint16)(last->n + n);
            return;
        }
    }
    if (request->n_runs == request->n_runs_allocated) {
        request->n_runs_allocated = (guint16)MAX(4, request->n_runs_allocated * 2);
        request->runs = g_renew(EepKvRun, request->runs, request->n_runs_allocated);
    }
    request->runs[request->n_runs++] = (EepKvRun){(guint16)hash, (guint16)start, (guint16)n};
}

/* -- public ----------------------------------------------------------------------------------- */

EepPrefixCache *eep_prefix_cache_new(guint64 n_blocks, guint blocks_per_extent)
{
    EepPrefixCache *cache;

    g_return_val_if_fail(blocks_per_extent > 0 && blocks_per_extent <= G_MAXUINT16, NULL);
    cache = g_new0(EepPrefixCache, 1);
    cache->blocks_per_extent = blocks_per_extent;
    cache->nodes_allocated = 64;
    cache->nodes = g_new0(Node, cache->nodes_allocated);
    cache->n_nodes = 1;
    cache->extents_allocated = 64;
    cache->extents = g_new0(Extent, cache->extents_allocated);
    cache->free_extent = G_MAXUINT32;
    cache->bucket_mask = 127;
    cache->buckets = g_new0(guint32, cache->bucket_mask + 1);
    queue_push_anonymous(cache, n_blocks);
    return cache;
}

void eep_prefix_cache_free(EepPrefixCache *cache)
{
    if (cache == NULL)
        return;
    g_free(cache->nodes);
    g_free(cache->extents);
    g_free(cache->buckets);
    g_free(cache);
}

guint64 eep_prefix_cache_lookup(EepPrefixCache *cache, const guint64 *hashes, guint n_hashes,
                                guint64 limit, guint64 *ret_n_idle)
{
    guint64 n_hit = 0, n_idle = 0;

    cache->serial++;
    for (guint i = 0; i < n_hashes && n_hit < limit; i++) {
        guint32 bucket = *bucket_find(cache, hashes[i]);
        guint64 n_wanted = MIN(cache->blocks_per_extent, limit - n_hit);
        guint64 n_here = 0;

        /* Chained hashes never repeat; one that does would be counted twice. */
        if (bucket == 0 || cache->extents[bucket - 1].seen == cache->serial)
            break;
        cache->extents[bucket - 1].seen = cache->serial;
        for (guint32 part = cache->extents[bucket - 1].first; part != NONE && n_here < n_wanted;
             part = cache->nodes[part].sibling) {
            const Node *node = &cache->nodes[part];
            guint64 n = MIN(node->n, n_wanted - n_here);

            if (node->start != n_here)
                break;
            n_here += n;
            if (node->n_users == 0)
                n_idle += n;
        }
        n_hit += n_here;
        if (n_here < cache->blocks_per_extent)
            break;
    }
    *ret_n_idle = n_idle;
    return n_hit;
}

void eep_prefix_cache_acquire(EepPrefixCache *cache, EepRequest *request, guint64 n_hit)
{
    for (guint i = 0; n_hit > 0; i++) {
        guint32 extent = *bucket_find(cache, request->hashes[i]) - 1;
        guint32 n_wanted = (guint32)MIN(cache->blocks_per_extent, n_hit);

        for (guint32 part = cache->extents[extent].first;
             part != NONE && cache->nodes[part].start < n_wanted;
             part = cache->nodes[part].sibling) {
            if (cache->nodes[part].start + cache->nodes[part].n > n_wanted)
                part_split(cache, part, n_wanted);
            if (cache->nodes[part].n_users++ == 0)
                queue_remove(cache, part);
        }
        request_add_run(request, i, 0, n_wanted);
        n_hit -= n_wanted;
    }
}

void eep_prefix_cache_take(EepPrefixCache *cache, guint64 n)
{
    while (n > 0) {
        guint32 front = cache->nodes[0].next;
        Node *node = &cache->nodes[front];
        guint64 n_here = MIN(n, node->n);

        g_assert(front != 0);
        node->n -= n_here;
        n -= n_here;
        if (node->n == 0) {
            queue_remove(cache, front);
            if (node->extent != NO_OWNER)
                part_unlink(cache, front);
            node_free(cache, front);
        }
    }
}

/* Gives blocks [start, end) of the extent, none of them present, to the request; `before` is the
 * part in front of them, NONE if none. */
static void publish_gap(EepPrefixCache *cache, EepRequest *request, guint hash, guint32 extent,
                        guint32 before, guint32 start, guint32 end)
{
    const EepKvRun *last = request->n_runs > 0 ? &request->runs[request->n_runs - 1] : NULL;
    guint32 part;

    if (before != NONE && cache->nodes[before].start + cache->nodes[before].n == start &&
        cache->nodes[before].n_users == 1 && last != NULL && last->hash == hash &&
        (guint32)last->start + last->n == start) {
        cache->nodes[before].n += end - start;
    } else {
        part = node_new(cache, extent, start, end - start);
        cache->nodes[part].n_users = 1;
        if (before == NONE) {
            cache->nodes[part].sibling = cache->extents[extent].first;
            cache->extents[extent].first = part;
        } else {
            cache->nodes[part].sibling = cache->nodes[before].sibling;
            cache->nodes[before].sibling = part;
        }
    }
    request_add_run(request, hash, start, end - start);
}

void eep_prefix_cache_publish(EepPrefixCache *cache, EepRequest *request, guint64 first,
                              guint64 last)
{
    while (first < last) {
        guint64 i = first / cache->blocks_per_extent;
        guint32 start = (guint32)(first % cache->blocks_per_extent);
        guint32 end = (guint32)MIN(cache->blocks_per_extent, start + (last - first));
        guint32 extent, part, before = NONE;

        if (i >= request->n_hashes)
            return;
        first += end - start;
        extent = extent_get(cache, request->hashes[i]);
        for (part = cache->extents[extent].first; part != NONE && start < end;
             part = cache->nodes[part].sibling) {
            Node node = cache->nodes[part];

            if (start < node.start)
                publish_gap(cache, request, (guint)i, extent, before, start, MIN(end, node.start));
            start = MAX(start, (guint32)(node.start + node.n));
            before = part;
        }
        if (start < end)
            publish_gap(cache, request, (guint)i, extent, before, start, end);
    }
}

guint64 eep_prefix_cache_n_identified(const EepRequest *request)
{
    guint64 n = 0;

    for (guint r = 0; r < request->n_runs; r++)
        n += request->runs[r].n;
    return n;
}

/* Drops one user from the parts of [start, end) below `part`, the later parts first; recursion is
 * as deep as an extent has parts. Returns how many blocks became free. */
static guint64 release_parts(EepPrefixCache *cache, guint32 part, guint32 start, guint32 end)
{
    guint64 n_freed;

    while (part != NONE && cache->nodes[part].start < start)
        part = cache->nodes[part].sibling;
    if (part == NONE || cache->nodes[part].start >= end)
        return 0;
    n_freed = release_parts(cache, cache->nodes[part].sibling, start, end);
    if (--cache->nodes[part].n_users > 0)
        return n_freed;
    queue_insert_before(cache, part, 0);
    return n_freed + cache->nodes[part].n;
}

guint64 eep_prefix_cache_release(EepPrefixCache *cache, EepRequest *request, guint64 n_blocks)
{
    guint64 n_freed = n_blocks - eep_prefix_cache_n_identified(request);

    queue_push_anonymous(cache, n_freed);
    while (request->n_runs > 0) {
        const EepKvRun *run = &request->runs[--request->n_runs];
        guint32 extent = *bucket_find(cache, request->hashes[run->hash]) - 1;

        n_freed += release_parts(cache, cache->extents[extent].first, run->start,
                                 (guint32)run->start + run->n);
    }
    return n_freed;
}

void eep_prefix_cache_give(EepPrefixCache *cache, guint64 n)
{
    queue_push_anonymous(cache, n);
}

/* One more user for the parts inside [start, end); returns how many of those blocks lay in the
 * queue. */
static guint64 use_parts(EepPrefixCache *cache, guint32 extent, guint32 start, guint32 end)
{
    guint64 n_idle = 0;

    for (guint32 part = cache->extents[extent].first;
         part != NONE && cache->nodes[part].start < end; part = cache->nodes[part].sibling) {
        guint32 part_end = (guint32)(cache->nodes[part].start + cache->nodes[part].n);

        if (part_end <= start)
            continue;
        if (cache->nodes[part].start < start) {
            part_split(cache, part, start);
            continue;
        }
        if (part_end > end)
            part_split(cache, part, end);
        if (cache->nodes[part].n_users++ == 0) {
            queue_remove(cache, part);
            n_idle += cache->nodes[part].n;
        }
    }
    return n_idle;
}

/* Blocks of [start, end) that are not present become parts of the request's own; returns how many.
 */
static guint64 fill_gaps(EepPrefixCache *cache, guint32 extent, guint32 start, guint32 end)
{
    guint64 n_filled = 0;
    guint32 before = NONE, part = cache->extents[extent].first;

    while (start < end) {
        guint32 gap_end, new_part;

        for (; part != NONE && cache->nodes[part].start <= start;
             part = cache->nodes[part].sibling) {
            start = MAX(start, (guint32)(cache->nodes[part].start + cache->nodes[part].n));
            before = part;
        }
        if (start >= end)
            break;
        gap_end = part != NONE ? MIN(end, cache->nodes[part].start) : end;
        new_part = node_new(cache, extent, start, gap_end - start);
        cache->nodes[new_part].n_users = 1;
        cache->nodes[new_part].sibling = part;
        if (before == NONE)
            cache->extents[extent].first = new_part;
        else
            cache->nodes[before].sibling = new_part;
        before = new_part;
        n_filled += gap_end - start;
        start = gap_end;
    }
    return n_filled;
}

guint64 eep_prefix_cache_restore(EepPrefixCache *cache, EepRequest *request, const EepKvRun *runs,
                                 guint n_runs, guint64 n_blocks)
{
    guint64 n_from_queue = 0, n_to_take = n_blocks;

    for (guint r = 0; r < n_runs; r++) {
        guint32 extent = extent_get(cache, request->hashes[runs[r].hash]);

        n_to_take -= runs[r].n;
        n_from_queue += use_parts(cache, extent, runs[r].start, (guint32)runs[r].start + runs[r].n);
        n_to_take += fill_gaps(cache, extent, runs[r].start, (guint32)runs[r].start + runs[r].n);
        request_add_run(request, runs[r].hash, runs[r].start, runs[r].n);
    }
    eep_prefix_cache_take(cache, n_to_take);
    return n_from_queue + n_to_take;
}

guint64 eep_prefix_cache_count_free(const EepPrefixCache *cache)
{
    guint64 n = 0;

    for (guint32 node = cache->nodes[0].next; node != 0; node = cache->nodes[node].next)
        n += cache->nodes[node].n;
    return n;
}
