#include "gpu/wire.h"

#include <string.h>

#include "gpu/wire_table.h"

G_DEFINE_QUARK(eep - wire - error - quark, eep_wire_error)

/* Before there are threads, since whoever asks first writes a static variable. */
static void __attribute__((constructor)) touch_quark(void)
{
    eep_wire_error_quark();
}

/* Where the members of every message's struct begin in EepWireMessage: the union's place. */
#define BODY offsetof(EepWireMessage, hello)

const char *eep_wire_type_name(EepWireType type)
{
    return type > 0 && type < EEP_WIRE_TYPE_END ? eep_wire_layouts[type].name : "unknown";
}

gboolean eep_wire_parse_token(const char *hex, char ret_token[EEP_WIRE_TOKEN_BYTES])
{
    if (strlen(hex) != 2 * EEP_WIRE_TOKEN_BYTES ||
        strspn(hex, "0123456789abcdef") != 2 * EEP_WIRE_TOKEN_BYTES)
        return FALSE;
    for (guint i = 0; i < EEP_WIRE_TOKEN_BYTES && ret_token != NULL; i++)
        ret_token[i] =
            (char)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
    return TRUE;
}

/* -- encoding -- */

static void put_number(GByteArray *out, guint64 value, guint n_bytes)
{
    guint8 bytes[8];

    for (guint i = 0; i < n_bytes; i++)
        bytes[i] = (guint8)(value >> 8 * i);
    g_byte_array_append(out, bytes, n_bytes);
}

static void put_u32(GByteArray *out, const EepWireField *field, guint32 value)
{
    g_assert((value >= field->min && value <= field->max) ||
             (field->may_be_none && value >= G_MAXUINT32 - 1));
    put_number(out, value, 4);
}

static void put_text(GByteArray *out, const EepWireField *field, const char *text)
{
    gsize length = strnlen(text, field->size - 1);

    put_number(out, length, 2);
    g_byte_array_append(out, (const guint8 *)text, (guint)length);
}

static void put_fields(GByteArray *out, const EepWireField *fields, const guint8 *base);

static void put_array(GByteArray *out, const EepWireField *field, const guint8 *base)
{
    const guint8 *elements = *(const guint8 *const *)(const void *)(base + field->offset);
    guint32 count = *(const guint32 *)(const void *)(base + field->count_offset);

    g_assert(count <= field->max);
    put_number(out, count, 4);
    for (guint32 i = 0; i < count; i++)
        put_fields(out, field->elements, elements + i * field->size);
}

static void put_fields(GByteArray *out, const EepWireField *fields, const guint8 *base)
{
    for (const EepWireField *field = fields; field->name != NULL; field++) {
        const void *value = base + field->offset;
        guint64 number;
        guint32 bits;

        switch (field->kind) {
        case EEP_WIRE_FIELD_U32:
            put_u32(out, field, *(const guint32 *)value);
            break;
        case EEP_WIRE_FIELD_U64:
            number = *(const guint64 *)value;
            g_assert(number >= field->min && number <= field->max);
            put_number(out, number, 8);
            break;
        case EEP_WIRE_FIELD_F32:
            memcpy(&bits, value, sizeof bits);
            put_number(out, bits, 4);
            break;
        case EEP_WIRE_FIELD_F64:
            g_assert(*(const gdouble *)value >= 0 && *(const gdouble *)value <= field->max);
            memcpy(&number, value, sizeof number);
            put_number(out, number, 8);
            break;
        case EEP_WIRE_FIELD_TEXT:
            put_text(out, field, value);
            break;
        case EEP_WIRE_FIELD_BYTES:
            g_byte_array_append(out, value, (guint)field->size);
            break;
        case EEP_WIRE_FIELD_ARRAY:
            put_array(out, field, base);
            break;
        }
    }
}

void eep_wire_encode(const EepWireMessage *message, GByteArray *out)
{
    guint start = out->len, length;

    g_assert(message->type > 0 && message->type < EEP_WIRE_TYPE_END);
    put_number(out, 0, 4);
    put_number(out, message->type, 2);
    put_number(out, 0, 2);
    put_fields(out, eep_wire_layouts[message->type].fields, (const guint8 *)message + BODY);
    length = out->len - start - EEP_WIRE_HEADER_BYTES;
    for (guint i = 0; i < 4; i++)
        out->data[start + i] = (guint8)(length >> 8 * i);
}

/* -- decoding -- */

typedef struct {
    const guint8 *at, *end;
    const char *message; /* for errors */
} Reader;

static guint64 get_number(const guint8 *data, guint n_bytes)
{
    guint64 value = 0;

    for (guint i = 0; i < n_bytes; i++)
        value |= (guint64)data[i] << 8 * i;
    return value;
}

static gboolean fail(const Reader *reader, const EepWireField *field, const char *what,
                     GError **error)
{
    g_set_error(error, EEP_WIRE_ERROR, EEP_WIRE_ERROR_GARBAGE, "message %s: %s %s", reader->message,
                field->name, what);
    return FALSE;
}

/* FALSE when fewer than n_bytes are left. */
static gboolean take(Reader *reader, guint n_bytes, guint64 *ret_value)
{
    if (reader->end - reader->at < (ptrdiff_t)n_bytes)
        return FALSE;
    *ret_value = get_number(reader->at, n_bytes);
    reader->at += n_bytes;
    return TRUE;
}

static gboolean get_scalar(Reader *reader, const EepWireField *field, void *value, GError **error)
{
    gboolean is_wide = field->kind == EEP_WIRE_FIELD_U64 || field->kind == EEP_WIRE_FIELD_F64;
    guint64 number;
    guint32 narrow;
    gdouble real;

    if (!take(reader, is_wide ? 8 : 4, &number))
        return fail(reader, field, "is cut off", error);
    narrow = (guint32)number;
    switch (field->kind) {
    case EEP_WIRE_FIELD_F64:
        memcpy(&real, &number, sizeof real);
        if (!(real >= 0 && real <= (gdouble)field->max))
            return fail(reader, field, "is out of bounds", error);
        memcpy(value, &real, sizeof real);
        return TRUE;
    case EEP_WIRE_FIELD_F32:
        memcpy(value, &narrow, sizeof narrow);
        return TRUE;
    default:
        if ((number < field->min || number > field->max) &&
            !(field->may_be_none && number >= G_MAXUINT32 - 1))
            return fail(reader, field, "is out of bounds", error);
        if (is_wide)
            memcpy(value, &number, sizeof number);
        else
            memcpy(value, &narrow, sizeof narrow);
        return TRUE;
    }
}

/* What will be shown to somebody has no control characters. */
static gboolean get_text(Reader *reader, const EepWireField *field, char *value, GError **error)
{
    guint64 length;

    if (!take(reader, 2, &length) || reader->end - reader->at < (ptrdiff_t)length)
        return fail(reader, field, "is cut off", error);
    if (length >= field->size)
        return fail(reader, field, "is too long", error);
    for (guint64 i = 0; i < length; i++)
        value[i] = reader->at[i] < 0x20 || reader->at[i] > 0x7e ? '?' : (char)reader->at[i];
    value[length] = '\0';
    reader->at += length;
    return TRUE;
}

static gboolean get_fields(Reader *reader, const EepWireField *fields, guint8 *base,
                           gpointer *ret_arrays, GError **error);

/* A message has one array at most. */
static gboolean get_array(Reader *reader, const EepWireField *field, guint8 *base,
                          gpointer *ret_arrays, GError **error)
{
    guint64 count;
    guint8 *elements;

    if (!take(reader, 4, &count))
        return fail(reader, field, "is cut off", error);
    /* An element takes at least 4 bytes: nothing is allocated for what has not come. */
    if (count > field->max || count > (guint64)(reader->end - reader->at) / 4)
        return fail(reader, field, "has more elements than allowed or sent", error);
    elements = g_malloc0_n(MAX(1, count), field->size);
    *ret_arrays = elements;
    memcpy(base + field->offset, &elements, sizeof elements);
    *(guint32 *)(void *)(base + field->count_offset) = (guint32)count;
    for (guint64 i = 0; i < count; i++)
        if (!get_fields(reader, field->elements, elements + i * field->size, NULL, error))
            return FALSE;
    return TRUE;
}

static gboolean get_fields(Reader *reader, const EepWireField *fields, guint8 *base,
                           gpointer *ret_arrays, GError **error)
{
    for (const EepWireField *field = fields; field->name != NULL; field++) {
        void *value = base + field->offset;
        gboolean is_ok;

        switch (field->kind) {
        case EEP_WIRE_FIELD_TEXT:
            is_ok = get_text(reader, field, value, error);
            break;
        case EEP_WIRE_FIELD_BYTES:
            if (reader->end - reader->at < (ptrdiff_t)field->size)
                return fail(reader, field, "is cut off", error);
            memcpy(value, reader->at, field->size);
            reader->at += field->size;
            is_ok = TRUE;
            break;
        case EEP_WIRE_FIELD_ARRAY:
            is_ok = get_array(reader, field, base, ret_arrays, error);
            break;
        default:
            is_ok = get_scalar(reader, field, value, error);
            break;
        }
        if (!is_ok)
            return FALSE;
    }
    return TRUE;
}

/* The longest body that the layout allows. */
static gsize longest(const EepWireField *fields)
{
    gsize total = 0;

    for (const EepWireField *field = fields; field->name != NULL; field++) {
        static const gsize fixed[] = {
            [EEP_WIRE_FIELD_U32] = 4,  [EEP_WIRE_FIELD_U64] = 8,  [EEP_WIRE_FIELD_F32] = 4,
            [EEP_WIRE_FIELD_F64] = 8,  [EEP_WIRE_FIELD_TEXT] = 2, [EEP_WIRE_FIELD_BYTES] = 0,
            [EEP_WIRE_FIELD_ARRAY] = 4};

        total += fixed[field->kind];
        if (field->kind == EEP_WIRE_FIELD_ARRAY)
            total += field->max * longest(field->elements);
        else
            total += field->size;
    }
    return total;
}

gboolean eep_wire_frame(const guint8 *data, gsize n_bytes, gsize *ret_bytes, GError **error)
{
    guint64 length, type;

    *ret_bytes = EEP_WIRE_HEADER_BYTES;
    if (n_bytes < EEP_WIRE_HEADER_BYTES)
        return FALSE;
    length = get_number(data, 4);
    type = get_number(data + 4, 2);
    if (type == 0 || type >= EEP_WIRE_TYPE_END || get_number(data + 6, 2) != 0) {
        g_set_error(error, EEP_WIRE_ERROR, EEP_WIRE_ERROR_GARBAGE,
                    "no message of this protocol: type %u", (guint)type);
        return FALSE;
    }
    if (length > longest(eep_wire_layouts[type].fields)) {
        g_set_error(error, EEP_WIRE_ERROR, EEP_WIRE_ERROR_GARBAGE,
                    "message %s: a body of %u bytes is longer than any",
                    eep_wire_layouts[type].name, (guint)length);
        return FALSE;
    }
    *ret_bytes = EEP_WIRE_HEADER_BYTES + length;
    return n_bytes >= *ret_bytes;
}

gboolean eep_wire_decode(const guint8 *data, gsize n_bytes, EepWireMessage *ret_message,
                         GError **error)
{
    const EepWireLayout *layout;
    EepWireMessage message = {0};
    GError *why = NULL;
    Reader reader;
    gsize bytes;

    if (!eep_wire_frame(data, n_bytes, &bytes, &why) || bytes != n_bytes) {
        if (why == NULL)
            why = g_error_new(EEP_WIRE_ERROR, EEP_WIRE_ERROR_GARBAGE, "not one whole message");
        g_propagate_error(error, why);
        return FALSE;
    }
    message.type = (EepWireType)get_number(data + 4, 2);
    layout = &eep_wire_layouts[message.type];
    reader = (Reader){data + EEP_WIRE_HEADER_BYTES, data + n_bytes, layout->name};
    if (get_fields(&reader, layout->fields, (guint8 *)&message + BODY, &message.arrays, &why)) {
        const char *wrong = layout->check != NULL ? layout->check(&message) : NULL;

        if (wrong == NULL && reader.at != reader.end)
            wrong = "bytes are left over";
        if (wrong != NULL)
            why = g_error_new(EEP_WIRE_ERROR, EEP_WIRE_ERROR_GARBAGE, "message %s: %s",
                              layout->name, wrong);
    }
    if (why != NULL) {
        eep_wire_clear(&message);
        g_propagate_error(error, why);
        return FALSE;
    }
    *ret_message = message;
    return TRUE;
}

void eep_wire_clear(EepWireMessage *message)
{
    g_clear_pointer(&message->arrays, g_free);
}
