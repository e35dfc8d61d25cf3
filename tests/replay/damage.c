/* Damages a journal, for tests: reads the file, writes the damaged one to standard output.
 *
 *     damage FILE flip BYTE BIT     one bit differs
 *     damage FILE hash EVENT        the hash of actions of event EVENT (from 0) differs; the record
 *                                   is sealed again, so that the file itself is in order
 *     damage FILE offset EVENT      prints at which byte the event's record begins */
#include <stdio.h>
#include <string.h>

#include "core/loop/journal_record.h"

/* The record of this index, 0 being the header. */
static guint8 *find_record(guint8 *bytes, gsize n_bytes, guint64 index, gsize *ret_n_body)
{
    gsize offset = EEP_RECORD_MAGIC_BYTES;

    for (guint64 i = 0;; i++) {
        if (eep_record_check(bytes + offset, n_bytes - offset, i, ret_n_body) != EEP_RECORD_GOOD)
            return NULL;
        if (i == index)
            return bytes + offset;
        offset += EEP_RECORD_FRAME_BYTES + *ret_n_body;
    }
}

static gboolean damage_hash(guint8 *bytes, gsize n_bytes, guint64 index)
{
    gsize n_body;
    guint8 *frame = find_record(bytes, n_bytes, index, &n_body);
    EepRecord record;

    if (frame == NULL || !eep_record_decode(frame + EEP_RECORD_FRAME_BYTES, n_body, 0, &record))
        return FALSE;
    /* The hash is the last eight bytes before the blob. */
    frame[EEP_RECORD_FRAME_BYTES + n_body - record.n_blob - 8] ^= 1;
    eep_record_seal(frame, (guint32)n_body, index);
    return TRUE;
}

int main(int argc, char **argv)
{
    g_autofree char *contents = NULL;
    gsize n_bytes, n_body;
    guint8 *bytes, *frame;
    guint64 where;

    if (argc < 4 || !g_file_get_contents(argv[1], &contents, &n_bytes, NULL))
        return 2;
    bytes = (guint8 *)contents;
    where = g_ascii_strtoull(argv[3], NULL, 10);
    if (strcmp(argv[2], "offset") == 0) {
        frame = find_record(bytes, n_bytes, where + 1, &n_body);
        if (frame == NULL)
            return 1;
        printf("%zu\n", (gsize)(frame - bytes));
        return 0;
    }
    if (strcmp(argv[2], "hash") == 0) {
        if (!damage_hash(bytes, n_bytes, where + 1))
            return 1;
    } else if (where >= n_bytes || argc < 5) {
        return 1;
    } else {
        bytes[where] ^= (guint8)(1u << g_ascii_strtoull(argv[4], NULL, 10) % 8);
    }
    return fwrite(bytes, 1, n_bytes, stdout) == n_bytes ? 0 : 1;
}
