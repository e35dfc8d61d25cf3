/* Kernels on the emulation against plain C: indices, barriers, warp operations, atomics, in order
 * and in drawn orders; and those that are wrong. */
#include "tests/emulation/emulation_kit.h"
#include "tests/emulation/planted_kernels.h"

/* Each test runs in order, then with two seeds. */
static const char *const seeds[] = {NULL, "1", "977"};

static cudaStream_t seeded_stream(int turn)
{
    if (seeds[turn] != NULL)
        g_setenv("EEP_EMULATED_SEED", seeds[turn], TRUE);
    return kit_stream();
}

static guint32 drawn(guint64 *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (guint32)(*state >> 33);
}

START_TEST(threads_know_who_they_are)
{
    cudaStream_t stream = seeded_stream(_i);
    const dim3 grid = {3, 2, 2}, block = {5, 7, 3};
    guint n_block = block.x * block.y * block.z, n = grid.x * grid.y * grid.z * n_block;
    g_autofree guint64 *out = g_new(guint64, n);
    guint64 *memory = kit_device(n * sizeof(guint64));
    kit_ok(planted_indices(memory, grid, block, stream));
    kit_download(out, memory, n * sizeof(guint64), stream);
    for (guint i = 0; i < n; i++) {
        guint t = i % n_block, b = i / n_block;
        const guint32 thread[] = {t % 5, t / 5 % 7, t / 35};
        const guint32 at[] = {b % 3, b / 3 % 2, b / 6};
        ck_assert_uint_eq(out[i], planted_fold(thread, at));
    }
}
END_TEST

START_TEST(shapes_have_limits)
{
    cudaStream_t stream = kit_stream();
    guint64 *memory = kit_device(1 << 14);
    const struct {
        dim3 grid, block;
    } wrong[] = {
        {{1, 1, 1}, {1025, 1, 1}}, {{1, 1, 1}, {32, 33, 1}}, {{1, 1, 1}, {1, 1, 65}},
        {{0, 1, 1}, {1, 1, 1}},    {{1, 1, 1}, {0, 1, 1}},   {{1, 65536, 1}, {1, 1, 1}},
    };
    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++)
        ck_assert_int_eq(planted_indices(memory, wrong[i].grid, wrong[i].block, stream),
                         cudaErrorInvalidConfiguration);
    ck_assert_int_eq(cudaGetLastError(), cudaErrorInvalidConfiguration);
    kit_ok(planted_indices(memory, (dim3){1, 1, 1}, (dim3){1024, 1, 1}, stream));
    kit_ok(kit_wait(stream));
}
END_TEST

START_TEST(blocks_sum_by_a_tree)
{
    enum { N_BLOCKS = 40 };
    cudaStream_t stream = seeded_stream(_i);
    guint32 in[N_BLOCKS * 256];
    guint64 out[N_BLOCKS], state = 5;
    for (guint i = 0; i < G_N_ELEMENTS(in); i++)
        in[i] = drawn(&state);
    guint32 *from = kit_upload(in, sizeof(in), stream);
    guint64 *to = kit_device(sizeof(out));
    kit_ok(planted_block_sums(from, to, N_BLOCKS, stream));
    kit_download(out, to, sizeof(out), stream);
    for (guint block = 0; block < N_BLOCKS; block++) {
        guint64 sum = 0;
        for (guint i = 0; i < 256; i++)
            sum += in[block * 256 + i];
        ck_assert_uint_eq(out[block], sum);
    }
}
END_TEST

START_TEST(static_shared_memory_is_the_blocks)
{
    cudaStream_t stream = seeded_stream(_i), other = kit_stream();
    const guint sizes[] = {1, 31, 32, 33, 100, 256};
    for (guint s = 0; s < G_N_ELEMENTS(sizes); s++) {
        guint n = sizes[s] * 6;
        g_autofree guint32 *values = g_new(guint32, n);
        for (guint i = 0; i < n; i++)
            values[i] = i;
        /* Two streams at once: shared memory is not shared between them. */
        guint32 *a = kit_upload(values, n * 4, stream), *b = kit_upload(values, n * 4, other);
        kit_ok(planted_reverse(a, sizes[s], 6, stream));
        kit_ok(planted_reverse(b, sizes[s], 6, other));
        for (guint turn = 0; turn < 2; turn++) {
            kit_download(values, turn == 0 ? a : b, n * 4, turn == 0 ? stream : other);
            for (guint i = 0; i < n; i++)
                ck_assert_uint_eq(values[i], i / sizes[s] * sizes[s] + sizes[s] - 1 - i % sizes[s]);
        }
    }
}
END_TEST

START_TEST(shuffles_read_the_right_lane)
{
    cudaStream_t stream = seeded_stream(_i);
    gfloat in[64], out[64][4];
    for (guint i = 0; i < 64; i++)
        in[i] = (gfloat)i * 1.5f - 7.0f;
    gfloat *from = kit_upload(in, sizeof(in), stream), *to = kit_device(sizeof(out));
    for (int width = 1; width <= 32; width *= 2) {
        kit_ok(planted_shuffles(from, to, width, stream));
        kit_download(out, to, sizeof(out), stream);
        for (int i = 0; i < 64; i++) {
            int lane = i % 32, warp = i - lane, first = lane / width * width, end = first + width;
            int up = lane - 3, down = lane + 2, other = lane ^ 9;
            ck_assert_float_eq(out[i][0], in[warp + first + 5 % width]);
            ck_assert_float_eq(out[i][1], in[warp + (up >= first ? up : lane)]);
            ck_assert_float_eq(out[i][2], in[warp + (down < end ? down : lane)]);
            ck_assert_float_eq(out[i][3], in[warp + (other < end ? other : lane)]);
        }
    }
}
END_TEST

START_TEST(votes_count_the_warp)
{
    cudaStream_t stream = seeded_stream(_i);
    /* 45 threads: the second warp is not full, lanes that are not there vote nothing. */
    gint32 in[64];
    guint32 out[64][3];
    for (guint pattern = 0; pattern < 4; pattern++) {
        for (gint i = 0; i < 64; i++)
            in[i] = pattern == 0 ? -1 : pattern == 1 ? 1 : i % 3 == 0 ? 1 : pattern == 2 ? 0 : -2;
        gint32 *from = kit_upload(in, sizeof(in), stream);
        guint32 *to = kit_device(sizeof(out));
        kit_ok(planted_votes(from, to, 45, stream));
        kit_download(out, to, sizeof(out), stream);
        for (guint i = 0; i < 45; i++) {
            guint32 bits = 0, n_lanes = i < 32 ? 32 : 13;
            for (guint lane = 0; lane < n_lanes; lane++)
                bits |= (guint32)(in[i / 32 * 32 + lane] > 0) << lane;
            ck_assert_uint_eq(out[i][0], bits);
            ck_assert_uint_eq(out[i][1], bits != 0);
            ck_assert_uint_eq(out[i][2], bits == (guint32)(((guint64)1 << n_lanes) - 1));
        }
    }
}
END_TEST

START_TEST(parts_of_a_warp_go_their_own_way)
{
    cudaStream_t stream = seeded_stream(_i);
    guint32 in[32], out[32], low = 0, high = 0;
    for (guint i = 0; i < 32; i++) {
        in[i] = i * i;
        low += i < 16 ? in[i] : 0;
        high += i < 16 ? 0 : in[i];
    }
    guint32 *from = kit_upload(in, sizeof(in), stream), *to = kit_device(sizeof(out));
    kit_ok(planted_half_warps(from, to, stream));
    kit_download(out, to, sizeof(out), stream);
    for (guint i = 0; i < 32; i++)
        ck_assert_uint_eq(out[i], i < 16 ? low : high * 16 * 16);
}
END_TEST

START_TEST(atomics_lose_nothing)
{
    cudaStream_t streams[] = {seeded_stream(_i), kit_stream()};
    guint32 counters[3] = {0};
    guint64 wide = 0;
    guint32 *memory = kit_upload(counters, sizeof(counters), streams[0]);
    guint64 *wide_memory = kit_upload(&wide, sizeof(wide), streams[0]);
    kit_ok(kit_wait(streams[0]));
    for (guint turn = 0; turn < 10; turn++)
        for (guint i = 0; i < 2; i++)
            kit_ok(planted_count(memory, wide_memory, 20, streams[i]));
    kit_ok(kit_wait(streams[1]));
    kit_download(counters, memory, sizeof(counters), streams[0]);
    kit_download(&wide, wide_memory, sizeof(wide), streams[0]);
    ck_assert_uint_eq(counters[0], 2 * 10 * 20 * 128);
    ck_assert_uint_eq(counters[1], 20 * 128 - 1);
    ck_assert_uint_eq(counters[2], 0xffffffff);
    ck_assert_uint_eq(wide, (guint64)(2 * 10 * 20 * 128) << 32);
}
END_TEST

START_TEST(seeds_draw_orders)
{
    cudaStream_t stream = seeded_stream(_i);
    guint32 ticket = 0, order[256], n_moved[2] = {0}, n_seen[2][128] = {{0}};
    guint32 *tickets = kit_upload(&ticket, 4, stream), *to = kit_device(sizeof(order));
    kit_ok(planted_order(tickets, to, 128, stream));
    kit_download(order, to, sizeof(order), stream);
    for (guint i = 0; i < 256; i++) {
        ck_assert_uint_lt(order[i], 128);
        n_seen[i / 128][order[i]]++;
        n_moved[i / 128] += order[i] != i % 128;
    }
    for (guint i = 0; i < 128; i++)
        ck_assert(n_seen[0][i] == 1 && n_seen[1][i] == 1);
    /* Without a seed threads begin in order, and the last to arrive goes on first. */
    ck_assert_uint_eq(n_moved[0] > 64, seeds[_i] != NULL);
    ck_assert_uint_gt(n_moved[1], 64);
}
END_TEST

/* -- wrong ones -- */

typedef struct {
    cudaError_t (*launch)(guint32 *out, cudaStream_t stream);
    const char *told;
} Wrong;

static const Wrong wrong_kernels[] = {
    {planted_barrier_for_some, "kernel eep_k_barrier_for_some, block (0,0,0): divergent barrier"},
    {planted_two_barriers, "kernel eep_k_two_barriers, block (0,0,0): divergent barrier"},
    {planted_absent_lane, "reads lane 12, which takes no part (mask 0xff)"},
    {planted_barrier_and_warp, "divergent"},
};

START_TEST(wrong_kernels_break_the_device)
{
    const Wrong *wrong = &wrong_kernels[_i % 4];
    cudaStream_t stream = seeded_stream(_i / 4), other = kit_stream();
    guint32 *memory = kit_device(256);
    kit_catch_reports();
    kit_ok(wrong->launch(memory, stream));
    ck_assert_int_eq(kit_wait(stream), cudaErrorLaunchFailure);
    ck_assert_msg(kit_reported(wrong->told), "not reported: %s", wrong->told);
    ck_assert_int_eq(cudaMemsetAsync(memory, 0, 4, other), cudaErrorLaunchFailure);
    ck_assert_int_eq(cudaFree(memory), cudaErrorLaunchFailure);
    /* The thread that ran it is whole: another device's stream may reuse its parts. */
    kit_ok(cudaSetDevice(1));
    cudaStream_t there = kit_stream();
    guint32 values[64] = {0}, *good = kit_upload(values, sizeof(values), there);
    kit_ok(planted_reverse(good, 64, 1, there));
    kit_ok(kit_wait(there));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("emulated kernels");
    TCase *tcase = tcase_create("kernels");
    int n_seeds = G_N_ELEMENTS(seeds);
    tcase_add_loop_test(tcase, threads_know_who_they_are, 0, n_seeds);
    tcase_add_test(tcase, shapes_have_limits);
    tcase_add_loop_test(tcase, blocks_sum_by_a_tree, 0, n_seeds);
    tcase_add_loop_test(tcase, static_shared_memory_is_the_blocks, 0, n_seeds);
    tcase_add_loop_test(tcase, shuffles_read_the_right_lane, 0, n_seeds);
    tcase_add_loop_test(tcase, votes_count_the_warp, 0, n_seeds);
    tcase_add_loop_test(tcase, parts_of_a_warp_go_their_own_way, 0, n_seeds);
    tcase_add_loop_test(tcase, atomics_lose_nothing, 0, n_seeds);
    tcase_add_loop_test(tcase, seeds_draw_orders, 0, n_seeds);
    tcase_add_loop_test(tcase, wrong_kernels_break_the_device, 0, 4 * n_seeds);
    suite_add_tcase(suite, tcase);
    return kit_run(suite);
}
