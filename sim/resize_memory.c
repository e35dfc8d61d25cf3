#include "sim/resize_memory.h"

#include "sim/all2all.h"

/* Buffers of DeepEP's low-latency kernels: for every expert room for the most tokens of a round in
 * BF16 with a pair of scales for each 128 values, to send and to receive, both twice
 * (LowLatencyLayout in its csrc/config.hpp). At the experts' slots of the start. */
static gint64 exchange_buffer_bytes(const EepCostContext *context)
{
    const EepAll2all *backend = eep_all2all(context->options->all2all_backend);
    const gint64 message =
        2 * context->model->hidden_size + 4 * (context->model->hidden_size / 128);
    const gint64 experts =
        context->model->n_routed_experts + context->options->eplb_config.num_redundant_experts;

    return backend->is_batched ? 4 * experts * (gint64)backend->max_tokens * message : 0;
}

/* Whether a row of the plan is there in this deployment, as far as graphs decide it. */
static gboolean applies(const EepCostContext *context, const EepGenerationRow *row)
{
    const gboolean keeps = eep_all2all(context->options->all2all_backend)->keeps_graphs;

    return !(row->when & EEP_WHEN_GRAPHS && context->options->enforce_eager) &&
           !(row->when & EEP_WHEN_REUSE && !keeps) && !(row->when & EEP_WHEN_RECAPTURE && keeps);
}

static void add_plan(const EepCostContext *context, const EepGenerationPlan *plan,
                     EepResizeMemory *memory)
{
    const EepAll2all *backend = eep_all2all(context->options->all2all_backend);
    gboolean is_adopted = FALSE;

    for (guint i = 0; i < plan->n_rows; i++) {
        const EepGenerationRow *row = &plan->rows[i];
        const gboolean is_phase = row->act == EEP_ACT_PHASE && row->who & EEP_WHO_STAYING;

        is_adopted |= row->act == EEP_ACT_ADOPT;
        if (is_adopted || !applies(context, row) || !is_phase)
            continue;
        if (row->kind == EEP_PHASE_STANDBY_GROUPS) {
            memory->groups = context->hardware->standby_group_bytes;
            memory->buffers = backend->keeps_graphs ? 0 : exchange_buffer_bytes(context);
        }
        if (row->kind == EEP_PHASE_GRAPH_CAPTURE)
            memory->graphs = context->hardware->graph_bytes;
    }
}

void eep_resize_memory(const EepCostContext *context, const EepGeneration *generation,
                       EepResizeMemory *ret_memory)
{
    *ret_memory = (EepResizeMemory){0};
    if (generation->replaces_all)
        return; /* the old engines are gone */
    add_plan(context, &generation->up, ret_memory);
    add_plan(context, &generation->down, ret_memory);
}
