/* EepPrefixCache: which prompt blocks of one engine can be reused, and in which order blocks are
 * evicted.
 *
 * The unit is an extent: all KV blocks that one trace hash stands for. An extent is a list of
 * parts, stretches of present blocks with one user count; in practice one part. All free blocks of
 * the engine, with or without identity, stand in one queue, least recently freed first, as in
 * vLLM's block pool; parts without users and anonymous runs are its nodes, and an evicted part
 * loses its last block first. So every operation costs O(extents touched), whatever the number of
 * blocks. Counts only; it does not know requests' lengths (kv_cache.h does). Loop thread only;
 * owned by the engine's cache. */
#ifndef EEP_CORE_ENGINE_PREFIX_CACHE_H
#define EEP_CORE_ENGINE_PREFIX_CACHE_H

#include "core/engine/request.h"

G_BEGIN_DECLS

typedef struct EepPrefixCache EepPrefixCache;

/* `n_blocks` free anonymous blocks; an extent holds `blocks_per_extent` (1..65535) blocks. */
EepPrefixCache *eep_prefix_cache_new(guint64 n_blocks, guint blocks_per_extent);
void eep_prefix_cache_free(EepPrefixCache *cache);

/* Leading blocks of the hashes that are present, at most `limit`. *ret_n_idle: how many of them
 * have no user, that is, lie in the queue of free blocks. */
guint64 eep_prefix_cache_lookup(EepPrefixCache *cache, const guint64 *hashes, guint n_hashes,
                                guint64 limit, guint64 *ret_n_idle);

/* The request becomes a user of its first `n_hit` blocks, which lookup() found. */
void eep_prefix_cache_acquire(EepPrefixCache *cache, EepRequest *request, guint64 n_hit);

/* Takes n blocks from the front of the queue; they lose their identity. There must be that many. */
void eep_prefix_cache_take(EepPrefixCache *cache, guint64 n);

/* Blocks [first, last) of the request's prompt were computed into blocks of its own. Those whose
 * identity is not yet present get it; the others stay anonymous. */
void eep_prefix_cache_publish(EepPrefixCache *cache, EepRequest *request, guint64 first,
                              guint64 last);

/* The request gives its blocks back: first its anonymous ones (n_blocks less the identified ones),
 * then the identified ones from the last to the first. Returns how many became free (shared ones do
 * not). */
guint64 eep_prefix_cache_release(EepPrefixCache *cache, EepRequest *request, guint64 n_blocks);

/* Gives n anonymous blocks back to the queue. */
void eep_prefix_cache_give(EepPrefixCache *cache, guint64 n);

/* Undoes a release: the request, which holds nothing, again uses `runs` and n_blocks in all. What
 * has been evicted since comes back as the request's own. Returns how many blocks left the queue.
 */
guint64 eep_prefix_cache_restore(EepPrefixCache *cache, EepRequest *request, const EepKvRun *runs,
                                 guint n_runs, guint64 n_blocks);

/* Blocks that the request holds with an identity. */
guint64 eep_prefix_cache_n_identified(const EepRequest *request);

/* Free blocks, counted anew from the queue; for invariant checks. */
guint64 eep_prefix_cache_count_free(const EepPrefixCache *cache);

G_END_DECLS

#endif
