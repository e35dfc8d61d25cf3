#include "cli/generation_grid.h"

#include "cli/command.h"
#include "cli/data.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RANK_STEP (10 * EEP_NS_PER_MS)

/* -- which cells ------------------------------------------------------------------------------- */

static void add_column(EepGenerationGrid *grid, const EepGenerationChoice *choice,
                       const EepGenerationCell *like)
{
    EepGenerationColumn column = {like->step,
                                  like->traffic,
                                  like->backend,
                                  grid->cells->len,
                                  0,
                                  !choice->has_traffic[like->traffic]};

    for (guint g = 0; choice->generations[g] != NULL; g++) {
        EepGenerationCell cell = *like;
        cell.generation = choice->generations[g];
        if (!eep_generation_allows(cell.generation, eep_all2all((gint)cell.backend)))
            continue;
        g_array_append_val(grid->cells, cell);
        if (cell.generation->replaces_all) {
            cell.refit = TRUE;
            g_array_append_val(grid->cells, cell);
        }
    }
    column.n = grid->cells->len - column.first;
    if (column.n > 0)
        g_array_append_val(grid->columns, column);
}

static gboolean wants(const EepGenerationChoice *choice, guint traffic)
{
    return choice->has_traffic[traffic] ||
           (choice->has_published && traffic == EEP_GENERATION_IDLE);
}

static void add_columns(EepGenerationGrid *grid, const EepGenerationChoice *choice)
{
    for (guint s = 0; s < EEP_GENERATION_N_STEPS; s++)
        for (guint t = 0; choice->has_step[s] && t < EEP_GENERATION_N_TRAFFICS; t++)
            for (guint b = 0; wants(choice, t) && b < EEP_GENERATION_N_BACKENDS; b++) {
                const EepGenerationCell like = {.step = &eep_generation_steps[s],
                                                .traffic = (EepGenerationTraffic)t,
                                                .backend = eep_generation_backends[b]};
                if (choice->has_backend[b])
                    add_column(grid, choice, &like);
            }
}

/* -- variations -------------------------------------------------------------------------------- */

/* The figure times `factor`, within the key's bounds. */
static char *vary(const EepOption *option, const EepHardware *hardware, double factor,
                  gboolean *ret_is_at_bound)
{
    EepHardware changed = *hardware;
    gpointer at = (guint8 *)&changed + option->offset;
    gboolean is_whole = option->type == EEP_OPTION_INT || option->type == EEP_OPTION_TIME ||
                        option->type == EEP_OPTION_BYTES;
    double value = factor * (is_whole ? (double)*(gint64 *)at : *(double *)at);

    *ret_is_at_bound = option->min <= option->max && (value < option->min || value > option->max);
    if (*ret_is_at_bound)
        value = CLAMP(value, option->min, option->max);
    if (is_whole)
        *(gint64 *)at = (gint64)value;
    else
        *(double *)at = value;
    return eep_option_format(option, &changed);
}

static void add_variations(EepGenerationGrid *grid, guint setting)
{
    const EepScenario *scenario = grid->scenarios[setting];
    const EepOptionTable *table = scenario->hardware_profile->kind->table;

    for (guint i = 0; i < table->n_options; i++) {
        const EepOption *option = &table->options[i];
        const EepProfileFigure *figure = &scenario->hardware_profile->figures[i];
        gboolean is_number = option->type != EEP_OPTION_STRING && option->type != EEP_OPTION_PATH &&
                             option->type != EEP_OPTION_BOOL && option->type != EEP_OPTION_WORD;

        if (!is_number || !figure->given || figure->basis != EEP_BASIS_ASSUMED)
            continue;
        for (guint doubled = 0; doubled < 2; doubled++) {
            EepGenerationVariation variation = {
                .setting = setting, .key = option->key, .is_doubled = (gboolean)doubled};
            variation.value =
                vary(option, &scenario->hardware, doubled ? 2.0 : 0.5, &variation.is_at_bound);
            g_array_append_val(grid->variations, variation);
        }
    }
}

static void clear_variation(gpointer data)
{
    EepGenerationVariation *variation = data;

    g_free(variation->value);
}

EepGenerationGrid *eep_generation_grid_new(const EepGenerationChoice *choice, GError **error)
{
    g_autoptr(EepGenerationGrid) grid = g_new0(EepGenerationGrid, 1);

    grid->cells = g_array_new(FALSE, FALSE, sizeof(EepGenerationCell));
    grid->columns = g_array_new(FALSE, FALSE, sizeof(EepGenerationColumn));
    grid->variations = g_array_new(FALSE, FALSE, sizeof(EepGenerationVariation));
    g_array_set_clear_func(grid->variations, clear_variation);
    add_columns(grid, choice);
    for (guint i = 0; i < grid->columns->len; i++) {
        guint setting = g_array_index(grid->columns, EepGenerationColumn, i).step->setting;
        if (grid->scenarios[setting] != NULL)
            continue;
        g_autofree char *path =
            eep_data_find_bundled(eep_generation_settings[setting].scenario, error);
        if (path == NULL)
            return NULL;
        grid->scenarios[setting] =
            eep_scenario_load(path, eep_data_scenario_folders(), NULL, -1, error);
        if (grid->scenarios[setting] == NULL)
            return NULL;
        if (choice->with_sensitivity)
            add_variations(grid, setting);
    }
    grid->results = g_new0(EepGenerationResult, grid->cells->len * (1 + grid->variations->len));
    return g_steal_pointer(&grid);
}

void eep_generation_grid_free(EepGenerationGrid *grid)
{
    if (grid == NULL)
        return;
    for (guint i = 0; i < EEP_GENERATION_N_SETTINGS; i++)
        eep_scenario_free(grid->scenarios[i]);
    g_array_free(grid->cells, TRUE);
    g_array_free(grid->columns, TRUE);
    g_array_free(grid->variations, TRUE);
    g_free(grid->results);
    g_free(grid);
}

/* -- running ----------------------------------------------------------------------------------- */

/* What a process has done, in one write(), which no other's can part. */
typedef struct {
    guint result;
    EepGenerationResult value;
} Message;

G_STATIC_ASSERT(sizeof(Message) <= PIPE_BUF);

static void run_one(const EepGenerationGrid *grid, guint result, EepGenerationResult *ret)
{
    const EepGenerationCell *cell = eep_generation_grid_cell(grid, result % grid->cells->len);
    const EepScenario *scenario = grid->scenarios[cell->step->setting];
    guint row = result / grid->cells->len;
    g_autofree char *constant = NULL;

    if (row > 0) {
        const EepGenerationVariation *variation =
            &g_array_index(grid->variations, EepGenerationVariation, row - 1);
        constant = g_strdup_printf("hardware.%s=%s", variation->key, variation->value);
    }
    eep_generation_cell_run(cell, scenario->model.n_routed_experts, constant, ret);
}

/* Results that there are to get: a variation is of one setting. New array of guint. */
static GArray *list_runs(const EepGenerationGrid *grid)
{
    GArray *runs = g_array_new(FALSE, FALSE, sizeof(guint));

    for (guint row = 0; row <= grid->variations->len; row++)
        for (guint c = 0; c < grid->columns->len; c++) {
            const EepGenerationColumn *column =
                &g_array_index(grid->columns, EepGenerationColumn, c);
            if (row > 0 &&
                (column->is_aside ||
                 g_array_index(grid->variations, EepGenerationVariation, row - 1).setting !=
                     column->step->setting))
                continue;
            for (guint i = 0; i < column->n; i++) {
                guint result = row * grid->cells->len + column->first + i;
                g_array_append_val(runs, result);
            }
        }
    return runs;
}

static void work(const EepGenerationGrid *grid, const GArray *runs, guint worker, guint n_workers,
                 int out)
{
    for (guint i = worker; i < runs->len; i += n_workers) {
        Message message = {.result = g_array_index(runs, guint, i)};
        run_one(grid, message.result, &message.value);
        if (write(out, &message, sizeof message) != (gssize)sizeof message)
            _exit(EEP_EXIT_FAILED);
    }
    _exit(EEP_EXIT_DONE);
}

/* FALSE at the end of the pipe. */
static gboolean read_message(int in, Message *ret)
{
    gsize n = 0;

    while (n < sizeof *ret) {
        gssize more = read(in, (char *)ret + n, sizeof *ret - n);
        if (more > 0)
            n += (gsize)more;
        else if (more == 0 || errno != EINTR)
            return FALSE;
    }
    return TRUE;
}

static guint collect(EepGenerationGrid *grid, int in, guint n_runs)
{
    gboolean shows_progress = isatty(STDERR_FILENO);
    gint64 shown_us = g_get_monotonic_time();
    guint n = 0;
    Message message;

    for (; read_message(in, &message); n++) {
        grid->results[message.result] = message.value;
        if (!shows_progress || g_get_monotonic_time() - shown_us < 200000)
            continue;
        shown_us = g_get_monotonic_time();
        fprintf(stderr, "\r%u of %u runs ", n + 1, n_runs);
        fflush(stderr);
    }
    if (shows_progress)
        fprintf(stderr, "\r%40s\r", "");
    return n;
}

gboolean eep_generation_grid_run(EepGenerationGrid *grid, GError **error)
{
    g_autoptr(GArray) runs = list_runs(grid);
    guint n_workers = MIN(g_get_num_processors(), MAX(runs->len, 1)), n_done = 0, n_forked = 0;
    g_autofree pid_t *workers = g_new0(pid_t, n_workers);
    int ends[2];

    if (pipe(ends) == 0) {
        for (; n_forked < n_workers; n_forked++) {
            workers[n_forked] = fork();
            if (workers[n_forked] < 0)
                break;
            if (workers[n_forked] == 0) {
                close(ends[0]);
                work(grid, runs, n_forked, n_workers, ends[1]);
            }
        }
        close(ends[1]);
        n_done = collect(grid, ends[0], runs->len);
        close(ends[0]);
        for (guint i = 0; i < n_forked; i++)
            waitpid(workers[i], NULL, 0);
    }
    if (n_done < runs->len)
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_FAILED,
                    "only %u of %u runs could be done: a process could not be started or has ended",
                    n_done, runs->len);
    return n_done == runs->len;
}

/* -- what came of it --------------------------------------------------------------------------- */

const EepGenerationCell *eep_generation_grid_cell(const EepGenerationGrid *grid, guint cell)
{
    return &g_array_index(grid->cells, EepGenerationCell, cell);
}

const EepGenerationResult *eep_generation_grid_result(const EepGenerationGrid *grid, guint cell)
{
    return &grid->results[cell];
}

const EepGenerationColumn *eep_generation_grid_column(const EepGenerationGrid *grid,
                                                      const EepGenerationStep *step,
                                                      EepGenerationTraffic traffic,
                                                      EepAll2allBackend backend)
{
    for (guint i = 0; i < grid->columns->len; i++) {
        const EepGenerationColumn *column = &g_array_index(grid->columns, EepGenerationColumn, i);
        if (!column->is_aside && column->step == step && column->traffic == traffic &&
            column->backend == backend)
            return column;
    }
    return NULL;
}

static int compare_times(EepTime a, EepTime b)
{
    EepTime x = (a + RANK_STEP / 2) / RANK_STEP, y = (b + RANK_STEP / 2) / RANK_STEP;

    return (x > y) - (x < y);
}

int eep_generation_compare(const EepGenerationResult *a, const EepGenerationResult *b)
{
    gboolean a_is_done = a->outcome == EEP_OUTCOME_COMPLETE,
             b_is_done = b->outcome == EEP_OUTCOME_COMPLETE;

    if (!a_is_done || !b_is_done)
        return b_is_done - a_is_done;
    int by_downtime = compare_times(a->downtime, b->downtime);
    return by_downtime != 0 ? by_downtime : compare_times(a->total, b->total);
}

guint *eep_generation_grid_order(const EepGenerationGrid *grid, const EepGenerationColumn *column)
{
    guint *order = g_new(guint, column->n);

    /* Insertion keeps equal ones as they are. */
    for (guint i = 0; i < column->n; i++) {
        guint cell = column->first + i, at = i;
        for (; at > 0 &&
               eep_generation_compare(&grid->results[cell], &grid->results[order[at - 1]]) < 0;
             at--)
            order[at] = order[at - 1];
        order[at] = cell;
    }
    return order;
}

guint eep_generation_grid_n_variations(const EepGenerationGrid *grid,
                                       const EepGenerationColumn *column)
{
    guint n = 0;

    for (guint i = 0; i < grid->variations->len; i++)
        n += g_array_index(grid->variations, EepGenerationVariation, i).setting ==
             column->step->setting;
    return n;
}

static gboolean has_lost(const EepGenerationResult *base, const EepGenerationResult *varied)
{
    return base->outcome == EEP_OUTCOME_COMPLETE && varied->outcome != EEP_OUTCOME_COMPLETE;
}

static gboolean have_swapped(const EepGenerationGrid *grid, const EepGenerationResult *varied,
                             guint better, guint worse)
{
    const EepGenerationResult *base = grid->results;

    if (better == worse)
        return has_lost(&base[better], &varied[better]);
    return eep_generation_compare(&base[better], &base[worse]) < 0 &&
           !has_lost(&base[better], &varied[better]) && !has_lost(&base[worse], &varied[worse]) &&
           eep_generation_compare(&varied[better], &varied[worse]) > 0;
}

static void add_swaps_of(const EepGenerationGrid *grid, const EepGenerationColumn *column,
                         guint better, guint worse, GArray *swaps)
{
    for (guint v = 0; v < grid->variations->len; v++) {
        const EepGenerationVariation *variation =
            &g_array_index(grid->variations, EepGenerationVariation, v);
        const EepGenerationResult *varied = grid->results + (gsize)(v + 1) * grid->cells->len;
        const EepGenerationSwap swap = {better, worse, v};
        if (variation->setting == column->step->setting &&
            have_swapped(grid, varied, better, worse))
            g_array_append_val(swaps, swap);
    }
}

GArray *eep_generation_grid_swaps(const EepGenerationGrid *grid, const EepGenerationColumn *column)
{
    g_autofree guint *order = eep_generation_grid_order(grid, column);
    GArray *swaps = g_array_new(FALSE, FALSE, sizeof(EepGenerationSwap));

    for (guint i = 0; i < column->n; i++)
        for (guint k = i; k < column->n; k++)
            add_swaps_of(grid, column, order[i], order[k], swaps);
    return swaps;
}
