/* eep_migration_check(): a plan carried out on symbols. Written against what migration.h says of
 * rounds, not against how exchange.c makes them. */
#include <string.h>

#include "core/eplb/migration.h"
#include "core/eplb/policy.h"

typedef struct {
    const EepMigration *migration;
    const EepPlacement *old, *target;
    guint S, E, n_slots; /* slots of all n_ranks */
    guint layer;
    gint32 *rows;       /* [n_slots], what lies there now */
    guint8 *is_staged;  /* [n_ranks][E] */
    guint8 *was_sent;   /* [n_ranks][E], received in this layer */
    guint *n_staged;    /* [n_ranks] */
    guint *most_staged; /* [n_ranks] */
    GError **error;
} Check;

G_GNUC_PRINTF(2, 3) static gboolean fail(const Check *check, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(check->error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_PLAN, "layer %u: %s", check->layer,
                what);
    return FALSE;
}

static gboolean stage(const Check *check, guint rank, gint32 expert)
{
    guint8 *is_staged = &check->is_staged[(gsize)rank * check->E + (guint)expert];
    if (*is_staged)
        return fail(check, "rank %u stages expert %d twice", rank, expert);
    *is_staged = TRUE;
    check->n_staged[rank]++;
    check->most_staged[rank] = MAX(check->most_staged[rank], check->n_staged[rank]);
    if (check->n_staged[rank] > check->migration->staging_rows)
        return fail(check, "rank %u stages %u experts, at most %u are allowed", rank,
                    check->n_staged[rank], check->migration->staging_rows);
    return TRUE;
}

static gboolean transfer_is_sound(const Check *check, const EepExpertTransfer *t)
{
    const guint n_ranks = check->migration->n_ranks;
    if (t->layer != check->layer || t->expert < 0 || (guint)t->expert >= check->E ||
        t->to_rank < 0 || (guint)t->to_rank >= check->target->n_ranks ||
        t->from_rank < EEP_MIGRATION_NO_SENDER || t->from_rank >= (gint32)n_ranks ||
        t->round >= check->migration->rounds[check->layer])
        return fail(check, "a transfer of expert %d from rank %d to rank %d in round %u is none",
                    t->expert, t->from_rank, t->to_rank, t->round);
    if (t->to_slot < 0 || (guint)t->to_slot / check->S != (guint)t->to_rank ||
        eep_placement_layer(check->target, check->layer)[t->to_slot] != t->expert)
        return fail(check, "slot %d of rank %d is not to hold expert %d", t->to_slot, t->to_rank,
                    t->expert);
    if (t->from_rank >= 0 &&
        (t->from_slot < 0 || (guint)t->from_slot / check->S != (guint)t->from_rank))
        return fail(check, "slot %d is not one of sender %d", t->from_slot, t->from_rank);
    return TRUE;
}

static gboolean run_transfer(const Check *check, const EepExpertTransfer *t)
{
    if (!transfer_is_sound(check, t))
        return FALSE;
    const guint S = check->S;
    guint8 *was_sent = &check->was_sent[(gsize)t->to_rank * check->E + (guint)t->expert];
    if (*was_sent)
        return fail(check, "rank %d receives expert %d twice", t->to_rank, t->expert);
    *was_sent = TRUE;
    for (guint i = 0; i < S && (guint)t->to_rank < check->old->n_ranks; i++)
        if (eep_placement_layer(check->old, check->layer)[(guint)t->to_rank * S + i] == t->expert)
            return fail(check, "rank %d receives expert %d, which it has", t->to_rank, t->expert);
    if (t->from_rank >= 0 && check->rows[t->from_slot] != t->expert)
        return fail(check,
                    "rank %d sends expert %d in round %u from slot %d, which holds %d by then",
                    t->from_rank, t->expert, t->round, t->from_slot, check->rows[t->from_slot]);
    if (t->from_rank < 0 && check->old->logcnt[(gsize)check->layer * check->E + (guint)t->expert])
        return fail(check, "expert %d has holders, but none sends it", t->expert);
    return stage(check, (guint)t->to_rank, t->expert);
}

static gboolean run_copy(const Check *check, const EepExpertCopy *c)
{
    const gboolean from_row = c->from_slot != EEP_MIGRATION_STAGED;
    const gboolean to_row = c->to_slot != EEP_MIGRATION_STAGED;
    if (c->layer != check->layer || c->expert < 0 || (guint)c->expert >= check->E ||
        !(from_row || to_row) ||
        (from_row && (c->from_slot < 0 || (guint)c->from_slot >= check->n_slots)) ||
        (to_row && (c->to_slot < 0 || (guint)c->to_slot >= check->n_slots)))
        return fail(check, "a copy of expert %d from slot %d to slot %d is none", c->expert,
                    c->from_slot, c->to_slot);
    const guint rank = (guint)(from_row ? c->from_slot : c->to_slot) / check->S;
    if (to_row && (guint)c->to_slot / check->S != rank)
        return fail(check, "slots %d and %d are not of one rank", c->from_slot, c->to_slot);
    if (from_row && check->rows[c->from_slot] != c->expert)
        return fail(check, "slot %d holds expert %d when expert %d is copied from it", c->from_slot,
                    check->rows[c->from_slot], c->expert);
    guint8 *is_staged = &check->is_staged[(gsize)rank * check->E + (guint)c->expert];
    if (!from_row && !*is_staged)
        return fail(check, "rank %u has not staged expert %d, which slot %d is to get", rank,
                    c->expert, c->to_slot);
    if (!to_row)
        return stage(check, rank, c->expert);
    check->rows[c->to_slot] = c->expert;
    if (c->frees) {
        if (from_row)
            return fail(check, "a copy from slot %d frees no staging", c->from_slot);
        *is_staged = FALSE;
        check->n_staged[rank]--;
    }
    return TRUE;
}

static gboolean run_round(const Check *check, guint round)
{
    const EepMigration *migration = check->migration;
    guint n;
    const EepExpertTransfer *transfers = eep_migration_layer(migration, check->layer, &n);
    for (guint i = 0; i < n; i++)
        if (transfers[i].round == round && !run_transfer(check, &transfers[i]))
            return FALSE;
    for (guint i = migration->copy_start[check->layer]; i < migration->copy_start[check->layer + 1];
         i++)
        if (migration->copies[i].round == round && !run_copy(check, &migration->copies[i]))
            return FALSE;
    for (guint rank = 0; rank < migration->n_ranks; rank++)
        if (check->n_staged[rank] > 0)
            return fail(check, "rank %u still stages %u experts after round %u", rank,
                        check->n_staged[rank], round);
    return TRUE;
}

static gboolean layer_is_done(const Check *check)
{
    const EepMigration *migration = check->migration;
    const gint32 *target = eep_placement_layer(check->target, check->layer);
    for (guint slot = 0; slot < check->target->n_slots; slot++)
        if (target[slot] >= 0 && check->rows[slot] != target[slot])
            return fail(check, "slot %u holds expert %d at the end, not %d", slot,
                        check->rows[slot], target[slot]);
    guint highest = 0;
    for (guint rank = 0; rank < migration->n_ranks; rank++) {
        const guint told = migration->staged[(gsize)check->layer * migration->n_ranks + rank];
        highest = MAX(highest, told);
        if (check->most_staged[rank] != told)
            return fail(check, "rank %u stages %u experts, not %u", rank, check->most_staged[rank],
                        told);
    }
    if (highest != migration->max_staged[check->layer])
        return fail(check, "max_staged is %u, not %u", migration->max_staged[check->layer],
                    highest);
    return TRUE;
}

static gboolean run_layer(Check *check, guint layer)
{
    const EepMigration *migration = check->migration;
    const gsize pairs = (gsize)migration->n_ranks * check->E;
    check->layer = layer;
    for (guint slot = 0; slot < check->n_slots; slot++)
        check->rows[slot] = slot < check->old->n_slots
                                ? eep_placement_layer(check->old, layer)[slot]
                                : EEP_PLACEMENT_EMPTY;
    memset(check->is_staged, 0, pairs);
    memset(check->was_sent, 0, pairs);
    memset(check->n_staged, 0, migration->n_ranks * sizeof(guint));
    memset(check->most_staged, 0, migration->n_ranks * sizeof(guint));
    guint n, n_copies = migration->copy_start[layer + 1] - migration->copy_start[layer];
    eep_migration_layer(migration, layer, &n);
    if (migration->rounds[layer] == 0 && n + n_copies > 0)
        return fail(check, "%u transfers and %u copies in no round", n, n_copies);
    for (guint i = 0; i < n_copies; i++)
        if (migration->copies[migration->copy_start[layer] + i].round >= migration->rounds[layer])
            return fail(check, "a copy after the last round");
    for (guint round = 0; round < migration->rounds[layer]; round++)
        if (!run_round(check, round))
            return FALSE;
    return layer_is_done(check);
}

/* Totals against the transfers and the maps. */
static gboolean totals_add_up(const Check *check)
{
    const EepMigration *m = check->migration;
    g_autofree guint *counts = g_new0(guint, 4 * (gsize)m->n_ranks);
    guint *in = counts, *out = in + m->n_ranks, *in_nic = out + m->n_ranks;
    guint *out_nic = in_nic + m->n_ranks, n_lost = 0, n_inter = 0, n_filled = 0;
    for (guint i = 0; i < m->n_transfers; i++) {
        const EepExpertTransfer *t = &m->transfers[i];
        in[t->to_rank]++;
        if (t->from_rank < 0) {
            n_lost++;
            continue;
        }
        out[t->from_rank]++;
        if (m->ranks_per_node > 0 &&
            (guint)t->from_rank / m->ranks_per_node != (guint)t->to_rank / m->ranks_per_node) {
            n_inter++;
            in_nic[t->to_rank]++;
            out_nic[t->from_rank]++;
        }
    }
    for (guint layer = 0; layer < m->n_layers; layer++)
        for (guint slot = 0; slot < check->target->n_slots; slot++) {
            const gint32 now = slot < check->old->n_slots
                                   ? eep_placement_layer(check->old, layer)[slot]
                                   : EEP_PLACEMENT_EMPTY;
            const gint32 then = eep_placement_layer(check->target, layer)[slot];
            n_filled += then >= 0 && then != now;
        }
    if (memcmp(in, m->received, m->n_ranks * sizeof(guint)) != 0 ||
        memcmp(out, m->sent, m->n_ranks * sizeof(guint)) != 0 ||
        memcmp(in_nic, m->received_nic, m->n_ranks * sizeof(guint)) != 0 ||
        memcmp(out_nic, m->sent_nic, m->n_ranks * sizeof(guint)) != 0 || n_lost != m->n_lost ||
        n_inter != m->n_inter_node || m->n_transfers != m->n_intra_node + n_inter + n_lost ||
        n_filled != m->n_transfers + m->n_local)
        return fail(check, "the totals of all layers do not add up");
    return TRUE;
}

gboolean eep_migration_check(const EepMigration *migration, const EepPlacement *old,
                             const EepPlacement *target, GError **error)
{
    g_return_val_if_fail(migration != NULL && old != NULL && target != NULL, FALSE);
    g_return_val_if_fail(migration->n_layers == target->n_layers, FALSE);
    g_return_val_if_fail(migration->n_ranks == MAX(old->n_ranks, target->n_ranks), FALSE);
    const gsize n_ranks = migration->n_ranks, pairs = n_ranks * target->n_experts;
    const guint n_slots = migration->n_ranks * target->slots_per_rank;
    g_autofree gint32 *rows = g_new(gint32, n_slots);
    g_autofree guint8 *flags = g_new(guint8, 2 * pairs);
    g_autofree guint *counts = g_new(guint, 2 * n_ranks);
    Check check = {
        .migration = migration,
        .old = old,
        .target = target,
        .S = target->slots_per_rank,
        .E = target->n_experts,
        .n_slots = n_slots,
        .rows = rows,
        .is_staged = flags,
        .was_sent = flags + pairs,
        .n_staged = counts,
        .most_staged = counts + n_ranks,
        .error = error,
    };
    for (guint layer = 0; layer < migration->n_layers; layer++)
        if (!run_layer(&check, layer))
            return FALSE;
    return totals_add_up(&check);
}
