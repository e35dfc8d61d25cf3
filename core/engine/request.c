#include "core/engine/request.h"

#include <string.h>

const char *const eep_fate_names[EEP_FATE_COUNT] = {
    [EEP_FATE_NONE] = "none",
    [EEP_FATE_COMPLETED] = "completed",
    [EEP_FATE_REJECTED] = "rejected",
    [EEP_FATE_ABORTED] = "aborted",
    [EEP_FATE_UNFINISHED] = "unfinished",
};

const char *const eep_reason_names[EEP_REASON_COUNT] = {
    [EEP_REASON_NONE] = "",
    [EEP_REASON_TOO_LONG] = "too_long",
    [EEP_REASON_NEVER_FITS] = "never_fits",
    [EEP_REASON_SCALING_503] = "scaling_503",
    [EEP_REASON_QUEUE_LIMIT] = "queue_limit",
    [EEP_REASON_UNAVAILABLE] = "unavailable",
    [EEP_REASON_SCALE_DOWN] = "scale_down",
    [EEP_REASON_FAULT] = "fault",
    [EEP_REASON_CLIENT] = "client",
    [EEP_REASON_TIMEOUT] = "timeout",
};

int eep_request_compare_urgency(const EepRequest *x, const EepRequest *y)
{
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    if (x->arrival != y->arrival)
        return x->arrival < y->arrival ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

#define SLOTS_PER_CHUNK 1024

struct EepRequestTable {
    GPtrArray *chunks;
    EepRequest *free_slots; /* through next */
    guint64 n_live;
};

EepRequestTable *eep_request_table_new(void)
{
    EepRequestTable *table = g_new0(EepRequestTable, 1);

    table->chunks = g_ptr_array_new();
    return table;
}

static void request_clear(EepRequest *request)
{
    g_free(request->hashes);
    g_free(request->runs);
}

void eep_request_table_free(EepRequestTable *table)
{
    if (table == NULL)
        return;
    for (guint c = 0; c < table->chunks->len; c++) {
        EepRequest *chunk = g_ptr_array_index(table->chunks, c);

        for (guint i = 0; i < SLOTS_PER_CHUNK; i++)
            request_clear(&chunk[i]);
        g_free(chunk);
    }
    g_ptr_array_free(table->chunks, TRUE);
    g_free(table);
}

static void table_grow(EepRequestTable *table)
{
    EepRequest *chunk = g_new0(EepRequest, SLOTS_PER_CHUNK);

    g_ptr_array_add(table->chunks, chunk);
    for (guint i = SLOTS_PER_CHUNK; i-- > 0;) {
        chunk[i].next = table->free_slots;
        table->free_slots = &chunk[i];
    }
}

EepRequest *eep_request_new(EepRequestTable *table, guint64 id, EepTime arrival,
                            guint32 prompt_tokens, guint32 output_tokens, const guint64 *hashes,
                            guint n_hashes)
{
    EepRequest *request;

    g_return_val_if_fail(prompt_tokens > 0 && output_tokens > 0 && n_hashes <= G_MAXUINT16, NULL);
    if (table->free_slots == NULL)
        table_grow(table);
    request = table->free_slots;
    table->free_slots = request->next;
    memset(request, 0, sizeof *request);
    request->id = id;
    request->arrival = arrival;
    request->prompt_tokens = prompt_tokens;
    request->output_tokens = output_tokens;
    request->first_token = EEP_TIME_NEVER;
    request->last_token = EEP_TIME_NEVER;
    request->finish = EEP_TIME_NEVER;
    if (n_hashes > 0) {
        request->hashes = g_memdup2(hashes, n_hashes * sizeof *hashes);
        request->n_hashes = (guint16)n_hashes;
    }
    table->n_live++;
    return request;
}

void eep_request_free(EepRequestTable *table, EepRequest *request)
{
    request_clear(request);
    request->hashes = NULL;
    request->runs = NULL;
    request->next = table->free_slots;
    table->free_slots = request;
    table->n_live--;
}

guint64 eep_request_table_n_live(const EepRequestTable *table)
{
    return table->n_live;
}
