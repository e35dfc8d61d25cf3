/* The links of one pool in the simulated backend: steps and moves that go on together slow each
 * other as contention.h has it, and whatever is added or taken away gives the rest new ends. */
#include "sim/backend_sim_internal.h"

typedef struct {
    EepSimStep *step[EEP_SIM_STEPS_IN_FLIGHT];
    EepContentionStep steps[EEP_SIM_STEPS_IN_FLIGHT];
    guint n_steps;
    GArray *which; /* guint, into pending */
    GArray *moves; /* EepContentionMove */
} Links;

static inline gboolean is_move(const EepSimPending *pending, EepPoolId pool)
{
    return pending->op.pool == pool && eep_sim_pending_is_move(pending);
}

/* The pool's steps and moves that go on after `after`, each in their order; what hangs uses no
 * links. One that waits for the one before begins when that ends, whenever it does. */
static void links_init(Links *links, EepSimBackend *self, EepPoolId id, EepTime after)
{
    EepSimPool *pool = eep_sim_pool(self, id);
    *links = (Links){.which = g_array_new(FALSE, FALSE, sizeof(guint)),
                     .moves = g_array_new(FALSE, FALSE, sizeof(EepContentionMove))};
    for (guint i = 0; i < EEP_SIM_STEPS_IN_FLIGHT; i++) {
        EepSimStep *step = &pool->steps[(pool->next + i) % EEP_SIM_STEPS_IN_FLIGHT];
        if (!step->is_open || step->end <= after || step->end == EEP_TIME_NEVER)
            continue;
        const gboolean is_behind =
            links->n_steps > 0 && step->begin == links->step[links->n_steps - 1]->end;
        links->step[links->n_steps] = step;
        links->steps[links->n_steps++] = (EepContentionStep){
            .begin = is_behind ? after : step->begin, .left = step->left, .all2all = step->all2all};
    }
    EepTime last_end = EEP_TIME_NEVER;
    for (guint i = 0; i < self->pending->len; i++) {
        const EepSimPending *pending = eep_sim_pending(self, i);
        if (!is_move(pending, id) || pending->at <= after || pending->at == EEP_TIME_NEVER)
            continue;
        EepContentionMove move = pending->move;
        if (move.begin == last_end)
            move.begin = after;
        last_end = pending->at;
        g_array_append_val(links->which, i);
        g_array_append_val(links->moves, move);
    }
}

static void links_run(Links *links, EepSimBackend *self, EepPoolId id, EepTime from, EepTime until)
{
    const EepPredictor *predictor = eep_sim_pool(self, id)->predictor;
    eep_contention_run(eep_sim_predictor_options(predictor)->eplb_config.contention, links->steps,
                       links->n_steps, (EepContentionMove *)links->moves->data, links->moves->len,
                       from, until);
}

static void links_clear(Links *links)
{
    g_array_unref(links->which);
    g_array_unref(links->moves);
}

void eep_sim_links_settle(EepSimBackend *self, EepPoolId id)
{
    EepSimPool *pool = eep_sim_pool(self, id);
    const EepTime now = eep_loop_now(self->base.loop);
    Links links;
    links_init(&links, self, id, pool->settled);
    links_run(&links, self, id, pool->settled, now);
    for (guint i = 0; i < links.n_steps; i++)
        links.step[i]->left = links.steps[i].left;
    for (guint i = 0; i < links.which->len; i++) {
        EepContentionMove *move =
            &eep_sim_pending(self, g_array_index(links.which, guint, i))->move;
        const EepTime begin = move->begin;
        *move = g_array_index(links.moves, EepContentionMove, i);
        move->begin = begin;
    }
    links_clear(&links);
    pool->settled = now;
}

void eep_sim_links_project(EepSimBackend *self, EepPoolId id)
{
    EepSimPool *pool = eep_sim_pool(self, id);
    const EepTime now = eep_loop_now(self->base.loop);
    Links links;
    links_init(&links, self, id, now);
    links_run(&links, self, id, now, EEP_TIME_NEVER);
    EepTime old_end = EEP_TIME_NEVER;
    for (guint i = 0; i < links.n_steps; i++) {
        EepSimStep *step = links.step[i];
        if (step->begin == old_end)
            step->begin = links.step[i - 1]->end;
        old_end = step->end;
        if (step->end != links.steps[i].end)
            eep_loop_reschedule(self->base.loop, step->handle, links.steps[i].end);
        step->end = links.steps[i].end;
        pool->step_end = MAX(pool->step_end, step->end);
    }
    old_end = EEP_TIME_NEVER;
    for (guint i = 0; i < links.which->len; i++) {
        EepSimPending *pending = eep_sim_pending(self, g_array_index(links.which, guint, i));
        const EepTime end = g_array_index(links.moves, EepContentionMove, i).end;
        if (pending->move.begin == old_end)
            pending->move.begin = g_array_index(links.moves, EepContentionMove, i - 1).end;
        old_end = pending->at;
        if (pending->at != end)
            eep_loop_reschedule(self->base.loop, pending->handle, end);
        pending->at = end;
        pool->move_end = MAX(pool->move_end, end);
    }
    links_clear(&links);
}

gboolean eep_sim_links_are_shared(const EepSimPool *pool, EepTime now)
{
    return pool->move_end > now &&
           eep_sim_predictor_options(pool->predictor)->eplb_config.contention > 0.0;
}
