#include "live/mailbox.h"

#include <pthread.h>

#include "live/clock_real.h"

struct EepMailbox {
    EepClock *clock;       /* nullable */
    pthread_mutex_t mutex; /* which race detectors understand, unlike GMutex */
    GQueue events;         /* EepEvent, oldest first */
};

EepMailbox *eep_mailbox_new(EepClock *clock)
{
    EepMailbox *mailbox = g_new0(EepMailbox, 1);

    mailbox->clock = clock;
    pthread_mutex_init(&mailbox->mutex, NULL);
    g_queue_init(&mailbox->events);
    return mailbox;
}

void eep_mailbox_free(EepMailbox *mailbox)
{
    EepEvent event;

    if (mailbox == NULL)
        return;
    while (eep_mailbox_take(mailbox, &event))
        g_clear_pointer(&event.blob, g_bytes_unref);
    pthread_mutex_destroy(&mailbox->mutex);
    g_free(mailbox);
}

void eep_mailbox_post(EepMailbox *mailbox, const EepEvent *event)
{
    EepEvent *posted = g_memdup2(event, sizeof *event);
    gboolean was_empty;

    pthread_mutex_lock(&mailbox->mutex);
    was_empty = g_queue_is_empty(&mailbox->events);
    g_queue_push_tail(&mailbox->events, posted);
    pthread_mutex_unlock(&mailbox->mutex);
    if (was_empty && mailbox->clock != NULL)
        eep_clock_real_wake(mailbox->clock);
}

gboolean eep_mailbox_take(gpointer self, EepEvent *ret_event)
{
    EepMailbox *mailbox = self;
    EepEvent *taken;

    pthread_mutex_lock(&mailbox->mutex);
    taken = g_queue_pop_head(&mailbox->events);
    pthread_mutex_unlock(&mailbox->mutex);
    if (taken == NULL)
        return FALSE;
    *ret_event = *taken;
    g_free(taken);
    return TRUE;
}
