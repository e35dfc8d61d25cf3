#include "sim/contention.h"

#include <math.h>

#include "core/link_share.h"

/* Time in which `left` gets done at a rate; whole nanoseconds, at rate 1 exactly. */
static EepTime time_for(EepTime left, double rate)
{
    if (rate >= 1.0 || left == 0)
        return left;
    return rate > 0.0 ? (EepTime)ceil((double)left / rate) : EEP_TIME_NEVER;
}

/* What is left after `passed`, of which `needed` would have done it all. */
static EepTime left_after(EepTime left, double rate, EepTime passed, EepTime needed)
{
    if (passed >= needed)
        return 0;
    return rate >= 1.0 ? left - passed : MAX(1, left - (EepTime)(rate * (double)passed));
}

void eep_contention_run(double share, EepContentionStep *steps, guint n_steps,
                        EepContentionMove *moves, guint n_moves, EepTime from, EepTime until)
{
    EepContentionStep *step = steps, *const last_step = steps + n_steps;
    EepContentionMove *move = moves, *const last_move = moves + n_moves;
    EepTime now = from;
    while (now < until && (step < last_step || move < last_move)) {
        const gboolean has_step = step < last_step && step->begin <= now;
        const gboolean has_move = move < last_move && move->begin <= now;
        EepLinkRates rates = {1.0, 1.0};
        if (has_step && has_move && move->local == 0)
            rates = eep_link_share_rates(share, step->all2all);

        EepTime step_needs = 0, move_needs = 0, passed = until - now;
        if (step < last_step) {
            step_needs = has_step ? time_for(step->left, rates.step) : step->begin - now;
            passed = MIN(passed, step_needs);
        }
        if (move < last_move) {
            EepTime *part = move->local > 0 ? &move->local : &move->link;
            move_needs = has_move ? time_for(*part, rates.move) : move->begin - now;
            passed = MIN(passed, move_needs);
            if (has_move)
                *part = left_after(*part, rates.move, passed, move_needs);
        }
        if (has_step)
            step->left = left_after(step->left, rates.step, passed, step_needs);
        now += passed;
        if (has_step && step->left == 0)
            (step++)->end = now;
        if (has_move && move->local == 0 && move->link == 0)
            (move++)->end = now;
    }
}
