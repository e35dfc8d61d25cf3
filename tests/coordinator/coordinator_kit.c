#include "tests/coordinator/coordinator_kit.h"

#include <check.h>
#include <string.h>
#include <sys/wait.h>

#include "core/engine/pool.h"

static void say(gpointer self, const char *line)
{
    Kit *kit = self;

    g_string_append_printf(kit->said, "%s\n", line);
}

static void popularity(gpointer self, guint layer, EepTime now, double *ret_popularity)
{
    for (guint i = 0; i < KIT_EXPERTS; i++)
        ret_popularity[i] = 1.0 / KIT_EXPERTS;
}

static gboolean keep(gpointer self, const EepEvent *event, GError **error)
{
    Kit *kit = self;
    EepCompletion completion;

    if (event->kind == EEP_EVENT_FAULT) {
        ck_assert_uint_eq(event->b, EEP_POOL_FAULT_FOUND);
        g_array_append_val(kit->found, event->c);
        return TRUE;
    }
    eep_completion_from_event(event, &completion);
    g_array_append_val(kit->completions, completion);
    g_ptr_array_add(kit->blobs, event->blob != NULL ? g_bytes_ref(event->blob) : NULL);
    if (kit->ended != NULL)
        kit->ended(kit);
    return TRUE;
}

static void unref_blob(gpointer blob)
{
    if (blob != NULL)
        g_bytes_unref(blob);
}

Kit *kit_new(guint n_engines, const char *modes)
{
    Kit *kit = g_new0(Kit, 1);

    g_setenv("EEP_FAKE", modes, TRUE);
    kit->n_engines = n_engines;
    kit->clock = eep_clock_real_new(NULL);
    kit->mailbox = eep_mailbox_new(kit->clock);
    kit->loop = eep_loop_new(kit->clock, keep, kit, NULL, NULL, NULL);
    kit->said = g_string_new(NULL);
    kit->completions = g_array_new(FALSE, FALSE, sizeof(EepCompletion));
    kit->blobs = g_ptr_array_new_with_free_func(unref_blob);
    kit->found = g_array_new(FALSE, FALSE, sizeof(guint64));
    kit->placement =
        eep_placement_new(KIT_LAYERS, KIT_EXPERTS, n_engines, (KIT_EXPERTS - 1) / n_engines + 1);
    eep_options_init(&eep_gpu_options, &kit->gpu);
    kit->gpu.layers = KIT_LAYERS;
    kit->gpu.heartbeat_interval = 150 * EEP_NS_PER_MS;
    kit->gpu.start_timeout = 5 * EEP_NS_PER_S;
    kit->gpu.wait_timeout = EEP_NS_PER_S;
    kit->gpu.grace = 300 * EEP_NS_PER_MS;
    kit->model = (EepModel){.n_layers = KIT_LAYERS,
                            .hidden_size = 16,
                            .moe_intermediate_size = 16,
                            .n_routed_experts = KIT_EXPERTS,
                            .experts_per_token = 2,
                            .n_heads = 2,
                            .n_kv_heads = 2,
                            .head_dim = 8,
                            .moe_every = 1,
                            .vocab_size = 100,
                            .weight_bytes_per_param = 2,
                            .embedding_bytes_per_param = 2,
                            .expert_weight_bytes_per_param = 2,
                            .kv_bytes_per_value = 2};
    kit->options = (EepCudaBackendOptions){.gpu = &kit->gpu,
                                           .device = EEP_GPU_DEVICE_EMULATED,
                                           .spawns = TRUE,
                                           .worker_program = EEP_FAKE_WORKER,
                                           .seed = 5,
                                           .clock = kit->clock,
                                           .mailbox = kit->mailbox,
                                           .say = say,
                                           .self = kit};
    return kit;
}

void kit_use_tcp(Kit *kit)
{
    static char any_port[] = "127.0.0.1:0";

    kit->gpu.listen = any_port;
}

gboolean kit_start(Kit *kit, GError **error)
{
    EepCudaPool pool = {.model = &kit->model,
                        .n_moe_layers = KIT_LAYERS,
                        .slots_per_rank = kit->placement->slots_per_rank,
                        .max_tokens = 64,
                        .kv_cache_bytes = 4096,
                        .n_engines = kit->n_engines,
                        .popularity = popularity};

    if (kit->backend == NULL)
        kit->backend = eep_cuda_backend_new(&kit->options, error);
    if (kit->backend == NULL)
        return FALSE;
    kit->backend->ops->attach(kit->backend, kit->loop);
    if (!eep_cuda_backend_start_pool(kit->backend, KIT_POOL, &pool, error))
        return FALSE;
    eep_clock_real_start(kit->clock);
    return TRUE;
}

void kit_free(Kit *kit)
{
    eep_backend_free(kit->backend);
    /* No child is left, not even a dead one. */
    g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
    eep_clock_free(kit->clock);
    kit_free_rest(kit);
}

void kit_free_rest(Kit *kit)
{
    if (kit == NULL)
        return;
    eep_loop_free(kit->loop);
    eep_mailbox_free(kit->mailbox);
    eep_placement_free(kit->placement);
    g_string_free(kit->said, TRUE);
    g_array_unref(kit->completions);
    g_ptr_array_unref(kit->blobs);
    g_array_unref(kit->found);
    g_free(kit);
}

double kit_since(gint64 begin)
{
    return eep_time_to_seconds(eep_monotonic_ns() - begin);
}

void kit_serve(Kit *kit, EepTime how_long)
{
    EepTime until = kit->clock->ops->now(kit->clock) + how_long;

    ck_assert(eep_loop_run(kit->loop, until, NULL));
}

gboolean kit_wait(Kit *kit, guint n_completions)
{
    gint64 begin = eep_monotonic_ns();

    while (kit->completions->len < n_completions && kit_since(begin) < 5.0)
        kit_serve(kit, 5 * EEP_NS_PER_MS);
    return kit->completions->len >= n_completions;
}

EepOp kit_op(Kit *kit)
{
    return (EepOp){.id = ++kit->last_op, .pool = KIT_POOL, .epoch = KIT_EPOCH};
}

EepOpId kit_step(Kit *kit)
{
    g_autofree EepEngineWork *work = g_new0(EepEngineWork, kit->n_engines);
    EepStepPlan plan = {.op = kit_op(kit),
                        .n_engines = kit->n_engines,
                        .work = work,
                        .placement = kit->placement,
                        .first_step = kit->last_op,
                        .max_steps = 1,
                        .horizon = EEP_TIME_NEVER};

    for (guint i = 0; i < kit->n_engines; i++)
        work[i] = (EepEngineWork){.engine = i + 1, .n_decodes = 3, .decode_context_tokens = 30};
    kit->backend->ops->submit_step(kit->backend, &plan);
    return plan.op.id;
}

EepOpId kit_phase(Kit *kit, guint kind, guint n, const EepWorkerId *workers, EepEpoch target)
{
    EepPhase phase = {.op = kit_op(kit),
                      .kind = kind,
                      .n_workers = n,
                      .workers = workers,
                      .n_ranks_old = kit->n_engines,
                      .n_ranks_new = n,
                      .target_epoch = target,
                      .n_members = n,
                      .members = workers};

    kit->backend->ops->start_phase(kit->backend, &phase);
    return phase.op.id;
}

EepOpId kit_abort(Kit *kit, EepScope scope)
{
    EepOp op = kit_op(kit);

    kit->backend->ops->abort(kit->backend, &op, &scope);
    return op.id;
}

const EepCompletion *kit_nth(const Kit *kit, guint index)
{
    return &g_array_index(kit->completions, EepCompletion, index);
}

const EepCompletion *kit_whole(const Kit *kit, EepOpId op)
{
    for (guint i = 0; i < kit->completions->len; i++)
        if (kit_nth(kit, i)->id == op && kit_nth(kit, i)->worker == 0)
            return kit_nth(kit, i);
    return NULL;
}

guint kit_n_of(const Kit *kit, EepOpId op)
{
    guint n = 0;

    for (guint i = 0; i < kit->completions->len; i++)
        n += kit_nth(kit, i)->id == op;
    return n;
}
