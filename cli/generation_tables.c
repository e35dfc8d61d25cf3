#include "cli/generation_tables.h"

#include "cli/generation_published.h"

#include <string.h>

#define GIB 1073741824.0

/* Of the brief tables: the longest name is a backend's, the longest figures are "37.9/37.9". */
#define BRIEF_NAME  24
#define BRIEF_WIDTH 12

static const EepGenerationSetting *setting_of(const EepGenerationColumn *column)
{
    return &eep_generation_settings[column->step->setting];
}

static const EepScenario *scenario_of(const EepGenerationGrid *grid,
                                      const EepGenerationColumn *column)
{
    return grid->scenarios[column->step->setting];
}

static const char *backend_name(EepAll2allBackend backend)
{
    return eep_all2all((gint)backend)->name;
}

/* As a ranking sees it, to 10 ms: "0", "0.31", "31.4", "240"; "-" for what did not happen. */
static char *seconds(EepTime length)
{
    double value = eep_time_to_seconds(length);

    if (length == EEP_TIME_NEVER)
        return g_strdup("-");
    return g_strdup_printf("%.*f",
                           length == 0 || value >= 100.0 ? 0
                           : value >= 10.0               ? 1
                                                         : 2,
                           value);
}

/* What stands in the place of figures that mean nothing. */
static const char *failure(const EepGenerationResult *result)
{
    if (result->outcome != EEP_OUTCOME_NONE)
        return eep_outcome_names[result->outcome];
    return result->reason[0] != '\0' ? "cannot run" : "not over in 20 min";
}

static void add_ranks(const EepGenerationGrid *grid, const EepGenerationColumn *column,
                      guint *ret_ranks)
{
    g_autofree guint *order = eep_generation_grid_order(grid, column);

    for (guint i = 0; i < column->n; i++)
        ret_ranks[order[i] - column->first] =
            i > 0 && eep_generation_compare(eep_generation_grid_result(grid, order[i - 1]),
                                            eep_generation_grid_result(grid, order[i])) == 0
                ? ret_ranks[order[i - 1] - column->first]
                : i + 1;
}

/* -- rankings under other constants ------------------------------------------------------------ */

/* Of one pair, [first, end) of swaps: "m1 before restart, but not with process_launch x2, ...". */
static void add_swap(EepScreenText *screen, const EepGenerationGrid *grid, const GArray *swaps,
                     guint first, guint end, const char *label)
{
    const EepGenerationSwap *pair = &g_array_index(swaps, EepGenerationSwap, first);
    const char *better = eep_generation_cell_name(eep_generation_grid_cell(grid, pair->better));
    const char *worse = eep_generation_cell_name(eep_generation_grid_cell(grid, pair->worse));

    eep_screen_print(screen, "%-10s%s", label, better);
    if (pair->better != pair->worse)
        eep_screen_print(screen, " before %s, but not with", worse);
    else
        eep_screen_print(screen, " does not complete with");
    for (guint i = first; i < end; i++) {
        const EepGenerationSwap *swap = &g_array_index(swaps, EepGenerationSwap, i);
        const EepGenerationVariation *variation =
            &g_array_index(grid->variations, EepGenerationVariation, swap->variation);
        if (screen->line.length + strlen(variation->key) + 5 > EEP_SCREEN_COLUMNS) {
            eep_screen_end_line(screen);
            eep_screen_print(screen, "%11s", "");
        }
        eep_screen_print(screen, " %s %s%s", variation->key, variation->is_doubled ? "x2" : "/2",
                         i + 1 < end ? "," : "");
    }
    eep_screen_end_line(screen);
}

static void add_survival(EepScreenText *screen, const EepGenerationGrid *grid,
                         const EepGenerationColumn *column, const char *label)
{
    guint n = eep_generation_grid_n_variations(grid, column) / 2, end;
    g_autoptr(GArray) swaps = eep_generation_grid_swaps(grid, column);

    if (n > 0 && swaps->len == 0) {
        eep_screen_print(screen,
                         "%-10sthe order survives each of the %u assumed constants halved and "
                         "doubled",
                         label, n);
        eep_screen_end_line(screen);
    }
    for (guint first = 0; first < swaps->len; first = end) {
        const EepGenerationSwap *pair = &g_array_index(swaps, EepGenerationSwap, first);
        for (end = first + 1; end < swaps->len; end++) {
            const EepGenerationSwap *swap = &g_array_index(swaps, EepGenerationSwap, end);
            if (swap->better != pair->better || swap->worse != pair->worse)
                break;
        }
        add_swap(screen, grid, swaps, first, end, first == 0 ? label : "");
    }
}

/* -- the tables -------------------------------------------------------------------------------- */

static void add_row(EepScreenText *screen, const EepGenerationGrid *grid, guint cell, guint rank)
{
    const EepGenerationResult *result = eep_generation_grid_result(grid, cell);
    const EepTime times[] = {result->prepare, result->stall, result->reject,       result->downtime,
                             result->settle,  result->total, result->experts_ready};
    const guint64 counts[] = {result->n_rejected, result->n_aborted, result->n_migrated};

    eep_screen_print(screen, "%3u %-13s", rank,
                     eep_generation_cell_name(eep_generation_grid_cell(grid, cell)));
    if (result->outcome != EEP_OUTCOME_COMPLETE) {
        eep_screen_print(screen, " %s%s%s", failure(result), result->reason[0] != '\0' ? ": " : "",
                         result->reason);
    } else {
        for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
            g_autofree char *time = seconds(times[i]);
            eep_screen_print(screen, "%*s", i == 0 ? 8 : 7, time);
        }
        for (guint i = 0; i < G_N_ELEMENTS(counts); i++)
            eep_screen_print(screen, "%6" G_GUINT64_FORMAT, counts[i]);
        g_autofree char *gap = seconds(result->max_gap > 0 ? result->max_gap : EEP_TIME_NEVER);
        eep_screen_print(screen, "%7s%6.2f", gap, (double)result->peak_extra_bytes / GIB);
    }
    eep_screen_end_line(screen);
}

static void add_column(EepScreenText *screen, const EepGenerationGrid *grid,
                       const EepGenerationColumn *column)
{
    g_autofree guint *ranks = g_new0(guint, column->n);

    add_ranks(grid, column, ranks);
    eep_screen_print(screen, "%s", backend_name(column->backend));
    eep_screen_end_line(screen);
    for (guint i = 0; i < column->n; i++)
        add_row(screen, grid, column->first + i, ranks[i]);
    add_survival(screen, grid, column, "    order ");
}

static char *traffic_words(const EepGenerationColumn *column)
{
    const EepGenerationSetting *setting = setting_of(column);

    switch (column->traffic) {
    case EEP_GENERATION_IDLE:
        return g_strdup("no traffic");
    case EEP_GENERATION_LIGHT:
        return g_strdup_printf("light traffic, %s: about one request in flight", setting->light);
    default:
        return g_strdup_printf("heavy traffic, %s an engine of the smaller size", setting->heavy);
    }
}

static void add_table_head(EepScreenText *screen, const EepGenerationGrid *grid,
                           const EepGenerationColumn *column)
{
    const EepScenario *scenario = scenario_of(grid, column);
    const EepGenerationSetting *setting = setting_of(column);
    g_autofree char *traffic = traffic_words(column);
    gint64 experts = scenario->model.n_routed_experts, to = column->step->to;

    eep_screen_print(
        screen,
        "DP %u -> %u | %s | %s | %" G_GINT64_FORMAT " slots a rank, refit %" G_GINT64_FORMAT,
        column->step->from, column->step->to, scenario->model.name, scenario->hardware.name,
        (experts + setting->launch_redundant) / setting->launch_engines, (experts + to - 1) / to);
    eep_screen_print(screen, "%*s", EEP_SCREEN_COLUMNS - (int)screen->line.length, "SIMULATED");
    eep_screen_end_line(screen);
    eep_screen_print(screen, "%s", traffic);
    eep_screen_end_line(screen);
    eep_screen_print(screen, "  # seconds:     prepare  stall reject   down settle  total  ready"
                             "  503s abort moved   ITL  +GiB");
    eep_screen_end_line(screen);
}

static gboolean has_cell(const EepGenerationGrid *grid,
                         gboolean (*is_it)(const EepGenerationCell *))
{
    for (guint i = 0; i < grid->cells->len; i++)
        if (is_it(eep_generation_grid_cell(grid, i)))
            return TRUE;
    return FALSE;
}

static gboolean is_refit(const EepGenerationCell *cell)
{
    return cell->refit;
}

static gboolean is_study(const EepGenerationCell *cell)
{
    return strchr(eep_generation_cell_name(cell), '*') != NULL;
}

static gboolean is_masked(const EepGenerationCell *cell)
{
    return cell->generation->has_reserve;
}

static void add_notes(EepScreenText *screen, const EepGenerationGrid *grid)
{
    static const struct {
        gboolean (*is_it)(const EepGenerationCell *);
        const char *text;
    } notes[] = {
        {is_refit, "restart refit: started with the fewest slots that hold all experts; the others "
                   "keep theirs"},
        {is_masked, "masked: the reserve is 8 engines of V2-Lite, 24 of V3, taken all the time"},
        {is_study, "* design study: nobody has built it, nothing of it has been measured"},
    };

    eep_screen_end_line(screen);
    for (guint i = 0; i < G_N_ELEMENTS(notes); i++)
        if (has_cell(grid, notes[i].is_it)) {
            eep_screen_print(screen, "%s", notes[i].text);
            eep_screen_end_line(screen);
        }
}

void eep_generation_tables_add(EepScreenText *screen, const EepGenerationGrid *grid)
{
    const EepGenerationColumn *last = NULL;

    for (guint i = 0; i < grid->columns->len; i++) {
        const EepGenerationColumn *column = &g_array_index(grid->columns, EepGenerationColumn, i);
        if (last == NULL || last->step != column->step || last->traffic != column->traffic) {
            if (last != NULL)
                eep_screen_end_line(screen);
            add_table_head(screen, grid, column);
        }
        add_column(screen, grid, column);
        last = column;
    }
    eep_screen_end_line(screen);
    eep_screen_print(screen, "down: forwards stand still or new requests get 503; ready: all "
                             "experts where they are to be;");
    eep_screen_end_line(screen);
    eep_screen_print(screen, "ITL: longest gap between two tokens; +GiB: held twice on a GPU; #: "
                             "by down, then total");
    eep_generation_published_add(screen, grid);
    add_notes(screen, grid);
}

/* -- the brief one ----------------------------------------------------------------------------- */

static void add_brief_cell(EepScreenText *screen, const EepGenerationGrid *grid,
                           const EepGenerationColumn *column, const EepGenerationCell *row)
{
    g_autofree char *text = g_strdup("-");

    for (guint i = 0; column != NULL && i < column->n; i++) {
        const EepGenerationCell *cell = eep_generation_grid_cell(grid, column->first + i);
        const EepGenerationResult *result = eep_generation_grid_result(grid, column->first + i);
        if (cell->generation != row->generation || cell->refit != row->refit)
            continue;
        g_autofree char *down = seconds(result->downtime), *total = seconds(result->total);
        g_free(text);
        text = result->outcome == EEP_OUTCOME_COMPLETE ? g_strdup_printf("%s/%s", down, total)
                                                       : g_strndup(failure(result), 11);
    }
    eep_screen_print(screen, "%*s", BRIEF_WIDTH, text);
}

static void add_brief_block(EepScreenText *screen, const EepGenerationGrid *grid,
                            const EepGenerationColumn *like)
{
    const EepGenerationColumn *columns[EEP_GENERATION_N_STEPS];
    guint n = 0;

    eep_screen_print(screen, "%-*s", BRIEF_NAME, backend_name(like->backend));
    for (guint s = 0; s < EEP_GENERATION_N_STEPS; s++) {
        columns[n] = eep_generation_grid_column(grid, &eep_generation_steps[s], like->traffic,
                                                like->backend);
        if (columns[n] == NULL)
            continue;
        g_autofree char *head =
            g_strdup_printf("%u->%u", columns[n]->step->from, columns[n]->step->to);
        eep_screen_print(screen, "%*s", BRIEF_WIDTH, head);
        n++;
    }
    eep_screen_end_line(screen);
    for (guint i = 0; i < like->n; i++) {
        const EepGenerationCell *row = eep_generation_grid_cell(grid, like->first + i);
        eep_screen_print(screen, "%-*s", BRIEF_NAME, eep_generation_cell_name(row));
        for (guint k = 0; k < n; k++)
            add_brief_cell(screen, grid, columns[k], row);
        eep_screen_end_line(screen);
    }
    for (guint k = 0; k < n; k++) {
        g_autofree char *label =
            g_strdup_printf("%u->%u", columns[k]->step->from, columns[k]->step->to);
        add_survival(screen, grid, columns[k], label);
    }
}

void eep_generation_tables_add_brief(EepScreenText *screen, const EepGenerationGrid *grid)
{
    eep_screen_print(screen, "Resizes: downtime / total, seconds%*s", EEP_SCREEN_COLUMNS - 34,
                     "SIMULATED");
    eep_screen_end_line(screen);
    for (guint s = 0; s < EEP_GENERATION_N_SETTINGS; s++)
        if (grid->scenarios[s] != NULL) {
            eep_screen_print(screen, "%s on %s, heavy traffic: %s an engine of the smaller size",
                             grid->scenarios[s]->model.name, grid->scenarios[s]->hardware.name,
                             eep_generation_settings[s].heavy);
            eep_screen_end_line(screen);
        }
    for (guint t = 0; t < EEP_GENERATION_N_TRAFFICS; t++)
        for (guint b = 0; b < EEP_GENERATION_N_BACKENDS; b++) {
            const EepGenerationColumn *first = NULL;
            for (guint s = 0; first == NULL && s < EEP_GENERATION_N_STEPS; s++)
                first =
                    eep_generation_grid_column(grid, &eep_generation_steps[s],
                                               (EepGenerationTraffic)t, eep_generation_backends[b]);
            if (first == NULL)
                continue;
            eep_screen_end_line(screen);
            add_brief_block(screen, grid, first);
        }
    eep_generation_published_add(screen, grid);
    add_notes(screen, grid);
}

/* -- JSON -------------------------------------------------------------------------------------- */

static void add_time_json(EepJson *json, const char *key, EepTime time)
{
    if (time == EEP_TIME_NEVER)
        eep_json_add_null(json, key);
    else
        eep_json_add_decimal(json, key, time, 9);
}

static void add_cell_json(EepJson *json, const EepGenerationGrid *grid, guint i, guint rank)
{
    const EepGenerationCell *cell = eep_generation_grid_cell(grid, i);
    const EepGenerationResult *result = eep_generation_grid_result(grid, i);
    const EepScenario *scenario = grid->scenarios[cell->step->setting];
    g_auto(GStrv) sets = eep_generation_cell_sets(cell, scenario->model.n_routed_experts, NULL);

    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "generation", cell->generation->name);
    eep_json_add_bool(json, "refit", cell->refit);
    eep_json_add_bool(json, "design_study", is_study(cell));
    eep_json_add_string(json, "outcome", eep_outcome_names[result->outcome]);
    eep_json_add_string(json, "reason", result->reason[0] != '\0' ? result->reason : NULL);
    eep_json_add_uint(json, "rank", rank);
    add_time_json(json, "prepare_s", result->prepare);
    add_time_json(json, "stall_s", result->stall);
    add_time_json(json, "reject_s", result->reject);
    add_time_json(json, "downtime_s", result->downtime);
    add_time_json(json, "settle_s", result->settle);
    add_time_json(json, "total_s", result->total);
    add_time_json(json, "experts_ready_s", result->experts_ready);
    eep_json_add_uint(json, "rejected", result->n_rejected);
    eep_json_add_uint(json, "aborted", result->n_aborted);
    eep_json_add_uint(json, "migrated", result->n_migrated);
    add_time_json(json, "max_itl_s", result->max_gap > 0 ? result->max_gap : EEP_TIME_NEVER);
    eep_json_add_int(json, "peak_extra_bytes", result->peak_extra_bytes);
    eep_json_add_string(json, "scenario", eep_generation_settings[cell->step->setting].scenario);
    eep_json_begin_array(json, "sets");
    for (char **set = sets; *set != NULL; set++)
        eep_json_add_string(json, NULL, *set);
    eep_json_end_array(json);
    eep_json_end_object(json);
}

static void add_swaps_json(EepJson *json, const EepGenerationGrid *grid,
                           const EepGenerationColumn *column)
{
    g_autoptr(GArray) swaps = eep_generation_grid_swaps(grid, column);

    if (eep_generation_grid_n_variations(grid, column) == 0) {
        eep_json_add_null(json, "survives");
        return;
    }
    eep_json_add_bool(json, "survives", swaps->len == 0);
    eep_json_begin_array(json, "swaps");
    for (guint i = 0; i < swaps->len; i++) {
        const EepGenerationSwap *swap = &g_array_index(swaps, EepGenerationSwap, i);
        const EepGenerationVariation *variation =
            &g_array_index(grid->variations, EepGenerationVariation, swap->variation);
        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "better",
                            eep_generation_cell_name(eep_generation_grid_cell(grid, swap->better)));
        eep_json_add_string(
            json, "worse",
            swap->worse != swap->better
                ? eep_generation_cell_name(eep_generation_grid_cell(grid, swap->worse))
                : NULL);
        eep_json_add_string(json, "constant", variation->key);
        eep_json_add_double(json, "factor", variation->is_doubled ? 2.0 : 0.5, 0);
        eep_json_add_string(json, "value", variation->value);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
}

static void add_column_json(EepJson *json, const EepGenerationGrid *grid,
                            const EepGenerationColumn *column)
{
    const EepScenario *scenario = scenario_of(grid, column);
    g_autofree guint *ranks = g_new0(guint, column->n);

    add_ranks(grid, column, ranks);
    eep_json_begin_object(json, NULL);
    eep_json_add_uint(json, "from", column->step->from);
    eep_json_add_uint(json, "to", column->step->to);
    eep_json_add_string(json, "traffic", eep_generation_traffics[column->traffic]);
    eep_json_add_string(json, "all2all_backend", backend_name(column->backend));
    eep_json_add_string(json, "model", scenario->model.name);
    eep_json_add_string(json, "hardware", scenario->hardware.name);
    eep_json_begin_array(json, "cells");
    for (guint i = 0; i < column->n; i++)
        add_cell_json(json, grid, column->first + i, ranks[i]);
    eep_json_end_array(json);
    add_swaps_json(json, grid, column);
    eep_json_end_object(json);
}

void eep_generation_tables_add_json(EepJson *json, const EepGenerationGrid *grid)
{
    eep_json_begin_object(json, NULL);
    eep_json_add_bool(json, "simulated", TRUE);
    eep_json_begin_array(json, "columns");
    for (guint i = 0; i < grid->columns->len; i++)
        add_column_json(json, grid, &g_array_index(grid->columns, EepGenerationColumn, i));
    eep_json_end_array(json);
    eep_json_begin_array(json, "variations");
    for (guint i = 0; i < grid->variations->len; i++) {
        const EepGenerationVariation *variation =
            &g_array_index(grid->variations, EepGenerationVariation, i);
        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "hardware", grid->scenarios[variation->setting]->hardware.name);
        eep_json_add_string(json, "constant", variation->key);
        eep_json_add_double(json, "factor", variation->is_doubled ? 2.0 : 0.5, 0);
        eep_json_add_string(json, "value", variation->value);
        eep_json_add_bool(json, "at_bound", variation->is_at_bound);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
    eep_generation_published_add_json(json, grid);
    eep_json_end_object(json);
}
