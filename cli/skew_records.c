#include "cli/skew_records.h"

#include "scenarios/yaml.h"
#include "traces/load_file.h"

G_STATIC_ASSERT((gint)EEP_SKEW_LOAD_AUTO == (gint)EEP_LOAD_FILE_AUTO);
G_STATIC_ASSERT((gint)EEP_SKEW_LOAD_JSON == (gint)EEP_LOAD_FILE_JSON);
G_STATIC_ASSERT((gint)EEP_SKEW_LOAD_CSV == (gint)EEP_LOAD_FILE_CSV);
G_STATIC_ASSERT((gint)EEP_SKEW_LOAD_ROUTES == (gint)EEP_LOAD_FILE_ROUTES);

/* TRUE without a record where there is no file. */
static gboolean read_file(const EepScenario *scenario, const EepSkewLoadOptions *load,
                          EepLoadRecord **ret_record, GError **error)
{
    EepLoadFileOptions options = EEP_LOAD_FILE_OPTIONS_INIT;

    if (load->path == NULL)
        return TRUE;
    options.format = (EepLoadFileFormat)load->format;
    /* Both are of raw routes, which cannot say them. */
    options.n_layers =
        (guint)(load->layers > 0 ? load->layers : eep_model_n_moe_layers(&scenario->model));
    options.top_k = (guint)(load->top_k > 0 ? load->top_k : scenario->model.experts_per_token);
    options.n_experts = (guint)scenario->model.n_routed_experts;
    EepLoadRecord *record = eep_load_file_read(load->path, &options, error);
    if (record == NULL)
        return FALSE;
    if (load->top_k > 0)
        record->top_k = (guint)load->top_k;
    *ret_record = record;
    return TRUE;
}

static EepSkew *make_skew(const EepSkewRecords *records, const EepScenario *scenario,
                          GError **error)
{
    return eep_skew_new(
        &scenario->skew, (guint64)scenario->seed, (guint)eep_model_n_moe_layers(&scenario->model),
        (guint)scenario->model.n_routed_experts, records->load, records->shifted, error);
}

EepSkewRecords *eep_skew_records_read(const EepScenario *scenario, GError **error)
{
    g_autoptr(EepSkewRecords) records = g_new0(EepSkewRecords, 1);
    g_autoptr(EepSkew) skew = NULL;
    GError *cause = NULL;

    if (!read_file(scenario, &scenario->skew.load, &records->load, error) ||
        !read_file(scenario, &scenario->skew.drift.load, &records->shifted, error))
        return NULL;
    skew = make_skew(records, scenario, &cause);
    if (skew == NULL) {
        eep_yaml_fail_with(scenario->document, eep_yaml_find_path(scenario->document->root, "skew"),
                           cause, error);
        return NULL;
    }
    return g_steal_pointer(&records);
}

void eep_skew_records_free(EepSkewRecords *records)
{
    if (records == NULL)
        return;
    eep_load_record_free(records->load);
    eep_load_record_free(records->shifted);
    g_free(records);
}

EepSkew *eep_skew_records_make_skew(const EepSkewRecords *records, const EepScenario *scenario)
{
    EepSkew *skew = make_skew(records, scenario, NULL);

    g_assert(skew != NULL);
    return skew;
}
