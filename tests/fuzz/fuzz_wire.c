/* Any bytes as what comes over a connection: framing and decoding neither crash nor read beyond
 * them, and what was decoded is the same after it was encoded again. */
#include <string.h>

#include "gpu/wire.h"

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size);

static void again(const EepWireMessage *message)
{
    g_autoptr(GByteArray) first = g_byte_array_new(), second = g_byte_array_new();
    EepWireMessage back;

    eep_wire_encode(message, first);
    g_assert(eep_wire_decode(first->data, first->len, &back, NULL));
    eep_wire_encode(&back, second);
    g_assert(first->len == second->len && memcmp(first->data, second->data, first->len) == 0);
    eep_wire_clear(&back);
}

int LLVMFuzzerTestOneInput(const guint8 *data, size_t size)
{
    while (size > 0) {
        g_autoptr(GError) error = NULL;
        EepWireMessage message;
        gsize bytes;

        if (!eep_wire_frame(data, size, &bytes, &error))
            break;
        g_assert(bytes <= size && bytes >= EEP_WIRE_HEADER_BYTES);
        if (eep_wire_decode(data, bytes, &message, &error)) {
            again(&message);
            eep_wire_clear(&message);
        }
        data += bytes;
        size -= bytes;
    }
    return 0;
}
