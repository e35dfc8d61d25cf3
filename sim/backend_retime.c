/* What goes on in the simulated backend while something becomes slow, or itself again, takes longer
 * for as long as that lasts and no longer: of each step, part of a phase and move, the work that is
 * left takes its new time. Both times are prices of the whole as things are at that moment, so that
 * their ratio is that of the rates. */
#include "sim/backend_sim_internal.h"

typedef struct {
    EepTime time;   /* 0: has no price */
    double all2all; /* fraction of a step */
} Price;

struct EepSimPrices {
    GArray *steps;   /* Price [pool][EEP_SIM_STEPS_IN_FLIGHT] */
    GArray *pending; /* Price, by index: parts of phases, the link's part of moves */
};

static inline Price *price_at(GArray *prices, guint index)
{
    return &g_array_index(prices, Price, index);
}

static inline gboolean goes_on(EepTime end, EepTime now)
{
    return end > now && end != EEP_TIME_NEVER;
}

static Price price_of_step(EepSimBackend *self, const EepSimStep *step)
{
    const EepSimPool *pool = eep_sim_pool(self, step->plan.op.pool);
    EepStepCost cost;

    eep_sim_price_step(self, &step->plan, step->load, &cost);
    return (Price){cost.step == EEP_TIME_NEVER ? 0 : cost.step,
                   eep_sim_all2all_fraction(pool, &step->plan, &cost)};
}

static void price_parts(EepSimBackend *self, const EepPhase *phase, GArray *ret_prices)
{
    g_autofree EepTime *each = g_new(EepTime, phase->n_workers + 1);

    eep_sim_price_parts(self, phase, each);
    for (guint i = 0; i < self->pending->len; i++) {
        const EepSimPending *part = eep_sim_pending(self, i);
        for (guint j = 0; j < phase->n_workers && part->op.id == phase->op.id; j++)
            if (part->worker == phase->workers[j])
                price_at(ret_prices, i)->time = each[j];
    }
}

EepSimPrices *eep_sim_prices_new(EepSimBackend *self)
{
    if (self->base.loop == NULL)
        return NULL;
    const EepTime now = eep_loop_now(self->base.loop);
    EepSimPrices *prices = g_new(EepSimPrices, 1);

    prices->steps = g_array_new(FALSE, TRUE, sizeof(Price));
    prices->pending = g_array_new(FALSE, TRUE, sizeof(Price));
    g_array_set_size(prices->steps, self->pools->len * EEP_SIM_STEPS_IN_FLIGHT);
    g_array_set_size(prices->pending, self->pending->len);
    for (guint i = 0; i < prices->steps->len; i++) {
        EepSimPool *pool = g_ptr_array_index(self->pools, i / EEP_SIM_STEPS_IN_FLIGHT);
        if (pool == NULL)
            continue;
        if (i % EEP_SIM_STEPS_IN_FLIGHT == 0)
            eep_sim_links_settle(self, i / EEP_SIM_STEPS_IN_FLIGHT);
        const EepSimStep *step = &pool->steps[i % EEP_SIM_STEPS_IN_FLIGHT];
        if (step->is_open && goes_on(step->end, now))
            *price_at(prices->steps, i) = price_of_step(self, step);
    }
    for (guint i = 0; i < self->pending->len; i++) {
        const EepSimPending *pending = eep_sim_pending(self, i);
        if (!goes_on(pending->at, now) && pending->at != EEP_TIME_NEVER)
            continue;
        if (pending->phase != NULL)
            price_parts(self, pending->phase, prices->pending);
        else if (pending->plan != NULL && pending->at != EEP_TIME_NEVER)
            eep_sim_price_move(self, pending->plan, &price_at(prices->pending, i)->time);
    }
    return prices;
}

static void prices_free(EepSimPrices *prices)
{
    g_array_unref(prices->steps);
    g_array_unref(prices->pending);
    g_free(prices);
}

/* What is left takes as much longer. */
static EepTime scaled(EepTime left, EepTime before, EepTime after)
{
    if (before == after || before <= 0 || after <= 0 || left <= 0)
        return left;
    return MAX(1, (EepTime)((double)left / (double)before * (double)after + 0.5));
}

/* The whole of a phase ends with the last of its parts; one that hangs stays so. */
static void retime_whole(EepSimBackend *self, EepSimPending *whole, EepTime now)
{
    EepTime end = now;

    if (!goes_on(whole->at, now))
        return;
    for (guint i = 0; i < self->pending->len; i++) {
        const EepSimPending *part = eep_sim_pending(self, i);
        if (part->op.id == whole->op.id && part->worker != 0)
            end = MAX(end, part->at);
    }
    if (end != whole->at && eep_loop_reschedule(self->base.loop, whole->handle, end))
        whole->at = end;
}

static void retime_pending(EepSimBackend *self, EepSimPrices *before, EepSimPrices *after)
{
    const EepTime now = eep_loop_now(self->base.loop);

    for (guint i = 0; i < self->pending->len; i++) {
        EepSimPending *pending = eep_sim_pending(self, i);
        const EepTime old = price_at(before->pending, i)->time;
        const EepTime new = price_at(after->pending, i)->time;
        EepTime end;
        if (!goes_on(pending->at, now) || old == new)
            continue;
        if (pending->plan != NULL) {
            pending->move.link = scaled(pending->move.link, old, new);
            continue;
        }
        end = now + scaled(pending->at - now, old, new);
        if (eep_loop_reschedule(self->base.loop, pending->handle, end))
            pending->at = end;
    }
    for (guint i = 0; i < self->pending->len; i++)
        if (eep_sim_pending(self, i)->phase != NULL &&
            eep_sim_pending(self, i)->phase->n_workers > 0)
            retime_whole(self, eep_sim_pending(self, i), now);
}

static void retime_steps(EepSimBackend *self, EepSimPrices *before, EepSimPrices *after)
{
    for (guint i = 0; i < before->steps->len; i++) {
        EepSimPool *pool = g_ptr_array_index(self->pools, i / EEP_SIM_STEPS_IN_FLIGHT);
        const Price *old = price_at(before->steps, i), *new = price_at(after->steps, i);
        if (old->time == 0 || old->time == new->time)
            continue;
        EepSimStep *step = &pool->steps[i % EEP_SIM_STEPS_IN_FLIGHT];
        step->left = scaled(step->left, old->time, new->time);
        step->all2all = new->all2all;
    }
}

void eep_sim_retime(EepSimBackend *self, EepSimPrices *before)
{
    if (before == NULL)
        return;
    EepSimPrices *after = eep_sim_prices_new(self);
    const EepTime now = eep_loop_now(self->base.loop);

    retime_pending(self, before, after);
    retime_steps(self, before, after);
    for (guint id = 0; id < self->pools->len; id++) {
        EepSimPool *pool = g_ptr_array_index(self->pools, id);
        if (pool == NULL)
            continue;
        if (pool->step_end != EEP_TIME_NEVER)
            pool->step_end = MIN(pool->step_end, now);
        eep_sim_links_project(self, id);
    }
    eep_sim_note_ends(self, now);
    prices_free(before);
    prices_free(after);
}
