#include "core/memory_fit.h"

#include <math.h>
#include <string.h>

#define GIB (1024.0 * 1024.0 * 1024.0)
#define D   G_GINT64_FORMAT

gint64 eep_memory_slots_per_rank(const EepModel *model, const EepPoolOptions *options)
{
    return (model->n_routed_experts + options->eplb_config.num_redundant_experts) /
           (options->data_parallel_size * options->tensor_parallel_size);
}

gint64 eep_memory_min_data_parallel_size(const EepModel *model, const EepPoolOptions *options)
{
    gint64 engine = eep_memory_slots_per_rank(model, options) * options->tensor_parallel_size;
    g_return_val_if_fail(engine > 0, G_MAXINT64);
    return (model->n_routed_experts + engine - 1) / engine;
}

gint64 eep_memory_activation_bytes(const EepModel *model, const EepPoolOptions *options)
{
    double token =
        2.0 * (12.0 * (double)model->hidden_size +
               (double)model->experts_per_token *
                   (2.0 * (double)model->hidden_size + 2.0 * (double)model->moe_intermediate_size));
    double logits = 4.0 * (double)model->vocab_size * (double)options->max_num_seqs /
                    (double)options->tensor_parallel_size;
    return (gint64)ceil(token * (double)options->max_num_batched_tokens + logits);
}

void eep_memory_resolve_limits(const EepModel *model, const EepHardware *hardware,
                               EepPoolOptions *options)
{
    double gib = (double)hardware->hbm_bytes / GIB;
    gboolean is_a100 = hardware->name != NULL && g_str_has_prefix(hardware->name, "a100");
    gboolean large = gib >= 70.0 && !is_a100;

    if (options->max_num_seqs == 0)
        options->max_num_seqs = large ? 1024 : 256;
    if (options->max_num_batched_tokens == 0)
        options->max_num_batched_tokens = gib >= 160.0 ? 16384 : large ? 8192 : 2048;
    if (options->max_model_len == 0)
        options->max_model_len = model->max_model_len;
}

static void append_term(GString *text, char sign, gint64 bytes, const char *what)
{
    g_string_append_printf(text, "  %c %8.2f GiB  %s\n", sign, (double)bytes / GIB, what);
}

/* Everything up to the blocks. */
static void append_terms(GString *text, const EepMemoryFit *fit)
{
    g_autofree char *usable = g_strdup_printf("usable of %.2f GiB (gpu_memory_utilization)",
                                              (double)fit->hbm_bytes / GIB);
    g_autofree char *experts =
        g_strdup_printf("experts: %" D " slots x %" D " MoE layers x %.2f MB", fit->slots_per_rank,
                        fit->n_moe_layers, (double)fit->expert_bytes / 1e6);
    append_term(text, ' ', fit->usable_bytes, usable);
    append_term(text, '-', fit->non_expert_bytes, "other weights");
    append_term(text, '-', fit->expert_total_bytes, experts);
    append_term(text, '-', fit->activation_bytes, "activations of the largest step (estimate)");
    append_term(text, '-', fit->graph_bytes, "graphs");
    append_term(text, '-', fit->reserved_bytes, "reserved (context, NCCL, fragmentation)");
    if (fit->bounded_bytes > 0) {
        g_autofree char *state = g_strdup_printf(
            "state of window and linear layers of %" D " sequences", fit->bounded_seqs);
        append_term(text, '-', fit->bounded_bytes, state);
    }
    append_term(text, '=', fit->kv_bytes, "KV cache");
}

char *eep_memory_fit_to_text(const EepMemoryFit *fit)
{
    GString *text = g_string_new(NULL);
    if (fit->hbm_bytes > 0) /* constant-step has no memory */
        append_terms(text, fit);
    if (fit->is_override)
        g_string_append_printf(text, "  num_gpu_blocks_override: %" D " blocks",
                               fit->num_gpu_blocks);
    else
        g_string_append_printf(text, "  %" D " blocks of %" D " tokens x %" D " B",
                               fit->num_gpu_blocks, fit->block_size, fit->kv_bytes_per_token);
    g_string_append_printf(text, " = %" D " tokens an engine\n",
                           fit->num_gpu_blocks * fit->block_size);
    return g_string_free(text, FALSE);
}

/* What remains for blocks beside so many slots. */
static void fill_blocks(EepMemoryFit *fit)
{
    gint64 room;

    fit->expert_total_bytes = fit->slots_per_rank * fit->n_moe_layers * fit->expert_bytes;
    room = fit->usable_bytes - fit->non_expert_bytes - fit->expert_total_bytes - fit->graph_bytes -
           fit->reserved_bytes - fit->activation_bytes;
    fit->bounded_seqs = 0;
    if (fit->bounded_each > 0 && room > 0)
        fit->bounded_seqs = MIN(fit->max_num_seqs, room / 2 / fit->bounded_each);
    fit->bounded_bytes = fit->bounded_seqs * fit->bounded_each;
    fit->kv_bytes = room - fit->bounded_bytes;
    if (!fit->is_override)
        fit->num_gpu_blocks =
            fit->kv_bytes > 0 && fit->block_bytes > 0 ? fit->kv_bytes / fit->block_bytes : 0;
}

static void fill_terms(const EepModel *model, const EepHardware *hardware,
                       const EepPoolOptions *options, EepMemoryFit *fit)
{
    gint64 tp = options->tensor_parallel_size;

    fit->hbm_bytes = hardware->hbm_bytes;
    fit->usable_bytes =
        (gint64)floor((double)hardware->hbm_bytes * options->gpu_memory_utilization);
    fit->slots_per_rank = eep_memory_slots_per_rank(model, options);
    fit->n_moe_layers = eep_model_n_moe_layers(model);
    fit->expert_bytes = eep_model_expert_bytes(model);
    fit->non_expert_bytes = eep_model_non_expert_bytes(model, tp);
    fit->graph_bytes = options->enforce_eager ? 0 : hardware->graph_bytes;
    fit->reserved_bytes = hardware->reserved_bytes;
    fit->activation_bytes = eep_memory_activation_bytes(model, options);
    fit->kv_bytes_per_token = eep_model_kv_bytes_per_token(model, tp);
    fit->block_size = options->block_size;
    fit->block_bytes = fit->kv_bytes_per_token * options->block_size;
    fit->bounded_each = eep_model_bounded_state_bytes(model, tp);
    fit->max_num_seqs = options->max_num_seqs;
    fit->is_override = options->num_gpu_blocks_override > 0;
    fit->num_gpu_blocks = options->num_gpu_blocks_override;
    fill_blocks(fit);
}

void eep_memory_fit_with_slots(const EepMemoryFit *fit, gint64 slots_per_rank, EepMemoryFit *ret)
{
    *ret = *fit;
    ret->slots_per_rank = slots_per_rank;
    if (fit->hbm_bytes > 0)
        fill_blocks(ret);
}

gint64 eep_memory_fit_max_slots(const EepMemoryFit *fit)
{
    const gint64 slot_bytes = fit->n_moe_layers * fit->expert_bytes;
    EepMemoryFit other;
    gint64 slots;

    if (fit->hbm_bytes <= 0 || slot_bytes <= 0 || fit->is_override)
        return G_MAXINT64;
    eep_memory_fit_with_slots(fit, 0, &other);
    slots = MAX(0, other.kv_bytes + other.bounded_bytes) / slot_bytes;
    for (; slots > 0; slots--) {
        eep_memory_fit_with_slots(fit, slots, &other);
        if (other.num_gpu_blocks > 0)
            break;
    }
    return slots;
}

gboolean eep_memory_fit(const EepModel *model, const EepHardware *hardware,
                        const EepPoolOptions *options, gint64 n_ranks, EepMemoryFit *ret,
                        GError **error)
{
    EepMemoryFit fit;
    memset(&fit, 0, sizeof fit);
    fill_terms(model, hardware, options, &fit);

    if (fit.slots_per_rank * n_ranks < model->n_routed_experts) {
        g_set_error(
            error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
            "%" D " ranks x %" D " slots hold %" D " of %" D " experts: every expert needs "
            "a slot; try %" D " ranks",
            n_ranks, fit.slots_per_rank, n_ranks * fit.slots_per_rank, model->n_routed_experts,
            (model->n_routed_experts + fit.slots_per_rank - 1) / MAX(fit.slots_per_rank, 1));
        return FALSE;
    }
    if (fit.num_gpu_blocks < 1) {
        GString *terms = g_string_new(NULL);
        append_terms(terms, &fit);
        g_string_truncate(terms, terms->len - 1);
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_BOUNDS,
                    "the model does not fit a GPU of %s: room for one KV block of %.2f MB at "
                    "least; try more engines, fewer redundant experts or a smaller "
                    "max_num_batched_tokens\n%s",
                    hardware->name != NULL ? hardware->name : "this hardware",
                    (double)fit.block_bytes / 1e6, terms->str);
        g_string_free(terms, TRUE);
        return FALSE;
    }
    *ret = fit;
    return TRUE;
}
