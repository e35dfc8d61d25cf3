/* What a pool's resize machine tells, handed on to the observer and to whoever waits for it. */
#include "core/engine/pool_fault.h"

static void tell(EepPool *pool, const char *what, const EepFact *facts, guint n_facts)
{
    EepObserver *observer = pool->services->observer;

    observer->ops->decision(observer, eep_loop_now(pool->services->loop), pool->id, what, facts,
                            n_facts);
}

void eep_pool_tell_span(gpointer self, const EepResizeRecord *record, const char *name)
{
    EepPool *pool = self;
    EepFact facts[] = {EEP_FACT_S("id", record->id), EEP_FACT_S("phase", name),
                       EEP_FACT_I("from", record->from), EEP_FACT_I("to", record->to)};

    tell(pool, "resize_phase", facts, G_N_ELEMENTS(facts));
    eep_pool_fault_span_began(pool, name);
    pool->services->span_began(pool->services->self, pool->id, record->id, name);
}

void eep_pool_tell_change(gpointer self, const EepResizeChange *change)
{
    EepFact facts[] = {EEP_FACT_S("machine", change->machine), EEP_FACT_I("worker", change->worker),
                       EEP_FACT_S("from", change->from), EEP_FACT_S("to", change->to),
                       EEP_FACT_S("cause", change->cause)};

    tell(self, "resize_state", facts, G_N_ELEMENTS(facts));
}

/* The observer gets each record once, when it is complete. */
void eep_pool_tell_resize(gpointer self, const EepResizeRecord *record)
{
    EepPool *pool = self;
    EepObserver *observer = pool->services->observer;
    gboolean is_open = record->outcome == EEP_OUTCOME_FAILED && eep_resize_is_stuck(pool->resize);
    EepFact facts[] = {EEP_FACT_S("id", record->id),
                       EEP_FACT_S("by", record->by),
                       EEP_FACT_I("from", record->from),
                       EEP_FACT_I("to", record->to),
                       EEP_FACT_S("generation", record->generation),
                       EEP_FACT_S("outcome", eep_outcome_names[record->outcome]),
                       EEP_FACT_S("reason", record->reason)};

    tell(pool, record->outcome == EEP_OUTCOME_NONE ? "resize_accepted" : "resize_ended", facts,
         G_N_ELEMENTS(facts));
    if (record->outcome == EEP_OUTCOME_NONE)
        return;
    if (!is_open)
        observer->ops->resize_ended(observer, record);
    eep_pool_fault_resize_ended(pool, record);
}

void eep_pool_tell_closed(gpointer self, const EepResizeRecord *record)
{
    EepPool *pool = self;
    EepObserver *observer = pool->services->observer;
    EepFact facts[] = {EEP_FACT_S("id", record->id), EEP_FACT_T("left_reject", record->left_reject),
                       EEP_FACT_T("left_stall", record->left_stall)};

    tell(pool, "resize_closed", facts, G_N_ELEMENTS(facts));
    observer->ops->resize_ended(observer, record);
}
