#include "core/eplb/migration.h"

#include <string.h>

#include "core/eplb/exchange.h"

/* Ranks per expert in rank order, each once: expert e's are rank[start[e] .. start[e + 1]). */
typedef struct {
    guint *start; /* [E + 1] */
    guint *next;  /* [E], fill position */
    gint32 *seen; /* [E], rank + 1 that was noted last; 0 = none */
    gint32 *rank; /* [P] */
    gint32 *slot; /* [P], the rank's slot of the expert: its first, or for holders the first whose
                     content stays */
} Ranks;

static void ranks_init(Ranks *ranks, guint n_experts, guint n_slots)
{
    ranks->start = g_new(guint, n_experts + 1);
    ranks->next = g_new(guint, n_experts);
    ranks->seen = g_new(gint32, n_experts);
    ranks->rank = g_new(gint32, n_slots);
    ranks->slot = g_new(gint32, n_slots);
}

static void ranks_clear(Ranks *ranks)
{
    g_free(ranks->start);
    g_free(ranks->next);
    g_free(ranks->seen);
    g_free(ranks->rank);
    g_free(ranks->slot);
}

/* Room for every slot of an expert: duplicates on a rank only leave a gap behind next[e]. */
static void ranks_reset(Ranks *ranks, guint n_experts, const gint32 *count)
{
    guint start = 0;
    for (guint e = 0; e < n_experts; e++) {
        ranks->start[e] = ranks->next[e] = start;
        start += (guint)count[e];
    }
    ranks->start[n_experts] = start;
    memset(ranks->seen, 0, n_experts * sizeof(gint32));
}

static inline void ranks_add(Ranks *ranks, gint32 expert, gint32 rank, gint32 slot)
{
    if (expert < 0 || ranks->seen[expert] == rank + 1)
        return;
    ranks->seen[expert] = rank + 1;
    ranks->rank[ranks->next[expert]] = rank;
    ranks->slot[ranks->next[expert]++] = slot;
}

typedef struct {
    const EepPlacement *old, *target;
    EepMigrationOptions options;
    EepMigration *migration;
    GArray *transfers, *copies; /* EepExpertTransfer, EepExpertCopy */
    Ranks holders, receivers;
    guint *layer_received, *layer_sent; /* [n_ranks] */
    guint *promised;           /* [n_ranks], transfers of this layer that only this rank can send */
    gint32 *old_row, *new_row; /* [n_ranks * S], empty where the placement ends */
} Planner;

static void copy_row(gint32 *row, const EepPlacement *placement, guint layer, guint n_slots)
{
    memcpy(row, eep_placement_layer(placement, layer), placement->n_slots * sizeof(gint32));
    for (guint slot = placement->n_slots; slot < n_slots; slot++)
        row[slot] = EEP_PLACEMENT_EMPTY;
}

/* The slot that a holder's receivers read: one that keeps its content never changes under them. */
static void prefer_kept(Ranks *holders, gint32 expert, gint32 slot, const Planner *planner)
{
    gint32 *present = &holders->slot[holders->next[expert] - 1];
    if (planner->new_row[*present] != expert && planner->new_row[slot] == expert)
        *present = slot;
}

static void collect_ranks(Planner *planner, guint layer)
{
    const guint S = planner->target->slots_per_rank, E = planner->target->n_experts;
    const guint n_slots = planner->migration->n_ranks * S;
    copy_row(planner->old_row, planner->old, layer, n_slots);
    copy_row(planner->new_row, planner->target, layer, n_slots);
    ranks_reset(&planner->holders, E, planner->old->logcnt + (gsize)layer * E);
    ranks_reset(&planner->receivers, E, planner->target->logcnt + (gsize)layer * E);
    for (guint rank = 0; rank < planner->migration->n_ranks; rank++) {
        for (guint slot = rank * S; slot < (rank + 1) * S; slot++) {
            const gint32 expert = planner->old_row[slot];
            ranks_add(&planner->holders, expert, (gint32)rank, (gint32)slot);
            if (expert >= 0)
                prefer_kept(&planner->holders, expert, (gint32)slot, planner);
        }
        for (guint slot = rank * S; slot < (rank + 1) * S; slot++) {
            const gint32 expert = planner->new_row[slot];
            if (expert >= 0 && planner->holders.seen[expert] != (gint32)rank + 1)
                ranks_add(&planner->receivers, expert, (gint32)rank, (gint32)slot);
        }
    }
}

static inline gboolean on_one_node(const Planner *planner, gint32 a, gint32 b)
{
    const guint per_node = planner->options.ranks_per_node;
    return per_node == 0 || (guint)a / per_node == (guint)b / per_node;
}

static void add_transfer(Planner *planner, guint layer, gint32 expert, gint32 holder,
                         guint receiver)
{
    EepMigration *migration = planner->migration;
    EepExpertTransfer transfer = {.from_rank = EEP_MIGRATION_NO_SENDER,
                                  .to_rank = planner->receivers.rank[receiver],
                                  .layer = layer,
                                  .expert = expert,
                                  .to_slot = planner->receivers.slot[receiver],
                                  .from_slot = EEP_MIGRATION_NO_SENDER};
    planner->layer_received[transfer.to_rank]++;
    if (holder < 0) {
        migration->n_lost++;
    } else {
        transfer.from_rank = planner->holders.rank[holder];
        transfer.from_slot = planner->holders.slot[holder];
        planner->layer_sent[transfer.from_rank]++;
        if (on_one_node(planner, transfer.from_rank, transfer.to_rank)) {
            migration->n_intra_node++;
        } else {
            migration->n_inter_node++;
            migration->sent_nic[transfer.from_rank]++;
            migration->received_nic[transfer.to_rank]++;
        }
    }
    g_array_append_val(planner->transfers, transfer);
}

/* vLLM: with h holders and v receivers, holder i serves receivers [i * q, (i + 1) * q), q = v div
 * h, and one of the v mod h left over, number h * q + i, if there is one. */
static void share_receivers(Planner *planner, guint layer, gint32 expert, guint first,
                            guint n_receivers)
{
    const guint holder = planner->holders.start[expert];
    const guint n_holders = planner->holders.next[expert] - holder;
    const guint each = n_receivers / n_holders, rest = n_holders * each;
    for (guint i = 0; i < n_holders && n_receivers > 0; i++) {
        for (guint j = i * each; j < (i + 1) * each; j++)
            add_transfer(planner, layer, expert, (gint32)(holder + i), first + j);
        if (rest + i < n_receivers)
            add_transfer(planner, layer, expert, (gint32)(holder + i), first + rest + i);
    }
}

/* Of two holders the one to send: on the receiver's node, then with less to send in this layer, in
 * the layers before, of the lower rank. */
static gboolean is_nearer(const Planner *planner, gint32 a, gint32 b, gint32 to)
{
    const gboolean near_a = on_one_node(planner, a, to), near_b = on_one_node(planner, b, to);
    if (near_a != near_b)
        return near_a;
    const guint in_layer_a = planner->layer_sent[a] + planner->promised[a];
    const guint in_layer_b = planner->layer_sent[b] + planner->promised[b];
    if (in_layer_a != in_layer_b)
        return in_layer_a < in_layer_b;
    return planner->migration->sent[a] < planner->migration->sent[b];
}

static void choose_senders(Planner *planner, guint layer, gint32 expert, guint first,
                           guint n_receivers)
{
    const guint begin = planner->holders.start[expert], end = planner->holders.next[expert];
    const gint32 *rank = planner->holders.rank;
    for (guint i = 0; i < n_receivers; i++) {
        guint best = begin;
        for (guint holder = begin + 1; holder < end; holder++)
            if (is_nearer(planner, rank[holder], rank[best], planner->receivers.rank[first + i]))
                best = holder;
        if (end - begin == 1)
            planner->promised[rank[best]]--;
        add_transfer(planner, layer, expert, (gint32)best, first + i);
    }
}

/* Transfers without a choice count before the first choice is made. */
static void promise(Planner *planner)
{
    for (guint expert = 0; expert < planner->target->n_experts; expert++) {
        const guint begin = planner->holders.start[expert];
        if (planner->holders.next[expert] - begin == 1)
            planner->promised[planner->holders.rank[begin]] +=
                planner->receivers.next[expert] - planner->receivers.start[expert];
    }
}

static void assign_expert(Planner *planner, guint layer, gint32 expert)
{
    const guint first = planner->receivers.start[expert];
    const guint n_receivers = planner->receivers.next[expert] - first;
    if (planner->holders.next[expert] == planner->holders.start[expert])
        for (guint i = 0; i < n_receivers; i++)
            add_transfer(planner, layer, expert, EEP_MIGRATION_NO_SENDER, first + i);
    else if (planner->options.senders == EEP_SENDERS_TOPOLOGY)
        choose_senders(planner, layer, expert, first, n_receivers);
    else
        share_receivers(planner, layer, expert, first, n_receivers);
}

static guint most_copies(const Planner *planner, guint first)
{
    const guint S = planner->target->slots_per_rank;
    g_autofree guint *copies = g_new0(guint, planner->migration->n_ranks);
    guint most = 0;
    for (guint i = first; i < planner->copies->len; i++) {
        const EepExpertCopy *copy = &g_array_index(planner->copies, EepExpertCopy, i);
        const guint rank = (guint)MAX(copy->from_slot, copy->to_slot) / S;
        copies[rank]++;
        most = MAX(most, copies[rank]);
    }
    return most;
}

static void schedule_layer(Planner *planner, guint layer, guint first)
{
    EepMigration *migration = planner->migration;
    const guint S = planner->target->slots_per_rank;
    const EepExchange exchange = {
        .layer = layer,
        .n_ranks = migration->n_ranks,
        .slots_per_rank = S,
        .n_experts = planner->target->n_experts,
        .old = planner->old_row,
        .target = planner->new_row,
        .transfers = &g_array_index(planner->transfers, EepExpertTransfer, first),
        .n_transfers = planner->transfers->len - first,
        .staging_rows = migration->staging_rows,
    };
    const guint first_copy = planner->copies->len;
    guint *staged = migration->staged + (gsize)layer * migration->n_ranks;
    migration->rounds[layer] = eep_exchange_schedule(&exchange, planner->copies, staged);
    migration->max_copied[layer] = most_copies(planner, first_copy);
    for (guint rank = 0; rank < migration->n_ranks; rank++)
        migration->max_staged[layer] = MAX(migration->max_staged[layer], staged[rank]);
    for (guint slot = 0; slot < migration->n_ranks * S; slot++)
        migration->n_local +=
            planner->new_row[slot] >= 0 && planner->new_row[slot] != planner->old_row[slot];
    migration->n_local -= exchange.n_transfers;
}

static gboolean layer_changed(const Planner *planner, guint layer)
{
    const EepPlacement *old = planner->old, *target = planner->target;
    return old->n_slots != target->n_slots ||
           memcmp(eep_placement_layer(old, layer), eep_placement_layer(target, layer),
                  old->n_slots * sizeof(gint32)) != 0;
}

static void plan_layer(Planner *planner, guint layer)
{
    EepMigration *migration = planner->migration;
    const guint first = planner->transfers->len;
    if (!layer_changed(planner, layer))
        return;
    migration->n_changed++;
    memset(planner->layer_received, 0, migration->n_ranks * sizeof(guint));
    memset(planner->layer_sent, 0, migration->n_ranks * sizeof(guint));
    collect_ranks(planner, layer);
    if (planner->options.senders == EEP_SENDERS_TOPOLOGY)
        promise(planner);
    for (guint expert = 0; expert < planner->target->n_experts; expert++)
        assign_expert(planner, layer, (gint32)expert);
    for (guint rank = 0; rank < migration->n_ranks; rank++) {
        const guint in = planner->layer_received[rank], out = planner->layer_sent[rank];
        migration->received[rank] += in;
        migration->sent[rank] += out;
        migration->max_received[layer] = MAX(migration->max_received[layer], in);
        migration->max_sent[layer] = MAX(migration->max_sent[layer], out);
    }
    schedule_layer(planner, layer, first);
}

static EepMigration *new_empty(const EepPlacement *old, const EepPlacement *target,
                               const EepMigrationOptions *options)
{
    EepMigration *migration = g_new0(EepMigration, 1);
    migration->n_layers = target->n_layers;
    migration->n_ranks = MAX(old->n_ranks, target->n_ranks);
    migration->staging_rows =
        options->staging_rows > 0 ? options->staging_rows : target->slots_per_rank;
    migration->ranks_per_node = options->ranks_per_node;
    migration->layer_start = g_new0(guint, migration->n_layers + 1);
    migration->copy_start = g_new0(guint, migration->n_layers + 1);
    migration->rounds = g_new0(guint, migration->n_layers);
    migration->staged = g_new0(guint, (gsize)migration->n_layers * migration->n_ranks);
    migration->max_staged = g_new0(guint, migration->n_layers);
    migration->max_copied = g_new0(guint, migration->n_layers);
    migration->received = g_new0(guint, migration->n_ranks);
    migration->sent = g_new0(guint, migration->n_ranks);
    migration->received_nic = g_new0(guint, migration->n_ranks);
    migration->sent_nic = g_new0(guint, migration->n_ranks);
    migration->max_received = g_new0(guint, migration->n_layers);
    migration->max_sent = g_new0(guint, migration->n_layers);
    return migration;
}

static void planner_init(Planner *planner, EepMigration *migration, const EepPlacement *old,
                         const EepPlacement *target, const EepMigrationOptions *options)
{
    const gsize n_slots = (gsize)migration->n_ranks * target->slots_per_rank;
    *planner = (Planner){.old = old, .target = target, .options = *options, .migration = migration};
    planner->transfers = g_array_new(FALSE, FALSE, sizeof(EepExpertTransfer));
    planner->copies = g_array_new(FALSE, FALSE, sizeof(EepExpertCopy));
    planner->layer_received = g_new(guint, migration->n_ranks);
    planner->layer_sent = g_new(guint, migration->n_ranks);
    planner->promised = g_new0(guint, migration->n_ranks);
    planner->old_row = g_new(gint32, n_slots);
    planner->new_row = g_new(gint32, n_slots);
    ranks_init(&planner->holders, target->n_experts, old->n_slots);
    ranks_init(&planner->receivers, target->n_experts, target->n_slots);
}

/* Hands the lists over to the migration. */
static void planner_finish(Planner *planner)
{
    EepMigration *migration = planner->migration;
    ranks_clear(&planner->holders);
    ranks_clear(&planner->receivers);
    g_free(planner->layer_received);
    g_free(planner->layer_sent);
    g_free(planner->promised);
    g_free(planner->old_row);
    g_free(planner->new_row);
    migration->n_transfers = planner->transfers->len;
    migration->transfers = (EepExpertTransfer *)g_array_free(planner->transfers, FALSE);
    migration->copies = (EepExpertCopy *)g_array_free(planner->copies, FALSE);
}

EepMigration *eep_migration_new(const EepPlacement *old, const EepPlacement *target,
                                const EepMigrationOptions *options)
{
    g_return_val_if_fail(old != NULL && target != NULL, NULL);
    g_return_val_if_fail(old->n_layers == target->n_layers, NULL);
    g_return_val_if_fail(old->n_experts == target->n_experts, NULL);
    g_return_val_if_fail(old->slots_per_rank == target->slots_per_rank, NULL);

    static const EepMigrationOptions as_vllm = {EEP_SENDERS_VLLM, 0, 0};
    if (!options)
        options = &as_vllm;
    EepMigration *migration = new_empty(old, target, options);
    Planner planner;
    planner_init(&planner, migration, old, target, options);
    for (guint layer = 0; layer < migration->n_layers; layer++) {
        plan_layer(&planner, layer);
        migration->layer_start[layer + 1] = planner.transfers->len;
        migration->copy_start[layer + 1] = planner.copies->len;
    }
    planner_finish(&planner);
#ifdef EEP_CHECK_INVARIANTS
    g_autoptr(GError) error = NULL;
    if (!eep_migration_check(migration, old, target, &error))
        g_error("a migration plan that does not hold: %s", error->message);
#endif
    return migration;
}

void eep_migration_free(EepMigration *migration)
{
    if (!migration)
        return;
    g_free(migration->transfers);
    g_free(migration->layer_start);
    g_free(migration->copies);
    g_free(migration->copy_start);
    g_free(migration->rounds);
    g_free(migration->staged);
    g_free(migration->max_staged);
    g_free(migration->max_copied);
    g_free(migration->received);
    g_free(migration->sent);
    g_free(migration->received_nic);
    g_free(migration->sent_nic);
    g_free(migration->max_received);
    g_free(migration->max_sent);
    g_free(migration);
}

const EepExpertTransfer *eep_migration_layer(const EepMigration *migration, guint layer,
                                             guint *ret_n)
{
    g_return_val_if_fail(migration != NULL && layer < migration->n_layers && ret_n != NULL, NULL);
    const guint start = migration->layer_start[layer];
    *ret_n = migration->layer_start[layer + 1] - start;
    return migration->transfers ? migration->transfers + start : NULL;
}
