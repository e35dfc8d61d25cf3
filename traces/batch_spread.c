/* A decorator that takes recorded ticks out of a trace: rows of one time become evenly spaced. */
#include "traces/stream.h"

typedef struct {
    EepTrace base;
    EepTime width;
    GArray *rows;   /* of EepTraceRow: one batch, and after it the first row of the next */
    GArray *hashes; /* of guint64: all their hashes; a row's begin at the offset kept in `starts` */
    GArray *starts; /* of gsize, one a row */
    guint position; /* in the batch */
    guint size;     /* of the batch; rows->len - size is 0 or 1 */
    EepTime span;   /* time that the batch is spread over */
    gboolean ended; /* `inner` has no more rows */
} BatchSpread;

static void keep_row(BatchSpread *spread, const EepTraceRow *row)
{
    gsize start = spread->hashes->len;
    g_array_append_val(spread->starts, start);
    g_array_append_val(spread->rows, *row);
    if (row->n_hashes > 0)
        g_array_append_vals(spread->hashes, row->hashes, row->n_hashes);
}

/* Drops the batch that has been handed out; the row behind it, if any, begins the next. */
static void drop_batch(BatchSpread *spread)
{
    gsize hashes = spread->rows->len > spread->size
                       ? g_array_index(spread->starts, gsize, spread->size)
                       : spread->hashes->len;
    g_array_remove_range(spread->hashes, 0, (guint)hashes);
    g_array_remove_range(spread->rows, 0, spread->size);
    g_array_remove_range(spread->starts, 0, spread->size);
    if (spread->starts->len > 0)
        g_array_index(spread->starts, gsize, 0) = 0;
    spread->position = spread->size = 0;
}

/* Reads on to the first row of another time. */
static EepTraceStatus read_batch(BatchSpread *spread, GError **error)
{
    while (!spread->ended) {
        EepTraceRow row;
        EepTraceStatus status = spread->base.inner->ops->next(spread->base.inner, &row, error);
        if (status == EEP_TRACE_FAILED)
            return status;
        if (status == EEP_TRACE_END) {
            spread->ended = TRUE;
            break;
        }
        keep_row(spread, &row);
        EepTime gap = row.arrival - g_array_index(spread->rows, EepTraceRow, 0).arrival;
        if (gap > 0) {
            spread->span = MIN(spread->width, gap);
            spread->size = spread->rows->len - 1;
            return EEP_TRACE_ROW;
        }
    }
    spread->size = spread->rows->len;
    if (spread->size == 0)
        return EEP_TRACE_END;
    spread->span = MIN(spread->width,
                       EEP_TIME_NEVER - 1 - g_array_index(spread->rows, EepTraceRow, 0).arrival);
    return EEP_TRACE_ROW;
}

static EepTraceStatus spread_next(EepTrace *base, EepTraceRow *ret_row, GError **error)
{
    BatchSpread *spread = (BatchSpread *)base;
    if (spread->position == spread->size) {
        /* size is 0 also after a row failed: what had been read of the batch stays. */
        if (spread->size > 0)
            drop_batch(spread);
        EepTraceStatus status = read_batch(spread, error);
        if (status != EEP_TRACE_ROW)
            return status;
    }
    guint i = spread->position++;
    *ret_row = g_array_index(spread->rows, EepTraceRow, i);
    if (ret_row->n_hashes > 0)
        ret_row->hashes =
            &g_array_index(spread->hashes, guint64, g_array_index(spread->starts, gsize, i));
    ret_row->arrival += (EepTime)((unsigned __int128)spread->span * i / spread->size);
    return EEP_TRACE_ROW;
}

static void spread_free(EepTrace *base)
{
    BatchSpread *spread = (BatchSpread *)base;
    g_array_unref(spread->rows);
    g_array_unref(spread->hashes);
    g_array_unref(spread->starts);
    g_free(spread);
}

static const EepTraceOps spread_ops = {.next = spread_next, .free = spread_free};

EepTrace *eep_batch_spread_new(EepTrace *inner, EepTime width)
{
    BatchSpread *spread = g_new0(BatchSpread, 1);
    eep_trace_init(&spread->base, &spread_ops);
    spread->base.inner = inner;
    spread->width = width;
    spread->rows = g_array_new(FALSE, FALSE, sizeof(EepTraceRow));
    spread->hashes = g_array_new(FALSE, FALSE, sizeof(guint64));
    spread->starts = g_array_new(FALSE, FALSE, sizeof(gsize));
    return &spread->base;
}
