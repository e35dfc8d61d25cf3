/* Kernels at the edges of their shapes, each against a few lines of C. */
#include <check.h>
#include <stdlib.h>

#include "gpu/worker/device.h"
#include "gpu/worker/kernels.h"
#include "tests/moe/device_fixture.h"
#include "tests/run_suite.h"

static void expect(cudaError_t status)
{
    g_autoptr(GError) error = NULL;
    ck_assert_msg(EEP_CUDA(status, &error), "%s", error ? error->message : "");
}

static void settle(void)
{
    g_autoptr(GError) error = NULL;
    ck_assert_msg(eep_device_wait(device, stream, WAIT_NS, NULL, &error), "%s",
                  error ? error->message : "");
}

/* Device memory with a copy of `from` (NULL: zeros). */
static gpointer on_device(gconstpointer from, gsize bytes)
{
    gpointer memory = eep_device_alloc(device, MAX(bytes, 8), NULL);
    ck_assert_ptr_nonnull(memory);
    if (from && bytes > 0) {
        expect(cudaMemcpyAsync(memory, from, bytes, cudaMemcpyHostToDevice, stream));
        settle();
    }
    return memory;
}

static gpointer from_device(gconstpointer memory, gsize bytes)
{
    gpointer host = g_malloc0(MAX(bytes, 8));
    if (bytes > 0)
        expect(cudaMemcpyAsync(host, memory, bytes, cudaMemcpyDeviceToHost, stream));
    settle();
    return host;
}

START_TEST(fill_and_checksum_are_the_host_s)
{
    static const struct {
        guint hidden, intermediate;
    } cases[] = {{32, 16}, {37, 11}, {1, 1}, {129, 3}, {64, 64}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        EepExpertLayout layout;
        guint64 sum = 0;
        eep_weights_expert(5, i, 3, cases[i].hidden, cases[i].intermediate, &layout);
        guint64 n_up = layout.gate_up_bytes / 8, n = layout.bytes / 8;
        guint64 *memory = on_device(NULL, layout.bytes);
        guint64 *sum_memory = on_device(NULL, 8);
        expect(eep_kernel_fill(memory, n_up, layout.gate_up, stream));
        expect(eep_kernel_fill(memory + n_up, n - n_up, layout.down, stream));
        expect(eep_kernel_checksum(memory, n, sum_memory, stream));
        g_autofree guint64 *words = from_device(memory, layout.bytes);
        g_autofree guint64 *told = from_device(sum_memory, 8);
        for (guint64 word = 0; word < n; word++)
            ck_assert_uint_eq(words[word], word < n_up
                                               ? eep_weight_word(&layout.gate_up, word)
                                               : eep_weight_word(&layout.down, word - n_up));
        sum = eep_weights_expert_checksum(&layout);
        ck_assert_uint_eq(told[0], sum);
        ck_assert_uint_eq(eep_weights_checksum(words, n), sum);
    }
    expect(eep_kernel_fill(NULL, 0, (EepWeightRule){0}, stream));
    expect(eep_kernel_checksum(NULL, 0, NULL, stream));
}
END_TEST

/* A stable sort by slot, pair by pair. */
static void expect_permuted(const guint32 *slots, guint n_pairs, guint n_slots)
{
    guint n_chunks = (n_pairs + EEP_PERMUTE_CHUNK - 1) / EEP_PERMUTE_CHUNK;
    EepPermuteArgs args = {
        .slots = on_device(slots, 4 * n_pairs),
        .n_pairs = n_pairs,
        .n_slots = n_slots,
        .chunk_counts = on_device(NULL, 4 * n_chunks * n_slots),
        .counts = on_device(NULL, 4 * n_slots),
        .first_rows = on_device(NULL, 4 * n_slots),
        .positions = on_device(NULL, 4 * n_pairs),
    };
    expect(eep_kernel_permute(&args, stream));
    g_autofree guint32 *counts = from_device(args.counts, 4 * n_slots);
    g_autofree guint32 *positions = from_device(args.positions, 4 * n_pairs);
    guint next = 0;
    for (guint slot = 0; slot < n_slots; slot++) {
        guint first = next;
        for (guint pair = 0; pair < n_pairs; pair++)
            if (slots[pair] == slot)
                ck_assert_uint_eq(positions[pair], next++);
        ck_assert_uint_eq(counts[slot], next - first);
    }
    for (guint pair = 0; pair < n_pairs; pair++)
        if (slots[pair] == EEP_NO_ROW)
            ck_assert_uint_eq(positions[pair], EEP_NO_ROW);
}

START_TEST(permute_sorts)
{
    static const guint lengths[] = {0, 1, 127, 128, 129, 255, 256, 257, 1000};
    guint32 slots[1000];
    for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
        for (guint n_slots = 1; n_slots <= 300; n_slots = 3 * n_slots + 1) {
            for (guint pair = 0; pair < lengths[i]; pair++) {
                guint64 random = eep_hash(n_slots, pair);
                slots[pair] = random % 9 == 0 ? EEP_NO_ROW : (random >> 8) % n_slots;
            }
            expect_permuted(slots, lengths[i], n_slots);
        }
    }
    for (guint pair = 0; pair < 1000; pair++)
        slots[pair] = 3; /* all to one */
    expect_permuted(slots, 1000, 5);
    for (guint pair = 0; pair < 1000; pair++)
        slots[pair] = EEP_NO_ROW;
    expect_permuted(slots, 1000, 5);
}
END_TEST

START_TEST(gather_takes_rows_to_their_places)
{
    static const guint32 places[] = {3, EEP_NO_ROW, 0, 2, EEP_NO_ROW, 1};
    guint16 rows[3 * 16];
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        rows[i] = (guint16)(1 + i);
    guint16 *to = on_device(NULL, 5 * 32);
    guint32 *positions = on_device(places, sizeof(places));
    expect(eep_kernel_gather_pairs(positions, 6, 2, on_device(rows, sizeof(rows)), to, 16, stream));
    g_autofree guint16 *got = from_device(to, 5 * 32);
    for (guint pair = 0; pair < 6; pair++)
        if (places[pair] != EEP_NO_ROW)
            ck_assert_mem_eq(got + 16 * places[pair], rows + pair / 2 * 16, 32);
    for (guint i = 0; i < 16; i++)
        ck_assert_uint_eq(got[4 * 16 + i], 0);
    expect(eep_kernel_gather_pairs(NULL, 0, 2, NULL, NULL, 16, stream));
}
END_TEST

/* Runs of arrival order put together, and back again. */
START_TEST(regroup_there_and_back)
{
    static const EepSegment segments[] = {{0, 4}, {1, 0}, {4, 5}, {6, 3}};
    static const guint arrival[] = {4, 0, 1, 2, 5, 6, 3};
    guint16 rows[7 * 8];
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        rows[i] = (guint16)i;
    guint16 *from = on_device(rows, sizeof(rows)), *to = on_device(NULL, sizeof(rows)),
            *back = on_device(NULL, sizeof(rows));
    EepRegroupArgs args = {on_device(segments, sizeof(segments)), 4, 7, from, to, 8, 0};
    expect(eep_kernel_regroup(&args, stream));
    g_autofree guint16 *grouped = from_device(to, sizeof(rows));
    for (guint row = 0; row < 7; row++)
        ck_assert_mem_eq(grouped + 8 * row, rows + 8 * arrival[row], 16);
    args.from = to;
    args.to = back;
    args.is_back = 1;
    expect(eep_kernel_regroup(&args, stream));
    g_autofree guint16 *again = from_device(back, sizeof(rows));
    ck_assert_mem_eq(again, rows, sizeof(rows));
    args.n_rows = 0;
    args.n_segments = 0;
    expect(eep_kernel_regroup(&args, stream));
}
END_TEST

START_TEST(cache_is_read_round_and_round)
{
    guint64 words[100], sum = 0, got = 0;
    for (guint i = 0; i < 100; i++)
        words[i] = eep_hash(0, i);
    guint64 *cache = on_device(words, sizeof(words));
    static const struct {
        guint cache_words, first, n, n_sinks;
    } cases[] = {
        {100, 0, 100, 7}, {100, 93, 1000, 13}, {1, 0, 50, 8}, {100, 99, 1, 256}, {3, 2, 7, 5}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint64 *sink = on_device(NULL, 8 * cases[i].n_sinks);
        expect(eep_kernel_read_kv(cache, cases[i].cache_words, cases[i].first, cases[i].n, sink,
                                  cases[i].n_sinks, stream));
        g_autofree guint64 *sums = from_device(sink, 8 * cases[i].n_sinks);
        sum = got = 0;
        for (guint j = 0; j < cases[i].n; j++)
            sum += words[(cases[i].first + j) % cases[i].cache_words];
        for (guint j = 0; j < cases[i].n_sinks; j++)
            got += sums[j];
        ck_assert_uint_eq(got, sum);
    }
    expect(eep_kernel_read_kv(NULL, 0, 0, 100, NULL, 8, stream));
}
END_TEST

/* Numbers beyond what the sum of squares holds do no harm and do not go unseen. */
START_TEST(merge_survives_what_is_no_number)
{
    EepStepFacts facts = {.n_rows = 3, .n_probes = 1};
    guint16 rows[3 * 8] = {0};
    for (guint i = 0; i < 8; i++)
        rows[i] = eep_float_bf16(2.0f);
    rows[8] = 0x7fc0; /* not a number */
    rows[16] = eep_float_bf16(1e30f);
    EepMergeArgs args = {
        .facts = on_device(&facts, sizeof(facts)),
        .max_rows = 4,
        .hidden = 8,
        .pitch = 8,
        .base = on_device(rows, sizeof(rows)),
        .values = on_device(NULL, 4 * 32),
        .sums = on_device(NULL, 32),
        .rows = on_device(NULL, 4 * 16),
    };
    expect(eep_kernel_merge(&args, stream));
    g_autofree guint16 *got = from_device(args.rows, 4 * 16);
    ck_assert_uint_eq(got[0], eep_float_bf16(1.0f));
    ck_assert_uint_gt(got[8] & 0x7fff, 0x7f80);
    ck_assert(eep_bf16_float(got[16]) > 1e20f);
    ck_assert_uint_eq(got[24], 0); /* a row beyond the step's */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("moe_kernels");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, fill_and_checksum_are_the_host_s);
    tcase_add_test(tcase, permute_sorts);
    tcase_add_test(tcase, gather_takes_rows_to_their_places);
    tcase_add_test(tcase, regroup_there_and_back);
    tcase_add_test(tcase, cache_is_read_round_and_round);
    tcase_add_test(tcase, merge_survives_what_is_no_number);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK);
}
