/* The forward over the loopback transport: the same bits as the scalar reference, for every row, at
 * every number of ranks, wherever experts are. */
#include <check.h>

#include "gpu/worker/kernels.h"
#include "tests/moe/layer_reference.h"
#include "tests/moe/moe_group.h"
#include "tests/run_suite.h"

static const guint sizes[] = {1, 2, 3, 4, 8};
static const guint mixed[MAX_RANKS] = {3, 0, 16, 1, 7, 2, 5, 4};

/* What forwards read of the KV cache, in words; the linker puts this before the kernel (--wrap). */
static gint n_words_read;

#define READ_PARAMETERS                                                                            \
    const uint64_t *cache, uint64_t cache_words, uint64_t first, uint64_t n_words, uint64_t *sink, \
        uint32_t n_sinks, cudaStream_t stream
cudaError_t __real_eep_kernel_read_kv(READ_PARAMETERS);
cudaError_t __wrap_eep_kernel_read_kv(READ_PARAMETERS);
cudaError_t __wrap_eep_kernel_read_kv(READ_PARAMETERS)
{
    g_atomic_int_add(&n_words_read, (gint)n_words);
    return __real_eep_kernel_read_kv(cache, cache_words, first, n_words, sink, n_sinks, stream);
}

/* Graphs, likewise. */
static gint n_instantiated, n_launched;

cudaError_t __real_cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                        unsigned long long flags);
cudaError_t __wrap_cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                        unsigned long long flags);
cudaError_t __wrap_cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                        unsigned long long flags)
{
    g_atomic_int_inc(&n_instantiated);
    return __real_cudaGraphInstantiate(exec, graph, flags);
}

cudaError_t __real_cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t __wrap_cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t __wrap_cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    g_atomic_int_inc(&n_launched);
    return __real_cudaGraphLaunch(exec, stream);
}

static void expect_forward(MoeGroup *group, guint64 step, const guint *n_tokens)
{
    gboolean is_right = moe_group_forward(group, step, n_tokens);
    for (guint i = 0; i < group->n_ranks; i++)
        ck_assert_msg(!group->ranks[i].failure, "rank %u: %s", i, group->ranks[i].failure);
    ck_assert(is_right);
}

/* Every row, the load and what was dropped, of every rank. */
static void expect_reference(MoeGroup *group, const ReferenceStep *like, const guint *n_tokens)
{
    const EepWireModel *shape = &group->shape;
    gsize n_load = (gsize)shape->n_layers * shape->n_experts;
    g_autofree guint64 *load = g_new(guint64, n_load);
    g_autofree guint64 *got_load = g_new(guint64, shape->n_experts);
    for (guint i = 0; i < group->n_ranks; i++) {
        MoeRank *rank = &group->ranks[i];
        guint n_rows = EEP_WIRE_N_PROBES + (n_tokens ? n_tokens[i] : 0);
        g_autofree guint16 *want = g_new(guint16, (gsize)n_rows * shape->hidden);
        g_autofree guint16 *got = moe_group_rows(rank, n_rows);
        ReferenceStep step = *like;
        guint64 n_dropped;
        step.shape = shape;
        step.rank = i;
        reference_forward(&step, n_rows, want, load, &n_dropped);
        for (gsize at = 0; at < (gsize)n_rows * shape->hidden; at++)
            ck_assert_msg(got[at] == want[at], "rank %u of %u, row %zu, column %zu: %04x, not %04x",
                          i, group->n_ranks, at / shape->hidden, at % shape->hidden, got[at],
                          want[at]);
        ck_assert_uint_eq(rank->result.n_dropped, n_dropped);
        for (guint layer = 0; layer < shape->n_layers; layer++) {
            eep_moe_read_load(rank->moe, step.step, step.step + 1, layer, got_load);
            for (guint e = 0; e < shape->n_experts; e++)
                ck_assert_uint_eq(got_load[e], load[(gsize)layer * shape->n_experts + e]);
        }
    }
}

/* One probe hash for the whole group; that of all groups together. */
static void expect_one_hash(MoeGroup *group, guint64 *hash)
{
    for (guint i = 0; i < group->n_ranks; i++) {
        guint64 told = group->ranks[i].result.probe_hash;
        ck_assert_uint_ne(told, 0);
        if (*hash == 0)
            *hash = told;
        ck_assert_msg(told == *hash, "rank %u of %u: another probe hash", i, group->n_ranks);
    }
}

START_TEST(every_size_gives_the_reference)
{
    EepWireModel shape = moe_group_shape();
    guint64 hash = 0;
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(MoeGroup) group = moe_group_new(sizes[i], &shape, EEP_GEMM_GROUPED);
        g_autofree guint32 *experts = moe_group_placement(group, 3 * i);
        moe_group_place(group, experts);
        expect_forward(group, 11, mixed);
        expect_reference(group, &(ReferenceStep){.step = 11}, mixed);
        expect_one_hash(group, &hash);
        expect_forward(group, 12, NULL); /* a dummy */
        expect_reference(group, &(ReferenceStep){.step = 12}, NULL);
        expect_one_hash(group, &hash);
    }
}
END_TEST

/* Sizes that fit nothing, and every way to multiply. */
START_TEST(odd_shapes)
{
    static const struct {
        guint hidden, intermediate, n_experts, top_k;
        guint64 non_expert_bytes;
    } cases[] = {
        {37, 11, 5, 3, 2 * 2 * 37 * 40},
        {8, 1, 2, 2, 0},
        {33, 20, 9, 9, 2 * 2 * 33 * 10}, /* every expert; attention of ten columns */
        {64, 8, 1, 1, 2 * 2 * 64 * 200},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (guint gemm = 0; gemm < EEP_GEMM_COUNT; gemm++) {
            EepWireModel shape = moe_group_shape();
            shape.hidden = cases[i].hidden;
            shape.intermediate = cases[i].intermediate;
            shape.n_experts = cases[i].n_experts;
            shape.top_k = cases[i].top_k;
            shape.non_expert_bytes = cases[i].non_expert_bytes;
            g_autoptr(MoeGroup) group = moe_group_new(2, &shape, gemm);
            g_autofree guint32 *experts = moe_group_placement(group, 1);
            ck_assert_str_eq(eep_moe_gemm(group->ranks[0].moe), eep_gemm_names[gemm]);
            moe_group_place(group, experts);
            expect_forward(group, 5, mixed);
            expect_reference(group, &(ReferenceStep){.step = 5}, mixed);
        }
    }
}
END_TEST

/* All batch tokens go to one expert on one rank: more rows than it has memory for, so rounds. */
START_TEST(one_expert_gets_everything)
{
    EepWireModel shape = moe_group_shape();
    static const guint full[MAX_RANKS] = {16, 16, 16, 16, 16, 16, 16, 16};
    gfloat popularity[8] = {0, 0, 0, 0.5f, 0.5f, 0, 0, 0};
    /* Many slots a rank, so that the rows set aside for further ranks are few. */
    shape.slots_per_rank = 200;
    g_autoptr(MoeGroup) group = moe_group_new(8, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = g_new(guint32, 1600);
    for (guint i = 0; i < 1600; i++)
        experts[i] = i < 8 ? i : EEP_WIRE_SLOT_EMPTY;
    moe_group_place(group, experts);
    moe_group_popularity(group, popularity);
    ck_assert_uint_lt(group->ranks[0].moe->row_capacity, 8 * 16 * 2);
    expect_forward(group, 3, full);
    expect_reference(group, &(ReferenceStep){.step = 3, .popularity = popularity}, full);
}
END_TEST

START_TEST(missing_experts_are_left_out)
{
    EepWireModel shape = moe_group_shape();
    guint32 probed[2];
    gboolean is_missing[16] = {FALSE};
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    moe_group_place(group, experts);
    expect_forward(group, 1, mixed);
    guint64 hash = 0;
    expect_one_hash(group, &hash);
    eep_probe_experts(&shape, 1, 2, probed);
    for (guint i = 0; i < 2 * group->shape.slots_per_rank; i++)
        if (experts[i] == probed[0])
            experts[i] = EEP_WIRE_SLOT_EMPTY;
    is_missing[8 + probed[0]] = TRUE;
    ck_assert(moe_group_map(group, 1, 2, experts, FALSE));
    expect_forward(group, 2, mixed);
    expect_reference(group, &(ReferenceStep){.step = 2, .is_missing = is_missing}, mixed);
    ck_assert_uint_eq(group->ranks[0].result.probe_hash, 0);
    ck_assert_uint_gt(group->ranks[0].result.n_dropped, 0);
}
END_TEST

static gboolean capture(MoeRank *rank, gpointer data, GError **error)
{
    return eep_moe_capture(rank->moe, data, error);
}

START_TEST(graphs_give_the_same_bits)
{
    EepWireModel shape = moe_group_shape();
    guint n_graphs;
    g_autoptr(MoeGroup) group = moe_group_new(1, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    moe_group_place(group, experts);
    ck_assert(moe_group_run(group, capture, &n_graphs));
    ck_assert_uint_eq(n_graphs, 2 * 6); /* 0, 1, 2, 4, 8, 16 tokens */
    for (guint n = 0; n <= 16; n += 3) {
        gboolean is_replayed = FALSE;
        expect_forward(group, 20 + n, &n);
        expect_reference(group, &(ReferenceStep){.step = 20 + n}, &n);
        ck_assert(eep_moe_graph_replay(group->ranks[0].moe, 0, 4 + n, &is_replayed, NULL));
        ck_assert(is_replayed);
    }
    eep_moe_drop_graphs(group->ranks[0].moe);
    expect_forward(group, 40, mixed);
    expect_reference(group, &(ReferenceStep){.step = 40}, mixed);
}
END_TEST

static gboolean set_captures(MoeRank *rank, gpointer data, GError **error)
{
    eep_moe_set_captures(rank->moe, data != NULL);
    return TRUE;
}

static gboolean keep_graphs(MoeRank *rank, gpointer data, GError **error)
{
    eep_moe_keep_graphs(rank->moe, rank->group->n_ranks);
    return TRUE;
}

static gboolean join_alone(MoeRank *rank, gpointer data, GError **error)
{
    EepCommId id;
    return rank->transport->ops->make_id(rank->transport, &id, error) &&
           (rank->comm = rank->transport->ops->join(rank->transport, &id, 0, 1,
                                                    rank->group->wait_ns, NULL, error)) != NULL;
}

static void expect_graphs(MoeGroup *group, guint64 step, gint n_new, gint n_launches)
{
    g_atomic_int_set(&n_instantiated, 0);
    g_atomic_int_set(&n_launched, 0);
    expect_forward(group, step, mixed);
    expect_reference(group, &(ReferenceStep){.step = step}, mixed);
    ck_assert_int_eq(g_atomic_int_get(&n_instantiated), n_new);
    ck_assert_int_eq(g_atomic_int_get(&n_launched), n_launches);
}

/* Two ranks become one: what fits is kept, the rest is captured at its next use. */
START_TEST(forwards_go_on_by_graphs_after_a_switch)
{
    EepWireModel shape = moe_group_shape();
    shape.slots_per_rank = shape.n_experts;
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    EepComm *old = group->ranks[0].comm;
    moe_group_place(group, experts);
    expect_graphs(group, 1, 0, 0); /* nobody asked for graphs */
    ck_assert(moe_group_run(group, set_captures, group));
    expect_graphs(group, 2, 4, 4);
    ck_assert(moe_group_run(group, keep_graphs, NULL));
    expect_graphs(group, 3, 0, 4);

    group->n_ranks = 1;
    ck_assert(moe_group_run(group, keep_graphs, NULL));
    ck_assert_uint_eq(group->ranks[0].moe->graphs->len, 0);
    ck_assert(moe_group_run(group, join_alone, NULL));
    moe_group_place(group, experts);
    expect_graphs(group, 4, 2, 2);
    expect_graphs(group, 5, 0, 2);
    ck_assert(moe_group_run(group, set_captures, NULL));
    eep_moe_drop_graphs(group->ranks[0].moe);
    expect_graphs(group, 6, 0, 0);
    eep_comm_leave(group->ranks[0].comm);
    group->ranks[0].comm = old;
    group->n_ranks = 2;
}
END_TEST

/* Windows of several steps; what is no longer recorded counts as none. */
START_TEST(load_windows_add_up)
{
    EepWireModel shape = moe_group_shape();
    guint64 sum[8], part[8];
    g_autoptr(MoeGroup) group = moe_group_new(1, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    EepMoe *moe = group->ranks[0].moe;
    moe_group_place(group, experts);
    for (guint step = 100; step < 104; step++)
        expect_forward(group, step, mixed);
    guint64 n = 0;
    eep_moe_read_load(moe, 101, 103, 1, sum);
    for (guint i = 0; i < 8; i++)
        n += sum[i];
    ck_assert_uint_eq(n, 2 * mixed[0] * shape.top_k);
    for (guint64 step = 101; step < 103; step++) {
        eep_moe_read_load(moe, step, step + 1, 1, part);
        for (guint i = 0; i < 8; i++)
            sum[i] -= part[i];
    }
    for (guint i = 0; i < 8; i++)
        ck_assert_uint_eq(sum[i], 0);
    /* A dummy takes nobody's place, a later step does. */
    expect_forward(group, 100 + EEP_MOE_LOAD_STEPS, NULL);
    eep_moe_read_load(moe, 100, 101, 1, part);
    for (guint i = 0; i < 8; i++)
        n -= part[i];
    ck_assert_uint_eq(n, mixed[0] * shape.top_k);
    expect_forward(group, 100 + EEP_MOE_LOAD_STEPS, mixed);
    eep_moe_read_load(moe, 100, 101, 1, part);
    for (guint i = 0; i < 8; i++)
        ck_assert_uint_eq(part[i], 0);
}
END_TEST

START_TEST(bad_steps_are_refused)
{
    EepWireModel shape = moe_group_shape();
    static const guint too_many[] = {17};
    g_autoptr(MoeGroup) group = moe_group_new(1, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    ck_assert(!moe_group_forward(group, 1, NULL));
    ck_assert_ptr_nonnull(strstr(group->ranks[0].failure, "there is none yet"));
    moe_group_place(group, experts);
    ck_assert(!moe_group_forward(group, 1, too_many));
    ck_assert_ptr_nonnull(strstr(group->ranks[0].failure, "there is memory for 16"));
    expect_forward(group, 1, mixed);
}
END_TEST

/* One rank's step reads in each layer what a real one would: the context of every decode, and that
 * of every chunk of a prefill with the chunk itself. */
START_TEST(reads_the_keys_and_values_of_a_step)
{
    static const struct {
        guint n_decodes, n_chunks, n_prefill;
        guint64 decode_context, pairs, want;
    } cases[] = {
        {0, 0, 0, 0, 0, 0},
        {3, 0, 0, 60, 0, 60},
        {0, 1, 8, 0, 8 * 9 / 2, 8},                              /* a prompt of 8 */
        {0, 1, 8, 0, 8 * 24 + 8 * 9 / 2, 32},                    /* the same behind 24 */
        {2, 1, 1, 25, 100 + 1, 126},                             /* one token behind 100 */
        {0, 2, 8, 0, 2 * (4 * 24 + 4 * 5 / 2), 56},              /* two of 4 behind 24 */
        {1, 3, 15, 7, 3 * (5 * 1000 + 5 * 6 / 2), 7 + 3 * 1005}, /* three of 5 behind 1000 */
    };
    EepWireModel shape = moe_group_shape();
    g_autoptr(MoeGroup) group = moe_group_new(1, &shape, EEP_GEMM_GROUPED);
    g_autofree guint32 *experts = moe_group_placement(group, 0);
    MoeRank *rank = &group->ranks[0];
    moe_group_place(group, experts);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        EepWireStep step = {.epoch = 1,
                            .step = i,
                            .n_decodes = cases[i].n_decodes,
                            .n_prefill_chunks = cases[i].n_chunks,
                            .n_prefill_tokens = cases[i].n_prefill,
                            .decode_context_tokens = cases[i].decode_context,
                            .prefill_pairs = cases[i].pairs};
        g_atomic_int_set(&n_words_read, 0);
        ck_assert(eep_device_use(rank->device, &error));
        ck_assert_msg(eep_moe_forward(rank->moe, rank->comm, &step, group->wait_ns, NULL,
                                      &rank->result, &rank->suspect, &error),
                      "%s", error ? error->message : "");
        ck_assert_uint_eq((guint64)g_atomic_int_get(&n_words_read) * 8,
                          cases[i].want * shape.kv_bytes_per_token * shape.n_layers);
    }
}
END_TEST

START_TEST(no_layers_no_work)
{
    EepWireModel shape = moe_group_shape();
    shape.n_layers = 0;
    shape.slots_per_rank = 4;
    g_autoptr(MoeGroup) group = moe_group_new(2, &shape, EEP_GEMM_GROUPED);
    EepMoe *moe = group->ranks[0].moe;
    guint64 used = eep_device_used(group->ranks[0].device);
    guint n_graphs = 1, n = 1;
    gsize bytes = 1;
    expect_forward(group, 1, mixed);
    ck_assert_uint_eq(group->ranks[0].result.probe_hash, 0);
    ck_assert_uint_eq(used, 0);
    ck_assert(eep_moe_capture(moe, &n_graphs, NULL));
    ck_assert_uint_eq(n_graphs, 0);
    g_free(eep_moe_check(moe, NULL, &n, NULL));
    ck_assert_uint_eq(n, 0);
    ck_assert_ptr_null(eep_moe_non_expert(moe, &bytes));
    ck_assert_uint_eq(bytes, 0);
    ck_assert_ptr_null(eep_moe_held(moe, 0, 0, 0));
    ck_assert_str_eq(eep_moe_gemm(moe), "none");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("forward");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, every_size_gives_the_reference);
    tcase_add_test(tcase, odd_shapes);
    tcase_add_test(tcase, one_expert_gets_everything);
    tcase_add_test(tcase, missing_experts_are_left_out);
    tcase_add_test(tcase, graphs_give_the_same_bits);
    tcase_add_test(tcase, forwards_go_on_by_graphs_after_a_switch);
    tcase_add_test(tcase, load_windows_add_up);
    tcase_add_test(tcase, bad_steps_are_refused);
    tcase_add_test(tcase, reads_the_keys_and_values_of_a_step);
    tcase_add_test(tcase, no_layers_no_work);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK);
}
