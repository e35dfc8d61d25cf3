/* All profiles: complete, with sources, and models whose shape adds up to the published figures. */
#include "tests/scenarios/scenario_kit.h"

#include <math.h>
#include <stdio.h>

static const char *const models[] = {
    "deepseek-r1",      "deepseek-v2-lite",   "deepseek-v3",
    "glm-4.5",          "gpt-oss-120b",       "kimi-k2",
    "llama-4-maverick", "llama-4-scout",      "minimax-m2",
    "mixtral-8x22b",    "mixtral-8x7b",       "qwen3-235b-a22b",
    "qwen3-30b-a3b",    "qwen3-next-80b-a3b",
};
static const char *const hardware[] = {"a100-sxm", "b200-sxm", "constant-step", "gb200", "h100-sxm",
                                       "h20-sxm",  "h200-sxm", "h800-sxm",      "mi300x"};

static void load_model(const char *name, EepModel *ret_model)
{
    GError *error = NULL;
    g_autoptr(EepProfile) profile =
        eep_profile_load(&eep_profile_model, name, kit_folders, ret_model, &error);
    ck_assert_msg(profile != NULL, "%s", error != NULL ? error->message : "");
}

START_TEST(the_lists_are_complete)
{
    g_auto(GStrv) found_models = eep_profile_list(&eep_profile_model, kit_folders);
    g_auto(GStrv) found_hardware = eep_profile_list(&eep_profile_hardware, kit_folders);
    ck_assert_uint_eq(g_strv_length(found_models), G_N_ELEMENTS(models));
    for (guint i = 0; i < G_N_ELEMENTS(models); i++)
        ck_assert_str_eq(found_models[i], models[i]);
    ck_assert_uint_eq(g_strv_length(found_hardware), G_N_ELEMENTS(hardware));
    for (guint i = 0; i < G_N_ELEMENTS(hardware); i++)
        ck_assert_str_eq(found_hardware[i], hardware[i]);
}
END_TEST

START_TEST(a_model_adds_up)
{
    EepModel model;
    load_model(models[_i], &model);
    GError *error = NULL;
    ck_assert_msg(eep_model_check(&model, &error), "%s", error != NULL ? error->message : "");
    double total = eep_model_total_params(&model);
    ck_assert_msg(fabs(total / model.total_params - 1.0) < 0.03, "%s: %.2f of %.2f G", models[_i],
                  total / 1e9, model.total_params / 1e9);
    /* Cards count both embeddings, one or none of them among the active; two round to "3B" and
     * "10B" what is 3.5 and 10.4. */
    gboolean rounded =
        strcmp(models[_i], "qwen3-next-80b-a3b") == 0 || strcmp(models[_i], "minimax-m2") == 0;
    double both = eep_model_active_params(&model);
    double one = both - (double)model.vocab_size * (double)model.hidden_size;
    double slack = rounded ? 0.16 : 0.03;
    ck_assert_msg(model.active_params > one * (1.0 - slack) &&
                      model.active_params < both * (1.0 + slack),
                  "%s: %.2f to %.2f, said %.2f G", models[_i], one / 1e9, both / 1e9,
                  model.active_params / 1e9);
    eep_options_clear(&eep_model_options, &model);
}
END_TEST

START_TEST(every_figure_has_a_source)
{
    for (guint i = 0; i < G_N_ELEMENTS(hardware); i++) {
        EepHardware machine;
        GError *error = NULL;
        g_autoptr(EepProfile) profile =
            eep_profile_load(&eep_profile_hardware, hardware[i], kit_folders, &machine, &error);
        ck_assert_msg(profile != NULL, "%s", error != NULL ? error->message : "");
        ck_assert_str_eq(profile->name, hardware[i]);
        ck_assert_str_eq(machine.name, hardware[i]);
        ck_assert_uint_eq(strlen(profile->sha256), 64);
        for (guint j = 0; j < eep_hardware_options.n_options; j++)
            ck_assert_uint_gt(strlen(profile->figures[j].source), 5);
        ck_assert_int_eq(eep_hardware_is_constant(&machine), FALSE);
        eep_options_clear(&eep_hardware_options, &machine);
    }
}
END_TEST

START_TEST(h200_says_where_its_figures_come_from)
{
    EepHardware machine;
    g_autoptr(EepProfile) profile =
        eep_profile_load(&eep_profile_hardware, "h200_sxm", kit_folders, &machine, NULL);
    ck_assert_ptr_nonnull(profile);
    ck_assert_int_eq(eep_profile_basis(profile, "hbm_efficiency"), EEP_BASIS_MEASURED);
    ck_assert_int_eq(eep_profile_basis(profile, "communicator_base"), EEP_BASIS_DERIVED);
    ck_assert_int_eq(eep_profile_basis(profile, "process_launch"), EEP_BASIS_ASSUMED);
    ck_assert_int_eq(eep_profile_basis(profile, "step_time"), EEP_BASIS_ASSUMED);
    ck_assert_ptr_null(eep_profile_figure(profile, "no_such_key"));
    ck_assert(machine.nic_bytes_per_s == 50e9);
    ck_assert(machine.hbm_bytes_per_s == 4.8e12);
    ck_assert_int_eq(machine.kernel_latency, 3000);
    eep_options_clear(&eep_hardware_options, &machine);
}
END_TEST

START_TEST(an_alias_is_the_same_profile)
{
    EepModel one, other;
    g_autoptr(EepProfile) v3 =
        eep_profile_load(&eep_profile_model, "deepseek-v3", kit_folders, &one, NULL);
    g_autoptr(EepProfile) r1 =
        eep_profile_load(&eep_profile_model, "deepseek_r1", kit_folders, &other, NULL);
    ck_assert_str_eq(v3->sha256, r1->sha256);
    ck_assert_str_eq(r1->name, "deepseek-v3");
    ck_assert_str_eq(r1->reference, "deepseek-v3");
    eep_options_clear(&eep_model_options, &one);
    eep_options_clear(&eep_model_options, &other);
}
END_TEST

static void expect_refusal(const char *text, const char *message)
{
    g_autofree char *path = NULL;
    g_autofree char *folder = g_dir_make_tmp("eep-profile-XXXXXX", NULL);
    GError *error = NULL;
    EepHardware machine;
    path = g_build_filename(folder, "p.yaml", NULL);
    ck_assert(g_file_set_contents(path, text, -1, NULL));
    ck_assert_ptr_null(
        eep_profile_load(&eep_profile_hardware, path, kit_folders, &machine, &error));
    ck_assert_msg(strstr(error->message, message) != NULL, "%s", error->message);
    g_error_free(error);
    remove(path);
    remove(folder);
}

START_TEST(bad_profiles_are_refused)
{
    expect_refusal("name: x\n", "the file is no hardware profile: kind: hardware");
    expect_refusal("kind: hardware\nname: x\nbasis: guess\nsource: me\ngpus_per_node: 8\n",
                   "\"guess\" is no basis: measured, derived or assumed");
    expect_refusal("kind: hardware\nname: x\ngpus_per_node: 8\n",
                   "the figure has no basis or no source");
    expect_refusal("kind: hardware\nname: x\ngpus_per_node: {value: 8, basis: assumed}\n",
                   "the figure has no basis or no source");
    expect_refusal("kind: hardware\nname: x\ngpus_per_node: {value: 8, base: assumed}\n",
                   "unknown key \"base\": value, basis, source");
    expect_refusal("kind: hardware\nname: x\nbasis: assumed\nsource: me\ngpus_per_node: 8\n",
                   "\"bf16_flops\" (dense peak, operations per second) is missing");
    expect_refusal("kind: hardware\nname: x\nbasis: assumed\nsource: me\ngpu_per_node: 8\n",
                   "try gpus_per_node");
    expect_refusal("kind: hardware\nname: x\nbasis: assumed\nsource: me\nhbm: 80\n",
                   "\"80\" has no unit");
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("profiles");
    tcase_add_test(tcase, the_lists_are_complete);
    tcase_add_loop_test(tcase, a_model_adds_up, 0, G_N_ELEMENTS(models));
    tcase_add_test(tcase, every_figure_has_a_source);
    tcase_add_test(tcase, h200_says_where_its_figures_come_from);
    tcase_add_test(tcase, an_alias_is_the_same_profile);
    tcase_add_test(tcase, bad_profiles_are_refused);
    return kit_run(tcase);
}
