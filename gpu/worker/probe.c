#include "gpu/worker/probe.h"
#include <math.h>

void eep_probe_experts(const EepWireModel *shape, guint layer, guint probe, guint32 *ret_experts)
{
    EepStepFacts facts = {.seed = shape->seed, .n_probes = EEP_WIRE_N_PROBES};
    guint64 token = eep_token_stream(&facts, EEP_MATRIX_ROUTER, layer, probe);
    gint32 keys[EEP_WIRE_MAX_EXPERTS];
    for (guint i = 0; i < shape->n_experts; i++)
        keys[i] = eep_route_key(0, eep_hash(token, i));
    for (guint j = 0; j < shape->top_k; j++) {
        guint32 best = 0;
        for (guint i = 1; i < shape->n_experts; i++)
            if (eep_route_before(keys[i], i, keys[best], best))
                best = i;
        ret_experts[j] = best;
        keys[best] = G_MININT32;
    }
}

guint64 eep_probe_result(const guint16 *rows, guint hidden, guint pitch,
                         gfloat ret_figures[EEP_WIRE_N_PROBES])
{
    guint64 hash = 0;
    for (guint probe = 0; probe < EEP_WIRE_N_PROBES; probe++) {
        const guint16 *row = rows + (gsize)probe * pitch;
        double sum = 0;
        for (guint i = 0; i < hidden; i++) {
            hash = eep_hash(hash, row[i]);
            sum += eep_bf16_float(row[i]);
        }
        ret_figures[probe] = (gfloat)(4 + sum / sqrt(hidden));
    }
    return hash != 0 ? hash : 1;
}
