/* What the machine does itself, or asks of its host without an operation, and that fails. */
#include "core/resize/resize_machine.h"

static void end_drain(EepResize *resize)
{
    if (resize->control->coordinator.state == EEP_COORDINATOR_DRAINING)
        eep_coordinator_drain_is_over(resize);
    else
        eep_rows_poll_drain(resize, TRUE);
}

void eep_resize_act_failed(EepResize *resize, EepAct act)
{
    guint index = act < EEP_ACT_COUNT ? eep_row_running(resize, 1u << act) : EEP_CONTROL_MAX_ROWS;

    if (act == EEP_ACT_DRAIN)
        end_drain(resize);
    else if (act == EEP_ACT_COUNT && resize->control->coordinator.state == EEP_COORDINATOR_PAUSING)
        eep_coordinator_fail(resize, EEP_COORDINATOR_FAILURE);
    else if (index < EEP_CONTROL_MAX_ROWS)
        eep_row_fail(resize, index, EEP_SLOT_NONE);
    eep_resize_run(resize, FALSE);
}
