#include "gpu/worker/lane.h"

#include <pthread.h>

struct EepLane {
    const EepLaneOps *ops;
    gpointer self;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below but `stop` */
    pthread_cond_t changed;
    GQueue messages; /* EepWireMessage, owned */
    GArray *aborts;  /* EepWireAbort that have not been gone through */
    guint64 running; /* operation; 0: none */
    guint32 running_epoch;
    gboolean is_closing;
    gint stop; /* atomic */
};

guint64 eep_lane_op_of(const EepWireMessage *message, EepOpKind *ret_kind, guint32 *ret_epoch)
{
    *ret_kind = EEP_OP_READ_LOAD;
    *ret_epoch = 0;
    switch (message->type) {
    case EEP_WIRE_STEP:
        *ret_kind = EEP_OP_STEP;
        *ret_epoch = message->step.epoch;
        return message->step.op;
    case EEP_WIRE_PHASE:
        *ret_kind = EEP_OP_PHASE;
        *ret_epoch = message->phase.epoch;
        return message->phase.op;
    case EEP_WIRE_MOVE:
        *ret_kind = message->move.is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS;
        *ret_epoch = message->move.epoch;
        return message->move.op;
    case EEP_WIRE_MEASURE:
        *ret_epoch = message->measure.epoch;
        return message->measure.op;
    case EEP_WIRE_READ_LOAD:
        return message->read_load.op;
    case EEP_WIRE_CHECK:
        return message->check.op;
    default:
        return 0;
    }
}

static gboolean is_in_scope(const EepWireAbort *abort, guint64 op, guint32 epoch)
{
    if (op == 0)
        return FALSE;
    if (abort->scope != 0)
        return abort->scope == op;
    return abort->epoch == 0 || epoch == 0 || abort->epoch == epoch;
}

static void free_message(EepWireMessage *message)
{
    eep_wire_clear(message);
    g_free(message);
}

/* Takes out of the queue what the abort names; with the lock held. */
static GList *take_scope(EepLane *lane, const EepWireAbort *abort)
{
    GList *taken = NULL, *next;

    for (GList *link = lane->messages.head; link != NULL; link = next) {
        EepOpKind kind;
        guint32 epoch;
        guint64 op = eep_lane_op_of(link->data, &kind, &epoch);

        next = link->next;
        if (is_in_scope(abort, op, epoch)) {
            g_queue_unlink(&lane->messages, link);
            taken = g_list_concat(taken, link);
        }
    }
    return taken;
}

/* With the lock held, which is let go meanwhile. */
static void go_through_abort(EepLane *lane)
{
    EepWireAbort abort = g_array_index(lane->aborts, EepWireAbort, 0);
    GList *taken = take_scope(lane, &abort);

    g_array_remove_index(lane->aborts, 0);
    if (lane->aborts->len == 0 && !lane->is_closing)
        g_atomic_int_set(&lane->stop, 0);
    pthread_mutex_unlock(&lane->lock);
    for (GList *link = taken; link != NULL; link = link->next)
        lane->ops->drop(lane->self, link->data);
    g_list_free_full(taken, (GDestroyNotify)free_message);
    lane->ops->aborted(lane->self, &abort);
    pthread_mutex_lock(&lane->lock);
}

static void run_next(EepLane *lane)
{
    EepWireMessage *message = g_queue_pop_head(&lane->messages);
    EepOpKind kind;

    lane->running = eep_lane_op_of(message, &kind, &lane->running_epoch);
    pthread_mutex_unlock(&lane->lock);
    lane->ops->run(lane->self, lane, message);
    free_message(message);
    pthread_mutex_lock(&lane->lock);
    lane->running = 0;
}

static void *lane_main(void *data)
{
    EepLane *lane = data;

    if (lane->ops->begin != NULL)
        lane->ops->begin(lane->self);
    pthread_mutex_lock(&lane->lock);
    for (;;) {
        if (lane->aborts->len > 0)
            go_through_abort(lane);
        else if (lane->is_closing)
            break;
        else if (!g_queue_is_empty(&lane->messages))
            run_next(lane);
        else
            pthread_cond_wait(&lane->changed, &lane->lock);
    }
    pthread_mutex_unlock(&lane->lock);
    return NULL;
}

EepLane *eep_lane_new(const EepLaneOps *ops, gpointer self)
{
    EepLane *lane = g_new0(EepLane, 1);

    lane->ops = ops;
    lane->self = self;
    g_queue_init(&lane->messages);
    lane->aborts = g_array_new(FALSE, FALSE, sizeof(EepWireAbort));
    pthread_mutex_init(&lane->lock, NULL);
    pthread_cond_init(&lane->changed, NULL);
    if (pthread_create(&lane->thread, NULL, lane_main, lane) != 0)
        g_error("no thread for the %s lane", ops->name);
    return lane;
}

void eep_lane_free(EepLane *lane)
{
    EepWireMessage *message;

    if (lane == NULL)
        return;
    pthread_mutex_lock(&lane->lock);
    lane->is_closing = TRUE;
    g_atomic_int_set(&lane->stop, 1);
    pthread_cond_signal(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    pthread_join(lane->thread, NULL);
    while ((message = g_queue_pop_head(&lane->messages)) != NULL)
        free_message(message);
    g_array_unref(lane->aborts);
    pthread_cond_destroy(&lane->changed);
    pthread_mutex_destroy(&lane->lock);
    g_free(lane);
}

void eep_lane_put(EepLane *lane, EepWireMessage *message)
{
    pthread_mutex_lock(&lane->lock);
    g_queue_push_tail(&lane->messages, g_memdup2(message, sizeof *message));
    pthread_cond_signal(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    message->arrays = NULL;
}

gboolean eep_lane_abort(EepLane *lane, const EepWireAbort *abort)
{
    gboolean stops;

    pthread_mutex_lock(&lane->lock);
    stops = is_in_scope(abort, lane->running, lane->running_epoch);
    if (stops)
        g_atomic_int_set(&lane->stop, 1);
    g_array_append_val(lane->aborts, *abort);
    pthread_cond_signal(&lane->changed);
    pthread_mutex_unlock(&lane->lock);
    return stops;
}

const gint *eep_lane_stop(const EepLane *lane)
{
    return &lane->stop;
}
