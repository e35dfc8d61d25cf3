/* EepCalendar: which decoding requests produce their last token at which count of an engine's
 * progress counter.
 *
 * A two-level wheel of intrusive lists: the near wheel has one bucket per count of the present
 * window of 256 counts, the far wheel one per window; when the counter enters a window, its far
 * bucket is dealt out. So insertion and removal are O(1), a step looks at one bucket, and a request
 * is touched once more when its window begins and with every turn of the far wheel, 65,536 tokens.
 * Lists keep insertion order. Not a timer queue: it knows counts, not time. Owned by its engine. */
#ifndef EEP_CORE_ENGINE_CALENDAR_H
#define EEP_CORE_ENGINE_CALENDAR_H

#include "core/engine/request.h"

G_BEGIN_DECLS

/* A near wheel is one page: a step of 1,024 engines goes through all of theirs. */
#define EEP_CALENDAR_BITS 8
#define EEP_CALENDAR_NEAR (1u << EEP_CALENDAR_BITS)
#define EEP_CALENDAR_FAR  256u

typedef struct {
    EepRequest *head, *tail; /* linked through due_prev, due_next */
} EepDueList;

typedef struct {
    EepDueList *near_wheel, *far_wheel;
    guint64 window; /* counter >> EEP_CALENDAR_BITS of the near wheel */
} EepCalendar;

void eep_calendar_init(EepCalendar *calendar);
void eep_calendar_clear(EepCalendar *calendar);

/* By request->due, which must not lie in the past. */
void eep_calendar_insert(EepCalendar *calendar, EepRequest *request);
void eep_calendar_remove(EepCalendar *calendar, EepRequest *request);

/* Deals out the window that begins at `counter`; called by eep_calendar_advance(). */
void eep_calendar_enter_window(EepCalendar *calendar, guint64 counter);

/* The counter has moved to `counter`; counts go up by one (or stay, after a discarded step). */
static inline void eep_calendar_advance(EepCalendar *calendar, guint64 counter)
{
    if (G_UNLIKELY((counter >> EEP_CALENDAR_BITS) > calendar->window))
        eep_calendar_enter_window(calendar, counter);
}

/* The list of those due at `counter`, which lies in the present window. Taking it away: copy and
 * clear. */
static inline EepDueList *eep_calendar_due(EepCalendar *calendar, guint64 counter)
{
    return &calendar->near_wheel[counter & (EEP_CALENDAR_NEAR - 1)];
}

G_END_DECLS

#endif
