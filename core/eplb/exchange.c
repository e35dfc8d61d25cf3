/* When every rank can stage all that it gets, the exchange is vLLM's: one round, moves within a
 * rank through staging too. Else:
 *
 * A row is *free* when nothing in it is needed any more, *held* when its expert belongs on its rank
 * (it was there and stays, or has come), and *live* when its expert leaves but some transfer has
 * yet to read it. An arrival may take any free row of its rank; when all have come, each rank puts
 * its rows in order by copies, breaking a cycle of them with one staging row. A round's transfers
 * are chosen so that all of them find a free row when the round ends.
 *
 * One staging row suffices. Rows held and experts to come are at most S on a rank. So where
 * arrivals are pending and no row is free, at least as many rows are live as arrivals are pending.
 * If that is so on every rank with pending arrivals: pending <= live rows <= pending reads =
 * pending arrivals, hence every live row has exactly one pending reader, and every rank has as many
 * live rows as arrivals. Ranks and pending transfers are then a balanced directed graph, which has
 * a simple cycle; its transfers stage one row a rank and free one row a rank. So every round
 * transfers something. */
#include "core/eplb/exchange.h"

#include <string.h>

#define UNTAKEN G_MAXUINT32

typedef enum { FREE, LIVE, HELD } RowState;

typedef struct {
    const EepExchange *exchange;
    GArray *copies;
    gint32 *rows;   /* [slots], what lies there */
    guint8 *state;  /* [slots], RowState */
    guint *readers; /* [slots], transfers that have yet to read it */
    gint *n_free;   /* [n_ranks], free rows that no transfer of this round takes */
    guint *n_taken; /* [n_ranks], transfers of this round */
    guint *pending; /* [n_ranks], transfers of no round yet */
    guint *first;   /* [n_ranks + 1], into order */
    guint *order;   /* transfers by receiver */
    guint *mark;    /* [E], rank + 1 at which the expert was seen last */
    guint *need;    /* [E], slots of a rank that lack it */
    guint *have;    /* [E], rows of a rank that hold it */
    guint *staged;  /* [n_ranks], the result */
    guint round;
} Rounds;

static void add_copy(Rounds *rounds, gint32 expert, gint32 from, gint32 to, gboolean frees)
{
    const EepExpertCopy copy = {.layer = rounds->exchange->layer,
                                .round = rounds->round,
                                .expert = expert,
                                .from_slot = from,
                                .to_slot = to,
                                .frees = frees};
    g_array_append_val(rounds->copies, copy);
}

static inline gboolean lacks(const Rounds *rounds, guint slot)
{
    const gint32 wanted = rounds->exchange->target[slot];
    return wanted >= 0 && wanted != rounds->rows[slot];
}

/* Experts that a rank stages when all comes at once: each that any of its slots lacks. */
static guint n_fills(Rounds *rounds, guint rank)
{
    const guint S = rounds->exchange->slots_per_rank;
    guint n = 0;
    for (guint slot = rank * S; slot < (rank + 1) * S; slot++) {
        if (!lacks(rounds, slot))
            continue;
        guint *mark = &rounds->mark[rounds->exchange->target[slot]];
        n += *mark != rank + 1;
        *mark = rank + 1;
    }
    return n;
}

/* -- one round for everything -- */

static void copy_at_once(Rounds *rounds, guint rank)
{
    const EepExchange *exchange = rounds->exchange;
    const guint S = exchange->slots_per_rank, begin = rank * S, end = begin + S;
    for (guint slot = begin; slot < end; slot++)
        if (lacks(rounds, slot))
            rounds->need[exchange->target[slot]]++;
    for (guint slot = begin; slot < end; slot++) {
        const gint32 expert = rounds->rows[slot];
        if (expert < 0 || rounds->need[expert] == 0 || rounds->have[expert] > 0)
            continue;
        rounds->have[expert] = 1;
        add_copy(rounds, expert, (gint32)slot, EEP_MIGRATION_STAGED, FALSE);
    }
    for (guint slot = begin; slot < end; slot++) {
        const gint32 expert = exchange->target[slot];
        if (rounds->rows[slot] >= 0)
            rounds->have[rounds->rows[slot]] = 0;
        if (lacks(rounds, slot))
            add_copy(rounds, expert, EEP_MIGRATION_STAGED, (gint32)slot,
                     --rounds->need[expert] == 0);
    }
}

/* -- several rounds -- */

static void sort_by_receiver(Rounds *rounds)
{
    const EepExchange *exchange = rounds->exchange;
    for (guint i = 0; i < exchange->n_transfers; i++)
        rounds->pending[exchange->transfers[i].to_rank]++;
    for (guint rank = 0; rank < exchange->n_ranks; rank++)
        rounds->first[rank + 1] = rounds->first[rank] + rounds->pending[rank];
    memset(rounds->pending, 0, exchange->n_ranks * sizeof(guint));
    for (guint i = 0; i < exchange->n_transfers; i++) {
        const guint rank = (guint)exchange->transfers[i].to_rank;
        rounds->order[rounds->first[rank] + rounds->pending[rank]++] = i;
        exchange->transfers[i].round = UNTAKEN;
    }
}

static void classify_rows(Rounds *rounds)
{
    const EepExchange *exchange = rounds->exchange;
    const guint S = exchange->slots_per_rank;
    for (guint i = 0; i < exchange->n_transfers; i++)
        if (exchange->transfers[i].from_slot >= 0)
            rounds->readers[exchange->transfers[i].from_slot]++;
    for (guint rank = 0; rank < exchange->n_ranks; rank++) {
        const guint begin = rank * S, end = begin + S;
        for (guint slot = begin; slot < end; slot++)
            if (exchange->target[slot] >= 0)
                rounds->need[exchange->target[slot]] = 1;
        /* Of an expert that stays, rows that are right already are held, else its first one, which
         * is also the one that its receivers read (migration.c). */
        for (guint slot = begin; slot < end; slot++)
            if (rounds->rows[slot] >= 0 && rounds->rows[slot] == exchange->target[slot])
                rounds->have[rounds->rows[slot]] = 1;
        for (guint slot = begin; slot < end; slot++) {
            const gint32 expert = rounds->rows[slot];
            if (expert < 0)
                rounds->state[slot] = FREE;
            else if (expert == exchange->target[slot])
                rounds->state[slot] = HELD;
            else if (rounds->need[expert] == 0)
                rounds->state[slot] = rounds->readers[slot] > 0 ? LIVE : FREE;
            else
                rounds->state[slot] = rounds->have[expert] == 0 ? HELD : FREE;
            if (rounds->state[slot] == HELD)
                rounds->have[expert] = 1;
            rounds->n_free[rank] += rounds->state[slot] == FREE;
        }
        for (guint slot = begin; slot < end; slot++) {
            if (exchange->target[slot] >= 0)
                rounds->need[exchange->target[slot]] = 0;
            if (rounds->rows[slot] >= 0)
                rounds->have[rounds->rows[slot]] = 0;
        }
    }
}

static void take(Rounds *rounds, EepExpertTransfer *transfer)
{
    transfer->round = rounds->round;
    rounds->n_taken[transfer->to_rank]++;
    rounds->pending[transfer->to_rank]--;
    rounds->n_free[transfer->to_rank]--;
    if (transfer->from_slot < 0 || rounds->state[transfer->from_slot] != LIVE)
        return;
    if (--rounds->readers[transfer->from_slot] > 0)
        return;
    rounds->state[transfer->from_slot] = FREE;
    rounds->n_free[transfer->from_rank]++;
}

/* The pending transfer to a rank that does most to free a row: the one whose row has the fewest
 * readers left. */
static EepExpertTransfer *best_transfer(const Rounds *rounds, guint rank)
{
    EepExpertTransfer *best = NULL;
    guint fewest = G_MAXUINT;
    for (guint i = rounds->first[rank]; i < rounds->first[rank + 1]; i++) {
        EepExpertTransfer *transfer = &rounds->exchange->transfers[rounds->order[i]];
        if (transfer->round != UNTAKEN)
            continue;
        const gboolean frees =
            transfer->from_slot >= 0 && rounds->state[transfer->from_slot] == LIVE;
        const guint left = frees ? rounds->readers[transfer->from_slot] : G_MAXUINT - 1;
        if (left < fewest) {
            best = transfer;
            fewest = left;
        }
    }
    return best;
}

static inline gboolean may_take(const Rounds *rounds, guint rank)
{
    return rounds->pending[rank] > 0 && rounds->n_taken[rank] < rounds->exchange->staging_rows;
}

/* Into rows that are free, or become so by what this round reads. */
static void take_into_free_rows(Rounds *rounds)
{
    for (gboolean has_taken = TRUE; has_taken;) {
        has_taken = FALSE;
        for (guint rank = 0; rank < rounds->exchange->n_ranks; rank++)
            while (may_take(rounds, rank) && rounds->n_free[rank] > 0) {
                take(rounds, best_transfer(rounds, rank));
                has_taken = TRUE;
            }
    }
}

/* A pending transfer to the rank, at or after *cursor of its list, that is its row's last and comes
 * from a rank that may take one itself and is not given up. */
static EepExpertTransfer *next_link(const Rounds *rounds, guint rank, const guint8 *is_given_up,
                                    guint *cursor)
{
    for (; *cursor < rounds->first[rank + 1]; ++*cursor) {
        EepExpertTransfer *transfer = &rounds->exchange->transfers[rounds->order[*cursor]];
        if (transfer->round != UNTAKEN || transfer->from_slot < 0 ||
            rounds->state[transfer->from_slot] != LIVE ||
            rounds->readers[transfer->from_slot] != 1 || is_given_up[transfer->from_rank] ||
            !may_take(rounds, (guint)transfer->from_rank))
            continue;
        return transfer;
    }
    return NULL;
}

/* One cycle of ranks each of which frees a row for the next: depth first from the lowest rank. */
static gboolean take_cycle(Rounds *rounds)
{
    const guint n = rounds->exchange->n_ranks;
    g_autofree guint8 *is_given_up = g_new0(guint8, n);
    g_autofree guint *depth = g_new0(guint, n); /* place on the path + 1; 0: not on it */
    g_autofree guint *path = g_new(guint, n);
    g_autofree guint *cursor = g_new(guint, n);
    g_autofree EepExpertTransfer **link = g_new(EepExpertTransfer *, n); /* into path[i] */
    for (guint start = 0; start < n; start++) {
        if (is_given_up[start] || !may_take(rounds, start))
            continue;
        guint length = 1;
        path[0] = start;
        cursor[0] = rounds->first[start];
        depth[start] = 1;
        while (length > 0) {
            const guint top = length - 1;
            link[top] = next_link(rounds, path[top], is_given_up, &cursor[top]);
            if (!link[top]) {
                is_given_up[path[top]] = TRUE;
                depth[path[top]] = 0;
                length--;
                continue;
            }
            const guint sender = (guint)link[top]->from_rank;
            if (depth[sender] > 0) {
                for (guint i = depth[sender] - 1; i < length; i++)
                    take(rounds, link[i]);
                return TRUE;
            }
            path[length] = sender;
            cursor[length] = rounds->first[sender];
            depth[sender] = ++length;
        }
    }
    return FALSE;
}

static gboolean has_row(const Rounds *rounds, guint rank, gint32 expert)
{
    const guint S = rounds->exchange->slots_per_rank;
    for (guint slot = rank * S; slot < (rank + 1) * S; slot++)
        if (rounds->rows[slot] == expert && rounds->state[slot] == HELD)
            return TRUE;
    return FALSE;
}

/* A free slot that wants the expert, or else (unless only_final) any free one; -1: none. */
static gint32 find_row(const Rounds *rounds, guint rank, gint32 expert, gboolean only_final)
{
    const guint S = rounds->exchange->slots_per_rank;
    gint32 any = -1;
    for (guint slot = rank * S; slot < (rank + 1) * S; slot++) {
        if (rounds->state[slot] != FREE)
            continue;
        if (rounds->exchange->target[slot] == expert)
            return (gint32)slot;
        if (any < 0 && !only_final)
            any = (gint32)slot;
    }
    return any;
}

/* Those first that can go where they belong; the others take what is left. */
static void place_arrivals(Rounds *rounds, guint rank)
{
    for (guint pass = 0; pass < 2; pass++)
        for (guint i = rounds->first[rank]; i < rounds->first[rank + 1]; i++) {
            const EepExpertTransfer *t = &rounds->exchange->transfers[rounds->order[i]];
            if (t->round != rounds->round || has_row(rounds, rank, t->expert))
                continue;
            const gint32 slot = find_row(rounds, rank, t->expert, pass == 0);
            if (slot < 0)
                continue;
            add_copy(rounds, t->expert, EEP_MIGRATION_STAGED, slot, TRUE);
            rounds->rows[slot] = t->expert;
            rounds->state[slot] = HELD;
        }
}

/* Copies until every slot of the rank holds what it should. A slot may be filled when nothing else
 * lacks what it holds, or another row or staging has that too. */
static void put_in_order(Rounds *rounds, guint rank)
{
    const EepExchange *exchange = rounds->exchange;
    const guint S = exchange->slots_per_rank, begin = rank * S, end = begin + S;
    guint n_left = 0;
    gint32 staged = EEP_PLACEMENT_EMPTY;
    for (guint slot = begin; slot < end; slot++) {
        if (rounds->rows[slot] >= 0)
            rounds->have[rounds->rows[slot]]++;
        if (lacks(rounds, slot)) {
            rounds->need[exchange->target[slot]]++;
            n_left++;
        }
    }
    while (n_left > 0) {
        guint n_before = n_left;
        for (guint slot = begin; slot < end; slot++) {
            const gint32 expert = exchange->target[slot], present = rounds->rows[slot];
            if (!lacks(rounds, slot) || (present >= 0 && present != staged &&
                                         rounds->need[present] > 0 && rounds->have[present] == 1))
                continue;
            gint32 from = EEP_MIGRATION_STAGED;
            for (guint i = begin; i < end && rounds->have[expert] > 0; i++)
                if (rounds->rows[i] == expert) {
                    from = (gint32)i;
                    break;
                }
            add_copy(rounds, expert, from, (gint32)slot, from == EEP_MIGRATION_STAGED);
            if (from == EEP_MIGRATION_STAGED)
                staged = EEP_PLACEMENT_EMPTY;
            if (present >= 0)
                rounds->have[present]--;
            rounds->have[expert]++;
            rounds->need[expert]--;
            rounds->rows[slot] = expert;
            n_left--;
        }
        for (guint slot = begin; slot < end && n_left == n_before; slot++) {
            if (!lacks(rounds, slot))
                continue;
            staged = rounds->rows[slot];
            add_copy(rounds, staged, (gint32)slot, EEP_MIGRATION_STAGED, FALSE);
            rounds->staged[rank] = MAX(rounds->staged[rank], 1);
            break;
        }
    }
    for (guint slot = begin; slot < end; slot++)
        if (rounds->rows[slot] >= 0)
            rounds->have[rounds->rows[slot]] = 0;
}

static guint schedule_in_rounds(Rounds *rounds)
{
    const EepExchange *exchange = rounds->exchange;
    guint n_left = exchange->n_transfers;
    sort_by_receiver(rounds);
    classify_rows(rounds);
    for (rounds->round = 0; n_left > 0; rounds->round++) {
        memset(rounds->n_taken, 0, exchange->n_ranks * sizeof(guint));
        take_into_free_rows(rounds);
        while (take_cycle(rounds))
            ;
        guint n_taken = 0;
        for (guint rank = 0; rank < exchange->n_ranks; rank++) {
            if (rounds->n_taken[rank] > 0)
                place_arrivals(rounds, rank);
            rounds->staged[rank] = MAX(rounds->staged[rank], rounds->n_taken[rank]);
            n_taken += rounds->n_taken[rank];
        }
        g_assert(n_taken > 0);
        n_left -= n_taken;
    }
    const guint n_rounds = MAX(1, rounds->round);
    rounds->round = n_rounds - 1;
    for (guint rank = 0; rank < exchange->n_ranks; rank++)
        put_in_order(rounds, rank);
    return n_rounds;
}

guint eep_exchange_schedule(const EepExchange *exchange, GArray *copies, guint *ret_staged)
{
    g_return_val_if_fail(exchange != NULL && exchange->staging_rows > 0, 0);
    const guint n_slots = exchange->n_ranks * exchange->slots_per_rank;
    g_autofree gint32 *rows = g_memdup2(exchange->old, n_slots * sizeof(gint32));
    g_autofree guint8 *state = g_new0(guint8, n_slots);
    /* Counters by slot, by rank and by expert, all zero. */
    const gsize n_counters = n_slots + 4 * (gsize)exchange->n_ranks + 1 + exchange->n_transfers +
                             3 * (gsize)exchange->n_experts;
    g_autofree guint *counters = g_new0(guint, n_counters);
    g_autofree gint *n_free = g_new0(gint, exchange->n_ranks);
    Rounds rounds = {.exchange = exchange, .copies = copies, .rows = rows, .state = state};
    rounds.readers = counters;
    rounds.n_taken = rounds.readers + n_slots;
    rounds.pending = rounds.n_taken + exchange->n_ranks;
    rounds.first = rounds.pending + exchange->n_ranks;
    rounds.order = rounds.first + exchange->n_ranks + 1;
    rounds.mark = rounds.order + exchange->n_transfers;
    rounds.need = rounds.mark + exchange->n_experts;
    rounds.have = rounds.need + exchange->n_experts;
    rounds.n_free = n_free;
    rounds.staged = ret_staged;

    guint most = 0, n = 0;
    for (guint rank = 0; rank < exchange->n_ranks; rank++) {
        ret_staged[rank] = n_fills(&rounds, rank);
        most = MAX(most, ret_staged[rank]);
        n += ret_staged[rank];
    }
    if (n == 0)
        return 0;
    if (most > exchange->staging_rows) {
        memset(ret_staged, 0, exchange->n_ranks * sizeof(guint));
        return schedule_in_rounds(&rounds);
    }
    for (guint rank = 0; rank < exchange->n_ranks; rank++)
        copy_at_once(&rounds, rank);
    return 1;
}
