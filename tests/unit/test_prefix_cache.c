/* The prefix cache against a reference that keeps every block. */
#include "core/engine/prefix_cache.h"

#include <check.h>
#include <stdlib.h>

#include "core/rng.h"

/* -- the reference: blocks are objects, the queue is a list, every look-up is a scan -- */

typedef struct {
    guint64 hash; /* 0: anonymous */
    guint index;  /* in its extent */
    guint n_users;
    gboolean is_queued;
} Block;

typedef struct {
    guint per_extent, n_blocks;
    Block *blocks;
    GQueue queue; /* Block *, least recently freed first */
} Reference;

/* Which blocks a request has, and their identities. */
typedef struct {
    GPtrArray *anonymous;  /* Block * */
    GPtrArray *identified; /* Block *, by place in the prompt */
} Held;

static void reference_init(Reference *reference, guint n_blocks, guint per_extent)
{
    *reference = (Reference){per_extent, n_blocks, g_new0(Block, n_blocks), G_QUEUE_INIT};
    for (guint i = 0; i < n_blocks; i++) {
        reference->blocks[i].is_queued = TRUE;
        g_queue_push_tail(&reference->queue, &reference->blocks[i]);
    }
}

static void reference_clear(Reference *reference)
{
    g_queue_clear(&reference->queue);
    g_free(reference->blocks);
}

static void held_init(Held *held)
{
    held->anonymous = g_ptr_array_new();
    held->identified = g_ptr_array_new();
}

static void held_clear(Held *held)
{
    g_ptr_array_free(held->anonymous, TRUE);
    g_ptr_array_free(held->identified, TRUE);
}

static Block *find(const Reference *reference, guint64 hash, guint index)
{
    for (guint i = 0; i < reference->n_blocks; i++)
        if (reference->blocks[i].hash == hash && reference->blocks[i].index == index)
            return &reference->blocks[i];
    return NULL;
}

static guint64 reference_lookup(const Reference *reference, const guint64 *hashes, guint n_hashes,
                                guint64 limit, guint64 *ret_n_idle)
{
    guint64 n = 0;

    *ret_n_idle = 0;
    for (; n < limit && n < (guint64)n_hashes * reference->per_extent; n++) {
        const Block *block =
            find(reference, hashes[n / reference->per_extent], (guint)(n % reference->per_extent));

        if (block == NULL)
            break;
        *ret_n_idle += block->n_users == 0;
    }
    return n;
}

static void use(Reference *reference, Block *block)
{
    if (block->n_users++ == 0) {
        g_queue_remove(&reference->queue, block);
        block->is_queued = FALSE;
    }
}

static Block *pop(Reference *reference)
{
    Block *block = g_queue_pop_head(&reference->queue);

    g_assert(block != NULL);
    *block = (Block){.n_users = 1};
    return block;
}

static void push(Reference *reference, Block *block)
{
    block->is_queued = TRUE;
    g_queue_push_tail(&reference->queue, block);
}

static void reference_acquire(Reference *reference, Held *held, const guint64 *hashes,
                              guint64 n_hit)
{
    for (guint64 b = 0; b < n_hit; b++) {
        Block *block =
            find(reference, hashes[b / reference->per_extent], (guint)(b % reference->per_extent));

        use(reference, block);
        g_ptr_array_add(held->identified, block);
    }
}

static void reference_take(Reference *reference, Held *held, guint64 n)
{
    while (n-- > 0)
        g_ptr_array_add(held->anonymous, pop(reference));
}

static void reference_publish(Reference *reference, Held *held, const guint64 *hashes,
                              guint n_hashes, guint64 first, guint64 last)
{
    for (guint64 b = first; b < last && b < (guint64)n_hashes * reference->per_extent; b++) {
        guint64 hash = hashes[b / reference->per_extent];
        guint index = (guint)(b % reference->per_extent);
        Block *block;

        if (find(reference, hash, index) != NULL)
            continue;
        block = g_ptr_array_steal_index(held->anonymous, held->anonymous->len - 1);
        block->hash = hash;
        block->index = index;
        g_ptr_array_add(held->identified, block);
    }
}

static guint64 reference_release(Reference *reference, Held *held)
{
    guint64 n_freed = 0;

    for (guint i = 0; i < held->anonymous->len; i++, n_freed++) {
        Block *block = g_ptr_array_index(held->anonymous, i);

        block->n_users = 0;
        push(reference, block);
    }
    for (guint i = held->identified->len; i-- > 0;) {
        Block *block = g_ptr_array_index(held->identified, i);

        if (--block->n_users > 0)
            continue;
        push(reference, block);
        n_freed++;
    }
    g_ptr_array_set_size(held->anonymous, 0);
    g_ptr_array_set_size(held->identified, 0);
    return n_freed;
}

/* -- both, side by side -- */

#define MAX_REQUESTS 8
#define MAX_HASHES   6
#define N_FAMILIES   3

typedef struct {
    EepRequest request;
    guint64 hashes[MAX_HASHES];
    Held held;
    guint64 n_blocks, n_published; /* prompt blocks that were computed and published */
    gboolean is_in;
} Client;

typedef struct {
    EepPrefixCache *cache;
    Reference reference;
    Client clients[MAX_REQUESTS];
    EepRng rng;
    guint64 seed;
    guint step;
} World;

static guint64 draw(World *world, guint64 n)
{
    return eep_rng_below(&world->rng, n);
}

/* Hashes as chained ones: equal only with everything in front of them. */
static guint64 chain(guint64 family, guint fork, guint depth)
{
    return 1 + family * 1000 + (depth >= 2 ? fork * 100 : 0) + depth;
}

static void assert_same(World *world)
{
    g_assert(world->reference.queue.length <= world->reference.n_blocks);
    ck_assert_msg(eep_prefix_cache_count_free(world->cache) == world->reference.queue.length,
                  "seed %d, step %u: %d free blocks instead of %u", (int)world->seed, world->step,
                  (int)eep_prefix_cache_count_free(world->cache), world->reference.queue.length);
    for (guint family = 0; family < N_FAMILIES; family++)
        for (guint fork = 0; fork < 3; fork++) {
            guint64 hashes[MAX_HASHES], n_idle, n_idle_expected, n_hit, n_expected;
            guint64 limit = draw(world, 4) == 0 ? draw(world, 12) : G_MAXUINT64;

            for (guint depth = 0; depth < MAX_HASHES; depth++)
                hashes[depth] = chain(family, fork, depth);
            /* Also from the middle: an extent may be there without those in front of it. */
            for (guint from = 0; from < MAX_HASHES; from++) {
                n_expected = reference_lookup(&world->reference, hashes + from, MAX_HASHES - from,
                                              limit, &n_idle_expected);
                n_hit = eep_prefix_cache_lookup(world->cache, hashes + from, MAX_HASHES - from,
                                                limit, &n_idle);
                ck_assert_msg(n_hit == n_expected && n_idle == n_idle_expected,
                              "seed %d, step %u: %d hits (%d idle) instead of %d (%d)",
                              (int)world->seed, world->step, (int)n_hit, (int)n_idle,
                              (int)n_expected, (int)n_idle_expected);
            }
        }
}

static void admit(World *world, Client *client)
{
    guint64 family = draw(world, N_FAMILIES), fork = draw(world, 3), n_idle, n_hit, n_new;
    guint n_hashes = (guint)draw(world, MAX_HASHES + 1);

    g_free(client->request.runs);
    client->request = (EepRequest){.hashes = client->hashes, .n_hashes = (guint16)n_hashes};
    for (guint depth = 0; depth < n_hashes; depth++)
        client->hashes[depth] = chain(family, (guint)fork, depth);
    n_hit =
        eep_prefix_cache_lookup(world->cache, client->hashes, n_hashes, draw(world, 30), &n_idle);
    n_new = draw(world, 8);
    if (n_new + n_idle > world->reference.queue.length)
        return;
    eep_prefix_cache_acquire(world->cache, &client->request, n_hit);
    reference_acquire(&world->reference, &client->held, client->hashes, n_hit);
    eep_prefix_cache_take(world->cache, n_new);
    reference_take(&world->reference, &client->held, n_new);
    client->n_published = n_hit;
    client->n_blocks = n_hit + n_new;
    client->is_in = TRUE;
}

static void grow(World *world, Client *client)
{
    guint64 n = draw(world, 4);

    if (n > world->reference.queue.length)
        return;
    eep_prefix_cache_take(world->cache, n);
    reference_take(&world->reference, &client->held, n);
    client->n_blocks += n;
}

static void publish(World *world, Client *client)
{
    guint64 last = client->n_published + draw(world, client->n_blocks - client->n_published + 1);

    eep_prefix_cache_publish(world->cache, &client->request, client->n_published, last);
    reference_publish(&world->reference, &client->held, client->hashes, client->request.n_hashes,
                      client->n_published, last);
    client->n_published = last;
    ck_assert_uint_eq(eep_prefix_cache_n_identified(&client->request),
                      client->held.identified->len);
}

static void release(World *world, Client *client)
{
    guint64 n = eep_prefix_cache_release(world->cache, &client->request, client->n_blocks);

    ck_assert_uint_eq(n, reference_release(&world->reference, &client->held));
    ck_assert_uint_eq(client->request.n_runs, 0);
    client->is_in = FALSE;
}

/* A preemption that is undone, perhaps after others took some of the blocks: what was evicted comes
 * back as the request's own. */
static void release_and_restore(World *world, Client *client)
{
    g_autofree EepKvRun *runs =
        g_memdup2(client->request.runs, client->request.n_runs * sizeof *client->request.runs);
    guint n_runs = client->request.n_runs;
    guint64 n_before = client->n_blocks, n_published = client->n_published, n_left, n_expected;
    guint64 n_given_back;

    release(world, client);
    n_left = world->reference.queue.length;
    /* Others took some and gave them back. */
    n_given_back = draw(world, n_left + 1);
    if (draw(world, 2) == 0)
        n_given_back = 0;
    eep_prefix_cache_take(world->cache, n_given_back);
    eep_prefix_cache_give(world->cache, n_given_back);
    for (guint64 i = 0; i < n_given_back; i++)
        reference_take(&world->reference, &client->held, 1);
    for (guint i = 0; i < client->held.anonymous->len; i++) {
        Block *block = g_ptr_array_index(client->held.anonymous, i);
        block->n_users = 0;
        push(&world->reference, block);
    }
    g_ptr_array_set_size(client->held.anonymous, 0);

    guint64 n_taken =
        eep_prefix_cache_restore(world->cache, &client->request, runs, n_runs, n_before);
    n_expected = world->reference.queue.length;
    GArray *missing = g_array_new(FALSE, FALSE, sizeof(guint64)); /* hash, index, place */
    for (guint r = 0; r < n_runs; r++)
        for (guint b = runs[r].start; b < (guint)runs[r].start + runs[r].n; b++) {
            guint64 hash = client->hashes[runs[r].hash], index = b,
                    place = client->held.identified->len;
            Block *block = find(&world->reference, hash, b);

            if (block != NULL) {
                use(&world->reference, block);
            } else {
                g_array_append_val(missing, hash);
                g_array_append_val(missing, index);
                g_array_append_val(missing, place);
            }
            g_ptr_array_add(client->held.identified, block);
        }
    for (guint i = 0; i < missing->len; i += 3) {
        Block *block = pop(&world->reference);

        block->hash = g_array_index(missing, guint64, i);
        block->index = (guint)g_array_index(missing, guint64, i + 1);
        client->held.identified->pdata[g_array_index(missing, guint64, i + 2)] = block;
    }
    g_array_free(missing, TRUE);
    reference_take(&world->reference, &client->held, n_before - client->held.identified->len);
    n_expected -= world->reference.queue.length;
    ck_assert_msg(n_taken == n_expected, "seed %d, step %u: %d blocks restored instead of %d",
                  (int)world->seed, world->step, (int)n_taken, (int)n_expected);
    client->n_blocks = n_before;
    client->n_published = n_published;
    client->is_in = TRUE;
}

static void act(World *world)
{
    Client *client = &world->clients[draw(world, MAX_REQUESTS)];

    if (!client->is_in)
        admit(world, client);
    else
        switch (draw(world, 8)) {
        case 0:
            release(world, client);
            break;
        case 1:
            release_and_restore(world, client);
            break;
        case 2:
            grow(world, client);
            break;
        default:
            publish(world, client);
            break;
        }
}

/* Runs a sequence, then lets everybody go and evicts block by block: the order shows in what is
 * found. */
static void run_seed(guint64 seed, guint n_blocks, guint per_extent, guint n_steps)
{
    World world = {.cache = eep_prefix_cache_new(n_blocks, per_extent), .seed = seed};

    eep_rng_init(&world.rng, seed, "prefix");
    reference_init(&world.reference, n_blocks, per_extent);
    for (guint i = 0; i < MAX_REQUESTS; i++)
        held_init(&world.clients[i].held);
    for (world.step = 0; world.step < n_steps; world.step++) {
        act(&world);
        assert_same(&world);
    }
    for (guint i = 0; i < MAX_REQUESTS; i++)
        if (world.clients[i].is_in)
            release(&world, &world.clients[i]);
    ck_assert_uint_eq(eep_prefix_cache_count_free(world.cache), n_blocks);
    for (guint i = 0; i < n_blocks; i++, world.step++) {
        eep_prefix_cache_take(world.cache, 1);
        reference_take(&world.reference, &world.clients[0].held, 1);
        assert_same(&world);
    }
    for (guint i = 0; i < MAX_REQUESTS; i++) {
        held_clear(&world.clients[i].held);
        g_free(world.clients[i].request.runs);
    }
    reference_clear(&world.reference);
    eep_prefix_cache_free(world.cache);
}

START_TEST(agrees_with_the_reference)
{
    static const guint per_extent[] = {1, 2, 3, 5};

    for (guint64 seed = 0; seed < 30; seed++)
        run_seed(seed * 100 + (guint64)_i, 10 + (guint)(seed % 7) * 8, per_extent[_i], 120);
}
END_TEST

/* -- by hand: extents of four blocks -- */

static guint64 hashes[] = {101, 102};

static EepRequest request_of(guint n_hashes)
{
    return (EepRequest){.hashes = hashes, .n_hashes = (guint16)n_hashes};
}

static void assert_hits(EepPrefixCache *cache, guint64 n_hit, guint64 n_idle)
{
    guint64 n_found_idle, n = eep_prefix_cache_lookup(cache, hashes, 2, G_MAXUINT64, &n_found_idle);

    ck_assert_uint_eq(n, n_hit);
    ck_assert_uint_eq(n_found_idle, n_idle);
}

START_TEST(the_last_block_is_evicted_first)
{
    EepPrefixCache *cache = eep_prefix_cache_new(10, 4);
    EepRequest a = request_of(2);

    eep_prefix_cache_take(cache, 7); /* 6 blocks of prompt, one of output */
    eep_prefix_cache_publish(cache, &a, 0, 6);
    assert_hits(cache, 6, 0);
    ck_assert_uint_eq(eep_prefix_cache_release(cache, &a, 7), 7);
    assert_hits(cache, 6, 6);
    /* In the queue: three that were never used, one anonymous, then 5, 4 of the second extent, then
     * 3, 2, 1, 0 of the first. */
    eep_prefix_cache_take(cache, 4);
    assert_hits(cache, 6, 6);
    for (guint n = 6; n-- > 0;) {
        eep_prefix_cache_take(cache, 1);
        assert_hits(cache, n, n);
    }
    ck_assert_uint_eq(eep_prefix_cache_count_free(cache), 0);
    g_free(a.runs);
    eep_prefix_cache_free(cache);
}
END_TEST

/* B shares the first two of A's four blocks: when A goes, only the other two become idle. */
START_TEST(a_part_is_split_for_a_second_user)
{
    EepPrefixCache *cache = eep_prefix_cache_new(6, 4);
    EepRequest a = request_of(1), b = request_of(1);

    eep_prefix_cache_take(cache, 4);
    eep_prefix_cache_publish(cache, &a, 0, 4);
    eep_prefix_cache_acquire(cache, &b, 2);
    ck_assert_uint_eq(eep_prefix_cache_n_identified(&b), 2);
    ck_assert_uint_eq(eep_prefix_cache_release(cache, &a, 4), 2);
    assert_hits(cache, 4, 2);
    eep_prefix_cache_take(cache, 3); /* the two free ones, then block 3 */
    assert_hits(cache, 3, 1);
    ck_assert_uint_eq(eep_prefix_cache_release(cache, &b, 2), 2);
    assert_hits(cache, 3, 3);
    g_free(a.runs);
    g_free(b.runs);
    eep_prefix_cache_free(cache);
}
END_TEST

/* A and C compute the same prompt at once. A's blocks 0 and 1 get the identity, and C's 2 and 3; A
 * goes and its blocks are evicted: a hole at the front. D fills it; its own 2 and 3 stay anonymous.
 */
START_TEST(a_hole_is_filled)
{
    EepPrefixCache *cache = eep_prefix_cache_new(12, 4);
    EepRequest a = request_of(1), c = request_of(1), d = request_of(1);

    eep_prefix_cache_take(cache, 8);
    eep_prefix_cache_publish(cache, &a, 0, 2);
    eep_prefix_cache_publish(cache, &c, 0, 4);
    ck_assert_uint_eq(eep_prefix_cache_n_identified(&a), 2);
    ck_assert_uint_eq(eep_prefix_cache_n_identified(&c), 2);
    ck_assert_uint_eq(eep_prefix_cache_release(cache, &a, 4), 4);
    assert_hits(cache, 4, 2);
    eep_prefix_cache_take(cache, 8);
    assert_hits(cache, 0, 0);
    eep_prefix_cache_publish(cache, &d, 0, 4); /* four of the eight are D's */
    ck_assert_uint_eq(eep_prefix_cache_n_identified(&d), 2);
    assert_hits(cache, 4, 0);
    ck_assert_uint_eq(eep_prefix_cache_release(cache, &c, 4), 4);
    ck_assert_uint_eq(eep_prefix_cache_release(cache, &d, 4), 4);
    assert_hits(cache, 4, 4);
    g_free(a.runs);
    g_free(c.runs);
    g_free(d.runs);
    eep_prefix_cache_free(cache);
}
END_TEST

START_TEST(what_was_evicted_comes_back_as_the_request_s_own)
{
    EepPrefixCache *cache = eep_prefix_cache_new(8, 4);
    EepRequest a = request_of(1);
    EepKvRun runs[] = {{.hash = 0, .start = 0, .n = 4}};

    eep_prefix_cache_take(cache, 5);
    eep_prefix_cache_publish(cache, &a, 0, 4);
    eep_prefix_cache_release(cache, &a, 5);
    eep_prefix_cache_take(cache, 6); /* three, the anonymous one, blocks 3 and 2 */
    assert_hits(cache, 2, 2);
    eep_prefix_cache_give(cache, 6);
    /* Two idle ones, two lost ones, one anonymous: all five leave the queue. */
    ck_assert_uint_eq(eep_prefix_cache_restore(cache, &a, runs, 1, 5), 5);
    assert_hits(cache, 4, 0);
    ck_assert_uint_eq(eep_prefix_cache_count_free(cache), 3);
    ck_assert_uint_eq(eep_prefix_cache_release(cache, &a, 5), 5);
    assert_hits(cache, 4, 4);
    g_free(a.runs);
    eep_prefix_cache_free(cache);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("prefix_cache");
    TCase *tcase = tcase_create("prefix_cache");
    tcase_add_loop_test(tcase, agrees_with_the_reference, 0, 4);
    tcase_add_test(tcase, the_last_block_is_evicted_first);
    tcase_add_test(tcase, a_part_is_split_for_a_second_user);
    tcase_add_test(tcase, a_hole_is_filled);
    tcase_add_test(tcase, what_was_evicted_comes_back_as_the_request_s_own);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
