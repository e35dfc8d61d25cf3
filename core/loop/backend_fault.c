#include "core/loop/backend_fault.h"

#include <string.h>

typedef struct {
    EepOpId id; /* the key */
    const EepFaultRule *rule;
} Faulty;

typedef struct {
    EepBackend base;
    EepBackend *inner;
    EepFaultRule *rules;
    guint n_rules;
    guint64 n_ops[EEP_OP_COUNT];
    guint64 n_hits;
    GHashTable *faulty;     /* EepOpId -> Faulty */
    GHashTable *held_steps; /* pool -> EepTime before which its steps must not complete */
    EepTime held;           /* the same for aborts: the last delayed completion of all */
} Fault;

/* The rule for the next operation of this kind, NULL if it goes well. */
static const EepFaultRule *match(Fault *self, EepOpKind kind)
{
    guint64 nth = ++self->n_ops[kind];
    for (guint i = 0; i < self->n_rules; i++) {
        const EepFaultRule *rule = &self->rules[i];
        if (rule->kind == kind && (rule->nth == 0 || rule->nth == nth)) {
            self->n_hits++;
            return rule;
        }
    }
    return NULL;
}

/* TRUE: refused, the inner backend must not see it. */
static gboolean begin(Fault *self, const EepOp *op, EepOpKind kind)
{
    const EepFaultRule *rule = match(self, kind);
    if (rule == NULL)
        return FALSE;
    if (rule->action == EEP_FAULT_REFUSE) {
        eep_backend_end(&self->base, op, kind, EEP_DONE_REFUSED);
        return TRUE;
    }
    Faulty *faulty = g_new(Faulty, 1);
    *faulty = (Faulty){op->id, rule};
    g_hash_table_replace(self->faulty, &faulty->id, faulty);
    return FALSE;
}

static void fail(const EepFaultRule *rule, EepCompletion *completion, EepEvent *event)
{
    completion->done = rule->done;
    completion->n_steps = 0;
    g_clear_pointer(&event->blob, g_bytes_unref);
    GBytes *suspects =
        rule->suspect != 0 ? g_bytes_new(&rule->suspect, sizeof rule->suspect) : NULL;
    EepEvent failed;
    eep_completion_to_event(completion, 0, suspects, &failed);
    event->b = failed.b;
    event->c = failed.c;
    event->blob = failed.blob;
}

/* Earliest time at which the completion may come. */
static EepTime hold(Fault *self, const EepFaultRule *rule, const EepCompletion *completion,
                    const EepEvent *event)
{
    EepTime until = event->time;
    if (rule != NULL && rule->action == EEP_FAULT_DELAY)
        until += MIN(rule->delay, EEP_TIME_NEVER - 1 - until);
    /* Not at the same instant: sources of other pools may sort behind the abort's. */
    if (completion->kind == EEP_OP_ABORT && self->held >= until && self->held > 0)
        until = self->held + 1;
    if (completion->kind == EEP_OP_STEP) {
        gpointer pool = GUINT_TO_POINTER(event->source & 0xffffff);
        EepTime *held = g_hash_table_lookup(self->held_steps, pool);
        if (held != NULL)
            until = MAX(until, *held);
        if (until > event->time) {
            if (held == NULL)
                g_hash_table_insert(self->held_steps, pool, held = g_new(EepTime, 1));
            *held = until;
        }
    }
    if (until > event->time)
        self->held = MAX(self->held, until);
    return until;
}

static EepFilterVerdict fault_filter(gpointer user_data, EepEvent *event)
{
    Fault *self = user_data;
    EepCompletion completion;
    eep_completion_from_event(event, &completion);
    const Faulty *faulty = g_hash_table_lookup(self->faulty, &completion.id);
    const EepFaultRule *rule = faulty != NULL ? faulty->rule : NULL;
    if (rule != NULL && rule->action == EEP_FAULT_NEVER)
        return EEP_FILTER_DROP;
    if (rule != NULL && completion.worker == 0) {
        if (rule->action == EEP_FAULT_FAIL)
            fail(rule, &completion, event);
        g_hash_table_remove(self->faulty, &completion.id);
    }
    EepTime until = hold(self, rule, &completion, event);
    if (until == event->time)
        return EEP_FILTER_PASS;
    event->time = until;
    return EEP_FILTER_DELAY;
}

static void fault_attach(EepBackend *backend, EepLoop *loop)
{
    Fault *self = (Fault *)backend;
    backend->loop = loop;
    self->inner->ops->attach(self->inner, loop);
    eep_loop_add_filter(loop, fault_filter, self);
}

static void fault_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    const Fault *self = (const Fault *)backend;
    self->inner->ops->query_caps(self->inner, ret_caps);
}

static void fault_free(EepBackend *backend)
{
    Fault *self = (Fault *)backend;
    eep_backend_free(self->inner);
    g_hash_table_unref(self->faulty);
    g_hash_table_unref(self->held_steps);
    g_free(self->rules);
    g_free(self);
}

static void fault_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    Fault *self = (Fault *)backend;
    if (!begin(self, &plan->op, EEP_OP_STEP))
        self->inner->ops->submit_step(self->inner, plan);
}

static void fault_start_phase(EepBackend *backend, const EepPhase *phase)
{
    Fault *self = (Fault *)backend;
    if (!begin(self, &phase->op, EEP_OP_PHASE))
        self->inner->ops->start_phase(self->inner, phase);
}

static void fault_move(EepBackend *backend, const EepMove *move)
{
    Fault *self = (Fault *)backend;
    if (!begin(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS))
        self->inner->ops->move(self->inner, move);
}

static void fault_read_load(EepBackend *backend, const EepOp *op, guint64 from_step,
                            guint64 to_step, guint n_windows)
{
    Fault *self = (Fault *)backend;
    if (!begin(self, op, EEP_OP_READ_LOAD))
        self->inner->ops->read_load(self->inner, op, from_step, to_step, n_windows);
}

static void fault_abort(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    Fault *self = (Fault *)backend;
    if (!begin(self, op, EEP_OP_ABORT))
        self->inner->ops->abort(self->inner, op, scope);
}

static const EepBackendOps fault_ops = {
    .size = sizeof(EepBackendOps),
    .name = "fault",
    .attach = fault_attach,
    .query_caps = fault_query_caps,
    .free = fault_free,
    .submit_step = fault_submit_step,
    .start_phase = fault_start_phase,
    .move = fault_move,
    .read_load = fault_read_load,
    .abort = fault_abort,
};

EepBackend *eep_backend_fault_new(EepBackend *inner, const EepFaultRule *rules, guint n_rules)
{
    g_return_val_if_fail(inner != NULL && (rules != NULL || n_rules == 0), NULL);
    Fault *self = g_new0(Fault, 1);
    self->base.ops = &fault_ops;
    self->inner = inner;
    self->rules = g_memdup2(rules, n_rules * sizeof *rules);
    self->n_rules = n_rules;
    self->faulty = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    self->held_steps = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    return &self->base;
}

guint64 eep_backend_fault_n_hits(const EepBackend *fault)
{
    g_return_val_if_fail(fault != NULL && fault->ops == &fault_ops, 0);
    return ((const Fault *)fault)->n_hits;
}
