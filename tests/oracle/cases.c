#include "tests/oracle/cases.h"

/* splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014). */
static guint64 draw(guint64 *state)
{
    guint64 z = (*state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in [low, high] up to a bias that does not matter here. */
static guint64 between(guint64 *state, guint64 low, guint64 high)
{
    return low + draw(state) % (high - low + 1);
}

static gboolean chance(guint64 *state, guint percent)
{
    return draw(state) % 100 < percent;
}

static void draw_config(guint64 *state, guint features, EagerConfig *ret_config)
{
    static const gint64 step_times[] = {1, 2, 7, 10, 1000};
    static const double watermarks[] = {0.01, 0.05, 0.1, 0.2, 0.5};
    *ret_config = (EagerConfig){
        .n_engines = chance(state, 50) ? 1 : between(state, 2, 4),
        .block_size = between(state, 1, 6),
        .max_num_batched_tokens =
            chance(state, 70) ? between(state, 1, 16) : between(state, 17, 80),
        .max_num_seqs = chance(state, 25) ? between(state, 1, 3) : between(state, 4, 16),
        .num_blocks = chance(state, 80) ? between(state, 2, 14) : between(state, 1, 40),
        .step_time = step_times[draw(state) % G_N_ELEMENTS(step_times)],
        .router = chance(state, 50) ? EAGER_ROUND_ROBIN : EAGER_WAITING4_RUNNING,
        .async_scheduling = (features & ORACLE_ASYNC_SCHEDULING) != 0,
        .prefix_caching = (features & ORACLE_PREFIX_CACHING) != 0,
        .priority_policy = (features & ORACLE_PRIORITY_POLICY) != 0,
        .prefill_schedule_interval = 1,
    };
    ret_config->hash_tokens = ret_config->block_size * between(state, 1, 4);
    if (features & ORACLE_WATERMARK)
        ret_config->watermark = watermarks[draw(state) % G_N_ELEMENTS(watermarks)];
    if (features & ORACLE_PREFILL_INTERVAL)
        ret_config->prefill_schedule_interval = between(state, 2, 5);
}

/* The gap before an arrival: ties, steps' boundaries, insides of steps, idle times. */
static gint64 draw_gap(guint64 *state, gint64 step_time)
{
    const guint kind = draw(state) % 100;
    if (kind < 35)
        return 0;
    if (kind < 60)
        return between(state, 0, step_time);
    if (kind < 80)
        return step_time * between(state, 1, 4);
    if (kind < 95)
        return between(state, 0, 6 * step_time);
    return between(state, 0, 100 * step_time);
}

/* A chain that shares its head with an earlier request's, as prompts of one conversation do. */
static void draw_hashes(guint64 *state, OracleCase *oracle_case, guint index, guint64 *hashes)
{
    EagerRequest *request = &oracle_case->requests[index];
    const guint hash_tokens = oracle_case->config.hash_tokens;
    const guint full = (request->prompt + hash_tokens - 1) / hash_tokens;
    request->hashes = hashes;
    request->n_hashes = chance(state, 85) ? full : between(state, 0, full);
    guint shared = 0;
    if (index > 0 && chance(state, 75)) {
        const EagerRequest *earlier = &oracle_case->requests[draw(state) % index];
        const guint most = MIN(earlier->n_hashes, request->n_hashes);
        shared = chance(state, 50) ? most : between(state, 0, most);
        for (guint i = 0; i < shared; i++)
            hashes[i] = earlier->hashes[i];
    }
    for (guint i = shared; i < request->n_hashes; i++)
        hashes[i] = draw(state);
}

void oracle_case_draw(guint64 seed, guint features, OracleCase *ret_case)
{
    guint64 state = seed;
    state = draw(&state) ^ features;
    EagerConfig *config = &ret_case->config;
    draw_config(&state, features, config);

    /* Requests of a fraction of the cache share it and preempt each other; requests of about its
     * size are rejected or run alone. */
    const guint64 capacity = config->num_blocks * config->block_size;
    const guint64 share = chance(&state, 75) ? MAX(1, capacity / 3) : capacity;
    const guint64 longest_prompt = MIN(share, between(&state, 1, 60));
    const guint64 longest_output = MIN(share, between(&state, 2, 40));
    ret_case->n_requests = chance(&state, 60) ? between(&state, 1, 16) : between(&state, 17, 40);
    ret_case->requests = g_new0(EagerRequest, ret_case->n_requests);
    gint64 arrival = between(&state, 0, 3);
    for (guint i = 0; i < ret_case->n_requests; i++) {
        EagerRequest *request = &ret_case->requests[i];
        arrival += draw_gap(&state, config->step_time);
        request->arrival = arrival;
        request->prompt = between(&state, 1, longest_prompt);
        request->output = chance(&state, 15) ? 1 : between(&state, 1, longest_output);
        if (config->priority_policy)
            request->priority = (gint32)between(&state, 0, 3) - 1;
    }

    ret_case->hashes = NULL;
    if (!config->prefix_caching)
        return;
    const gsize stride = longest_prompt / config->hash_tokens + 1;
    ret_case->hashes = g_new0(guint64, stride * ret_case->n_requests);
    for (guint i = 0; i < ret_case->n_requests; i++)
        draw_hashes(&state, ret_case, i, ret_case->hashes + i * stride);
}

void oracle_case_clear(OracleCase *oracle_case)
{
    g_clear_pointer(&oracle_case->requests, g_free);
    g_clear_pointer(&oracle_case->hashes, g_free);
}

char *oracle_case_describe(const OracleCase *oracle_case)
{
    const EagerConfig *config = &oracle_case->config;
    GString *text = g_string_new(NULL);
    g_string_append_printf(
        text,
        "engines %u, block_size %u, num_blocks %" G_GUINT64_FORMAT
        ", max_num_batched_tokens %u, max_num_seqs %u, step_time %" G_GINT64_FORMAT
        ", router %s, async %d, prefix caching %d (hash_tokens %u), watermark %g, priority %d, "
        "prefill_schedule_interval %u\n",
        config->n_engines, config->block_size, config->num_blocks, config->max_num_batched_tokens,
        config->max_num_seqs, config->step_time,
        config->router == EAGER_ROUND_ROBIN ? "round robin" : "waiting*4+running",
        config->async_scheduling, config->prefix_caching, config->hash_tokens, config->watermark,
        config->priority_policy, config->prefill_schedule_interval);
    for (guint i = 0; i < oracle_case->n_requests; i++) {
        const EagerRequest *request = &oracle_case->requests[i];
        g_string_append_printf(text, "%u: %" G_GINT64_FORMAT "/%u/%u priority %d", i,
                               request->arrival, request->prompt, request->output,
                               request->priority);
        for (guint h = 0; h < request->n_hashes; h++)
            g_string_append_printf(text, "%s%04x", h == 0 ? " hashes " : " ",
                                   (guint)(request->hashes[h] & 0xffff));
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}
