/* EepNote: a message of the control plane, between the coordinator and one participant.
 *
 * Sent by an action, delivered as an EEP_EVENT_NOTE after the control plane's latency. The notes of
 * one pair of ends arrive in the order they were sent; nothing else is promised. A note names the
 * resize it belongs to by serial number, so that one that comes late is known as such. Not an
 * operation: it takes no worker's time. Plain values. */
#ifndef EEP_CORE_RESIZE_NOTE_H
#define EEP_CORE_RESIZE_NOTE_H

#include "core/loop/event.h"

G_BEGIN_DECLS

typedef enum {
    /* coordinator -> participant */
    EEP_NOTE_PREPARE,     /* run your part of the preparation in the background */
    EEP_NOTE_PAUSE_KEEP,  /* stand still, keep your requests */
    EEP_NOTE_PAUSE_ABORT, /* stand still, your requests end here */
    EEP_NOTE_STOP,        /* end your requests and exit, agreed or not */
    EEP_NOTE_COMMIT,      /* go over to the new size */
    EEP_NOTE_RESUME,      /* serve again */
    EEP_NOTE_OPEN,        /* the counter of a staged barrier is full: come to it */
    EEP_NOTE_CANCEL,      /* undo what you have done and serve at the old size */
    /* participant -> coordinator */
    EEP_NOTE_READY,     /* the ready key: prepared */
    EEP_NOTE_PAUSED,    /* stands still, and so do all others */
    EEP_NOTE_COMMITTED, /* has gone over */
    EEP_NOTE_RESUMED,   /* serves */
    EEP_NOTE_SETTLED,   /* nothing of the resize is left to do */
    EEP_NOTE_UNDONE,    /* serves at the old size */
    EEP_NOTE_GONE,      /* the process has exited, its GPUs are free */
    EEP_NOTE_FAILED,    /* a piece of work of this participant failed */
    EEP_NOTE_COUNT,
} EepNoteWord;

extern const char *const eep_note_names[EEP_NOTE_COUNT];

typedef struct {
    EepNoteWord word;
    EepPoolId pool;
    EepWorkerId from, to; /* 0: the coordinator; exactly one of the two is 0 */
    guint64 serial;       /* of the resize, counting from 1 in its pool */
} EepNote;

static inline gboolean eep_note_is_for_participant(EepNoteWord word)
{
    return word <= EEP_NOTE_CANCEL;
}

/* Fills kind, class, source and payload (a = word | pool << 32, b = from << 32 | to, c = serial);
 * time and seq are the loop's. */
void eep_note_to_event(const EepNote *note, EepEvent *ret_event);
void eep_note_from_event(const EepEvent *event, EepNote *ret_note);

G_END_DECLS

#endif
