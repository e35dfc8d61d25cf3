/* The journal's records as bytes: one frame around a header text or an event.
 *
 * A frame is 8 bytes, length of the body and checksum over body, length and the record's index,
 * little-endian; so a record that was cut off, damaged, moved or repeated shows. An event's body
 * holds kind and class, eight byte counts of 4 bits, the numbers in as few bytes as they need, the
 * hash of the actions, and the blob. Only journal.c uses this. Pure functions; the memory is the
 * caller's. */
#ifndef EEP_CORE_LOOP_JOURNAL_RECORD_H
#define EEP_CORE_LOOP_JOURNAL_RECORD_H

#include "core/loop/event.h"

G_BEGIN_DECLS

/* The last byte is the format's version. */
#define EEP_RECORD_MAGIC       "EEPJRNL1"
#define EEP_RECORD_MAGIC_BYTES 8
#define EEP_RECORD_FRAME_BYTES 8

/* Room that eep_record_encode() needs besides the blob; it may write, not count, bytes past the
 * record's end. */
#define EEP_RECORD_MAX_BYTES 128

typedef struct {
    EepEvent event; /* its blob is left out: NULL after decoding */
    guint64 hash;
    gconstpointer blob; /* nullable; points into the body after decoding */
    gsize n_blob;
} EepRecord;

typedef enum { EEP_RECORD_GOOD, EEP_RECORD_TORN, EEP_RECORD_BAD } EepRecordState;

/* Writes frame and body at `bytes`; `before` is the time of the event before, 0 for the first.
 * Returns the bytes written. The blob must be smaller than 4 GiB. */
gsize eep_record_encode(guint8 *bytes, const EepRecord *record, EepTime before, guint64 index);

/* Writes the frame before a body of n_body bytes at bytes + EEP_RECORD_FRAME_BYTES. */
void eep_record_seal(guint8 *bytes, guint32 n_body, guint64 index);

/* Checks the frame at `bytes`, of which n_bytes are left in the file (0: TORN). *ret_n_body only
 * when GOOD. */
EepRecordState eep_record_check(const guint8 *bytes, gsize n_bytes, guint64 index,
                                gsize *ret_n_body);

/* Length of the body of a frame found GOOD. */
gsize eep_record_body_bytes(const guint8 *bytes);

/* FALSE: the body is no event record, though its checksum is right. */
gboolean eep_record_decode(const guint8 *body, gsize n_body, EepTime before, EepRecord *ret_record);

G_END_DECLS

#endif
