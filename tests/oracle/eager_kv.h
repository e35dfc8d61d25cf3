/* The oracle's KV cache of one engine: an array of block objects and one queue of the free ones.
 *
 * A block is held by `users` requests; it is in the free queue exactly while it has none. An
 * identified block stands for one (hash, part) of a prompt and can be found and shared, also while
 * it is free; it loses its identity when an allocation pops it. Scans, no index: see eager.h.
 * Single-threaded; EagerKv owns its blocks, requests borrow them. */
#ifndef EEP_TESTS_EAGER_KV_H
#define EEP_TESTS_EAGER_KV_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct {
    guint64 id;
    guint users;
    gboolean identified;
    guint64 hash; /* meaningful if identified: the block is part `part` of the tokens of `hash` */
    guint part;
} EagerBlock;

typedef struct {
    EagerBlock *blocks;
    guint64 n_blocks;
    GQueue free;       /* of EagerBlock, next to be allocated first */
    guint64 n_evicted; /* identified blocks that were allocated anew */
} EagerKv;

void eager_kv_init(EagerKv *kv, guint64 n_blocks);
void eager_kv_clear(EagerKv *kv);
guint64 eager_kv_n_free(const EagerKv *kv);

/* The block of that identity, or NULL. */
EagerBlock *eager_kv_find(EagerKv *kv, guint64 hash, guint part);

/* Adds a user to a block that was found. */
void eager_kv_share(EagerKv *kv, EagerBlock *block);

/* Allocates the first free block for one user, anonymous; there must be one. */
EagerBlock *eager_kv_take(EagerKv *kv);

/* Makes the identity of a held block known, unless the block has one or another block has this one.
 */
void eager_kv_identify(EagerKv *kv, EagerBlock *block, guint64 hash, guint part);

/* Takes one user off each block of a request, in the order of its tokens, and empties the list. */
void eager_kv_release(EagerKv *kv, GPtrArray *held);

/* Aborts unless blocks, users (the sum over all requests' lists) and the free queue agree. */
void eager_kv_check(const EagerKv *kv, guint64 users);

G_END_DECLS

#endif
