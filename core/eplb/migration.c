#include "core/eplb/migration.h"

#include <string.h>

/* Ranks per expert in rank order, each once: expert e's are rank[start[e] .. start[e + 1]). */
typedef struct {
    guint *start; /* [E + 1] */
    guint *next;  /* [E], fill position */
    gint32 *seen; /* [E], rank + 1 that was noted last; 0 = none */
    gint32 *rank; /* [P] */
    gint32 *slot; /* [P], the rank's first slot of the expert */
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
    EepMigration *migration;
    GArray *transfers; /* EepExpertTransfer */
    Ranks holders, receivers;
    guint *layer_received, *layer_sent; /* [n_ranks] */
} Planner;

static void collect_ranks(Planner *planner, guint layer)
{
    const guint S = planner->target->slots_per_rank, E = planner->target->n_experts;
    const gint32 *old_row = eep_placement_layer(planner->old, layer);
    const gint32 *new_row = eep_placement_layer(planner->target, layer);
    ranks_reset(&planner->holders, E, planner->old->logcnt + (gsize)layer * E);
    ranks_reset(&planner->receivers, E, planner->target->logcnt + (gsize)layer * E);
    for (guint rank = 0; rank < planner->migration->n_ranks; rank++) {
        if (rank < planner->old->n_ranks)
            for (guint slot = rank * S; slot < (rank + 1) * S; slot++)
                ranks_add(&planner->holders, old_row[slot], (gint32)rank, (gint32)slot);
        if (rank >= planner->target->n_ranks)
            continue;
        for (guint slot = rank * S; slot < (rank + 1) * S; slot++) {
            const gint32 expert = new_row[slot];
            if (expert >= 0 && planner->holders.seen[expert] != (gint32)rank + 1)
                ranks_add(&planner->receivers, expert, (gint32)rank, (gint32)slot);
        }
    }
}

static void add_transfer(Planner *planner, guint layer, gint32 expert, gint32 from, guint receiver)
{
    const EepExpertTransfer transfer = {.from_rank = from,
                                        .to_rank = planner->receivers.rank[receiver],
                                        .layer = layer,
                                        .expert = expert,
                                        .to_slot = planner->receivers.slot[receiver]};
    g_array_append_val(planner->transfers, transfer);
    planner->layer_received[transfer.to_rank]++;
    if (from >= 0)
        planner->layer_sent[from]++;
    else
        planner->migration->n_lost++;
}

/* With h holders and v receivers, holder i serves receivers [i * q, (i + 1) * q), q = v div h, and
 * one of the v mod h left over, number h * q + i, if there is one. */
static void assign_expert(Planner *planner, guint layer, gint32 expert)
{
    const guint first = planner->receivers.start[expert];
    const guint n_receivers = planner->receivers.next[expert] - first;
    const guint holder = planner->holders.start[expert];
    const guint n_holders = planner->holders.next[expert] - holder;
    if (n_holders == 0) {
        for (guint i = 0; i < n_receivers; i++)
            add_transfer(planner, layer, expert, EEP_MIGRATION_NO_SENDER, first + i);
        return;
    }
    const guint each = n_receivers / n_holders, rest = n_holders * each;
    for (guint i = 0; i < n_holders && n_receivers > 0; i++) {
        const gint32 from = planner->holders.rank[holder + i];
        for (guint j = i * each; j < (i + 1) * each; j++)
            add_transfer(planner, layer, expert, from, first + j);
        if (rest + i < n_receivers)
            add_transfer(planner, layer, expert, from, first + rest + i);
    }
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
    if (!layer_changed(planner, layer))
        return;
    migration->n_changed++;
    memset(planner->layer_received, 0, migration->n_ranks * sizeof(guint));
    memset(planner->layer_sent, 0, migration->n_ranks * sizeof(guint));
    collect_ranks(planner, layer);
    for (guint expert = 0; expert < planner->target->n_experts; expert++)
        assign_expert(planner, layer, (gint32)expert);
    for (guint rank = 0; rank < migration->n_ranks; rank++) {
        const guint in = planner->layer_received[rank], out = planner->layer_sent[rank];
        migration->received[rank] += in;
        migration->sent[rank] += out;
        migration->max_received[layer] = MAX(migration->max_received[layer], in);
        migration->max_sent[layer] = MAX(migration->max_sent[layer], out);
    }
}

EepMigration *eep_migration_new(const EepPlacement *old, const EepPlacement *target)
{
    g_return_val_if_fail(old != NULL && target != NULL, NULL);
    g_return_val_if_fail(old->n_layers == target->n_layers, NULL);
    g_return_val_if_fail(old->n_experts == target->n_experts, NULL);
    g_return_val_if_fail(old->slots_per_rank == target->slots_per_rank, NULL);

    EepMigration *migration = g_new0(EepMigration, 1);
    migration->n_layers = target->n_layers;
    migration->n_ranks = MAX(old->n_ranks, target->n_ranks);
    migration->layer_start = g_new0(guint, migration->n_layers + 1);
    migration->received = g_new0(guint, migration->n_ranks);
    migration->sent = g_new0(guint, migration->n_ranks);
    migration->max_received = g_new0(guint, migration->n_layers);
    migration->max_sent = g_new0(guint, migration->n_layers);

    Planner planner = {.old = old, .target = target, .migration = migration};
    planner.transfers = g_array_new(FALSE, FALSE, sizeof(EepExpertTransfer));
    planner.layer_received = g_new(guint, migration->n_ranks);
    planner.layer_sent = g_new(guint, migration->n_ranks);
    ranks_init(&planner.holders, target->n_experts, old->n_slots);
    ranks_init(&planner.receivers, target->n_experts, target->n_slots);
    for (guint layer = 0; layer < migration->n_layers; layer++) {
        plan_layer(&planner, layer);
        migration->layer_start[layer + 1] = planner.transfers->len;
    }
    ranks_clear(&planner.holders);
    ranks_clear(&planner.receivers);
    g_free(planner.layer_received);
    g_free(planner.layer_sent);
    migration->n_transfers = planner.transfers->len;
    migration->transfers = (EepExpertTransfer *)g_array_free(planner.transfers, FALSE);
    return migration;
}

void eep_migration_free(EepMigration *migration)
{
    if (!migration)
        return;
    g_free(migration->transfers);
    g_free(migration->layer_start);
    g_free(migration->received);
    g_free(migration->sent);
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
