#include "core/loop/journal_record.h"

#include <string.h>

enum { FIELD_TIME, FIELD_SOURCE, FIELD_FLAGS, FIELD_SEQ, FIELD_A, FIELD_B, FIELD_C, FIELD_BLOB };
#define N_FIELDS   8
#define FRONT_SIZE 6 /* kind, class, eight byte counts */

static inline guint64 load64(const guint8 *bytes)
{
    guint64 value;
    memcpy(&value, bytes, 8);
    return GUINT64_FROM_LE(value);
}

static inline void store64(guint8 *bytes, guint64 value)
{
    value = GUINT64_TO_LE(value);
    memcpy(bytes, &value, 8);
}

static inline guint32 load32(const guint8 *bytes)
{
    guint32 value;
    memcpy(&value, bytes, 4);
    return GUINT32_FROM_LE(value);
}

static inline void store32(guint8 *bytes, guint32 value)
{
    value = GUINT32_TO_LE(value);
    memcpy(bytes, &value, 4);
}

/* Bytes that hold `value`; 0 for 0. */
static inline guint n_bytes_of(guint64 value)
{
    return value != 0 ? (71 - (guint)__builtin_clzll(value)) / 8 : 0;
}

/* The lowest n bytes at `bytes`, which need not have 8. */
static inline guint64 load_n(const guint8 *bytes, guint n)
{
    guint64 value = 0;
    memcpy(&value, bytes, n);
    return GUINT64_FROM_LE(value);
}

/* Not cryptographic: detects damage. Two lanes of multiply and shift over 8-byte words; a change of
 * one word always changes its lane's end value. */
static guint32 checksum(const guint8 *body, gsize n_body, guint64 index)
{
    const guint64 k = G_GUINT64_CONSTANT(0x9fb21c651e98df25);
    guint64 even = (index ^ k) * k, odd = (n_body + 1) * k;
    gsize i = 0;
    for (; i + 16 <= n_body; i += 16) {
        even = (even ^ load64(body + i)) * k;
        odd = (odd ^ load64(body + i + 8)) * k;
        even ^= even >> 35;
        odd ^= odd >> 35;
    }
    if (i + 8 <= n_body) {
        even = (even ^ load64(body + i)) * k;
        even ^= even >> 35;
        i += 8;
    }
    odd = (odd ^ load_n(body + i, (guint)(n_body - i))) * k;
    odd ^= odd >> 35;
    guint64 both = (even ^ (odd << 32 | odd >> 32)) * k;
    return (guint32)(both >> 32);
}

void eep_record_seal(guint8 *bytes, guint32 n_body, guint64 index)
{
    store32(bytes, n_body);
    store32(bytes + 4, checksum(bytes + EEP_RECORD_FRAME_BYTES, n_body, index));
}

gsize eep_record_encode(guint8 *bytes, const EepRecord *record, EepTime before, guint64 index)
{
    const EepEvent *event = &record->event;
    g_assert(event->time >= before && record->n_blob < G_MAXUINT32 - EEP_RECORD_MAX_BYTES);
    const guint64 fields[N_FIELDS] = {
        [FIELD_TIME] = (guint64)event->time - (guint64)before,
        [FIELD_SOURCE] = event->source,
        [FIELD_FLAGS] = event->flags,
        [FIELD_SEQ] = event->seq,
        [FIELD_A] = event->a,
        [FIELD_B] = event->b,
        [FIELD_C] = event->c,
        [FIELD_BLOB] = record->blob != NULL ? record->n_blob + 1 : 0,
    };
    guint8 *body = bytes + EEP_RECORD_FRAME_BYTES;
    guint8 *at = body + FRONT_SIZE;
    guint32 counts = 0;
    for (guint i = 0; i < N_FIELDS; i++) {
        guint n = n_bytes_of(fields[i]);
        counts |= n << 4 * i;
        store64(at, fields[i]); /* the next field overwrites what is too much */
        at += n;
    }
    store64(at, record->hash);
    at += 8;
    if (record->n_blob > 0)
        memcpy(at, record->blob, record->n_blob);
    body[0] = event->kind;
    body[1] = event->event_class;
    store32(body + 2, counts);
    gsize n_body = (gsize)(at - body) + record->n_blob;
    eep_record_seal(bytes, (guint32)n_body, index);
    return EEP_RECORD_FRAME_BYTES + n_body;
}

static gboolean is_zero(const guint8 *bytes, gsize n_bytes)
{
    for (gsize i = 0; i < n_bytes; i++)
        if (bytes[i] != 0)
            return FALSE;
    return TRUE;
}

EepRecordState eep_record_check(const guint8 *bytes, gsize n_bytes, guint64 index,
                                gsize *ret_n_body)
{
    if (n_bytes < EEP_RECORD_FRAME_BYTES)
        return EEP_RECORD_TORN;
    gsize n_body = load32(bytes);
    if (n_body > n_bytes - EEP_RECORD_FRAME_BYTES)
        return EEP_RECORD_TORN;
    const guint8 *body = bytes + EEP_RECORD_FRAME_BYTES;
    if (load32(bytes + 4) != checksum(body, n_body, index))
        /* A file system may have kept the file's new length without its last blocks. */
        return is_zero(body + n_body, n_bytes - EEP_RECORD_FRAME_BYTES - n_body) ? EEP_RECORD_TORN
                                                                                 : EEP_RECORD_BAD;
    *ret_n_body = n_body;
    return EEP_RECORD_GOOD;
}

gsize eep_record_body_bytes(const guint8 *bytes)
{
    return load32(bytes);
}

gboolean eep_record_decode(const guint8 *body, gsize n_body, EepTime before, EepRecord *ret_record)
{
    if (n_body < FRONT_SIZE + 8)
        return FALSE;
    guint32 counts = load32(body + 2);
    guint64 fields[N_FIELDS];
    gsize at = FRONT_SIZE;
    for (guint i = 0; i < N_FIELDS; i++) {
        guint n = counts >> 4 * i & 15;
        if (n > 8 || n > n_body - at)
            return FALSE;
        fields[i] = load_n(body + at, n);
        at += n;
    }
    if (n_body - at < 8)
        return FALSE;
    gsize n_blob = n_body - at - 8;
    if (body[0] >= EEP_EVENT_COUNT || body[1] > EEP_CLASS_TIMER ||
        fields[FIELD_TIME] > (guint64)(G_MAXINT64 - 1 - before) ||
        fields[FIELD_SOURCE] > G_MAXUINT32 || fields[FIELD_FLAGS] > G_MAXUINT16 ||
        (fields[FIELD_BLOB] == 0 ? n_blob != 0 : fields[FIELD_BLOB] != n_blob + 1))
        return FALSE;
    *ret_record = (EepRecord){
        .event =
            {
                .time = before + (EepTime)fields[FIELD_TIME],
                .source = (guint32)fields[FIELD_SOURCE],
                .event_class = body[1],
                .kind = body[0],
                .flags = (guint16)fields[FIELD_FLAGS],
                .seq = fields[FIELD_SEQ],
                .a = fields[FIELD_A],
                .b = fields[FIELD_B],
                .c = fields[FIELD_C],
            },
        .hash = load64(body + at),
        .blob = fields[FIELD_BLOB] != 0 ? body + at + 8 : NULL,
        .n_blob = n_blob,
    };
    return TRUE;
}
