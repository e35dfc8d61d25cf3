#include "tests/oracle/eager_kv.h"

void eager_kv_init(EagerKv *kv, guint64 n_blocks)
{
    kv->blocks = g_new0(EagerBlock, n_blocks);
    kv->n_blocks = n_blocks;
    kv->n_evicted = 0;
    g_queue_init(&kv->free);
    for (guint64 i = 0; i < n_blocks; i++) {
        kv->blocks[i].id = i;
        g_queue_push_tail(&kv->free, &kv->blocks[i]);
    }
}

void eager_kv_clear(EagerKv *kv)
{
    g_queue_clear(&kv->free);
    g_clear_pointer(&kv->blocks, g_free);
}

guint64 eager_kv_n_free(const EagerKv *kv)
{
    return kv->free.length;
}

EagerBlock *eager_kv_find(EagerKv *kv, guint64 hash, guint part)
{
    for (guint64 i = 0; i < kv->n_blocks; i++) {
        EagerBlock *block = &kv->blocks[i];
        if (block->identified && block->hash == hash && block->part == part)
            return block;
    }
    return NULL;
}

void eager_kv_share(EagerKv *kv, EagerBlock *block)
{
    g_assert(block->identified);
    if (block->users == 0)
        g_queue_remove(&kv->free, block);
    block->users++;
}

EagerBlock *eager_kv_take(EagerKv *kv)
{
    EagerBlock *block = g_queue_pop_head(&kv->free);
    g_assert(block != NULL && block->users == 0);
    if (block->identified)
        kv->n_evicted++;
    block->identified = FALSE;
    block->users = 1;
    return block;
}

void eager_kv_identify(EagerKv *kv, EagerBlock *block, guint64 hash, guint part)
{
    g_assert(block->users > 0);
    if (block->identified || eager_kv_find(kv, hash, part) != NULL)
        return;
    block->identified = TRUE;
    block->hash = hash;
    block->part = part;
}

void eager_kv_release(EagerKv *kv, GPtrArray *held)
{
    for (guint i = 0; i < held->len; i++) {
        EagerBlock *block = held->pdata[i];
        g_assert(block->users > 0);
        block->users--;
    }
    for (guint i = 0; i < held->len; i++) {
        EagerBlock *block = held->pdata[i];
        if (block->users == 0 && !block->identified)
            g_queue_push_tail(&kv->free, block);
    }
    for (guint i = held->len; i > 0; i--) {
        EagerBlock *block = held->pdata[i - 1];
        if (block->users == 0 && block->identified)
            g_queue_push_tail(&kv->free, block);
    }
    g_ptr_array_set_size(held, 0);
}

void eager_kv_check(const EagerKv *kv, guint64 users)
{
    guint64 n_unused = 0, n_users = 0;
    for (guint64 i = 0; i < kv->n_blocks; i++) {
        n_unused += kv->blocks[i].users == 0;
        n_users += kv->blocks[i].users;
    }
    g_assert(n_users == users);
    g_assert(n_unused == kv->free.length);
    for (const GList *link = kv->free.head; link != NULL; link = link->next)
        g_assert(((const EagerBlock *)link->data)->users == 0);
}
