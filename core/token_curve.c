#include "core/token_curve.h"

#define FIRST_INTERVAL EEP_NS_PER_MS
#define MAX_INTERVALS  (1u << 20)

/* Changes during the interval; sums up to its end once the curve is finished. */
typedef EepTokenSums Cell;

struct EepTokenCurve {
    EepObserver base;
    EepTime interval;
    GArray *cells;   /* Cell */
    GArray *pending; /* guint64 by pool: tokens of the step that is just ending */
    gboolean is_finished;
};

/* -- observing --------------------------------------------------------------------------------- */

/* Twice the interval: pairs become one. */
static void coarsen(EepTokenCurve *curve)
{
    guint n = (curve->cells->len + 1) / 2;

    for (guint i = 0; i < n; i++) {
        Cell *cell = &g_array_index(curve->cells, Cell, i);
        Cell sum = g_array_index(curve->cells, Cell, 2 * i);
        if (2 * i + 1 < curve->cells->len) {
            sum.delivered += g_array_index(curve->cells, Cell, 2 * i + 1).delivered;
            sum.backlog += g_array_index(curve->cells, Cell, 2 * i + 1).backlog;
        }
        *cell = sum;
    }
    g_array_set_size(curve->cells, n);
    curve->interval *= 2;
}

static Cell *cell_at(EepTokenCurve *curve, EepTime at)
{
    while (at / curve->interval >= MAX_INTERVALS)
        coarsen(curve);
    guint index = (guint)(at / curve->interval);
    if (index >= curve->cells->len)
        g_array_set_size(curve->cells, index + 1);
    return &g_array_index(curve->cells, Cell, index);
}

static void add_delivered(EepTokenCurve *curve, EepTime at, gint64 n)
{
    Cell *cell = cell_at(curve, at);

    cell->delivered += n;
    cell->backlog -= n;
}

/* Tokens are told before the step that brought them, which knows the time. */
static void curve_gaps(EepObserver *self, EepPoolId pool, EepTime gap, guint64 n)
{
    EepTokenCurve *curve = (EepTokenCurve *)self;

    if (pool >= curve->pending->len)
        g_array_set_size(curve->pending, pool + 1u);
    g_array_index(curve->pending, guint64, pool) += n;
}

static void curve_step(EepObserver *self, const EepStepRecord *step)
{
    EepTokenCurve *curve = (EepTokenCurve *)self;

    if (step->pool >= curve->pending->len)
        return;
    guint64 *pending = &g_array_index(curve->pending, guint64, step->pool);
    if (*pending > 0)
        add_delivered(curve, step->end, (gint64)*pending);
    *pending = 0;
}

/* What an aborted attempt has delivered is to be delivered again. */
static void curve_attempt_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
    EepTokenCurve *curve = (EepTokenCurve *)self;

    if (request->first_token == EEP_TIME_NEVER)
        return;
    add_delivered(curve, request->first_token, 1);
    add_delivered(curve, now, -(gint64)request->generated);
}

/* First tokens have no gap before them, so they are known when the request ends; what it was still
 * to get when it ended early is nobody's backlog any more. */
static void curve_request_ended(EepObserver *self, const EepRequest *request, EepTime now)
{
    EepTokenCurve *curve = (EepTokenCurve *)self;
    gint64 got = request->output_tokens;

    if (request->first_token != EEP_TIME_NEVER)
        add_delivered(curve, request->first_token, 1);
    if (request->fate != EEP_FATE_COMPLETED)
        got = request->first_token != EEP_TIME_NEVER ? request->generated : 0;
    cell_at(curve, request->arrival)->backlog += request->output_tokens;
    cell_at(curve, now)->backlog -= request->output_tokens - got;
}

/* -- life -------------------------------------------------------------------------------------- */

EepTokenCurve *eep_token_curve_new(void)
{
    static EepObserverOps ops;
    EepTokenCurve *curve = g_new0(EepTokenCurve, 1);

    ops = eep_observer_none;
    ops.name = "token curve";
    ops.gaps = curve_gaps;
    ops.step = curve_step;
    ops.request_ended = curve_request_ended;
    ops.attempt_ended = curve_attempt_ended;
    curve->base.ops = &ops;
    curve->interval = FIRST_INTERVAL;
    curve->cells = g_array_new(FALSE, TRUE, sizeof(Cell));
    curve->pending = g_array_new(FALSE, TRUE, sizeof(guint64));
    return curve;
}

void eep_token_curve_free(EepTokenCurve *curve)
{
    if (curve == NULL)
        return;
    g_array_free(curve->cells, TRUE);
    g_array_free(curve->pending, TRUE);
    g_free(curve);
}

EepObserver *eep_token_curve_observer(EepTokenCurve *curve)
{
    return &curve->base;
}

void eep_token_curve_finish(EepTokenCurve *curve)
{
    g_return_if_fail(!curve->is_finished);
    curve->is_finished = TRUE;
    for (guint i = 1; i < curve->cells->len; i++) {
        const Cell *before = &g_array_index(curve->cells, Cell, i - 1);
        Cell *cell = &g_array_index(curve->cells, Cell, i);
        cell->delivered += before->delivered;
        cell->backlog += before->backlog;
    }
}

/* -- reading ----------------------------------------------------------------------------------- */

EepTokenSums eep_token_curve_at(const EepTokenCurve *curve, EepTime at)
{
    const Cell none = {0, 0};

    g_assert(curve->is_finished);
    if (curve->cells->len == 0 || at < 0)
        return none;
    EepTime index = MIN(at / curve->interval, (EepTime)curve->cells->len - 1);
    return g_array_index(curve->cells, Cell, index);
}

static EepTime length_of(const EepTokenCurve *curve)
{
    return (EepTime)curve->cells->len * curve->interval;
}

EepTwinFigures eep_token_curve_compare(const EepTokenCurve *run, const EepTokenCurve *twin,
                                       EepTime from, EepTime until, EepTime next)
{
    EepTime interval = MAX(run->interval, twin->interval);
    EepTime end = MAX(length_of(run), length_of(twin)), back = from;
    gboolean is_above = FALSE, is_over = FALSE;
    gint64 dip = 0;
    /* The interval before the one that holds `from`: what the resize does may be in that one. */
    EepTime before = from - from % interval - 1;
    gint64 base = MAX(
        eep_token_curve_at(twin, before).delivered - eep_token_curve_at(run, before).delivered, 0);

    for (EepTime at = before + interval;
         at < end && (!is_over || next == EEP_TIME_NEVER || at < next); at += interval) {
        Cell own = eep_token_curve_at(run, at), other = eep_token_curve_at(twin, at);
        if (next == EEP_TIME_NEVER || at < next)
            dip = MAX(dip, other.delivered - own.delivered - base);
        if (is_over)
            continue;
        if (is_above && own.backlog <= other.backlog)
            back = MAX(at, from);
        is_above = own.backlog > other.backlog;
        is_over = !is_above && at >= until;
    }
    return (EepTwinFigures){dip, is_above ? EEP_TIME_NEVER : back - from};
}
