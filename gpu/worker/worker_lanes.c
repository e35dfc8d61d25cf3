/* What the two lanes do with messages, and how operations end. */
#include <string.h>
#include <time.h>

#include "gpu/worker/worker_internal.h"
#include "live/clock_real.h"

/* Between two looks at a flag. */
#define LOOK_NS 1000000

typedef gboolean (*Work)(EepWorker *worker, const EepWireMessage *message, EepWorkerYield *yield,
                         GError **error);

/* -- ends -- */

static EepDone done_of(const GError *error)
{
    static const EepDone dones[] = {
        [EEP_DEVICE_ERROR_RETRY] = EEP_DONE_REFUSED,
        [EEP_DEVICE_ERROR_TIMED_OUT] = EEP_DONE_TIMED_OUT,
        [EEP_DEVICE_ERROR_STOPPED] = EEP_DONE_ABORTED,
        [EEP_DEVICE_ERROR_GROUP] = EEP_DONE_GROUP_BROKEN,
        [EEP_DEVICE_ERROR_DEVICE] = EEP_DONE_WORKER_LOST,
        [EEP_DEVICE_ERROR_NONE_THERE] = EEP_DONE_WORKER_LOST,
    };

    return error->domain == EEP_DEVICE_ERROR ? dones[error->code] : EEP_DONE_REFUSED;
}

static void finish(EepWorker *worker, const EepWireMessage *message, gint64 began,
                   const EepWorkerYield *yield, const GError *error)
{
    EepWireMessage answer = {.type = EEP_WIRE_DONE};
    EepWireDone *done = &answer.done;
    EepOpKind kind = EEP_OP_STEP;

    done->op = eep_lane_op_of(message, &kind, &done->epoch);
    done->kind = kind;
    done->done = error == NULL ? EEP_DONE_OK : done_of(error);
    done->began_ns = (guint64)began;
    done->ended_ns = (guint64)eep_monotonic_ns();
    done->probe_hash = yield->result.probe_hash;
    memcpy(done->probe, yield->result.probe, sizeof done->probe);
    done->suspect = yield->suspect;
    if (error != NULL)
        g_strlcpy(done->reason, error->message, sizeof done->reason);
    eep_outbox_send(worker->outbox, &answer);
}

/* What went wrong is of interest to whoever watches, unless somebody asked for the end. */
static void complain(EepWorker *worker, const GError *error)
{
    EepWireMessage message = {.type = EEP_WIRE_SAY, .say = {.level = 1}};

    if (g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED))
        return;
    g_strlcpy(message.say.text, error->message, sizeof message.say.text);
    eep_outbox_send(worker->outbox, &message);
}

/* As long as it takes somebody who is so much slower; a hung one never ends. */
static void dawdle(EepWorker *worker, const gint *stop, gint64 began)
{
    gint64 now = eep_monotonic_ns(), until;

    pthread_mutex_lock(&worker->lock);
    until = now + (gint64)((gdouble)(now - began) * (worker->slow_factor - 1.0));
    pthread_mutex_unlock(&worker->lock);
    while (g_atomic_int_get(stop) == 0 &&
           (g_atomic_int_get(&worker->is_hung) != 0 || eep_monotonic_ns() < until))
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
}

static gboolean is_at_rest(const EepWorker *worker, EepStream stream)
{
    return stream == NULL ||
           eep_device_wait(worker->device, stream, (gint64)worker->welcome.wait_ns, NULL, NULL);
}

/* After a wait that was too long: the group's operations were aborted, and what still runs is the
 * device's own. It is as good as dead. Forwards and maps have the model's stream. */
static gboolean hangs(const EepWorker *worker, EepLaneKind lane, const GError *error)
{
    return g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT) &&
           !(is_at_rest(worker, worker->streams[lane]) &&
             (lane != EEP_LANE_STEP || is_at_rest(worker, eep_moe_stream(worker->moe))));
}

/* A device that is broken or hangs ends the worker, whatever found it out. */
static void look_at_device(EepWorker *worker, EepLaneKind lane, const GError *error)
{
    if (g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_DEVICE))
        eep_worker_end(worker, EEP_WORKER_DEVICE_BROKEN, "the device is broken: %s",
                       error->message);
    else if (hangs(worker, lane, error))
        eep_worker_end(worker, EEP_WORKER_DEVICE_BROKEN, "the device hangs: %s", error->message);
}

static void work(EepWorker *worker, EepLane *lane, const EepWireMessage *message, Work act)
{
    EepWorkerYield yield = {.suspect = EEP_RANK_NONE};
    gint64 began = eep_monotonic_ns();
    g_autoptr(GError) error = NULL;

    act(worker, message, &yield, &error);
    dawdle(worker, eep_lane_stop(lane), began);
    if (error != NULL)
        complain(worker, error);
    finish(worker, message, began, &yield, error);
    look_at_device(worker, lane == worker->lanes[EEP_LANE_STEP] ? EEP_LANE_STEP : EEP_LANE_ASIDE,
                   error);
}

static void drop(gpointer self, const EepWireMessage *message)
{
    EepWorkerYield yield = {.suspect = EEP_RANK_NONE};
    g_autoptr(GError) error =
        g_error_new(EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED, "aborted before it began");

    finish(self, message, eep_monotonic_ns(), &yield, error);
}

/* The abort has ended when both lanes have gone through it. */
static void aborted(gpointer self, const EepWireAbort *abort)
{
    EepWorker *worker = self;
    EepWireMessage answer = {
        .type = EEP_WIRE_DONE,
        .done = {.op = abort->op, .kind = EEP_OP_ABORT, .suspect = EEP_RANK_NONE}};
    gboolean is_last = FALSE;

    pthread_mutex_lock(&worker->lock);
    for (guint i = 0; i < worker->aborts->len; i++) {
        EepAbortLeft *left = &g_array_index(worker->aborts, EepAbortLeft, i);

        if (left->op == abort->op && --left->n_left == 0) {
            g_array_remove_index_fast(worker->aborts, i);
            is_last = TRUE;
            break;
        }
    }
    pthread_mutex_unlock(&worker->lock);
    if (is_last)
        eep_outbox_send(worker->outbox, &answer);
}

/* -- the step lane -- */

static gboolean set_up(EepWorker *worker, GError **error)
{
    const EepWireModel *model = &worker->welcome.model;
    gsize bytes;

    if (worker->welcome.transport == EEP_TRANSPORT_NCCL && !eep_transport_nccl_is_usable(error))
        return FALSE;
    eep_device_set_patience(worker->device, (gint64)worker->welcome.wait_ns);
    worker->moe = eep_moe_new(worker->device, model, error);
    if (worker->moe == NULL)
        return FALSE;
    eep_moe_set_captures(worker->moe, worker->welcome.captures_graphs != 0);
    for (guint i = 0; i < EEP_LANE_COUNT; i++)
        if (!eep_device_make_stream(worker->device, i == EEP_LANE_STEP, &worker->streams[i], error))
            return FALSE;
    worker->scratch = eep_device_alloc(worker->device, EEP_WORKER_SCRATCH_BYTES, error);
    eep_moe_non_expert(worker->moe, &bytes);
    return worker->scratch != NULL &&
           (bytes == 0 ||
            (eep_moe_fill_non_expert(worker->moe, worker->streams[EEP_LANE_STEP], error) &&
             eep_device_wait(worker->device, worker->streams[EEP_LANE_STEP],
                             (gint64)worker->welcome.wait_ns, NULL, error)));
}

static void begin_steps(gpointer self)
{
    EepWorker *worker = self;
    EepWireMessage ready = {.type = EEP_WIRE_READY};
    g_autoptr(GError) error = NULL;

    if (!eep_device_use(worker->device, &error) || !set_up(worker, &error)) {
        /* One that is not ready in time hangs, and nothing can be given back to it. */
        eep_worker_end(worker,
                       g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_DEVICE) ||
                               g_error_matches(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT)
                           ? EEP_WORKER_DEVICE_BROKEN
                           : EEP_WORKER_FAILED,
                       "%s", error->message);
        return;
    }
    ready.ready.used_bytes = eep_device_used(worker->device);
    g_strlcpy(ready.ready.gemm, eep_moe_gemm(worker->moe), sizeof ready.ready.gemm);
    eep_outbox_send(worker->outbox, &ready);
}

static gboolean step(EepWorker *worker, const EepWireMessage *message, EepWorkerYield *yield,
                     GError **error)
{
    g_autoptr(EepMembership) group = NULL;

    if (worker->welcome.model.n_layers == 0)
        return TRUE;
    group = eep_members_find(worker->members, message->step.epoch);
    if (worker->map_error != NULL || group == NULL) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP, "%s",
                    worker->map_error != NULL ? worker->map_error : "not a member of this epoch");
        g_clear_pointer(&worker->map_error, g_free);
        /* No later step may meet the others with an old map; the coordinator sends it again. */
        if (group != NULL)
            group->serve->ops->abort(group->serve);
        return FALSE;
    }
    if (eep_moe_forward(worker->moe, group->serve, &message->step, (gint64)worker->welcome.wait_ns,
                        eep_lane_stop(worker->lanes[EEP_LANE_STEP]), &yield->result,
                        &yield->suspect, error))
        return TRUE;
    /* The others are somewhere in the same forward and must not wait for this rank. */
    group->serve->ops->abort(group->serve);
    return FALSE;
}

static gboolean step_phase(EepWorker *worker, const EepWireMessage *message, EepWorkerYield *yield,
                           GError **error)
{
    return eep_worker_phase(worker, EEP_LANE_STEP, &message->phase, yield, error);
}

static gboolean read_load(EepWorker *worker, const EepWireMessage *message, EepWorkerYield *yield,
                          GError **error)
{
    const EepWireReadLoad *read = &message->read_load;
    const EepWireModel *model = &worker->welcome.model;
    g_autofree guint64 *tokens = g_new0(guint64, model->n_experts);

    for (guint window = 0; window < read->n_windows; window++)
        for (guint layer = 0; layer < model->n_layers; layer++) {
            EepWireMessage load = {.type = EEP_WIRE_LOAD,
                                   .load = {.op = read->op,
                                            .window = window,
                                            .layer = layer,
                                            .n_experts = model->n_experts,
                                            .tokens = tokens}};

            eep_moe_read_load(
                worker->moe,
                eep_load_window_begin(read->from_step, read->to_step, read->n_windows, window),
                eep_load_window_begin(read->from_step, read->to_step, read->n_windows, window + 1),
                layer, tokens);
            eep_outbox_send(worker->outbox, &load);
        }
    return TRUE;
}

static gboolean check(EepWorker *worker, const EepWireMessage *message, EepWorkerYield *yield,
                      GError **error)
{
    EepWireMessage answer = {.type = EEP_WIRE_CHECKED, .checked = {.op = message->check.op}};
    g_autofree EepWireSlotSum *sums = NULL;
    guint n = 0;

    if (worker->welcome.model.n_layers > 0) {
        sums = eep_moe_check(worker->moe, worker->streams[EEP_LANE_STEP], &n, error);
        if (sums == NULL)
            return FALSE;
    }
    answer.checked.n_sums = n;
    answer.checked.sums = sums;
    eep_outbox_send(worker->outbox, &answer);
    return TRUE;
}

static void take_map(EepWorker *worker, const EepWireMessage *message)
{
    g_autoptr(EepMembership) group = eep_members_find(worker->members, message->map.epoch);
    g_autoptr(GError) error = NULL;

    if (group == NULL || group->n_ranks != message->map.n_ranks)
        g_set_error(&error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_GROUP,
                    "a map of %u ranks for epoch %u, of which this is no member",
                    message->map.n_ranks, message->map.epoch);
    else
        eep_moe_set_map(worker->moe, &message->map, group->rank, &error);
    if (error != NULL) {
        g_free(worker->map_error);
        worker->map_error = g_strdup(error->message);
        look_at_device(worker, EEP_LANE_STEP, error);
    }
}

static void take_popularity(EepWorker *worker, const EepWireMessage *message)
{
    g_autoptr(GError) error = NULL;

    if (message->popularity.n_experts != worker->welcome.model.n_experts ||
        message->popularity.layer >= worker->welcome.model.n_layers)
        eep_worker_end(worker, EEP_WORKER_FAILED, "popularity of what the model has not");
    else if (!eep_moe_set_popularity(worker->moe, message->popularity.layer,
                                     message->popularity.popularity, &error)) {
        look_at_device(worker, EEP_LANE_STEP, error);
        eep_worker_end(worker, EEP_WORKER_FAILED, "%s", error->message);
    }
}

static void run_steps(gpointer self, EepLane *lane, const EepWireMessage *message)
{
    EepWorker *worker = self;

    if (worker->scratch == NULL)
        return; /* it was not set up and is ending */
    switch (message->type) {
    case EEP_WIRE_STEP:
        work(worker, lane, message, step);
        break;
    case EEP_WIRE_PHASE:
        work(worker, lane, message, step_phase);
        break;
    case EEP_WIRE_READ_LOAD:
        work(worker, lane, message, read_load);
        break;
    case EEP_WIRE_CHECK:
        work(worker, lane, message, check);
        break;
    case EEP_WIRE_MAP:
        take_map(worker, message);
        break;
    default:
        take_popularity(worker, message);
        break;
    }
}

const EepLaneOps eep_worker_step_lane = {"step", begin_steps, run_steps, drop, aborted};

/* -- the aside lane -- */

static void begin_aside(gpointer self)
{
    EepWorker *worker = self;
    g_autoptr(GError) error = NULL;

    if (!eep_device_use(worker->device, &error))
        eep_worker_end(worker, EEP_WORKER_FAILED, "%s", error->message);
}

static gboolean aside_phase(EepWorker *worker, const EepWireMessage *message, EepWorkerYield *yield,
                            GError **error)
{
    return eep_worker_phase(worker, EEP_LANE_ASIDE, &message->phase, yield, error);
}

static gboolean aside_move(EepWorker *worker, const EepWireMessage *message, EepWorkerYield *yield,
                           GError **error)
{
    return eep_worker_move(worker, &message->move, yield, error);
}

static gboolean aside_measure(EepWorker *worker, const EepWireMessage *message,
                              EepWorkerYield *yield, GError **error)
{
    return eep_worker_measure(worker, &message->measure, yield, error);
}

static void run_aside(gpointer self, EepLane *lane, const EepWireMessage *message)
{
    EepWorker *worker = self;

    work(worker, lane, message,
         message->type == EEP_WIRE_MOVE      ? aside_move
         : message->type == EEP_WIRE_MEASURE ? aside_measure
                                             : aside_phase);
    if (message->type == EEP_WIRE_PHASE && message->phase.kind == EEP_PHASE_DESTROY)
        eep_worker_end(worker, EEP_WORKER_SENT_HOME, "destroyed");
}

const EepLaneOps eep_worker_aside_lane = {"aside", begin_aside, run_aside, drop, aborted};

EepLaneKind eep_worker_lane_of(const EepWireMessage *message)
{
    if (message->type == EEP_WIRE_MOVE || message->type == EEP_WIRE_MEASURE ||
        (message->type == EEP_WIRE_PHASE && !eep_worker_phase_is_for_steps(&message->phase)))
        return EEP_LANE_ASIDE;
    return EEP_LANE_STEP;
}
