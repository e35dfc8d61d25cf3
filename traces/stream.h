/* What a trace is made of: the operations of a stream of rows and the part that all streams share.
 *
 * For the folder's own streams (text_trace.c, batch_spread.c, synthetic.c); users see trace.h only.
 * A stream returns rows with unscaled arrivals; scaling, `until` and `limit` are
 * eep_trace_next()'s. A decorator is a stream whose `inner` is another; it owns that one. */
#ifndef EEP_TRACES_STREAM_H
#define EEP_TRACES_STREAM_H

#include "traces/trace.h"

G_BEGIN_DECLS

typedef struct {
    EepTraceStatus (*next)(EepTrace *trace, EepTraceRow *ret_row, GError **error);
    void (*free)(EepTrace *trace); /* frees the object too, but not `inner` */
} EepTraceOps;

struct EepTrace {
    const EepTraceOps *ops;
    EepTrace *inner;         /* the stream this one decorates, or NULL */
    const char *format_name; /* static; NULL in a decorator, as are the next three */
    guint32 hash_tokens;
    guint64 skipped;
    char *first_skipped; /* message, owned */

    /* Kept by trace.c. An arrival is scaled to (arrival << scale_shift) / scale_divisor. */
    guint scale_shift;
    unsigned __int128 scale_divisor; /* 0: arrivals stay as they are */
    EepTime until;
    guint64 rows_left;
};

/* Fills the shared part: no scaling, no end. */
void eep_trace_init(EepTrace *trace, const EepTraceOps *ops);

/* batch_spread.c: spreads rows of one time over `width` > 0 (or up to the next row's time, if that
 * is nearer). Takes over `inner`; never fails. */
EepTrace *eep_batch_spread_new(EepTrace *inner, EepTime width);

G_END_DECLS

#endif
