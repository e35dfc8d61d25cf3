/* eep show models|hardware: every figure of a profile with its basis and source, and what follows
 * from them. */
#include "cli/catalogue.h"
#include "cli/command.h"
#include "cli/data.h"
#include "cli/human.h"
#include "core/hardware.h"
#include "core/model.h"
#include "scenarios/profile.h"

#include <math.h>
#include <string.h>

/* A figure for the eye: "1.979e+15" and "9.89e+14" for operations a second, not fifteen digits. */
static char *legible(const EepProfileFigure *figure)
{
    char *end;
    double value = figure->text != NULL ? g_ascii_strtod(figure->text, &end) : 0.0;

    if (figure->text == NULL)
        return g_strdup("-");
    if (*end != '\0' || fabs(value) < 1e9)
        return g_strdup(figure->text);
    char number[32];
    return g_strdup(g_ascii_formatd(number, sizeof number, "%.6g", value));
}

static void add_figures(const EepProfile *profile, EepText *text, EepJson *json)
{
    const EepOptionTable *table = profile->kind->table;

    eep_command_add_line(text, "%-30s %-13s %-9s %s", "figure", "value", "basis", "source");
    eep_json_begin_array(json, "figures");
    for (guint i = 0; i < table->n_options; i++) {
        const EepProfileFigure *figure = &profile->figures[i];
        const char *basis = figure->given ? eep_basis_words[figure->basis] : "default";
        g_autofree char *value = legible(figure);
        if (strcmp(table->options[i].key, "name") == 0)
            continue;
        eep_command_add_line(text, "%-30s %-13s %-9s %s", table->options[i].key, value, basis,
                             figure->given ? figure->source : table->options[i].help);
        eep_json_begin_object(json, NULL);
        eep_json_add_string(json, "key", table->options[i].key);
        eep_json_add_string(json, "value", figure->text);
        eep_json_add_string(json, "basis", basis);
        eep_json_add_string(json, "source", figure->given ? figure->source : NULL);
        eep_json_add_string(json, "help", table->options[i].help);
        eep_json_end_object(json);
    }
    eep_json_end_array(json);
}

static void add_head(const EepProfile *profile, EepText *text, EepJson *json)
{
    eep_command_add_line(text, "%s - %s", profile->name,
                         profile->description != NULL ? profile->description : "");
    eep_command_add_line(text, "sha256 %s", profile->sha256);
    eep_command_add_line(text, "%s", "");
    eep_json_add_string(json, "profile", profile->name);
    eep_json_add_string(json, "description", profile->description);
    eep_json_add_string(json, "sha256", profile->sha256);
}

static void add_bytes(const char *key, const char *words, gint64 bytes, EepText *text,
                      EepJson *json)
{
    g_autofree char *human = eep_human_bytes((double)bytes), *exact = eep_human_integer(bytes);

    eep_command_add_line(text, "%-52s %12s  (%s B)", words, human, exact);
    eep_json_add_int(json, key, bytes);
}

/* The shape's own count of parameters beside the model card's, which may count what the shape
 * leaves out. */
static void add_check(const char *key, const char *words, double computed, double card,
                      EepText *text, EepJson *json)
{
    g_autofree char *ours = eep_human_count(computed), *theirs = eep_human_count(card);

    if (card > 0.0)
        eep_command_add_line(text, "%-52s %12s  (card %s, %+.1f %%)", words, ours, theirs,
                             (computed / card - 1.0) * 100.0);
    else
        eep_command_add_line(text, "%-52s %12s  (no card)", words, ours);
    eep_json_begin_object(json, key);
    eep_json_add_double(json, "computed", computed, 0);
    eep_json_add_double(json, "card", card > 0.0 ? card : (double)NAN, 0);
    eep_json_end_object(json);
}

gboolean eep_show_model(const char *name, EepText *text, EepJson *json, GError **error)
{
    EepModel model;
    g_autoptr(EepProfile) profile =
        eep_profile_load(&eep_profile_model, name, eep_data_scenario_folders(), &model, error);

    if (profile == NULL)
        return FALSE;
    gint64 expert = eep_model_expert_bytes(&model), layers = eep_model_n_moe_layers(&model);
    add_head(profile, text, json);
    add_figures(profile, text, json);
    eep_command_add_line(text, "\nderived");
    eep_json_begin_object(json, "derived");
    eep_command_add_line(text, "%-52s %12" G_GINT64_FORMAT, "MoE layers", layers);
    eep_json_add_int(json, "n_moe_layers", layers);
    add_bytes("expert_bytes", "one expert of one layer", expert, text, json);
    add_bytes("experts_bytes", "all routed experts, one replica each",
              expert * layers * model.n_routed_experts, text, json);
    add_bytes("non_expert_bytes", "everything else on one rank, TP 1",
              eep_model_non_expert_bytes(&model, 1), text, json);
    add_bytes("kv_bytes_per_token", "KV cache of one token, TP 1",
              eep_model_kv_bytes_per_token(&model, 1), text, json);
    add_bytes("bounded_state_bytes", "window and linear layers of one sequence, TP 1",
              eep_model_bounded_state_bytes(&model, 1), text, json);
    add_check("total_params", "parameters", eep_model_total_params(&model), model.total_params,
              text, json);
    add_check("active_params", "parameters that a token uses", eep_model_active_params(&model),
              model.active_params, text, json);
    eep_json_end_object(json);
    eep_options_clear(&eep_model_options, &model);
    return TRUE;
}

gboolean eep_show_hardware(const char *name, EepText *text, EepJson *json, GError **error)
{
    EepHardware hardware;
    g_autoptr(EepProfile) profile = eep_profile_load(&eep_profile_hardware, name,
                                                     eep_data_scenario_folders(), &hardware, error);

    if (profile == NULL)
        return FALSE;
    add_head(profile, text, json);
    add_figures(profile, text, json);
    const struct {
        const char *key, *words, *unit;
        double value, unit_size;
    } rows[] = {
        {"achieved_bf16_flops", "BF16 GEMM, peak x efficiency", "TFLOP/s",
         hardware.bf16_flops * hardware.gemm_efficiency, 1e12},
        {"achieved_hbm_bytes_per_s", "memory, peak x efficiency", "GB/s",
         hardware.hbm_bytes_per_s * hardware.hbm_efficiency, 1e9},
        {"achieved_nvlink_bytes_per_s", "NVLink, a GPU and direction", "GB/s",
         hardware.nvlink_bytes_per_s * hardware.nvlink_efficiency, 1e9},
        {"achieved_nic_bytes_per_s", "network, a GPU and direction", "GB/s",
         hardware.nic_bytes_per_s * hardware.nic_efficiency, 1e9},
    };
    eep_json_begin_object(json, "derived");
    if (!eep_hardware_is_constant(&hardware)) {
        eep_command_add_line(text, "\nderived");
        for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
            eep_command_add_line(text, "%-52s %8.4g %s", rows[i].words,
                                 rows[i].value / rows[i].unit_size, rows[i].unit);
            eep_json_add_double(json, rows[i].key, rows[i].value, 6);
        }
    }
    eep_json_end_object(json);
    eep_options_clear(&eep_hardware_options, &hardware);
    return TRUE;
}
