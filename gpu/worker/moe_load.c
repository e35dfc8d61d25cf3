#include "gpu/worker/moe_internal.h"

static gsize counts_of_step(const EepMoe *moe)
{
    return (gsize)moe->shape.n_layers * moe->shape.n_experts;
}

gboolean eep_moe_load_new(EepMoe *moe, GError **error)
{
    moe->load_tags = g_new0(EepMoeLoadTag, EEP_MOE_LOAD_STEPS);
    moe->load_counts = g_try_new0(guint32, EEP_MOE_LOAD_STEPS * counts_of_step(moe));
    if (!moe->load_counts)
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_RETRY,
                    "no host memory for the load of %u steps", EEP_MOE_LOAD_STEPS);
    return moe->load_counts != NULL;
}

void eep_moe_load_record(EepMoe *moe, guint64 step)
{
    gsize place = step % EEP_MOE_LOAD_STEPS, n = counts_of_step(moe);
    moe->load_tags[place] = (EepMoeLoadTag){TRUE, step};
    memcpy(moe->load_counts + place * n, moe->pinned.load, sizeof(guint32) * n);
}

void eep_moe_read_load(const EepMoe *moe, guint64 from_step, guint64 to_step, guint layer,
                       guint64 *ret_tokens)
{
    gsize n = counts_of_step(moe);
    memset(ret_tokens, 0, sizeof(guint64) * moe->shape.n_experts);
    if (layer >= moe->shape.n_layers)
        return;
    for (gsize place = 0; place < EEP_MOE_LOAD_STEPS; place++) {
        const EepMoeLoadTag *tag = &moe->load_tags[place];
        if (!tag->is_used || tag->step < from_step || tag->step >= to_step)
            continue;
        const guint32 *counts = moe->load_counts + place * n + (gsize)layer * moe->shape.n_experts;
        for (guint i = 0; i < moe->shape.n_experts; i++)
            ret_tokens[i] += counts[i];
    }
}
