/* Hash, bf16, exponential and the router's integers, against libm and against frequencies. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "gpu/worker/probe.h"
#include "tests/moe/layer_reference.h"

START_TEST(bf16_rounds_to_even)
{
    static const struct {
        guint32 bits;
        guint16 want;
    } cases[] = {
        {0x3f800000, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f818000, 0x3f82}, {0x3f808001, 0x3f81},
        {0x80000000, 0x8000}, {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80}, {0x7f800001, 0x7fc0},
        {0x00008000, 0x0000}, {0x00018000, 0x0002},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        ck_assert_uint_eq(eep_float_bf16(eep_bits_float(cases[i].bits)), cases[i].want);
}
END_TEST

START_TEST(exponential_is_close)
{
    for (double x = -80; x <= 80; x += 0.0137)
        ck_assert_double_lt(fabs(eep_exp((float)x) / exp((float)x) - 1), 1e-6);
    ck_assert(eep_exp(0.0f) == 1.0f);
    ck_assert(eep_exp(200.0f) == eep_exp(80.0f));
    ck_assert(isnan(eep_exp(NAN)));
    ck_assert(eep_swiglu(-1e30f, 1.0f) <= 0.0f);
}
END_TEST

START_TEST(logarithms_are_close)
{
    for (guint i = 0; i < 100000; i++) {
        guint64 value = eep_hash(7, i) >> (i % 60);
        double want = -log2((double)MAX(value, 1) / 18446744073709551616.0);
        double got = (double)eep_route_minus_log2_of(MAX(value, 1)) / 4294967296.0;
        ck_assert_double_lt(fabs(got - want), 3e-6 * want + 1e-9);
    }
    ck_assert_int_eq(eep_route_log2(1.0f), 0);
    ck_assert_int_eq(eep_route_log2(0.25f), -2 * (1 << EEP_ROUTE_BITS));
    ck_assert_int_eq(eep_route_log2(0.0f), EEP_ROUTE_NEVER);
    ck_assert_int_eq(eep_route_log2(-1.0f), EEP_ROUTE_NEVER);
    ck_assert_int_eq(eep_route_log2(NAN), EEP_ROUTE_NEVER);
}
END_TEST

/* Of the largest of the keys, the frequency is the popularity. */
START_TEST(keys_follow_popularity)
{
    static const float popularity[] = {0.6f, 0.25f, 0.1f, 0.04f, 0.01f, 0.0f};
    enum { N = 400000 };
    guint counts[6] = {0};
    for (guint token = 0; token < N; token++) {
        guint best = 0;
        gint32 keys[6];
        for (guint i = 0; i < 6; i++) {
            keys[i] = eep_route_key(eep_route_log2(popularity[i]), eep_hash(eep_hash(3, token), i));
            if (eep_route_before(keys[i], i, keys[best], best))
                best = i;
        }
        counts[best]++;
    }
    for (guint i = 0; i < 6; i++) {
        double want = N * (double)popularity[i];
        ck_assert_double_lt(fabs(counts[i] - want), 5 * sqrt(want) + 1);
    }
}
END_TEST

static const EepWireModel shape = {
    .n_layers = 3, .n_experts = 16, .top_k = 4, .hidden = 40, .intermediate = 24, .seed = 9};

/* Words of the header against the reference's numbers, and the size of things. */
START_TEST(weights_are_the_reference_s)
{
    EepExpertLayout layout;
    eep_weights_expert(shape.seed, 1, 5, shape.hidden, shape.intermediate, &layout);
    ck_assert_uint_eq(layout.gate_up_bytes, 3840);
    ck_assert_uint_eq(layout.bytes, 3840 + 2048);
    double squares = 0;
    for (guint row = 0; row < shape.intermediate; row++) {
        for (guint column = 0; column < shape.hidden; column++) {
            guint64 at = (guint64)(shape.intermediate + row) * shape.hidden + column;
            guint64 word = eep_weight_word(&layout.gate_up, at / 4);
            float up = eep_bf16_float((guint16)(word >> (16 * (at % 4))));
            ck_assert(up == reference_weight(&shape, 1, 5, 1, row, column));
            squares += up * up;
        }
    }
    /* About 1 / sqrt(hidden) each. */
    double size = sqrt(squares / shape.intermediate);
    ck_assert_double_gt(size, 0.5);
    ck_assert_double_lt(size, 2);
    /* Padding is zero. */
    ck_assert_uint_eq(eep_weight_word(&layout.down, layout.down.n_elements / 4), 0);
}
END_TEST

START_TEST(checksum_sees_every_word_and_place)
{
    guint64 words[64];
    for (guint i = 0; i < 64; i++)
        words[i] = eep_hash(1, i);
    guint64 sum = eep_weights_checksum(words, 64);
    for (guint i = 0; i < 64; i++) {
        words[i] ^= 1;
        ck_assert_uint_ne(eep_weights_checksum(words, 64), sum);
        words[i] ^= 1;
        guint64 other = words[(i + 1) % 64];
        words[(i + 1) % 64] = words[i];
        words[i] = other;
        ck_assert_uint_ne(eep_weights_checksum(words, 64), sum);
        words[i] = words[(i + 1) % 64];
        words[(i + 1) % 64] = other;
    }
    ck_assert_uint_eq(eep_weights_checksum(words, 64), sum);
}
END_TEST

START_TEST(experts_differ_in_checksum)
{
    for (guint layer = 0; layer < 2; layer++) {
        for (guint expert = 0; expert < 4; expert++) {
            EepExpertLayout layout, other;
            eep_weights_expert(9, layer, expert, 40, 24, &layout);
            eep_weights_expert(9, layer, expert + 1, 40, 24, &other);
            ck_assert_uint_ne(eep_weights_expert_checksum(&layout),
                              eep_weights_expert_checksum(&other));
            eep_weights_expert(9, layer + 1, expert, 40, 24, &other);
            ck_assert_uint_ne(eep_weights_expert_checksum(&layout),
                              eep_weights_expert_checksum(&other));
            eep_weights_expert(10, layer, expert, 40, 24, &other);
            ck_assert_uint_ne(eep_weights_expert_checksum(&layout),
                              eep_weights_expert_checksum(&other));
        }
    }
}
END_TEST

START_TEST(probes_take_distinct_experts)
{
    for (guint layer = 0; layer < 3; layer++) {
        for (guint probe = 0; probe < EEP_WIRE_N_PROBES; probe++) {
            guint32 experts[4], seen = 0;
            eep_probe_experts(&shape, layer, probe, experts);
            for (guint j = 0; j < 4; j++) {
                ck_assert_uint_lt(experts[j], 16);
                ck_assert_uint_eq(seen & (1u << experts[j]), 0);
                seen |= 1u << experts[j];
            }
        }
    }
}
END_TEST

/* A figure is near 4 and moves with what it is of; the hash sees the last bit. */
START_TEST(probe_figures_and_hash)
{
    guint16 rows[EEP_WIRE_N_PROBES * 48] = {0};
    gfloat figures[EEP_WIRE_N_PROBES];
    guint64 hash = eep_probe_result(rows, 40, 48, figures);
    ck_assert(figures[0] == 4.0f && figures[3] == 4.0f);
    rows[2 * 48 + 7] = 1;
    ck_assert_uint_ne(eep_probe_result(rows, 40, 48, figures), hash);
    for (guint i = 0; i < 40; i++)
        rows[48 + i] = eep_float_bf16(1.0f);
    eep_probe_result(rows, 40, 48, figures);
    ck_assert_double_lt(fabs(figures[1] - (4 + sqrt(40))), 1e-5);
    rows[2 * 48 + 7] = 0;
    memset(rows, 0, sizeof(rows));
    rows[45] = 1; /* padding is not looked at */
    ck_assert_uint_eq(eep_probe_result(rows, 40, 48, figures), hash);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("numbers");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, bf16_rounds_to_even);
    tcase_add_test(tcase, exponential_is_close);
    tcase_add_test(tcase, logarithms_are_close);
    tcase_add_test(tcase, keys_follow_popularity);
    tcase_add_test(tcase, weights_are_the_reference_s);
    tcase_add_test(tcase, checksum_sees_every_word_and_place);
    tcase_add_test(tcase, experts_differ_in_checksum);
    tcase_add_test(tcase, probes_take_distinct_experts);
    tcase_add_test(tcase, probe_figures_and_hash);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
