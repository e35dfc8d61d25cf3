/* EepGenerationGrid: the cells that `eep generations` was asked for, their results, and what
 * becomes of their order when an assumed constant is another.
 *
 * Cells of one step, traffic and backend are a column: they stand beside each other, and the
 * generations in it are ranked by downtime, then total, both to 10 ms. All cells draw on the costs
 * of their hardware's profile; a variation is one constant of it, one whose basis is `assumed`,
 * halved or doubled. Not what is printed (generation_tables.h). The runs go through processes of
 * their own, one a core, and do not depend on how many. Owned by its maker; one thread. */
#ifndef EEP_CLI_GENERATION_GRID_H
#define EEP_CLI_GENERATION_GRID_H

#include "cli/generation_cell.h"
#include "scenarios/scenario.h"

G_BEGIN_DECLS

/* What was asked for; an index not in `has_...` is left out. */
typedef struct {
    gboolean has_step[EEP_GENERATION_N_STEPS];
    gboolean has_traffic[EEP_GENERATION_N_TRAFFICS];
    gboolean has_backend[EEP_GENERATION_N_BACKENDS];
    const EepGeneration **generations; /* NULL-terminated, in the order of the rows */
    gboolean with_sensitivity;
    /* The idle columns, too, for the published figures alone: their nearest rows are idle ones. */
    gboolean has_published;
} EepGenerationChoice;

/* Cells [first, first + n). */
typedef struct {
    const EepGenerationStep *step;
    EepGenerationTraffic traffic;
    EepAll2allBackend backend;
    guint first, n;
    gboolean is_aside; /* not asked for: has_published */
} EepGenerationColumn;

typedef struct {
    guint setting;
    const char *key;      /* "process_launch" */
    gboolean is_doubled;  /* else halved */
    char *value;          /* what it is then, as in a profile */
    gboolean is_at_bound; /* the key's bounds allow no more */
} EepGenerationVariation;

/* In the column's own order `better` is ahead of `worse`; under the variation it is behind. Where
 * both are the same cell, it is complete without the variation and not with it. */
typedef struct {
    guint better, worse; /* cells */
    guint variation;
} EepGenerationSwap;

typedef struct {
    EepScenario *scenarios[EEP_GENERATION_N_SETTINGS]; /* as bundled; NULL: not asked for */
    GArray *cells;                                     /* EepGenerationCell */
    GArray *columns;                                   /* EepGenerationColumn */
    GArray *variations;                                /* EepGenerationVariation */
    EepGenerationResult *results; /* [1 + variations][cells], row 0 without one */
} EepGenerationGrid;

/* NULL with an error when a bundled scenario cannot be read. */
EepGenerationGrid *eep_generation_grid_new(const EepGenerationChoice *choice, GError **error);
void eep_generation_grid_free(EepGenerationGrid *grid);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepGenerationGrid, eep_generation_grid_free)

/* Runs all cells under all variations; says on a terminal how far it is. */
gboolean eep_generation_grid_run(EepGenerationGrid *grid, GError **error);

const EepGenerationCell *eep_generation_grid_cell(const EepGenerationGrid *grid, guint cell);
/* Without a variation. */
const EepGenerationResult *eep_generation_grid_result(const EepGenerationGrid *grid, guint cell);
/* The column of a step, traffic and backend that was asked for; NULL: none. */
const EepGenerationColumn *eep_generation_grid_column(const EepGenerationGrid *grid,
                                                      const EepGenerationStep *step,
                                                      EepGenerationTraffic traffic,
                                                      EepAll2allBackend backend);

/* Of two results: < 0 when a is the better one, 0 when they are equal. One that is not complete
 * comes after all that are. */
int eep_generation_compare(const EepGenerationResult *a, const EepGenerationResult *b);

/* The column's cells, best first, equal ones in the order of the rows. New array [column->n]. */
guint *eep_generation_grid_order(const EepGenerationGrid *grid, const EepGenerationColumn *column);

/* Variations of the column's setting. */
guint eep_generation_grid_n_variations(const EepGenerationGrid *grid,
                                       const EepGenerationColumn *column);

/* All swaps, by pair in the column's order, then by variation; none: its ranking survives. Swaps
 * are of cells that are complete under the variation. New array of EepGenerationSwap. */
GArray *eep_generation_grid_swaps(const EepGenerationGrid *grid, const EepGenerationColumn *column);

G_END_DECLS

#endif
