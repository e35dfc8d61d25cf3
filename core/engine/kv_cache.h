/* EepKvCache: the paged KV blocks of one engine, counted.
 *
 * `n_free` blocks are held by no running request; with prefix caching some of them still carry
 * reusable prompt blocks (prefix_cache.h). A request's blocks are a number, not a list: T tokens
 * need ceil(T / block_size). Every block is usable: there is no null block. Owned by its engine. */
#ifndef EEP_CORE_ENGINE_KV_CACHE_H
#define EEP_CORE_ENGINE_KV_CACHE_H

#include "core/engine/prefix_cache.h"

G_BEGIN_DECLS

typedef struct {
    guint32 block_size; /* tokens */
    guint64 n_blocks, n_free;
    EepPrefixCache *prefix; /* NULL: prefix caching off */
} EepKvCache;

static inline guint32 eep_kv_cache_blocks_for(const EepKvCache *cache, guint64 n_tokens)
{
    return (guint32)((n_tokens + cache->block_size - 1) / cache->block_size);
}

static inline void eep_kv_cache_take(EepKvCache *cache, guint64 n)
{
    cache->n_free -= n;
    if (cache->prefix != NULL && n > 0)
        eep_prefix_cache_take(cache->prefix, n);
}

/* Gives back all `n` blocks of the request. */
static inline void eep_kv_cache_release(EepKvCache *cache, EepRequest *request, guint64 n)
{
    cache->n_free +=
        cache->prefix != NULL ? eep_prefix_cache_release(cache->prefix, request, n) : n;
}

G_END_DECLS

#endif
