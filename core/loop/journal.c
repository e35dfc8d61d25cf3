#include "core/loop/journal.h"

#include <string.h>

#include "core/loop/journal_record.h"

#define BUFFER_BYTES (64 * 1024)

/* A file is the magic, a header record and the events' records, each framed by length and checksum
 * (journal_record.h). The record of an event closes with the hash of all actions up to the end of
 * its handling, so the last one is a fingerprint of the whole run. */
struct EepJournal {
    gboolean is_replay;
    char *header;
    guint64 hash;
    guint64 n_events;
    EepTime time; /* of the last event: records hold differences */

    /* recording */
    EepJournalSink sink;
    gpointer sink_self;
    gboolean has_failed;
    guint8 *buffer;
    gsize n_buffered;

    /* replay */
    GBytes *bytes;
    gsize offset, end; /* of the next record; of the last whole one */
    GBytes *blob;      /* of the last event given out */
    guint64 expected_hash;
};

G_DEFINE_QUARK(eep - journal - error - quark, eep_journal_error)

static gboolean write_out(EepJournal *journal, gconstpointer bytes, gsize n_bytes, GError **error)
{
    if (journal->has_failed) {
        g_set_error_literal(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_IO,
                            "journal: writing failed before");
        return FALSE;
    }
    if (n_bytes == 0 || journal->sink(journal->sink_self, bytes, n_bytes, error))
        return TRUE;
    journal->has_failed = TRUE;
    return FALSE;
}

gboolean eep_journal_flush(EepJournal *journal, GError **error)
{
    if (journal->is_replay)
        return TRUE;
    gsize n = journal->n_buffered;
    journal->n_buffered = 0;
    return write_out(journal, journal->buffer, n, error);
}

static gboolean append_long(EepJournal *journal, gconstpointer bytes, gsize n_bytes, GError **error)
{
    return eep_journal_flush(journal, error) && write_out(journal, bytes, n_bytes, error);
}

EepJournal *eep_journal_new_recording(EepJournalSink sink, gpointer sink_self, const char *header)
{
    g_return_val_if_fail(sink != NULL && header != NULL, NULL);
    EepJournal *journal = g_new0(EepJournal, 1);
    journal->sink = sink;
    journal->sink_self = sink_self;
    journal->header = g_strdup(header);

    gsize n_header = strlen(header);
    gsize n_front = EEP_RECORD_MAGIC_BYTES + EEP_RECORD_FRAME_BYTES + n_header;
    journal->buffer = g_malloc(MAX(BUFFER_BYTES, n_front));
    memcpy(journal->buffer, EEP_RECORD_MAGIC, EEP_RECORD_MAGIC_BYTES);
    guint8 *record = journal->buffer + EEP_RECORD_MAGIC_BYTES;
    memcpy(record + EEP_RECORD_FRAME_BYTES, header, n_header);
    eep_record_seal(record, (guint32)n_header, 0);
    journal->n_buffered = n_front;
    return journal;
}

/* Finds the end of the last whole record. A record that the file's end cuts off, or a bad one with
 * nothing but zeros behind it, is a torn tail; any other bad one is an error. */
static gboolean check_records(EepJournal *journal, GError **error)
{
    gsize n_bytes;
    const guint8 *bytes = g_bytes_get_data(journal->bytes, &n_bytes);
    EepTime time = 0;
    guint64 index = 1;
    gsize offset = journal->offset;
    for (;; index++) {
        gsize n_body;
        EepRecordState state = eep_record_check(bytes + offset, n_bytes - offset, index, &n_body);
        EepRecord record;
        if (state == EEP_RECORD_GOOD &&
            !eep_record_decode(bytes + offset + EEP_RECORD_FRAME_BYTES, n_body, time, &record))
            state = EEP_RECORD_BAD;
        if (state == EEP_RECORD_TORN)
            break;
        if (state == EEP_RECORD_BAD) {
            g_set_error(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_FORMAT,
                        "journal: bad record %" G_GUINT64_FORMAT " at byte %" G_GSIZE_FORMAT, index,
                        offset);
            return FALSE;
        }
        time = record.event.time;
        offset += EEP_RECORD_FRAME_BYTES + n_body;
    }
    journal->end = offset;
    return TRUE;
}

EepJournal *eep_journal_new_replay(GBytes *bytes, gsize *ret_dropped_bytes, GError **error)
{
    g_return_val_if_fail(bytes != NULL, NULL);
    gsize n_bytes, n_header;
    const guint8 *data = g_bytes_get_data(bytes, &n_bytes);
    if (n_bytes < EEP_RECORD_MAGIC_BYTES ||
        memcmp(data, EEP_RECORD_MAGIC, EEP_RECORD_MAGIC_BYTES) != 0) {
        g_set_error_literal(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_FORMAT,
                            "journal: not a journal of this version of eep");
        return NULL;
    }
    gsize offset = EEP_RECORD_MAGIC_BYTES;
    if (eep_record_check(data + offset, n_bytes - offset, 0, &n_header) != EEP_RECORD_GOOD) {
        g_set_error_literal(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_FORMAT,
                            "journal: the header is damaged or cut off");
        return NULL;
    }
    g_autoptr(EepJournal) journal = g_new0(EepJournal, 1);
    journal->is_replay = TRUE;
    journal->bytes = g_bytes_ref(bytes);
    journal->header = g_strndup((const char *)data + offset + EEP_RECORD_FRAME_BYTES, n_header);
    journal->offset = offset + EEP_RECORD_FRAME_BYTES + n_header;
    if (!check_records(journal, error))
        return NULL;
    if (ret_dropped_bytes != NULL)
        *ret_dropped_bytes = n_bytes - journal->end;
    return g_steal_pointer(&journal);
}

const char *eep_journal_header(const EepJournal *journal)
{
    return journal->header;
}

gboolean eep_journal_is_replay(const EepJournal *journal)
{
    return journal->is_replay;
}

guint64 eep_journal_hash(const EepJournal *journal)
{
    return journal->hash;
}

/* Each step is a bijection of the hash for a given word and of the word for a given hash, so that
 * one action that differs always shows. */
static inline guint64 mix(guint64 hash, guint64 word)
{
    hash = (hash ^ word) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

void eep_journal_action(EepJournal *journal, guint32 kind, guint64 x, guint64 y)
{
    journal->hash = mix(mix(mix(journal->hash, kind + 1ull), x), y);
}

static gboolean append_event(EepJournal *journal, const EepEvent *event, GError **error)
{
    gsize n_blob = 0;
    gconstpointer blob = event->blob != NULL ? g_bytes_get_data(event->blob, &n_blob) : NULL;
    gsize n_max = EEP_RECORD_MAX_BYTES + n_blob;
    EepRecord record = {.event = *event, .hash = journal->hash, .blob = blob, .n_blob = n_blob};
    EepTime before = journal->time;
    journal->time = event->time;
    if (G_UNLIKELY(n_max > BUFFER_BYTES)) {
        g_autofree guint8 *bytes = g_malloc(n_max);
        gsize n = eep_record_encode(bytes, &record, before, journal->n_events);
        return append_long(journal, bytes, n, error);
    }
    if (BUFFER_BYTES < journal->n_buffered + n_max && !eep_journal_flush(journal, error))
        return FALSE;
    journal->n_buffered += eep_record_encode(journal->buffer + journal->n_buffered, &record, before,
                                             journal->n_events);
    return TRUE;
}

static gboolean check_hash(EepJournal *journal, const EepEvent *event, GError **error)
{
    if (journal->hash == journal->expected_hash)
        return TRUE;
    g_set_error(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_DIVERGED,
                "replay: the actions differ first at event %" G_GUINT64_FORMAT ": %s of source "
                "%#x, sequence %" G_GUINT64_FORMAT ", at %" G_GINT64_FORMAT
                " ns: expected hash %016" G_GINT64_MODIFIER "x, actual %016" G_GINT64_MODIFIER "x",
                journal->n_events - 1, eep_event_names[event->kind], event->source, event->seq,
                event->time, journal->expected_hash, journal->hash);
    return FALSE;
}

gboolean eep_journal_event(EepJournal *journal, const EepEvent *event, GError **error)
{
    if (journal->is_replay)
        return check_hash(journal, event, error);
    journal->n_events++;
    return append_event(journal, event, error);
}

gboolean eep_journal_next(EepJournal *journal, EepEvent *ret_event)
{
    g_return_val_if_fail(journal->is_replay, FALSE);
    if (journal->offset == journal->end)
        return FALSE;
    const guint8 *bytes = g_bytes_get_data(journal->bytes, NULL);
    const guint8 *body = bytes + journal->offset + EEP_RECORD_FRAME_BYTES;
    gsize n_body = eep_record_body_bytes(bytes + journal->offset);
    EepRecord record;
    gboolean is_good = eep_record_decode(body, n_body, journal->time, &record);
    g_assert(is_good); /* check_records() has seen it */
    journal->offset += EEP_RECORD_FRAME_BYTES + n_body;
    journal->time = record.event.time;
    journal->expected_hash = record.hash;
    journal->n_events++;

    g_clear_pointer(&journal->blob, g_bytes_unref);
    if (record.blob != NULL) /* a copy: in the file nothing is aligned */
        journal->blob = g_bytes_new(record.blob, record.n_blob);
    *ret_event = record.event;
    ret_event->blob = journal->blob;
    return TRUE;
}

void eep_journal_free(EepJournal *journal)
{
    if (journal == NULL)
        return;
    g_clear_pointer(&journal->bytes, g_bytes_unref);
    g_clear_pointer(&journal->blob, g_bytes_unref);
    g_free(journal->buffer);
    g_free(journal->header);
    g_free(journal);
}
