/* EepBackendTrace: a decorator that reports every operation and completion with its times.
 *
 * Put it around any backend; the sink turns spans into whatever a viewer wants. Not a log: it
 * formats and writes nothing, and it changes nothing. Owns the inner backend. Loop thread only. */
#ifndef EEP_CORE_LOOP_BACKEND_TRACE_H
#define EEP_CORE_LOOP_BACKEND_TRACE_H

#include "core/loop/backend.h"

G_BEGIN_DECLS

/* Reported once at submission (is_begin; end is EEP_TIME_NEVER) and once for every completion, a
 * worker's or the whole. A step that waited for the one before it in its pool begins at that one's
 * end. */
typedef struct {
    gboolean is_begin;
    EepOp op;
    EepOpKind kind;
    guint32 phase_kind; /* phases only */
    EepTime submitted, begin, end;
    EepDone done;
    EepWorkerId worker; /* 0: the whole operation */
    guint32 n_steps;
} EepTraceSpan;

typedef void (*EepTraceSink)(gpointer self, const EepTraceSpan *span);

/* Takes over `inner`. Free with eep_backend_free(). */
EepBackend *eep_backend_trace_new(EepBackend *inner, EepTraceSink sink, gpointer sink_self);

G_END_DECLS

#endif
