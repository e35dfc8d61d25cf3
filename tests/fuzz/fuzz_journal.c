/* Any bytes as a journal: opening, walking and replaying it neither crashes nor reads beyond it.
 *
 * The bytes are tried as they are, and once more with magic and checksums put right, so that the
 * decoder behind them sees what the fuzzer makes of the records. */
#include <string.h>

#include "core/loop/journal.h"
#include "core/loop/journal_record.h"
#include "core/loop/loop.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static gboolean handle(gpointer self, const EepEvent *event, GError **error)
{
    EepEvent again = *event;
    again.blob = NULL;
    if (event->a % 4 == 0)
        eep_loop_schedule(*(EepLoop **)self, event->time + MIN(1000, G_MAXINT64 - event->time),
                          &again);
    eep_loop_record_action(*(EepLoop **)self, event->kind, event->a, event->b);
    return TRUE;
}

static void walk(GBytes *bytes)
{
    gsize n_dropped;
    g_autoptr(EepJournal) journal = eep_journal_new_replay(bytes, &n_dropped, NULL);
    if (journal == NULL)
        return;
    g_assert(n_dropped <= g_bytes_get_size(bytes));
    g_assert(eep_journal_header(journal) != NULL);
    EepEvent event;
    EepTime time = 0;
    gsize n_blobs = 0;
    while (eep_journal_next(journal, &event)) {
        g_assert(event.time >= time && event.kind < EEP_EVENT_COUNT);
        time = event.time;
        if (event.blob != NULL)
            n_blobs += g_bytes_get_size(event.blob);
        g_autoptr(GError) error = NULL;
        g_assert(eep_journal_event(journal, &event, &error) || error != NULL);
    }
    g_assert(n_blobs <= g_bytes_get_size(bytes));
}

static void replay(GBytes *bytes)
{
    g_autoptr(EepJournal) journal = eep_journal_new_replay(bytes, NULL, NULL);
    if (journal == NULL)
        return;
    g_autoptr(EepClock) clock = eep_clock_replay_new(FALSE);
    EepLoop *loop = NULL;
    loop = eep_loop_new(clock, handle, &loop, NULL, NULL, journal);
    g_autoptr(GError) error = NULL;
    g_assert(eep_loop_run(loop, EEP_TIME_NEVER, &error) || error != NULL);
    eep_loop_free(loop);
}

static GBytes *put_right(const guint8 *data, size_t size)
{
    guint8 *bytes = g_memdup2(data, size);
    memcpy(bytes, EEP_RECORD_MAGIC, MIN(size, EEP_RECORD_MAGIC_BYTES));
    guint64 index = 0;
    for (size_t at = EEP_RECORD_MAGIC_BYTES; at + EEP_RECORD_FRAME_BYTES <= size; index++) {
        gsize n_body = eep_record_body_bytes(bytes + at);
        if (n_body > size - at - EEP_RECORD_FRAME_BYTES)
            break;
        eep_record_seal(bytes + at, (guint32)n_body, index);
        at += EEP_RECORD_FRAME_BYTES + n_body;
    }
    return g_bytes_new_take(bytes, size);
}

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    g_autoptr(GBytes) as_is = g_bytes_new_static(data, size);
    walk(as_is);
    replay(as_is);
    if (size > 0) {
        g_autoptr(GBytes) right = put_right(data, size);
        walk(right);
        replay(right);
    }
    return 0;
}
