#include "core/resize/note.h"

const char *const eep_note_names[EEP_NOTE_COUNT] = {
    [EEP_NOTE_PREPARE] = "prepare",
    [EEP_NOTE_PAUSE_KEEP] = "pause_keep",
    [EEP_NOTE_PAUSE_ABORT] = "pause_abort",
    [EEP_NOTE_STOP] = "stop",
    [EEP_NOTE_COMMIT] = "commit",
    [EEP_NOTE_RESUME] = "resume",
    [EEP_NOTE_OPEN] = "open",
    [EEP_NOTE_CANCEL] = "cancel",
    [EEP_NOTE_READY] = "ready",
    [EEP_NOTE_PAUSED] = "paused",
    [EEP_NOTE_COMMITTED] = "committed",
    [EEP_NOTE_RESUMED] = "resumed",
    [EEP_NOTE_SETTLED] = "settled",
    [EEP_NOTE_UNDONE] = "undone",
    [EEP_NOTE_GONE] = "gone",
    [EEP_NOTE_FAILED] = "failed",
};

void eep_note_to_event(const EepNote *note, EepEvent *ret_event)
{
    *ret_event = (EepEvent){
        .event_class = EEP_CLASS_BACKEND,
        .kind = EEP_EVENT_NOTE,
        .source = EEP_SOURCE(EEP_SOURCE_CONTROL, note->pool),
        .a = (guint64)note->word | (guint64)note->pool << 32,
        .b = (guint64)note->from << 32 | note->to,
        .c = note->serial,
    };
}

void eep_note_from_event(const EepEvent *event, EepNote *ret_note)
{
    *ret_note = (EepNote){
        .word = (EepNoteWord)(guint32)event->a,
        .pool = (EepPoolId)(event->a >> 32),
        .from = (EepWorkerId)(event->b >> 32),
        .to = (EepWorkerId)event->b,
        .serial = event->c,
    };
}
