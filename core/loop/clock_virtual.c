#include "core/loop/clock.h"

typedef struct {
    EepClock base;
    EepTime now;
} VirtualClock;

static EepTime virtual_now(const EepClock *clock)
{
    return ((const VirtualClock *)clock)->now;
}

static EepWake virtual_wait_until(EepClock *clock, EepTime deadline)
{
    VirtualClock *self = (VirtualClock *)clock;
    if (deadline > self->now)
        self->now = deadline;
    return EEP_WAKE_DEADLINE;
}

static void virtual_free(EepClock *clock)
{
    g_free(clock);
}

static const EepClockOps virtual_ops = {
    .size = sizeof(EepClockOps),
    .name = "virtual",
    .foresees = TRUE,
    .now = virtual_now,
    .wait_until = virtual_wait_until,
    .free = virtual_free,
};

static const EepClockOps blind_ops = {
    .size = sizeof(EepClockOps),
    .name = "replay",
    .foresees = FALSE,
    .now = virtual_now,
    .wait_until = virtual_wait_until,
    .free = virtual_free,
};

EepClock *eep_clock_virtual_new(void)
{
    VirtualClock *self = g_new0(VirtualClock, 1);
    self->base.ops = &virtual_ops;
    return &self->base;
}

EepClock *eep_clock_replay_new(gboolean foresaw)
{
    VirtualClock *self = g_new0(VirtualClock, 1);
    self->base.ops = foresaw ? &virtual_ops : &blind_ops;
    return &self->base;
}

void eep_clock_free(EepClock *clock)
{
    if (clock != NULL)
        clock->ops->free(clock);
}
