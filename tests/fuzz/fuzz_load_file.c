/* The readers of expert loads: the bytes as they are told apart, and as each format. What is read
 * is a record of finite loads; what is refused has a message of valid UTF-8. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/fuzz_target.h"
#include "traces/load_file.h"

static void check_record(const EepLoadRecord *record, gsize size)
{
    const gsize cells = (gsize)record->n_windows * record->n_layers * record->n_experts;
    g_assert(record->n_windows > 0 && record->n_layers > 0 && record->n_experts > 0);
    g_assert(record->routes != NULL || cells <= size); /* a load takes a byte at least */
    g_assert(record->top_k <= record->n_experts || record->routes != NULL);
    for (gsize i = 0; i < cells; i++)
        g_assert(record->tokens[i] >= 0.0 && record->tokens[i] <= EEP_LOAD_FILE_MAX_LOAD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    EepLoadFileOptions options = EEP_LOAD_FILE_OPTIONS_INIT;
    options.n_layers = 3;
    options.top_k = 2;
    options.window_tokens = 2;
    for (int format = EEP_LOAD_FILE_AUTO; format <= EEP_LOAD_FILE_ROUTES; format++) {
        g_autoptr(GError) error = NULL;
        json_t *fields = NULL;
        options.format = (EepLoadFileFormat)format;
        g_autoptr(EepLoadRecord) record =
            eep_load_file_read_bytes("fuzz", data, size, &options, &fields, &error);
        g_assert((record == NULL) == (error != NULL));
        g_assert(error == NULL || g_utf8_validate(error->message, -1, NULL));
        g_assert(fields == NULL || json_is_object(fields));
        if (record != NULL)
            check_record(record, size);
        json_decref(fields);
    }
    return 0;
}
