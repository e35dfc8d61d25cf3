/* Workers that came before anybody wanted them. */
#include "gpu/coordinator/cuda_internal.h"

typedef struct {
    EepCudaBackend *backend;
    EepLink *link;
    EepWireHello hello;
} Waiting;

static Waiting *waiting_at(const EepCudaBackend *self, guint index)
{
    return g_ptr_array_index(self->waiting, index);
}

static void on_waiting_message(gpointer self, EepLink *link, const EepWireMessage *message)
{
    Waiting *waiting = self;

    if (message->type == EEP_WIRE_BEAT)
        return;
    eep_cuda_say(waiting->backend, "the waiting worker of host %s said %s before WELCOME",
                 waiting->hello.host, eep_wire_type_name(message->type));
    g_ptr_array_remove(waiting->backend->waiting, waiting);
}

static void on_waiting_closed(gpointer self, EepLink *link, const char *reason)
{
    Waiting *waiting = self;

    eep_cuda_say(waiting->backend, "the waiting worker of host %s has gone: %s",
                 waiting->hello.host, reason);
    g_ptr_array_remove(waiting->backend->waiting, waiting);
}

static const EepLinkEvents waiting_events = {on_waiting_message, on_waiting_closed, NULL};

void eep_cuda_waiting_free(gpointer data)
{
    Waiting *waiting = data;

    eep_link_free(waiting->link);
    g_free(waiting);
}

/* The newer one is the one that is meant: the older may be of a host that has gone. */
static void send_away_for(EepCudaBackend *self, const EepWireHello *hello)
{
    g_autofree char *reason =
        g_strdup_printf("a worker of host %s came for rank %u, too: give each a rank of its own "
                        "(eep worker --rank, or the launcher's variable)",
                        hello->host, hello->rank);

    for (guint i = self->waiting->len; i > 0 && hello->rank != EEP_RANK_NONE; i--) {
        Waiting *waiting = waiting_at(self, i - 1);

        if (waiting->hello.rank == hello->rank) {
            EepLink *link = g_steal_pointer(&waiting->link);

            g_ptr_array_remove_index(self->waiting, i - 1);
            eep_door_refuse(self->door, link, reason);
        }
    }
}

/* Who has the rank that is wanted, in any pool; NULL: nobody. */
static const EepCudaWorker *holder_of(const EepCudaBackend *self, guint rank)
{
    for (guint i = 1; rank != EEP_RANK_NONE && i < self->workers->len; i++) {
        const EepCudaWorker *worker = eep_cuda_worker(self, i);

        if (worker != NULL && worker->state != EEP_CUDA_GONE && worker->link != NULL &&
            worker->rank == rank)
            return worker;
    }
    return NULL;
}

static void tell_that_it_waits(EepCudaBackend *self, const EepWireHello *hello)
{
    const EepCudaWorker *holder = holder_of(self, hello->rank);

    if (holder != NULL)
        eep_cuda_say(self,
                     "a worker of host %s waits for rank %u, which worker %u has: it is needed if "
                     "that one is lost",
                     hello->host, hello->rank, holder->id);
    else if (hello->rank != EEP_RANK_NONE)
        eep_cuda_say(self, "a worker of host %s waits for rank %u to be needed", hello->host,
                     hello->rank);
    else
        eep_cuda_say(self, "a worker of host %s waits to be needed", hello->host);
}

void eep_cuda_waiting_add(EepCudaBackend *self, EepLink *link, const EepWireHello *hello)
{
    Waiting *waiting = g_new0(Waiting, 1);

    send_away_for(self, hello);
    *waiting = (Waiting){self, link, *hello};
    eep_link_hand_over(link, EEP_CUDA_MAX_MESSAGE, &waiting_events, waiting);
    g_ptr_array_add(self->waiting, waiting);
    tell_that_it_waits(self, hello);
}

/* A launcher counts its tasks: over all pools' first engines, in the order of the pools. Which of
 * several pools will need those beyond them nobody knows before. */
gboolean eep_cuda_is_wished(const EepCudaWorker *worker, const EepWireHello *hello)
{
    const EepCudaBackend *self = worker->backend;
    guint before = 0;

    for (guint i = 0; i < worker->pool; i++)
        before += eep_cuda_pool(self, i) != NULL ? eep_cuda_pool(self, i)->options.n_engines : 0;
    return hello->rank == EEP_RANK_NONE || (self->pools->len > 1 && self->base.loop != NULL) ||
           hello->rank == before + worker->rank;
}

EepLink *eep_cuda_waiting_take(EepCudaBackend *self, const EepCudaWorker *worker,
                               gboolean takes_any, EepWireHello *ret_hello)
{
    for (guint i = 0; i < self->waiting->len; i++) {
        Waiting *waiting = waiting_at(self, i);
        EepLink *link = waiting->link;

        if ((!takes_any && !eep_cuda_is_wished(worker, &waiting->hello)) ||
            eep_cuda_owner_of(self, &waiting->hello.device) != 0)
            continue;
        *ret_hello = waiting->hello;
        waiting->link = NULL;
        g_ptr_array_remove_index(self->waiting, i);
        return link;
    }
    return NULL;
}

gboolean eep_cuda_waiting_are_told(const EepCudaBackend *self)
{
    for (guint i = 0; i < self->waiting->len; i++)
        if (!eep_link_is_flushed(waiting_at(self, i)->link))
            return FALSE;
    return TRUE;
}

void eep_cuda_waiting_send(EepCudaBackend *self, const EepWireMessage *message)
{
    for (guint i = 0; i < self->waiting->len; i++)
        eep_link_post(waiting_at(self, i)->link, message);
    for (guint i = self->waiting->len; i > 0; i--)
        if (i <= self->waiting->len)
            eep_link_flush(waiting_at(self, i - 1)->link);
}
