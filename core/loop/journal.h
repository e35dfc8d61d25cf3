/* EepJournal: what a run was told and a proof of what it did.
 *
 * A header (program version, seed, scenario text, capabilities, profile), then every dispatched
 * event, whose time is the `now` it was given, and a hash of all actions up to the end of its
 * handling. Records are length-prefixed, little-endian and checksummed; a torn tail is dropped with
 * a warning. For replay the journal is the only source of events: nothing else fires, and the first
 * event whose actions differ is named. Not a log for people (that is events.jsonl). Loop thread
 * only. The caller opens and closes the file: core/ touches none, it reads and writes through the
 * callbacks. */
#ifndef EEP_CORE_LOOP_JOURNAL_H
#define EEP_CORE_LOOP_JOURNAL_H

#include "core/loop/event.h"

G_BEGIN_DECLS

typedef struct EepJournal EepJournal;

#define EEP_JOURNAL_ERROR (eep_journal_error_quark())
GQuark eep_journal_error_quark(void);
typedef enum {
    EEP_JOURNAL_ERROR_IO,       /* the sink failed */
    EEP_JOURNAL_ERROR_FORMAT,   /* not a journal, another version, or a bad checksum before the tail
                                 */
    EEP_JOURNAL_ERROR_DIVERGED, /* replay: the run did something else than the journal says */
} EepJournalError;

/* Appends bytes to wherever the journal goes. FALSE with an error stops the run. */
typedef gboolean (*EepJournalSink)(gpointer self, gconstpointer bytes, gsize n_bytes,
                                   GError **error);

/* Recording, buffered: call eep_journal_flush() before closing the file. `header` is free text
 * (JSON) that the reader gets back unchanged. */
EepJournal *eep_journal_new_recording(EepJournalSink sink, gpointer sink_self, const char *header);

/* Replay from the whole file's bytes. A torn tail is dropped; *ret_dropped_bytes says how much (0:
 * none). */
EepJournal *eep_journal_new_replay(GBytes *bytes, gsize *ret_dropped_bytes, GError **error);

/* The header text; owned by the journal. */
const char *eep_journal_header(const EepJournal *journal);
gboolean eep_journal_is_replay(const EepJournal *journal);

/* Used by the loop: an action at once, an event after its handling. Recording: appends. Replay:
 * checks against the record of the event that eep_journal_next() gave last and fails with DIVERGED,
 * naming the event. Actions before the first event count to it. */
void eep_journal_action(EepJournal *journal, guint32 kind, guint64 x, guint64 y);
gboolean eep_journal_event(EepJournal *journal, const EepEvent *event, GError **error);

/* Replay: the next event to dispatch, FALSE at the end. Times never go back. The blob is owned by
 * the journal, aligned for any type, and lives until the next call. */
gboolean eep_journal_next(EepJournal *journal, EepEvent *ret_event);

/* Hash of all actions so far: the fingerprint of a run. */
guint64 eep_journal_hash(const EepJournal *journal);

/* Recording: hands everything buffered to the sink. Replay: nothing to do, TRUE. */
gboolean eep_journal_flush(EepJournal *journal, GError **error);
void eep_journal_free(EepJournal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepJournal, eep_journal_free)

G_END_DECLS

#endif
