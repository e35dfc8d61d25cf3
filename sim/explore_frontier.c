#include "sim/explore_frontier.h"

#include <string.h>

#define CHUNK_BYTES (1u << 20)

void eep_explore_frontier_init(EepExploreFrontier *frontier, gsize state_size)
{
    g_assert(state_size % 8 == 0);
    memset(frontier, 0, sizeof *frontier);
    frontier->state_size = state_size;
    g_queue_init(&frontier->chunks);
}

void eep_explore_frontier_clear(EepExploreFrontier *frontier)
{
    GByteArray *chunk;

    while ((chunk = g_queue_pop_head(&frontier->chunks)) != NULL)
        g_byte_array_unref(chunk);
    frontier->n_states = frontier->n_bytes = 0;
    frontier->read_at = 0;
}

/* A bit for each word that is not 0, and for each of those a bit for each byte that is not 0, then
 * these bytes. */
static gsize pack(gconstpointer state, gsize size, guint8 *ret_bytes)
{
    gsize n_words = size / 8, n = (n_words + 7) / 8;
    const guint8 *from = state;

    memset(ret_bytes, 0, n);
    for (gsize i = 0; i < n_words; i++) {
        guint64 word;
        gsize mask_at = n;

        memcpy(&word, from + 8 * i, 8);
        if (word == 0)
            continue;
        ret_bytes[i / 8] |= (guint8)(1u << i % 8);
        ret_bytes[n++] = 0;
        for (guint k = 0; k < 8; k++, word >>= 8)
            if (word & 0xff) {
                ret_bytes[mask_at] |= (guint8)(1u << k);
                ret_bytes[n++] = (guint8)word;
            }
    }
    return n;
}

static gsize unpack(const guint8 *bytes, gsize size, gpointer ret_state)
{
    gsize n_words = size / 8, n = (n_words + 7) / 8;
    guint8 *to = ret_state;

    memset(to, 0, size);
    for (gsize i = 0; i < n_words; i++) {
        guint64 word = 0;
        guint8 mask;

        if (!(bytes[i / 8] & 1u << i % 8))
            continue;
        mask = bytes[n++];
        for (guint k = 0; k < 8; k++)
            if (mask & 1u << k)
                word |= (guint64)bytes[n++] << 8 * k;
        memcpy(to + 8 * i, &word, 8);
    }
    return n;
}

void eep_explore_frontier_push(EepExploreFrontier *frontier, gconstpointer state,
                               const guint8 *path, guint depth)
{
    gsize most = frontier->state_size + frontier->state_size / 8 + frontier->state_size / 64 + 2;
    GByteArray *chunk = g_queue_peek_tail(&frontier->chunks);
    gsize at, n;

    if (chunk == NULL || chunk->len + depth + most > CHUNK_BYTES) {
        chunk = g_byte_array_sized_new(CHUNK_BYTES);
        g_queue_push_tail(&frontier->chunks, chunk);
        frontier->n_bytes += CHUNK_BYTES;
    }
    at = chunk->len;
    g_byte_array_set_size(chunk, (guint)(at + depth + most));
    if (depth > 0)
        memcpy(chunk->data + at, path, depth);
    n = pack(state, frontier->state_size, chunk->data + at + depth);
    g_byte_array_set_size(chunk, (guint)(at + depth + n));
    frontier->n_states++;
}

gboolean eep_explore_frontier_pop(EepExploreFrontier *frontier, gpointer ret_state,
                                  guint8 *ret_path, guint depth)
{
    GByteArray *chunk = g_queue_peek_head(&frontier->chunks);

    if (chunk != NULL && frontier->read_at == chunk->len) {
        g_byte_array_unref(g_queue_pop_head(&frontier->chunks));
        frontier->n_bytes -= CHUNK_BYTES;
        frontier->read_at = 0;
        chunk = g_queue_peek_head(&frontier->chunks);
    }
    if (chunk == NULL)
        return FALSE;
    if (depth > 0)
        memcpy(ret_path, chunk->data + frontier->read_at, depth);
    frontier->read_at += depth;
    frontier->read_at += unpack(chunk->data + frontier->read_at, frontier->state_size, ret_state);
    frontier->n_states--;
    return TRUE;
}
