#include "core/eplb/placement.h"

#include <string.h>

#include "core/eplb/policy.h"

EepPlacement *eep_placement_new(guint n_layers, guint n_experts, guint n_ranks,
                                guint slots_per_rank)
{
    g_return_val_if_fail(n_layers > 0 && n_experts > 0 && n_ranks > 0 && slots_per_rank > 0, NULL);
    g_return_val_if_fail((guint64)n_ranks * slots_per_rank >= n_experts, NULL);
    g_return_val_if_fail((guint64)n_ranks * slots_per_rank <= G_MAXINT32, NULL);

    EepPlacement *placement = g_new0(EepPlacement, 1);
    placement->n_layers = n_layers;
    placement->n_experts = n_experts;
    placement->n_ranks = n_ranks;
    placement->slots_per_rank = slots_per_rank;
    placement->n_slots = n_ranks * slots_per_rank;
    placement->phy2log = g_new(gint32, (gsize)n_layers * placement->n_slots);
    placement->logcnt = g_new0(gint32, (gsize)n_layers * n_experts);
    placement->version = g_new0(guint32, n_layers);
    for (guint layer = 0; layer < n_layers; layer++) {
        gint32 *row = placement->phy2log + (gsize)layer * placement->n_slots;
        gint32 *count = placement->logcnt + (gsize)layer * n_experts;
        for (guint slot = 0; slot < placement->n_slots; slot++) {
            row[slot] = (gint32)(slot % n_experts);
            count[row[slot]]++;
        }
        placement->version[layer] = 1;
    }
    placement->generation = 1;
    return placement;
}

EepPlacement *eep_placement_copy(const EepPlacement *placement)
{
    g_return_val_if_fail(placement != NULL, NULL);
    const gsize L = placement->n_layers;
    EepPlacement *copy = g_new(EepPlacement, 1);
    *copy = *placement;
    copy->phy2log = g_memdup2(placement->phy2log, L * placement->n_slots * sizeof(gint32));
    copy->logcnt = g_memdup2(placement->logcnt, L * placement->n_experts * sizeof(gint32));
    copy->version = g_memdup2(placement->version, L * sizeof(guint32));
    return copy;
}

void eep_placement_free(EepPlacement *placement)
{
    if (!placement)
        return;
    g_free(placement->phy2log);
    g_free(placement->logcnt);
    g_free(placement->version);
    g_free(placement);
}

static void count_layer(EepPlacement *placement, guint layer)
{
    const gint32 *row = eep_placement_layer(placement, layer);
    gint32 *count = placement->logcnt + (gsize)layer * placement->n_experts;
    placement->n_missing -= eep_placement_n_missing(placement, layer);
    memset(count, 0, placement->n_experts * sizeof(gint32));
    for (guint slot = 0; slot < placement->n_slots; slot++)
        if (row[slot] >= 0)
            count[row[slot]]++;
    placement->n_missing += eep_placement_n_missing(placement, layer);
}

void eep_placement_set_layer(EepPlacement *placement, guint layer, const gint32 *phy2log)
{
    g_return_if_fail(placement != NULL && layer < placement->n_layers && phy2log != NULL);
    for (guint slot = 0; slot < placement->n_slots; slot++)
        g_return_if_fail(phy2log[slot] >= EEP_PLACEMENT_EMPTY &&
                         phy2log[slot] < (gint32)placement->n_experts);

    gint32 *row = placement->phy2log + (gsize)layer * placement->n_slots;
    const gsize size = placement->n_slots * sizeof(gint32);
    if (memcmp(row, phy2log, size) == 0)
        return;
    memcpy(row, phy2log, size);
    count_layer(placement, layer);
    placement->version[layer]++;
    placement->generation++;
}

void eep_placement_map_ranks(EepPlacement *placement, const gint32 *source, guint new_ranks)
{
    g_return_if_fail(placement != NULL && source != NULL && new_ranks > 0);
    for (guint rank = 0; rank < new_ranks; rank++)
        g_return_if_fail(source[rank] >= -1 && source[rank] < (gint32)placement->n_ranks);

    const guint S = placement->slots_per_rank;
    const guint new_slots = new_ranks * S;
    gint32 *maps = g_new(gint32, (gsize)placement->n_layers * new_slots);
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        const gint32 *old_row = eep_placement_layer(placement, layer);
        gint32 *row = maps + (gsize)layer * new_slots;
        for (guint slot = 0; slot < new_slots; slot++) {
            gint32 from = source[slot / S];
            row[slot] = from < 0 ? EEP_PLACEMENT_EMPTY : old_row[(guint)from * S + slot % S];
        }
    }
    g_free(placement->phy2log);
    placement->phy2log = maps;
    placement->n_ranks = new_ranks;
    placement->n_slots = new_slots;
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        count_layer(placement, layer);
        placement->version[layer]++;
    }
    placement->generation++;
}

gboolean eep_placement_check(const EepPlacement *placement, GError **error)
{
    g_return_val_if_fail(placement != NULL, FALSE);
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        const gint32 *count = placement->logcnt + (gsize)layer * placement->n_experts;
        for (guint expert = 0; expert < placement->n_experts; expert++) {
            if (count[expert] > 0)
                continue;
            g_set_error(error, EEP_EPLB_ERROR, EEP_EPLB_ERROR_EXPERT_LOST,
                        "layer %u: expert %u has no slot on any of %u ranks", layer, expert,
                        placement->n_ranks);
            return FALSE;
        }
    }
    return TRUE;
}

guint eep_placement_n_missing(const EepPlacement *placement, guint layer)
{
    g_return_val_if_fail(placement != NULL && layer < placement->n_layers, 0);
    const gint32 *count = placement->logcnt + (gsize)layer * placement->n_experts;
    guint n = 0;
    for (guint expert = 0; expert < placement->n_experts; expert++)
        n += count[expert] == 0;
    return n;
}

guint eep_placement_replicas(const EepPlacement *placement, guint layer, guint expert,
                             gint32 *ret_slots)
{
    g_return_val_if_fail(placement != NULL && layer < placement->n_layers, 0);
    g_return_val_if_fail(expert < placement->n_experts && ret_slots != NULL, 0);
    const gint32 *row = eep_placement_layer(placement, layer);
    guint n = 0;
    for (guint slot = 0; slot < placement->n_slots; slot++)
        if (row[slot] == (gint32)expert)
            ret_slots[n++] = (gint32)slot;
    return n;
}

static guint64 hash_word(guint64 hash, guint32 word)
{
    for (guint byte = 0; byte < 4; byte++) {
        hash ^= (word >> (8 * byte)) & 0xff;
        hash *= G_GUINT64_CONSTANT(0x100000001b3);
    }
    return hash;
}

guint64 eep_placement_hash(const EepPlacement *placement)
{
    g_return_val_if_fail(placement != NULL, 0);
    guint64 hash = G_GUINT64_CONSTANT(0xcbf29ce484222325);
    hash = hash_word(hash, placement->n_layers);
    hash = hash_word(hash, placement->n_experts);
    hash = hash_word(hash, placement->n_ranks);
    hash = hash_word(hash, placement->slots_per_rank);
    const gsize n = (gsize)placement->n_layers * placement->n_slots;
    for (gsize i = 0; i < n; i++)
        hash = hash_word(hash, (guint32)placement->phy2log[i]);
    return hash;
}

double eep_placement_layer_balancedness(const EepPlacement *placement, guint layer,
                                        const double *load, double *ret_mean, double *ret_max)
{
    g_return_val_if_fail(placement != NULL && layer < placement->n_layers && load != NULL, 0.0);
    const gint32 *row = eep_placement_layer(placement, layer);
    const gint32 *count = placement->logcnt + (gsize)layer * placement->n_experts;
    double total = 0.0, highest = 0.0;
    for (guint rank = 0; rank < placement->n_ranks; rank++) {
        double rank_load = 0.0;
        for (guint i = 0; i < placement->slots_per_rank; i++) {
            gint32 expert = row[rank * placement->slots_per_rank + i];
            if (expert >= 0)
                rank_load += load[expert] / count[expert];
        }
        total += rank_load;
        highest = MAX(highest, rank_load);
    }
    const double mean = total / placement->n_ranks;
    if (ret_mean)
        *ret_mean = mean;
    if (ret_max)
        *ret_max = highest;
    return highest > 0.0 ? mean / highest : 1.0;
}

double eep_placement_balancedness(const EepPlacement *placement, const double *load)
{
    g_return_val_if_fail(placement != NULL && load != NULL, 0.0);
    double sum_mean = 0.0, sum_max = 0.0;
    for (guint layer = 0; layer < placement->n_layers; layer++) {
        double mean, highest;
        eep_placement_layer_balancedness(
            placement, layer, load + (gsize)layer * placement->n_experts, &mean, &highest);
        sum_mean += mean;
        sum_max += highest;
    }
    return sum_max > 0.0 ? sum_mean / sum_max : 0.0;
}
