/* A trace read line by line from a line source: header, row numbers, time zero, order and bad rows.
 *
 * The formats are in format.h; users go through eep_trace_open(). One thread. */
#ifndef EEP_TRACES_TEXT_TRACE_H
#define EEP_TRACES_TEXT_TRACE_H

#include "traces/line_source.h"
#include "traces/trace.h"

G_BEGIN_DECLS

/* Takes over `source`, also on failure; of `options` it reads `format` and `on_error`. `name` is
 * the file's name in messages. NULL with error set (FORMAT or IO) if the first line tells no
 * format. */
EepTrace *eep_text_trace_new(const char *name, EepLineSource *source,
                             const EepTraceOptions *options, GError **error);

G_END_DECLS

#endif
