#include "cli/generation_published.h"

#include <string.h>

typedef struct {
    const char *generation, *step; /* of the nearest cell */
    const char *what, *source, *known;
    double seconds;
    gboolean is_downtime; /* else from the request until the new size serves */
} Figure;

static const Figure figures[] = {
    {"m1", "4-5", "4 to 5, blocked", "vllm #20775", "model, hardware, traffic unknown", 55, TRUE},
    {"m1", "5-4", "5 to 4, blocked", "vllm #20775", "model, hardware, traffic unknown", 40, TRUE},
    {"g1", "4-8", "up", "vllm #43788", "V2-Lite, 8 H20; sizes, graphs unknown", 31, FALSE},
    {"g1", "8-4", "down", "vllm #43788", "V2-Lite, 8 H20; sizes, graphs unknown", 7, FALSE},
    {"masked", "4-8", "a resize", "vllm #43788", "prototype, 8 GPUs; sizes unknown", 4, FALSE},
    {"masked", "8-4", "a resize", "vllm #44994", "prototype, 8 GPUs; sizes unknown", 3, FALSE},
    {"g2.1", "4-5", "2 to 3", "vllm #53947", "V2-Lite, H200; with the start of pods", 33, FALSE},
};

/* The cell with the least traffic that was asked for, and the backend of the time where there is a
 * choice; -1: none. */
static gint nearest_cell(const Figure *figure, const EepGenerationGrid *grid)
{
    for (guint t = 0; t < EEP_GENERATION_N_TRAFFICS; t++)
        for (guint b = EEP_GENERATION_N_BACKENDS; b-- > 0;)
            for (guint i = 0; i < grid->cells->len; i++) {
                const EepGenerationCell *cell = eep_generation_grid_cell(grid, i);
                if (cell->traffic == (EepGenerationTraffic)t &&
                    cell->backend == eep_generation_backends[b] &&
                    strcmp(cell->step->name, figure->step) == 0 &&
                    strcmp(cell->generation->name, figure->generation) == 0 &&
                    eep_generation_grid_result(grid, i)->outcome == EEP_OUTCOME_COMPLETE)
                    return (gint)i;
            }
    return -1;
}

static double seconds_of(const Figure *figure, const EepGenerationResult *result)
{
    return eep_time_to_seconds(figure->is_downtime ? result->downtime
                                                   : result->total - result->settle);
}

void eep_generation_published_add(EepScreenText *screen, const EepGenerationGrid *grid)
{
    gboolean has_head = FALSE;

    for (guint i = 0; i < G_N_ELEMENTS(figures); i++) {
        const Figure *figure = &figures[i];
        gint nearest = nearest_cell(figure, grid);
        if (nearest < 0)
            continue;
        const EepGenerationCell *cell = eep_generation_grid_cell(grid, (guint)nearest);
        g_autofree char *here =
            eep_screen_figure(seconds_of(figure, eep_generation_grid_result(grid, (guint)nearest)));
        if (!has_head) {
            eep_screen_end_line(screen);
            eep_screen_print(screen,
                             "Published, s              here  (%s traffic; of m1 downtime, "
                             "else until the new size serves)",
                             eep_generation_traffics[cell->traffic]);
            eep_screen_end_line(screen);
        }
        has_head = TRUE;
        eep_screen_print(screen, "%-7s%-16s%3.0f%7s  %u->%u %-9.9s %s: %s", figure->generation,
                         figure->what, figure->seconds, here, cell->step->from, cell->step->to,
                         eep_all2all((gint)cell->backend)->name, figure->source, figure->known);
        eep_screen_end_line(screen);
    }
}

void eep_generation_published_add_json(EepJson *json, const EepGenerationGrid *grid)
{
    eep_json_begin_array(json, "published");
    for (guint i = 0; i < G_N_ELEMENTS(figures); i++) {
        const Figure *figure = &figures[i];
        gint nearest = nearest_cell(figure, grid);
        if (nearest < 0)
            continue;
        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "generation", figure->generation);
        eep_json_add_string(json, "what", figure->what);
        eep_json_add_double(json, "seconds", figure->seconds, 0);
        eep_json_add_string(json, "known", figure->known);
        eep_json_add_string(json, "source", figure->source);
        eep_json_add_string(json, "compared", figure->is_downtime ? "downtime" : "until_serving");
        const EepGenerationCell *cell = eep_generation_grid_cell(grid, (guint)nearest);
        eep_json_add_string(json, "nearest_step", cell->step->name);
        eep_json_add_string(json, "nearest_traffic", eep_generation_traffics[cell->traffic]);
        eep_json_add_string(json, "nearest_all2all_backend",
                            eep_all2all((gint)cell->backend)->name);
        eep_json_add_double(json, "here_s",
                            seconds_of(figure, eep_generation_grid_result(grid, (guint)nearest)),
                            6);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
}
