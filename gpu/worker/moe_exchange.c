/* Dispatch and combine. All ranks have the matrix of all counts, so all know, without another word,
 * how many rounds it takes until nobody gets more rows in one than it has memory for: as a rule
 * one. In round j of n, of the N rows that one rank has for another, those from N * j / n on go. */
#include "gpu/worker/moe_internal.h"

typedef struct {
    EepMoe *moe;
    const EepMoeLayer *layer;
    EepComm *comm;
    guint n_ranks, rank, n_slots, slots_per_rank, n_rounds;
    guint round, n_arrived; /* rows of this round */
} Exchange;

/* Rows from one rank to a slot, and to all slots of a rank. */
static guint64 rows_to_slot(const Exchange *x, guint from, guint slot)
{
    return x->moe->pinned.matrix[(gsize)from * x->n_slots + slot];
}

static guint64 rows_to_rank(const Exchange *x, guint from, guint to)
{
    guint64 n = 0;
    for (guint slot = to * x->slots_per_rank; slot < (to + 1) * x->slots_per_rank; slot++)
        n += rows_to_slot(x, from, slot);
    return n;
}

static guint64 round_begin(const Exchange *x, guint64 n_rows, guint round)
{
    return n_rows * round / x->n_rounds;
}

/* Everyone's counts, looked at: a rank has no more pairs than its tokens can have. */
static gboolean counts_are_sound(const Exchange *x, GError **error)
{
    for (guint from = 0; from < x->n_ranks; from++) {
        guint64 n = 0;
        for (guint slot = 0; slot < x->n_slots; slot++)
            n += rows_to_slot(x, from, slot);
        if (n <= x->moe->max_pairs)
            continue;
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "rank %u says that it sends %" G_GUINT64_FORMAT
                    " rows; %u are the most that a step may have",
                    from, n, x->moe->max_pairs);
        return FALSE;
    }
    for (guint i = 0; i < x->slots_per_rank; i++) {
        guint slot = x->rank * x->slots_per_rank + i;
        if (x->layer->slot_experts[slot] != EEP_WIRE_SLOT_EMPTY)
            continue;
        for (guint from = 0; from < x->n_ranks; from++) {
            if (rows_to_slot(x, from, slot) == 0)
                continue;
            g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                        "rank %u sends rows to slot %u of rank %u, which holds no expert: the "
                        "ranks' maps differ",
                        from, i, x->rank);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean share_counts(Exchange *x, gint64 wait_ns, const gint *stop, guint *ret_suspect,
                             GError **error)
{
    EepMoe *moe = x->moe;
    gsize row_bytes = sizeof(guint32) * x->n_slots;
    return x->comm->ops->all_gather(x->comm, moe->at.counts, moe->at.matrix, row_bytes, moe->stream,
                                    error) &&
           EEP_CUDA(cudaMemcpyAsync(moe->pinned.matrix, moe->at.matrix, row_bytes * x->n_ranks,
                                    cudaMemcpyDeviceToHost, moe->stream),
                    error) &&
           x->comm->ops->wait(x->comm, moe->stream, wait_ns, stop, ret_suspect, error) &&
           counts_are_sound(x, error);
}

/* A rank gets at most ceil(N / rounds) rows of each other. */
static void count_rounds(Exchange *x)
{
    guint64 capacity = x->moe->row_capacity - x->n_ranks;
    x->n_rounds = 1;
    for (guint to = 0; to < x->n_ranks; to++) {
        guint64 n = 0;
        for (guint from = 0; from < x->n_ranks; from++)
            n += rows_to_rank(x, from, to);
        x->n_rounds = MAX(x->n_rounds, (guint)((n + capacity - 1) / capacity));
    }
}

/* Where the round's rows lie: in `sent` by receiver, in `arrived` by sender. */
static void lay_out(Exchange *x)
{
    guint *sent = x->moe->begins, *arrived = sent + x->moe->max_ranks;
    guint64 n_before = 0;
    x->n_arrived = 0;
    for (guint rank = 0; rank < x->n_ranks; rank++) {
        guint64 n_to = rows_to_rank(x, x->rank, rank), n_from = rows_to_rank(x, rank, x->rank);
        sent[rank] = (guint)(n_before + round_begin(x, n_to, x->round));
        n_before += n_to;
        arrived[rank] = x->n_arrived;
        x->n_arrived +=
            (guint)(round_begin(x, n_from, x->round + 1) - round_begin(x, n_from, x->round));
    }
    g_assert(x->n_arrived <= x->moe->row_capacity);
}

/* Rows of `sent` to where they arrive, or back from there; what stays on the rank is copied. */
static gboolean swap_rows(Exchange *x, gboolean is_back, GError **error)
{
    EepMoe *moe = x->moe;
    const guint *sent = moe->begins, *arrived = sent + moe->max_ranks;
    gsize row_bytes = 2 * (gsize)moe->pitch;
    guint n_pieces = 0;
    for (guint rank = 0; rank < x->n_ranks; rank++) {
        guint64 n_to = rows_to_rank(x, x->rank, rank), n_from = rows_to_rank(x, rank, x->rank);
        n_to = round_begin(x, n_to, x->round + 1) - round_begin(x, n_to, x->round);
        n_from = round_begin(x, n_from, x->round + 1) - round_begin(x, n_from, x->round);
        EepPiece here = {rank, !is_back, moe->at.sent + (gsize)sent[rank] * moe->pitch,
                         n_to * row_bytes};
        EepPiece there = {rank, is_back, moe->at.arrived + (gsize)arrived[rank] * moe->pitch,
                          n_from * row_bytes};
        if (rank != x->rank) {
            moe->pieces[n_pieces++] = here;
            moe->pieces[n_pieces++] = there;
        } else if (here.bytes > 0 &&
                   !EEP_CUDA(cudaMemcpyAsync(is_back ? here.data : there.data,
                                             is_back ? there.data : here.data, here.bytes,
                                             cudaMemcpyDeviceToDevice, moe->stream),
                             error)) {
            return FALSE;
        }
    }
    return n_pieces == 0 ||
           x->comm->ops->exchange(x->comm, n_pieces, moe->pieces, moe->stream, error);
}

/* Runs of one sender and one slot, in the order of slots; the rows of each slot into `groups`. */
static guint plan_segments(Exchange *x, guint *ret_n_groups)
{
    EepMoe *moe = x->moe;
    const guint *arrived = moe->begins + moe->max_ranks;
    guint n_segments = 0, n_rows = 0;
    *ret_n_groups = 0;
    for (guint i = 0; i < x->slots_per_rank; i++) {
        EepGemmGroup *group = &moe->groups[*ret_n_groups];
        guint first_row = n_rows;
        for (guint from = 0; from < x->n_ranks; from++) {
            guint64 n_from = rows_to_rank(x, from, x->rank), before = 0;
            guint64 low = round_begin(x, n_from, x->round),
                    high = round_begin(x, n_from, x->round + 1);
            for (guint j = 0; j < i; j++)
                before += rows_to_slot(x, from, x->rank * x->slots_per_rank + j);
            guint64 end = before + rows_to_slot(x, from, x->rank * x->slots_per_rank + i);
            guint64 begin = MAX(before, low);
            end = MIN(end, high);
            if (begin >= end)
                continue;
            moe->pinned.segments[n_segments++] =
                (EepSegment){n_rows, arrived[from] + (guint)(begin - low)};
            n_rows += (guint)(end - begin);
        }
        if (n_rows == first_row)
            continue;
        *group = (EepGemmGroup){
            .a = moe->at.grouped + (gsize)first_row * moe->pitch,
            .b = x->layer->slots[i].memory,
            .c = moe->at.gate_up + (gsize)first_row * 2 * moe->shape.intermediate,
            .n_rows = n_rows - first_row,
        };
        ++*ret_n_groups;
    }
    g_assert(n_rows == x->n_arrived);
    return n_segments;
}

static gboolean regroup(Exchange *x, guint n_segments, gboolean is_back, GError **error)
{
    EepMoe *moe = x->moe;
    EepRegroupArgs args = {
        .segments = moe->at.segments,
        .n_segments = n_segments,
        .n_rows = x->n_arrived,
        .from = is_back ? moe->at.grouped : moe->at.arrived,
        .to = is_back ? moe->at.arrived : moe->at.grouped,
        .pitch = moe->pitch,
        .is_back = is_back,
    };
    return EEP_CUDA(eep_kernel_regroup(&args, moe->stream), error);
}

/* Gate and up, SwiGLU, down: of `grouped`, and back into it. */
static gboolean run_experts(Exchange *x, guint n_groups, GError **error)
{
    EepMoe *moe = x->moe;
    guint hidden = moe->shape.hidden, n = moe->shape.intermediate;
    EepGemmShape up = {2 * n, hidden, moe->pitch, hidden, 2 * n};
    EepGemmShape down = {hidden, n, moe->pitch_intermediate, n, moe->pitch};
    if (!eep_gemm_many(moe->gemm, &up, n_groups, moe->groups, 0, error) ||
        !EEP_CUDA(eep_kernel_swiglu(moe->at.gate_up, x->n_arrived, n, moe->at.activated,
                                    moe->pitch_intermediate, moe->stream),
                  error))
        return FALSE;
    for (guint i = 0; i < n_groups; i++) {
        EepGemmGroup *group = &moe->groups[i];
        group->c = (guint16 *)group->a;
        group->a = moe->at.activated + (gsize)group->first_row * moe->pitch_intermediate;
        group->b = (const guint16 *)((const guint8 *)group->b + moe->layout.gate_up_bytes);
    }
    return eep_gemm_many(moe->gemm, &down, n_groups, moe->groups, 1, error);
}

static gboolean run_round(Exchange *x, GError **error)
{
    EepMoe *moe = x->moe;
    guint n_groups;
    lay_out(x);
    guint n_segments = plan_segments(x, &n_groups);
    return swap_rows(x, FALSE, error) &&
           (n_segments == 0 || EEP_CUDA(cudaMemcpyAsync(moe->at.segments, moe->pinned.segments,
                                                        sizeof(EepSegment) * n_segments,
                                                        cudaMemcpyHostToDevice, moe->stream),
                                        error)) &&
           regroup(x, n_segments, FALSE, error) && run_experts(x, n_groups, error) &&
           regroup(x, n_segments, TRUE, error) && swap_rows(x, TRUE, error);
}

gboolean eep_moe_exchange(EepMoe *moe, guint layer, EepComm *comm, gint64 wait_ns, const gint *stop,
                          guint *ret_suspect, GError **error)
{
    const EepMoeLayer *l = &moe->layers[layer];
    Exchange x = {
        .moe = moe,
        .layer = l,
        .comm = comm,
        .n_ranks = l->n_ranks,
        .rank = l->rank,
        .n_slots = l->n_slots,
        .slots_per_rank = moe->shape.slots_per_rank,
    };
    if (!share_counts(&x, wait_ns, stop, ret_suspect, error))
        return FALSE;
    count_rounds(&x);
    for (x.round = 0; x.round < x.n_rounds; x.round++) {
        /* What the device still reads of the last round must not be written over. */
        if (x.round > 0 && !comm->ops->wait(comm, moe->stream, wait_ns, stop, ret_suspect, error))
            return FALSE;
        if (!run_round(&x, error))
            return FALSE;
    }
    return TRUE;
}
