#include "core/engine/seat.h"

/* Takes the target's blocks for `n_tokens` known ones; the seat has none yet. */
static gboolean reserve(EepSeat *seat, guint32 n_tokens)
{
    EepEngine *target = seat->target;
    EepKvCache *kv = &target->kv;
    EepRequest *holder = &seat->holder;
    guint32 n_blocks = eep_kv_cache_blocks_for(kv, n_tokens);
    guint64 n_hit = 0, n_idle = 0;

    if (kv->prefix != NULL)
        n_hit = eep_prefix_cache_lookup(kv->prefix, holder->hashes, holder->n_hashes,
                                        holder->prompt_tokens / kv->block_size, &n_idle);
    if (n_blocks - n_hit + target->watermark_blocks > kv->n_free - n_idle)
        return FALSE;
    if (n_hit > 0) {
        eep_prefix_cache_acquire(kv->prefix, holder, n_hit);
        kv->n_free -= n_idle;
    }
    eep_kv_cache_take(kv, n_blocks - n_hit);
    holder->computed = n_tokens;
    holder->blocks = n_blocks;
    seat->n_shared = (guint32)n_hit * kv->block_size;
    return TRUE;
}

EepSeat *eep_seat_new(EepEngine *source, EepEngine *target, EepRequest *request)
{
    EepSeat *seat;

    g_assert(request->state == EEP_REQUEST_DECODE && source != target &&
             !(request->flags & (EEP_REQUEST_FLAG_SEATED | EEP_REQUEST_FLAG_FINISHING)));
    if (target->running.n + target->seats.n >= target->max_num_seqs)
        return NULL;
    seat = g_new0(EepSeat, 1);
    seat->request = request;
    seat->source = source;
    seat->target = target;
    seat->holder = (EepRequest){.id = request->id,
                                .state = EEP_REQUEST_MOVING,
                                .prompt_tokens = request->prompt_tokens,
                                .hashes = request->hashes,
                                .n_hashes = request->n_hashes};
    if (!reserve(seat, (guint32)eep_engine_computed(source, request))) {
        g_free(seat);
        return NULL;
    }
    seat->n_copied = seat->n_shared;
    eep_request_queue_push_tail(&target->seats, &seat->holder);
    request->flags |= EEP_REQUEST_FLAG_SEATED;
    return seat;
}

guint32 eep_seat_n_to_copy(const EepSeat *seat)
{
    return (guint32)eep_engine_computed(seat->source, seat->request) - seat->n_copied;
}

void eep_seat_note_copied(EepSeat *seat)
{
    seat->n_copied = (guint32)eep_engine_computed(seat->source, seat->request);
}

gboolean eep_seat_leave(EepSeat *seat)
{
    EepKvCache *kv = &seat->target->kv;
    EepRequest *request = seat->request;
    guint32 n_tokens = (guint32)eep_engine_computed(seat->source, request);
    guint32 n_more = eep_kv_cache_blocks_for(kv, n_tokens) - seat->holder.blocks;

    if (n_more > kv->n_free)
        return FALSE;
    eep_kv_cache_take(kv, n_more);
    seat->holder.computed = n_tokens;
    seat->holder.blocks += n_more;
    eep_engine_detach(seat->source, request);
    request->state = EEP_REQUEST_MOVING;
    eep_request_queue_push_tail(&seat->source->departing, request);
    seat->has_left = TRUE;
    return TRUE;
}

static void seat_free(EepSeat *seat)
{
    g_free(seat->holder.runs);
    g_free(seat);
}

void eep_seat_take(EepSeat *seat)
{
    EepRequest *request = seat->request, *holder = &seat->holder;
    EepKvRun *runs = request->runs;
    guint16 n_allocated = request->n_runs_allocated;

    eep_request_queue_remove(&seat->source->departing, request);
    eep_kv_cache_release(&seat->source->kv, request, request->blocks);
    seat->source->is_blocked = FALSE;
    eep_request_queue_remove(&seat->target->seats, holder);
    request->runs = holder->runs;
    request->n_runs = holder->n_runs;
    request->n_runs_allocated = holder->n_runs_allocated;
    request->blocks = holder->blocks;
    holder->runs = runs;
    holder->n_runs_allocated = n_allocated;
    request->flags &= (guint16)~EEP_REQUEST_FLAG_SEATED;
    request->n_migrated++;
    eep_engine_attach(seat->target, request);
    seat_free(seat);
}

/* The target keeps nothing for it. */
static void give_up(EepSeat *seat)
{
    eep_request_queue_remove(&seat->target->seats, &seat->holder);
    eep_kv_cache_release(&seat->target->kv, &seat->holder, seat->holder.blocks);
    seat->target->is_blocked = FALSE;
    seat->request->flags &= (guint16)~EEP_REQUEST_FLAG_SEATED;
    seat_free(seat);
}

void eep_seat_cancel(EepSeat *seat)
{
    if (seat->has_left) {
        eep_request_queue_remove(&seat->source->departing, seat->request);
        eep_engine_attach(seat->source, seat->request);
    }
    give_up(seat);
}

void eep_seat_forget(EepSeat *seat)
{
    give_up(seat);
}
