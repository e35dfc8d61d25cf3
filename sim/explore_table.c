#include "sim/explore_table.h"

#define FIRST_PLACES 65536u
#define MARKS        3u

void eep_explore_table_init(EepExploreTable *table, guint64 max_bytes)
{
    *table = (EepExploreTable){.entries = g_new0(EepExploreHash, FIRST_PLACES),
                               .mask = FIRST_PLACES - 1,
                               .max_bytes = max_bytes};
}

void eep_explore_table_clear(EepExploreTable *table)
{
    g_free(table->entries);
    *table = (EepExploreTable){0};
}

guint64 eep_explore_table_bytes(const EepExploreTable *table)
{
    return (table->mask + 1) * sizeof *table->entries;
}

/* The place of the state, or the empty one where it belongs. */
static EepExploreHash *find(const EepExploreTable *table, EepExploreHash hash)
{
    guint64 place = hash.high & table->mask;

    for (;;) {
        EepExploreHash *entry = &table->entries[place];

        if (entry->low == 0 ||
            (entry->high == hash.high && (entry->low & ~(guint64)MARKS) == hash.low))
            return entry;
        place = (place + 1) & table->mask;
    }
}

/* Both tables exist for a moment, so both count. */
static gboolean grow(EepExploreTable *table)
{
    EepExploreTable larger = *table;

    larger.mask = 2 * table->mask + 1;
    if (eep_explore_table_bytes(&larger) + eep_explore_table_bytes(table) > table->max_bytes)
        return FALSE;
    larger.entries = g_try_new0(EepExploreHash, larger.mask + 1);
    if (larger.entries == NULL)
        return FALSE;
    for (guint64 i = 0; i <= table->mask; i++) {
        EepExploreHash entry = table->entries[i], name = entry;

        name.low &= ~(guint64)MARKS;
        if (entry.low != 0)
            *find(&larger, name) = entry;
    }
    g_free(table->entries);
    *table = larger;
    return TRUE;
}

gboolean eep_explore_table_mark(EepExploreTable *table, EepExploreHash hash, guint marks,
                                guint *ret_before)
{
    EepExploreHash *entry = find(table, hash);

    *ret_before = (guint)(entry->low & MARKS);
    if (entry->low == 0) {
        /* Nine places of ten at most: a search then looks at a few of them. */
        if (10 * (table->n_entries + 1) > 9 * (table->mask + 1) ||
            (2 * (table->n_entries + 1) > table->mask + 1 && grow(table))) {
            if (10 * (table->n_entries + 1) > 9 * (table->mask + 1))
                return FALSE;
            entry = find(table, hash);
        }
        *entry = hash;
        table->n_entries++;
    }
    table->n_visited += (marks & ~*ret_before & EEP_EXPLORE_VISITED) != 0;
    entry->low |= marks;
    return TRUE;
}

guint eep_explore_table_marks(const EepExploreTable *table, EepExploreHash hash)
{
    return (guint)(find(table, hash)->low & MARKS);
}
