#include "tests/moe/moe_group.h"
#include <check.h>

#define WAIT_NS (20 * G_GINT64_CONSTANT(1000000000))

EepWireModel moe_group_shape(void)
{
    return (EepWireModel){
        .n_layers = 2,
        .n_experts = 8,
        .top_k = 2,
        .hidden = 32,
        .intermediate = 16,
        .max_tokens = 16,
        .attention_flops_per_token = 8192,
        .attention_flops_per_pair = 64,
        .kv_bytes_per_token = 64,
        .kv_cache_bytes = 4096,
        .non_expert_bytes = 2 * 2 * 32 * 48,
        .seed = 42,
    };
}

typedef struct {
    MoeRank *rank;
    gboolean (*work)(MoeRank *, gpointer, GError **);
    gpointer data;
} Job;

static gpointer run_job(gpointer data)
{
    Job *job = data;
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&job->rank->failure, g_free);
    if ((job->rank->device && !eep_device_use(job->rank->device, &error)) ||
        !job->work(job->rank, job->data, &error))
        job->rank->failure = g_strdup(error ? error->message : "failed without an error");
    return NULL;
}

gboolean moe_group_run(MoeGroup *group, gboolean (*work)(MoeRank *, gpointer, GError **),
                       gpointer data)
{
    Job jobs[MAX_RANKS];
    GThread *threads[MAX_RANKS];
    gboolean is_right = TRUE;
    for (guint i = 0; i < group->n_ranks; i++) {
        jobs[i] = (Job){&group->ranks[i], work, data};
        threads[i] = g_thread_new("rank", run_job, &jobs[i]);
    }
    for (guint i = 0; i < group->n_ranks; i++) {
        g_thread_join(threads[i]);
        is_right = is_right && !group->ranks[i].failure;
    }
    return is_right;
}

static void expect_right(MoeGroup *group, gboolean is_right)
{
    for (guint i = 0; i < group->n_ranks; i++)
        ck_assert_msg(!group->ranks[i].failure, "rank %u: %s", i, group->ranks[i].failure);
    ck_assert(is_right);
}

static gboolean start(MoeRank *rank, gpointer data, GError **error)
{
    MoeGroup *group = rank->group;
    rank->device = eep_device_open(0, error);
    if (!rank->device || !eep_device_use(rank->device, error))
        return FALSE;
    rank->transport = eep_transport_loopback_new();
    return (rank->rank > 0 || rank->transport->ops->make_id(rank->transport, &group->id, error)) &&
           (rank->moe = eep_moe_new_with(rank->device, &group->shape, group->gemm, error)) &&
           eep_device_make_stream(rank->device, FALSE, &rank->stream, error) &&
           eep_moe_fill_non_expert(rank->moe, rank->stream, error) &&
           eep_device_wait(rank->device, rank->stream, WAIT_NS, NULL, error);
}

static gboolean join(MoeRank *rank, gpointer data, GError **error)
{
    rank->comm = rank->transport->ops->join(rank->transport, &rank->group->id, rank->rank,
                                            rank->group->n_ranks, WAIT_NS, NULL, error);
    return rank->comm != NULL;
}

static gboolean leave(MoeRank *rank, gpointer data, GError **error)
{
    eep_comm_leave(rank->comm);
    eep_moe_free(rank->moe);
    if (rank->stream)
        eep_device_drop_stream(rank->device, rank->stream);
    eep_transport_free(rank->transport);
    eep_device_close(rank->device);
    return TRUE;
}

MoeGroup *moe_group_new(guint n_ranks, const EepWireModel *shape, EepGemmKind gemm)
{
    MoeGroup *group = g_new0(MoeGroup, 1);
    group->n_ranks = n_ranks;
    group->shape = *shape;
    group->gemm = gemm;
    group->wait_ns = WAIT_NS;
    if (shape->slots_per_rank == 0)
        group->shape.slots_per_rank = (shape->n_experts + n_ranks - 1) / n_ranks + 1;
    for (guint i = 0; i < n_ranks; i++) {
        group->ranks[i].group = group;
        group->ranks[i].rank = i;
    }
    expect_right(group, moe_group_run(group, start, NULL));
    expect_right(group, moe_group_run(group, join, NULL));
    return group;
}

void moe_group_free(MoeGroup *group)
{
    moe_group_run(group, leave, NULL);
    for (guint i = 0; i < group->n_ranks; i++)
        g_free(group->ranks[i].failure);
    g_free(group);
}

guint32 *moe_group_placement(const MoeGroup *group, guint shift)
{
    guint n_slots = group->n_ranks * group->shape.slots_per_rank;
    guint32 *experts = g_new(guint32, n_slots);
    for (guint i = 0; i < n_slots; i++)
        experts[i] = (i + shift) % group->shape.n_experts;
    return experts;
}

static gboolean set_map(MoeRank *rank, gpointer data, GError **error)
{
    return eep_moe_set_map(rank->moe, data, rank->rank, error);
}

gboolean moe_group_map(MoeGroup *group, guint layer, guint version, const guint32 *experts,
                       gboolean may_load)
{
    EepWireMap map = {
        .layer = layer,
        .version = version,
        .epoch = 1,
        .n_ranks = group->n_ranks,
        .may_load = may_load,
        .n_slots = group->n_ranks * group->shape.slots_per_rank,
        .experts = experts,
    };
    return moe_group_run(group, set_map, &map);
}

void moe_group_place(MoeGroup *group, const guint32 *experts)
{
    for (guint layer = 0; layer < group->shape.n_layers; layer++)
        expect_right(group, moe_group_map(group, layer, 1, experts, TRUE));
}

static gboolean set_popularity(MoeRank *rank, gpointer data, GError **error)
{
    for (guint layer = 0; layer < rank->group->shape.n_layers; layer++)
        if (!eep_moe_set_popularity(rank->moe, layer, data, error))
            return FALSE;
    return TRUE;
}

void moe_group_popularity(MoeGroup *group, const gfloat *popularity)
{
    expect_right(group, moe_group_run(group, set_popularity, (gpointer)popularity));
}

static gboolean forward(MoeRank *rank, gpointer data, GError **error)
{
    if (eep_moe_forward(rank->moe, rank->comm, &rank->step, rank->group->wait_ns, NULL,
                        &rank->result, &rank->suspect, error))
        return TRUE;
    if (rank->moe->is_unsettled) /* a refused step has not begun */
        rank->comm->ops->abort(rank->comm);
    return FALSE;
}

gboolean moe_group_forward(MoeGroup *group, guint64 step, const guint *n_tokens)
{
    for (guint i = 0; i < group->n_ranks; i++) {
        guint n = n_tokens ? n_tokens[i] : 0;
        group->ranks[i].step = (EepWireStep){
            .epoch = 1,
            .step = step,
            .n_decodes = n / 2,
            .n_prefill_chunks = n > 1 ? 1 : 0,
            .n_prefill_tokens = n - n / 2,
            .decode_context_tokens = 40 * (n / 2),
            .prefill_pairs = 10 * n,
        };
    }
    return moe_group_run(group, forward, NULL);
}

guint16 *moe_group_rows(MoeRank *rank, guint n_rows)
{
    g_autoptr(GError) error = NULL;
    const EepMoe *moe = rank->moe;
    guint hidden = rank->group->shape.hidden;
    gsize bytes = 2 * (gsize)n_rows * moe->pitch;
    guint16 *pinned = NULL, *rows = g_new(guint16, (gsize)n_rows * hidden);
    ck_assert(eep_device_use(rank->device, &error));
    ck_assert(EEP_CUDA(cudaMallocHost((void **)&pinned, bytes), &error));
    ck_assert(EEP_CUDA(
        cudaMemcpyAsync(pinned, moe->at.x, bytes, cudaMemcpyDeviceToHost, rank->stream), &error));
    ck_assert(eep_device_wait(rank->device, rank->stream, WAIT_NS, NULL, &error));
    for (guint row = 0; row < n_rows; row++)
        memcpy(rows + (gsize)row * hidden, pinned + (gsize)row * moe->pitch, 2 * hidden);
    ck_assert(EEP_CUDA(cudaFreeHost(pinned), &error));
    return rows;
}
