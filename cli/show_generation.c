/* eep show generation and eep show recovery: rows of core/resize/generation.c, and what they mean
 * for requests, memory and failures. Everything here is derived from the tables that the machine
 * runs. */
#include "cli/catalogue.h"
#include "cli/command.h"
#include "cli/generation_cell.h"
#include "core/resize/generation.h"

#include <string.h>

/* What a row needs of the deployment, "a, b"; new string, empty for a row that is always there. */
static char *when_text(guint when)
{
    static const struct {
        EepWhen bit;
        const char *text;
    } texts[] = {
        {EEP_WHEN_FROM_PEER, "weights_from: peer"},
        {EEP_WHEN_FROM_DISK, "weights_from: disk"},
        {EEP_WHEN_FROM_CACHE, "weights_from: page_cache"},
        {EEP_WHEN_ASYNC_EPLB, "use_async: true"},
        {EEP_WHEN_SYNC_EPLB, "use_async: false"},
        {EEP_WHEN_GRAPHS, "CUDA graphs"},
        {EEP_WHEN_REUSE, "nixl_ep"},
        {EEP_WHEN_RECAPTURE, "not nixl_ep"},
    };
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        if ((when & texts[i].bit) != 0)
            g_string_append_printf(text, "%s%s", text->len > 0 ? ", " : "", texts[i].text);
    return g_string_free(text, FALSE);
}

static const char *forwards_text(const EepGenerationRow *row)
{
    if (!row->blocks)
        return row->in_background ? "go on, aside" : "go on";
    return row->is_staged ? "stop, barrier" : "stop";
}

static const char *bytes_text(const EepGenerationRow *row)
{
    static const char *const texts[] = {
        [EEP_BYTES_NONE] = "",
        [EEP_BYTES_NON_EXPERT] = "non-expert weights",
        [EEP_BYTES_ALL_WEIGHTS] = "all weights",
        [EEP_BYTES_MAP] = "expert map",
    };
    return texts[row->bytes];
}

static void add_row(const EepGenerationRow *row, gboolean is_up, EepText *text, EepJson *json)
{
    const char *who = eep_who_name(row->who, is_up);
    g_autofree char *when = when_text(row->when);
    g_autofree char *line = g_strdup_printf(
        "  %-9s %-18s %-10s %-13s %-18s %s", eep_stage_names[row->stage],
        eep_generation_row_name(row), who, forwards_text(row), bytes_text(row), when);

    eep_command_add_line(text, "%s", g_strchomp(line));
    eep_json_begin_object(json, NULL);
    eep_json_add_string(json, "stage", eep_stage_names[row->stage]);
    eep_json_add_string(json, "what", eep_generation_row_name(row));
    eep_json_add_string(json, "who", who);
    eep_json_add_bool(json, "blocks", row->blocks);
    eep_json_add_bool(json, "in_background", row->in_background);
    eep_json_add_bool(json, "is_staged", row->is_staged);
    eep_json_add_string(json, "moves", row->bytes == EEP_BYTES_NONE ? NULL : bytes_text(row));
    eep_json_add_string(json, "only_with", row->when == EEP_WHEN_ALWAYS ? NULL : when);
    eep_json_end_object(json);
}

static void add_plan(const char *key, const char *title, const EepGenerationPlan *plan,
                     gboolean is_up, EepText *text, EepJson *json)
{
    eep_command_add_line(text, "\n%s", title);
    eep_command_add_line(text, "  %-9s %-18s %-10s %-13s %-18s %s", "stage", "what", "who",
                         "forwards", "moves", "only with");
    eep_json_begin_array(json, key);
    for (guint i = 0; i < plan->n_rows; i++)
        add_row(&plan->rows[i], is_up, text, json);
    eep_json_end_array(json);
}

static void add_fact(const char *key, const char *words, const char *fact, EepText *text,
                     EepJson *json)
{
    eep_command_add_line(text, "%-17s %s", words, fact);
    eep_json_add_string(json, key, fact);
}

static const EepGenerationRow *find_row(const EepGenerationPlan *plan, EepAct act,
                                        EepPhaseKind kind)
{
    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].act == act && (act != EEP_ACT_PHASE || plan->rows[i].kind == kind))
            return &plan->rows[i];
    return NULL;
}

static gboolean stands_still_while_it_prepares(const EepGenerationPlan *plan)
{
    for (guint i = 0; i < plan->n_rows; i++)
        if (plan->rows[i].stage == EEP_STAGE_PREPARE && plan->rows[i].blocks)
            return TRUE;
    return FALSE;
}

/* -- what requests see, what is held, what a failure leaves --------------------------------------
 */

static const char *needs_text(const EepGeneration *generation)
{
    if (!generation->needs_elastic)
        return "nothing";
    switch (generation->needs) {
    case EEP_NEEDS_REUSE:
        return "enable_elastic_ep, no enable_dbo, graphs that outlive a change of ranks";
    case EEP_NEEDS_MASK:
        return "enable_elastic_ep, no enable_dbo, ranks that can be masked";
    default:
        return "enable_elastic_ep, no enable_dbo";
    }
}

static void add_backends(const EepGeneration *generation, EepText *text, EepJson *json)
{
    GString *line = g_string_new(NULL);
    gsize begin = 0;

    eep_json_begin_array(json, "all2all_backends");
    for (gint i = 0; i < EEP_ALL2ALL_COUNT; i++) {
        const EepAll2all *backend = eep_all2all(i);
        if (!eep_generation_allows(generation, backend))
            continue;
        if (line->len - begin + strlen(backend->name) > 78) {
            g_string_append_printf(line, ",\n%-17s ", "");
            begin = line->len;
        } else if (line->len > 0) {
            g_string_append(line, ", ");
        }
        g_string_append(line, backend->name);
        eep_json_add_string(json, NULL, backend->name);
    }
    eep_json_end_array(json);
    eep_command_add_line(text, "%-17s %s", "backends", line->str);
    g_string_free(line, TRUE);
}

static const char *graphs_text(const EepGeneration *generation)
{
    const EepGenerationPlan *plans[] = {&generation->up, &generation->down};

    for (guint i = 0; i < G_N_ELEMENTS(plans); i++)
        for (guint j = 0; j < plans[i]->n_rows; j++)
            if (plans[i]->rows[j].when & (EEP_WHEN_REUSE | EEP_WHEN_RECAPTURE))
                return "kept with nixl_ep; with others captured again while forwards stand still";
    return find_row(&generation->up, EEP_ACT_PHASE, EEP_PHASE_GRAPH_CAPTURE) != NULL
               ? "captured again while forwards stand still"
               : "kept";
}

static const char *standstill_text(const EepGeneration *generation)
{
    if (generation->replaces_all)
        return "engines stop where they are, and end";
    if (generation->pauses)
        return generation->agrees_each_step ? "by a consensus in any step, once"
                                            : "by the consensus of every 32nd step, once";
    return stands_still_while_it_prepares(&generation->up) ? "stage by stage, between two steps"
                                                           : "between two steps, once";
}

static const char *new_requests_text(const EepGeneration *generation)
{
    static const char *const texts[] = {
        [EEP_REFUSES_COMMIT] = "503 from the drain to the resume",
        [EEP_REFUSES_WHOLE] = "503 from the request to the resume",
        [EEP_REFUSES_NEVER] = "wait in the engines' queues, never 503",
    };
    return texts[generation->refuses];
}

static const char *running_requests_text(const EepGeneration *generation)
{
    if (generation->replaces_all)
        return "aborted with their engines";
    if (generation->drains_all)
        return "run to their ends before anything stands still";
    if (stands_still_while_it_prepares(&generation->up))
        return "frozen in each stage that stands still, served between them; KV is kept";
    return "served while it prepares, then frozen; KV is kept";
}

static const char *leaving_text(const EepGeneration *generation)
{
    if (generation->replaces_all)
        return "all engines";
    if (generation->keeps_requests)
        return "those that lose least; their requests end, or move with their KV";
    return find_row(&generation->down, EEP_ACT_DRAIN, EEP_PHASE_LAUNCH) != NULL
               ? "the highest ranks; what does not end in leaving_drain is aborted"
               : "the highest ranks; their requests are aborted";
}

static const char *memory_text(const EepGeneration *generation)
{
    const EepGenerationRow *groups =
        find_row(&generation->up, EEP_ACT_PHASE, EEP_PHASE_STANDBY_GROUPS);

    if (generation->has_reserve)
        return "GPUs of the reserve, weights of masked engines in host memory";
    if (generation->replaces_all || groups == NULL ||
        find_row(&generation->up, EEP_ACT_PHASE, EEP_PHASE_RETIRE_GROUPS) == NULL)
        return "nothing";
    return generation->rolls_back ? "communication groups, and graphs that are captured again, "
                                    "until the old ones go"
                                  : "communication groups, until the old ones are retired";
}

static const char *failure_text(const EepGeneration *generation)
{
    if (generation->replaces_all)
        return "no way back: it stays down";
    if (generation->rolls_back)
        return "back to the old size until the group is adopted, nothing lost";
    return generation->clears_503 ? "no way back: stuck between two sizes, the 503 is cleared"
                                  : "no way back: stuck between two sizes, a 503 stays";
}

static void add_facts(const EepGeneration *generation, EepText *text, EepJson *json)
{
    add_fact("source", "source", generation->source, text, json);
    add_fact("needs", "needs", needs_text(generation), text, json);
    add_backends(generation, text, json);
    add_fact("graphs", "CUDA graphs", graphs_text(generation), text, json);
    add_fact("standstill", "standstill", standstill_text(generation), text, json);
    add_fact("new_requests", "new requests", new_requests_text(generation), text, json);
    add_fact("running_requests", "running requests", running_requests_text(generation), text, json);
    add_fact("leaving", "who leaves", leaving_text(generation), text, json);
    add_fact("held_twice", "held twice", memory_text(generation), text, json);
    add_fact("failure", "failure", failure_text(generation), text, json);
    add_fact("newer_resize", "newer resize",
             generation->rolls_back ? "queued, refused or takes its place (on_busy)"
                                    : "queued or refused (on_busy)",
             text, json);
    eep_json_add_bool(json, "needs_elastic_ep", generation->needs_elastic);
    eep_json_add_bool(json, "replaces_all", generation->replaces_all);
    eep_json_add_bool(json, "rolls_back", generation->rolls_back);
    eep_json_add_bool(json, "is_design_study", strcmp(generation->name, "eep") == 0);
}

gboolean eep_show_generation(const char *name, EepText *text, EepJson *json, GError **error)
{
    const EepGeneration *generation = eep_generation_find(name);

    eep_command_add_line(text, "%s - %s", generation->name, generation->help);
    eep_json_add_string(json, "help", generation->help);
    add_facts(generation, text, json);
    add_plan("up", "growing", &generation->up, TRUE, text, json);
    add_plan("down", "shrinking", &generation->down, FALSE, text, json);
    eep_command_add_line(text, "\nafter a lost engine");
    eep_json_begin_object(json, "recoveries");
    for (gint i = 0; i < EEP_RECOVERY_COUNT; i++) {
        const char *status = eep_recovery_status(generation, (EepRecovery)i);
        eep_command_add_line(text, "  %-9s %s", eep_recovery_names[i], status);
        eep_json_add_string(json, eep_recovery_names[i], status);
    }
    eep_json_end_object(json);
    return TRUE;
}

const char *eep_catalogue_recovery_help(EepRecovery recovery)
{
    switch (recovery) {
    case EEP_RECOVERY_NONE:
        return "forwards hang until the watchdog, then all requests abort and the deployment "
               "exits";
    case EEP_RECOVERY_REPLACE:
        return "survivors take over the lost experts, then a spare joins";
    default:
        return eep_generation_of_recovery(recovery)->help;
    }
}

static EepRecovery find_recovery(const char *name)
{
    gint found = 0;

    for (gint i = 0; i < EEP_RECOVERY_COUNT; i++)
        if (strcmp(eep_recovery_names[i], name) == 0)
            found = i;
    return (EepRecovery)found;
}

gboolean eep_show_recovery(const char *name, EepText *text, EepJson *json, GError **error)
{
    EepRecovery recovery = find_recovery(name);
    const EepGeneration *plan = eep_generation_of_recovery(recovery);
    const EepGeneration *generations;
    guint n;

    eep_command_add_line(text, "%s - %s", name, eep_catalogue_recovery_help(recovery));
    eep_json_add_string(json, "help", eep_catalogue_recovery_help(recovery));
    if (plan != NULL) {
        add_fact("source", "source", plan->source, text, json);
        add_fact("new_requests", "new requests", new_requests_text(plan), text, json);
        add_plan("rows",
                 recovery == EEP_RECOVERY_REPLACE
                     ? "what happens, before the generation grows the group again"
                     : "what happens",
                 &plan->down, FALSE, text, json);
    }
    eep_command_add_line(text, "\nwhere it exists");
    eep_json_begin_object(json, "generations");
    generations = eep_generation_all(&n);
    for (guint i = 0; i < n; i++) {
        const char *status = eep_recovery_status(&generations[i], recovery);
        eep_command_add_line(text, "  %-9s %s", generations[i].name, status);
        eep_json_add_string(json, generations[i].name, status);
    }
    eep_json_end_object(json);
    return TRUE;
}
