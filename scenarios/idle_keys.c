/* Keys with a value of their own that nobody reads, because another key has chosen a way without
 * them. They are no error: a scenario may be run in several ways. */
#include "scenarios/scenario_check.h"

#include "core/eplb/trigger.h"
#include "core/resize/generation.h"
#include "scenarios/backend_traits.h"

#include <string.h>

#define LONGEST_NOTE 88
#define MAX_KEYS     12

typedef struct {
    const EepScenario *scenario;
    const EepPoolOptions *options;
    const EepGeneration *generation;
    EepRecovery recovery;
} Deployed;

/* -- ways ------------------------------------------------------------------------------------- */

static gboolean has_row(const Deployed *d, gboolean (*is_it)(const EepGenerationRow *row))
{
    const EepGenerationPlan *const plans[] = {&d->generation->up, &d->generation->down};

    for (guint i = 0; i < G_N_ELEMENTS(plans); i++)
        for (guint j = 0; j < plans[i]->n_rows; j++)
            if (is_it(&plans[i]->rows[j]))
                return TRUE;
    return FALSE;
}

static gboolean drains_leaving(const EepGenerationRow *row)
{
    return row->act == EEP_ACT_DRAIN;
}

static gboolean chooses_source(const EepGenerationRow *row)
{
    return (row->when & (EEP_WHEN_FROM_PEER | EEP_WHEN_FROM_DISK | EEP_WHEN_FROM_CACHE)) != 0;
}

static gboolean is_beside_steps(const EepGenerationRow *row)
{
    return row->act == EEP_ACT_PHASE && !row->blocks;
}

static gboolean has_no_deadline(const Deployed *d)
{
    return !d->generation->rolls_back;
}

static gboolean drains_no_leaving(const Deployed *d)
{
    return !has_row(d, drains_leaving);
}

static gboolean drains_nobody(const Deployed *d)
{
    return !d->options->resize.drain_requests && !d->generation->drains_all;
}

static gboolean chooses_no_source(const Deployed *d)
{
    return !has_row(d, chooses_source);
}

static gboolean has_no_background(const Deployed *d)
{
    return !has_row(d, is_beside_steps) && d->recovery == EEP_RECOVERY_NONE;
}

static gboolean has_no_recovery(const Deployed *d)
{
    return d->recovery == EEP_RECOVERY_NONE;
}

static gboolean masks_nobody(const Deployed *d)
{
    return d->recovery != EEP_RECOVERY_NONE &&
           !eep_backend_traits(d->options->all2all_backend)->can_mask;
}

static gboolean has_no_spares(const Deployed *d)
{
    return d->options->fault_tolerance.spare_engines == 0;
}

static gboolean has_no_eplb(const Deployed *d)
{
    return !d->options->enable_eplb;
}

static gboolean ignores_imbalance(const Deployed *d)
{
    return d->options->enable_eplb && d->options->eplb_config.trigger != EEP_EPLB_TRIGGER_IMBALANCE;
}

static gboolean never_looks(const Deployed *d)
{
    return d->options->enable_eplb && d->options->eplb_config.trigger == EEP_EPLB_TRIGGER_INTERVAL;
}

static gboolean sees_whole_window(const Deployed *d)
{
    const char *policy = d->options->eplb_config.policy;

    return d->options->enable_eplb && strcmp(policy, "deepseek_vec") != 0 &&
           strcmp(policy, "eep") != 0;
}

static gboolean has_no_dbo(const Deployed *d)
{
    return !d->options->enable_dbo;
}

static gboolean is_eager(const Deployed *d)
{
    return d->options->enforce_eager;
}

static gboolean takes_turns(const Deployed *d)
{
    return d->options->router.policy == EEP_ROUTER_ROUND_ROBIN;
}

static gboolean has_no_retry(const Deployed *d)
{
    return d->scenario->traffic.retry.attempts <= 1;
}

/* -- keys ------------------------------------------------------------------------------------- */

typedef struct {
    gboolean (*applies)(const Deployed *deployed);
    const char *why;
    const char *keys[MAX_KEYS];
} Idle;

static const Idle pool_keys[] = {
    {has_no_deadline,
     "this generation has no deadlines",
     {"resize.prepare_deadline", "resize.commit_deadline"}},
    {drains_no_leaving, "this generation drains no leaving engine", {"resize.leaving_drain"}},
    {drains_nobody, "drain_requests is false", {"resize.drain_timeout"}},
    {chooses_no_source, "this generation has one source of weights", {"resize.weights_from"}},
    {has_no_background, "this generation does nothing beside the steps", {"resize.background"}},
    {has_no_recovery,
     "recovery is none",
     {"fault_tolerance.deadline", "fault_tolerance.expert_backup", "fault_tolerance.in_flight",
      "fault_tolerance.detect.process_exit", "fault_tolerance.detect.heartbeat",
      "fault_tolerance.detect.all2all_timeout"}},
    {masks_nobody, "this backend masks no ranks", {"fault_tolerance.detect.all2all_timeout"}},
    {has_no_spares, "there are no spares", {"fault_tolerance.spares.state"}},
    {has_no_eplb,
     "enable_eplb is false",
     {"eplb_config.policy", "eplb_config.window_size", "eplb_config.step_interval",
      "eplb_config.communicator", "eplb_config.log_balancedness", "eplb_config.trigger",
      "eplb_config.trigger_threshold", "eplb_config.trigger_windows", "eplb_config.check_interval",
      "eplb_config.window_parts", "eplb_config.staging_experts", "eplb_config.senders"}},
    {ignores_imbalance,
     "eplb_config.trigger is not imbalance",
     {"eplb_config.trigger_threshold", "eplb_config.trigger_windows"}},
    {never_looks, "eplb_config.trigger is interval", {"eplb_config.check_interval"}},
    {sees_whole_window, "this policy sees the window as a whole", {"eplb_config.window_parts"}},
    {has_no_dbo,
     "enable_dbo is false",
     {"dbo_decode_token_threshold", "dbo_prefill_token_threshold"}},
    {is_eager, "enforce_eager is true", {"max_cudagraph_capture_size"}},
    {takes_turns, "router.policy is round_robin", {"router.staleness", "router.client_count"}},
};

static const Idle traffic_keys[] = {
    {has_no_retry, "clients try once (attempts: 1)", {"retry.backoff", "retry.jitter"}},
};

static gboolean is_default(const EepOption *option, gconstpointer values, gconstpointer defaults)
{
    g_autofree char *value = eep_option_format(option, values);
    g_autofree char *usual = eep_option_format(option, defaults);

    return g_strcmp0(value, usual) == 0;
}

/* "not read, as WHY: KEY, KEY", in as many notes as it takes. */
static void note_idle(EepScenario *scenario, const Idle *idle, const EepOptionTable *table,
                      gconstpointer values, gconstpointer defaults)
{
    g_autoptr(GString) note = g_string_new(NULL);

    for (guint i = 0; i < MAX_KEYS && idle->keys[i] != NULL; i++) {
        const char *key = idle->keys[i];

        if (is_default(eep_options_find(table, key), values, defaults))
            continue;
        if (note->len > 0 && note->len + 2 + strlen(key) > LONGEST_NOTE) {
            eep_scenario_note(scenario, "%s", note->str);
            g_string_truncate(note, 0);
        }
        if (note->len == 0)
            g_string_printf(note, "not read, as %s: %s", idle->why, key);
        else
            g_string_append_printf(note, ", %s", key);
    }
    if (note->len > 0)
        eep_scenario_note(scenario, "%s", note->str);
}

static void note_all(EepScenario *scenario, const Deployed *deployed, const Idle *idle, guint n,
                     const EepOptionTable *table, gconstpointer values)
{
    g_autofree gpointer defaults = g_malloc0(table->size);

    eep_options_init(table, defaults);
    for (guint i = 0; i < n; i++)
        if (idle[i].applies(deployed))
            note_idle(scenario, &idle[i], table, values, defaults);
    eep_options_clear(table, defaults);
}

void eep_scenario_note_idle_keys(EepScenario *scenario)
{
    Deployed deployed = {.scenario = scenario};

    for (guint i = 0; i < scenario->n_pools; i++) {
        deployed.options = &scenario->pools[i].options;
        deployed.generation = eep_generation_find(deployed.options->resize.generation);
        deployed.recovery = (EepRecovery)deployed.options->fault_tolerance.recovery;
        note_all(scenario, &deployed, pool_keys, G_N_ELEMENTS(pool_keys), &eep_pool_options,
                 deployed.options);
    }
    note_all(scenario, &deployed, traffic_keys, G_N_ELEMENTS(traffic_keys), &eep_traffic_options,
             &scenario->traffic);
}
