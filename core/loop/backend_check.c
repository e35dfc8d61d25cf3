#include "core/loop/backend_check.h"

#include <stdarg.h>

#define N_LISTED 20

/* One operation, from its submission for ever. */
typedef struct {
    EepOpId id; /* the key */
    EepOp op;
    EepOpKind kind;
    gboolean has_ended, has_failed_worker, must_be_refused;
    guint64 order; /* count of submissions before it */

    guint n_workers;      /* steps: engines; phases: workers; moves: 0, they are not told */
    EepWorkerId *workers; /* [n_workers] */
    GArray *completed;    /* EepWorkerId; workers that have completed */
    guint max_completions;

    guint32 max_steps;
    EepTime horizon;
    guint n_windows; /* load reads */
    EepScope scope;  /* aborts */
} Checked;

typedef struct {
    EepBackend base;
    EepBackend *inner;
    EepBackendCaps caps;
    GHashTable *ops;        /* EepOpId -> Checked */
    GPtrArray *outstanding; /* Checked, in order of submission */
    guint64 n_submitted;
    guint n_violations;
    GString *text;
} Check;

G_DEFINE_QUARK(eep - backend - check - error - quark, eep_backend_check_error)

G_GNUC_PRINTF(3, 4)
static void report(Check *self, const Checked *checked, const char *format, ...)
{
    if (++self->n_violations > N_LISTED)
        return;
    g_string_append_printf(self->text, "at %" G_GINT64_FORMAT " ns: ",
                           self->base.loop != NULL ? eep_loop_now(self->base.loop) : 0);
    if (checked != NULL)
        g_string_append_printf(self->text,
                               "%s %" G_GUINT64_FORMAT " of pool %u: ", eep_op_names[checked->kind],
                               checked->id, checked->op.pool);
    va_list arguments;
    va_start(arguments, format);
    g_string_append_vprintf(self->text, format, arguments);
    va_end(arguments);
    g_string_append_c(self->text, '\n');
}

static void free_checked(gpointer data)
{
    Checked *checked = data;
    g_free(checked->workers);
    g_array_unref(checked->completed);
    g_free(checked);
}

static Checked *begin(Check *self, const EepOp *op, EepOpKind kind)
{
    Checked *checked = g_new0(Checked, 1);
    checked->id = op->id;
    checked->op = *op;
    checked->kind = kind;
    checked->order = self->n_submitted++;
    checked->completed = g_array_new(FALSE, FALSE, sizeof(EepWorkerId));
    if (op->id == 0)
        report(self, checked, "submitted without an id");
    Checked *before = g_hash_table_lookup(self->ops, &op->id);
    if (before != NULL) {
        report(self, checked, "submitted, but the id was used before");
        g_ptr_array_remove(self->outstanding, before);
    }
    g_hash_table_replace(self->ops, &checked->id, checked);
    g_ptr_array_add(self->outstanding, checked);
    return checked;
}

static gboolean has_worker(const Checked *checked, EepWorkerId worker)
{
    for (guint i = 0; i < checked->n_workers; i++)
        if (checked->workers[i] == worker)
            return TRUE;
    return FALSE;
}

/* Workers of moves are not known here: only a scope without worker covers them for certain. */
static gboolean is_in_scope(const Checked *checked, const EepScope *scope)
{
    if (scope->op != 0)
        return checked->id == scope->op;
    return (scope->pool == 0 || scope->pool == checked->op.pool) &&
           (scope->epoch == 0 || scope->epoch == checked->op.epoch) &&
           (scope->worker == 0 || has_worker(checked, scope->worker));
}

/* Nothing that was in the abort's scope when it was submitted may outlive it. */
static void check_abort(Check *self, const Checked *abort)
{
    for (guint i = 0; i < self->outstanding->len; i++) {
        const Checked *other = g_ptr_array_index(self->outstanding, i);
        if (other->kind != EEP_OP_ABORT && other->order < abort->order &&
            is_in_scope(other, &abort->scope))
            report(self, other, "is in the scope of abort %" G_GUINT64_FORMAT " and outlives it",
                   abort->id);
    }
}

static void check_leap(Check *self, const Checked *checked, const EepCompletion *completion,
                       const EepEvent *event)
{
    guint32 n = completion->n_steps;
    gsize n_bytes = 0;
    const EepTime *ends = event->blob != NULL ? g_bytes_get_data(event->blob, &n_bytes) : NULL;
    if (n_bytes != n * sizeof(EepTime)) {
        report(self, checked, "leaps %u steps with %" G_GSIZE_FORMAT " bytes of step ends", n,
               n_bytes);
        return;
    }
    for (guint32 i = 0; i < n; i++) {
        if (i > 0 && ends[i] <= ends[i - 1])
            report(self, checked, "the ends of steps %u and %u of the leap are not in order", i,
                   i + 1);
        if (i + 1 < n && ends[i] >= checked->horizon)
            report(self, checked, "leaps on after step %u, which ends at or after the horizon",
                   i + 1);
    }
    if (ends[n - 1] != event->time)
        report(self, checked, "the leap's last step ends at %" G_GINT64_FORMAT " ns, not now",
               ends[n - 1]);
}

static void check_order(Check *self, const Checked *checked, const EepCompletion *completion)
{
    if (completion->done == EEP_DONE_ABORTED && completion->n_steps == 0)
        return;
    for (guint i = 0; i < self->outstanding->len; i++) {
        const Checked *other = g_ptr_array_index(self->outstanding, i);
        if (other == checked)
            return;
        if (other->kind == EEP_OP_STEP && other->op.pool == checked->op.pool &&
            !other->must_be_refused)
            report(self, checked, "ends before step %" G_GUINT64_FORMAT ", submitted earlier",
                   other->id);
    }
}

static void check_step(Check *self, const Checked *checked, const EepCompletion *completion,
                       const EepEvent *event)
{
    check_order(self, checked, completion);
    guint32 n = completion->n_steps;
    guint32 n_max = self->caps.can_leap ? checked->max_steps : 1;
    if (n > n_max)
        report(self, checked, "%u steps happened where at most %u may", n, n_max);
    else if (completion->done == EEP_DONE_OK && n == 0)
        report(self, checked, "ends ok without a step");
    else if (completion->done == EEP_DONE_OK && n < n_max && event->time < checked->horizon)
        report(self, checked, "stops after %u of %u steps before the horizon", n, n_max);
    if (n > 1 && completion->done == EEP_DONE_OK)
        check_leap(self, checked, completion, event);
}

static void check_load(Check *self, const Checked *checked, GBytes *blob, gsize n_bytes)
{
    const gsize header = sizeof(EepLoadReport),
                window = MAX(1, checked->n_windows) * sizeof(double);
    const EepLoadReport *load = blob != NULL ? g_bytes_get_data(blob, NULL) : NULL;
    if (n_bytes <= header || (n_bytes - header) % window != 0)
        report(self, checked, "ends ok with %" G_GSIZE_FORMAT " bytes for %u windows of counts",
               n_bytes, checked->n_windows);
    else if (load->n_windows != checked->n_windows)
        report(self, checked, "brings %" G_GUINT64_FORMAT " windows instead of %u", load->n_windows,
               checked->n_windows);
    else
        for (gsize i = 0; i < (n_bytes - header) / sizeof(double); i++)
            if (!(load->tokens[i] >= 0.0 && load->tokens[i] <= G_MAXDOUBLE)) { /* true for NaN */
                report(self, checked, "count %" G_GSIZE_FORMAT " is %g", i, load->tokens[i]);
                return;
            }
}

static void check_blob(Check *self, const Checked *checked, const EepCompletion *completion,
                       const EepEvent *event)
{
    gsize n_bytes = event->blob != NULL ? g_bytes_get_size(event->blob) : 0;
    if (completion->kind == EEP_OP_READ_LOAD && completion->done == EEP_DONE_OK) {
        check_load(self, checked, event->blob, n_bytes);
    } else if (completion->done != EEP_DONE_OK && n_bytes % sizeof(EepWorkerId) != 0) {
        report(self, checked, "%" G_GSIZE_FORMAT " bytes are no list of suspects", n_bytes);
    }
}

static gboolean is_completed(const Checked *checked, EepWorkerId worker)
{
    for (guint i = 0; i < checked->completed->len; i++)
        if (g_array_index(checked->completed, EepWorkerId, i) == worker)
            return TRUE;
    return FALSE;
}

static void check_worker(Check *self, Checked *checked, const EepCompletion *completion)
{
    EepWorkerId worker = completion->worker;
    if (checked->max_completions == 0)
        report(self, checked, "worker %u completes an operation that ends only whole", worker);
    else if (checked->kind == EEP_OP_PHASE && !has_worker(checked, worker))
        report(self, checked, "worker %u completes, but has no part in it", worker);
    else if (is_completed(checked, worker))
        report(self, checked, "worker %u completes twice", worker);
    else if (checked->completed->len == checked->max_completions)
        report(self, checked, "more than %u workers complete", checked->max_completions);
    else
        g_array_append_val(checked->completed, worker);
    checked->has_failed_worker |= completion->done != EEP_DONE_OK;
}

static void check_whole(Check *self, Checked *checked, const EepCompletion *completion,
                        const EepEvent *event)
{
    checked->has_ended = TRUE;
    if (checked->must_be_refused && completion->done != EEP_DONE_REFUSED)
        report(self, checked, "ends %s; by its capabilities the backend should refuse it",
               eep_done_names[completion->done]);
    if (completion->done == EEP_DONE_REFUSED) {
        if (completion->n_steps != 0 || checked->completed->len != 0)
            report(self, checked, "is refused after a part of it happened");
    } else if (checked->kind == EEP_OP_STEP) {
        check_step(self, checked, completion, event);
    }
    if (checked->kind != EEP_OP_STEP && completion->n_steps != 0)
        report(self, checked, "is no step and ends with %u steps", completion->n_steps);
    if (completion->done == EEP_DONE_OK) {
        for (guint i = 0; checked->kind == EEP_OP_PHASE && i < checked->n_workers; i++)
            if (!is_completed(checked, checked->workers[i]))
                report(self, checked, "ends ok whole without worker %u", checked->workers[i]);
        if (checked->has_failed_worker)
            report(self, checked, "ends ok whole, but one of its workers did not");
        if (checked->kind == EEP_OP_ABORT)
            check_abort(self, checked);
    }
    check_blob(self, checked, completion, event);
    g_ptr_array_remove(self->outstanding, checked);
}

static EepFilterVerdict check_filter(gpointer user_data, EepEvent *event)
{
    Check *self = user_data;
    EepCompletion completion;
    eep_completion_from_event(event, &completion);
    Checked *checked = g_hash_table_lookup(self->ops, &completion.id);
    if (checked == NULL) {
        report(self, NULL, "operation %" G_GUINT64_FORMAT " ends, but was never submitted",
               completion.id);
        return EEP_FILTER_PASS;
    }
    if (checked->has_ended) {
        report(self, checked, "%s completes after the whole operation's end",
               completion.worker != 0 ? "a worker" : "it");
        return EEP_FILTER_PASS;
    }
    if (completion.kind != checked->kind)
        report(self, checked, "completes as another kind (%u)", (guint)completion.kind);
    if (completion.done >= EEP_DONE_COUNT) {
        report(self, checked, "completes with no outcome that there is (%u)",
               (guint)completion.done);
        completion.done = EEP_DONE_ABORTED;
    }
    if (completion.epoch != checked->op.epoch)
        report(self, checked, "completes with epoch %u instead of %u", completion.epoch,
               checked->op.epoch);
    if (completion.worker != 0)
        check_worker(self, checked, &completion);
    else
        check_whole(self, checked, &completion, event);
    return EEP_FILTER_PASS;
}

static guint n_steps_in_flight(const Check *self, EepPoolId pool)
{
    guint n = 0;
    for (guint i = 0; i < self->outstanding->len; i++) {
        const Checked *other = g_ptr_array_index(self->outstanding, i);
        n += other->kind == EEP_OP_STEP && other->op.pool == pool && !other->must_be_refused;
    }
    return n;
}

static void check_attach(EepBackend *backend, EepLoop *loop)
{
    Check *self = (Check *)backend;
    backend->loop = loop;
    self->inner->ops->attach(self->inner, loop);
    self->inner->ops->query_caps(self->inner, &self->caps);
    if (self->caps.size != sizeof(EepBackendCaps) || self->caps.max_steps_in_flight == 0 ||
        self->caps.max_ranks == 0)
        report(self, NULL, "query_caps: size, max_steps_in_flight or max_ranks is wrong");
    eep_loop_add_filter(loop, check_filter, self);
}

static void check_query_caps(const EepBackend *backend, EepBackendCaps *ret_caps)
{
    const Check *self = (const Check *)backend;
    self->inner->ops->query_caps(self->inner, ret_caps);
}

static void check_free(EepBackend *backend)
{
    Check *self = (Check *)backend;
    eep_backend_free(self->inner);
    g_ptr_array_unref(self->outstanding);
    g_hash_table_unref(self->ops);
    g_string_free(self->text, TRUE);
    g_free(self);
}

static void check_submit_step(EepBackend *backend, const EepStepPlan *plan)
{
    Check *self = (Check *)backend;
    guint n_in_flight = n_steps_in_flight(self, plan->op.pool);
    Checked *checked = begin(self, &plan->op, EEP_OP_STEP);
    checked->must_be_refused =
        n_in_flight >= self->caps.max_steps_in_flight || plan->n_engines > self->caps.max_ranks;
    checked->max_steps = plan->max_steps;
    checked->horizon = plan->horizon;
    checked->n_workers = plan->n_engines;
    checked->workers = g_new(EepWorkerId, plan->n_engines);
    for (guint i = 0; i < plan->n_engines; i++)
        checked->workers[i] = plan->work[i].engine;
    if (plan->max_steps == 0)
        report(self, checked, "submitted with max_steps 0");
    self->inner->ops->submit_step(self->inner, plan);
}

static void check_start_phase(EepBackend *backend, const EepPhase *phase)
{
    Check *self = (Check *)backend;
    Checked *checked = begin(self, &phase->op, EEP_OP_PHASE);
    checked->n_workers = checked->max_completions = phase->n_workers;
    checked->workers = g_memdup2(phase->workers, phase->n_workers * sizeof *phase->workers);
    self->inner->ops->start_phase(self->inner, phase);
}

static void check_move(EepBackend *backend, const EepMove *move)
{
    Check *self = (Check *)backend;
    Checked *checked = begin(self, &move->op, move->is_kv ? EEP_OP_MOVE_KV : EEP_OP_MOVE_EXPERTS);
    checked->max_completions = G_MAXUINT;
    checked->must_be_refused = move->is_kv && !self->caps.moves_kv;
    self->inner->ops->move(self->inner, move);
}

static void check_read_load(EepBackend *backend, const EepOp *op, guint64 from_step,
                            guint64 to_step, guint n_windows)
{
    Check *self = (Check *)backend;
    begin(self, op, EEP_OP_READ_LOAD)->n_windows = n_windows;
    if (n_windows == 0 || from_step > to_step)
        report(self, NULL,
               "load of steps %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " read in %u windows",
               from_step, to_step, n_windows);
    self->inner->ops->read_load(self->inner, op, from_step, to_step, n_windows);
}

static void check_abort_op(EepBackend *backend, const EepOp *op, const EepScope *scope)
{
    Check *self = (Check *)backend;
    begin(self, op, EEP_OP_ABORT)->scope = *scope;
    self->inner->ops->abort(self->inner, op, scope);
}

static const EepBackendOps check_ops = {
    .size = sizeof(EepBackendOps),
    .name = "check",
    .attach = check_attach,
    .query_caps = check_query_caps,
    .free = check_free,
    .submit_step = check_submit_step,
    .start_phase = check_start_phase,
    .move = check_move,
    .read_load = check_read_load,
    .abort = check_abort_op,
};

EepBackend *eep_backend_check_new(EepBackend *inner)
{
    g_return_val_if_fail(inner != NULL, NULL);
    Check *self = g_new0(Check, 1);
    self->base.ops = &check_ops;
    self->inner = inner;
    self->ops = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_checked);
    self->outstanding = g_ptr_array_new();
    self->text = g_string_new(NULL);
    return &self->base;
}

guint eep_backend_check_n_violations(const EepBackend *check)
{
    g_return_val_if_fail(check != NULL && check->ops == &check_ops, 0);
    return ((const Check *)check)->n_violations;
}

gboolean eep_backend_check_finish(EepBackend *check, GError **error)
{
    g_return_val_if_fail(check != NULL && check->ops == &check_ops, FALSE);
    Check *self = (Check *)check;
    for (guint i = 0; i < self->outstanding->len; i++)
        report(self, g_ptr_array_index(self->outstanding, i), "never ends");
    g_ptr_array_set_size(self->outstanding, 0);
    if (self->n_violations == 0)
        return TRUE;
    g_set_error(error, EEP_BACKEND_CHECK_ERROR, EEP_BACKEND_CHECK_ERROR_BROKEN,
                "backend %s breaks the contract %u times:\n%s", self->inner->ops->name,
                self->n_violations, self->text->str);
    return FALSE;
}
