#include "core/load_record.h"

#include <string.h>

EepLoadRecord *eep_load_record_new(guint n_windows, guint n_layers, guint n_experts)
{
    g_return_val_if_fail(n_windows > 0 && n_layers > 0 && n_experts > 0, NULL);
    EepLoadRecord *record = g_new0(EepLoadRecord, 1);
    record->n_windows = n_windows;
    record->n_layers = n_layers;
    record->n_experts = n_experts;
    record->tokens = g_new0(double, (gsize)n_windows *n_layers *n_experts);
    return record;
}

void eep_load_record_free(EepLoadRecord *record)
{
    if (!record)
        return;
    g_free(record->tokens);
    g_free(record->routes);
    g_free(record);
}

void eep_load_record_sum(const EepLoadRecord *record, guint from, guint to, double *ret_tokens)
{
    g_return_if_fail(record != NULL && from <= to && to <= record->n_windows);
    const gsize cells = (gsize)record->n_layers * record->n_experts;
    memset(ret_tokens, 0, cells * sizeof *ret_tokens);
    for (guint window = from; window < to; window++)
        for (gsize i = 0; i < cells; i++)
            ret_tokens[i] += record->tokens[window * cells + i];
}
