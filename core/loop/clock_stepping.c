#include "core/loop/clock.h"

typedef struct {
    EepClock base;
    EepTime now;
} SteppingClock;

static EepTime stepping_now(const EepClock *clock)
{
    return ((const SteppingClock *)clock)->now;
}

static EepWake stepping_wait_until(EepClock *clock, EepTime deadline)
{
    return deadline <= ((SteppingClock *)clock)->now ? EEP_WAKE_DEADLINE : EEP_WAKE_END;
}

static void stepping_free(EepClock *clock)
{
    g_free(clock);
}

static const EepClockOps stepping_ops = {
    .size = sizeof(EepClockOps),
    .name = "stepping",
    .foresees = FALSE,
    .now = stepping_now,
    .wait_until = stepping_wait_until,
    .free = stepping_free,
};

EepClock *eep_clock_stepping_new(void)
{
    SteppingClock *self = g_new0(SteppingClock, 1);
    self->base.ops = &stepping_ops;
    return &self->base;
}

void eep_clock_stepping_advance(EepClock *clock, EepTime to)
{
    g_return_if_fail(clock != NULL && clock->ops == &stepping_ops);
    SteppingClock *self = (SteppingClock *)clock;
    g_return_if_fail(to >= self->now);
    self->now = to;
}
