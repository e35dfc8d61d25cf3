#include "core/engine/calendar.h"

void eep_calendar_init(EepCalendar *calendar)
{
    calendar->near_wheel = g_new0(EepDueList, EEP_CALENDAR_NEAR);
    calendar->far_wheel = g_new0(EepDueList, EEP_CALENDAR_FAR);
    calendar->window = 0;
}

void eep_calendar_clear(EepCalendar *calendar)
{
    g_clear_pointer(&calendar->near_wheel, g_free);
    g_clear_pointer(&calendar->far_wheel, g_free);
}

static EepDueList *list_of(EepCalendar *calendar, const EepRequest *request)
{
    guint64 window = request->due >> EEP_CALENDAR_BITS;

    if (window == calendar->window)
        return eep_calendar_due(calendar, request->due);
    return &calendar->far_wheel[window % EEP_CALENDAR_FAR];
}

static void list_append(EepDueList *list, EepRequest *request)
{
    request->due_prev = list->tail;
    request->due_next = NULL;
    if (list->tail != NULL)
        list->tail->due_next = request;
    else
        list->head = request;
    list->tail = request;
}

void eep_calendar_insert(EepCalendar *calendar, EepRequest *request)
{
    list_append(list_of(calendar, request), request);
}

void eep_calendar_remove(EepCalendar *calendar, EepRequest *request)
{
    EepDueList *list = list_of(calendar, request);

    if (request->due_prev != NULL)
        request->due_prev->due_next = request->due_next;
    else
        list->head = request->due_next;
    if (request->due_next != NULL)
        request->due_next->due_prev = request->due_prev;
    else
        list->tail = request->due_prev;
}

/* A far bucket also holds requests due whole turns of the far wheel later; they stay in it, in
 * order. */
void eep_calendar_enter_window(EepCalendar *calendar, guint64 counter)
{
    EepDueList *far, dealt;

    calendar->window = counter >> EEP_CALENDAR_BITS;
    far = &calendar->far_wheel[calendar->window % EEP_CALENDAR_FAR];
    dealt = *far;
    *far = (EepDueList){NULL, NULL};
    for (EepRequest *request = dealt.head, *next; request != NULL; request = next) {
        next = request->due_next;
        list_append(list_of(calendar, request), request);
    }
}
