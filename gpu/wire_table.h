/* EepWireTable: the layout of every message's body as data. For wire.c alone. */
#ifndef EEP_GPU_WIRE_TABLE_H
#define EEP_GPU_WIRE_TABLE_H

#include "gpu/wire.h"

G_BEGIN_DECLS

typedef enum {
    EEP_WIRE_FIELD_U32,
    EEP_WIRE_FIELD_U64,
    EEP_WIRE_FIELD_F32,   /* any bits, NaN too */
    EEP_WIRE_FIELD_F64,   /* finite, 0 .. max */
    EEP_WIRE_FIELD_TEXT,  /* u16 length and characters; in memory `size` bytes with a NUL */
    EEP_WIRE_FIELD_BYTES, /* `size` bytes */
    EEP_WIRE_FIELD_ARRAY, /* u32 count and elements; in memory a pointer, the count elsewhere */
} EepWireFieldKind;

typedef struct EepWireField EepWireField;
struct EepWireField {
    const char *name;
    EepWireFieldKind kind;
    gsize offset;         /* in the message's struct, or the element's */
    gsize size;           /* TEXT, BYTES: of the member; ARRAY: of an element */
    guint64 min, max;     /* numbers: inclusive; ARRAY: of the count; F64: of the value, whole */
    gboolean may_be_none; /* U32: G_MAXUINT32 and the one below it are allowed too */
    gsize count_offset;   /* ARRAY */
    const EepWireField *elements; /* ARRAY: up to a field without name */
};

typedef struct {
    const char *name;
    const EepWireField *fields; /* up to a field without name */
    /* What must hold between fields; NULL: nothing. Returns what does not, or NULL. */
    const char *(*check)(const EepWireMessage *message);
} EepWireLayout;

extern const EepWireLayout eep_wire_layouts[EEP_WIRE_TYPE_END];

G_END_DECLS

#endif
