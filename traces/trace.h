/* A trace: the requests of a run in order of arrival, one row at a time.
 *
 * One interface over the readers of recorded traffic (Azure CSV, Mooncake JSONL; plain or gzip) and
 * over the generator of synthetic.h. It is not a workload: sessions, retries and think time belong
 * to whoever consumes the rows. Rows are streamed, so memory does not grow with a trace's length.
 * A trace belongs to one thread. Rows are the caller's, but the hashes they point to are the
 * trace's. */
#ifndef EEP_TRACES_TRACE_H
#define EEP_TRACES_TRACE_H

#include "core/time.h"

G_BEGIN_DECLS

typedef struct EepTrace EepTrace;

/* Hashes of one row at most: 33.5 million tokens of a Mooncake trace. */
#define EEP_TRACE_MAX_HASHES G_MAXUINT16

/* One request as the trace has it. */
typedef struct {
    EepTime
        arrival; /* ns after the trace's first good row, divided by rate_scale; never decreases */
    guint32 prompt_tokens; /* >= 1 */
    guint32 output_tokens; /* >= 1 */
    gint32 priority;       /* 0 unless the trace has one; smaller is more urgent, as in vLLM */
    guint32 n_hashes;      /* prefix hashes, 0 if the trace has none */
    const guint64 *hashes; /* [n_hashes]: hashes[i] names prompt tokens [i * H, (i + 1) * H), H from
                              eep_trace_hash_tokens(), together with all before them; tokens that no
                              hash covers are shared with nobody. Valid until the next call. */
    guint64 row;           /* data row in the file from 0; header and blank lines are not counted */
} EepTraceRow;

typedef enum {
    EEP_TRACE_ROW,    /* ret_row is set */
    EEP_TRACE_END,    /* no more rows; stays so */
    EEP_TRACE_FAILED, /* error is set */
} EepTraceStatus;

#define EEP_TRACE_ERROR (eep_trace_error_quark())
GQuark eep_trace_error_quark(void);

/* Grouped by the widest thing broken: a row, the file, the run. */
typedef enum {
    EEP_TRACE_ERROR_ROW,    /* one row is wrong; the next call goes on behind it */
    EEP_TRACE_ERROR_FORMAT, /* the file is in no known format, or holds no row */
    EEP_TRACE_ERROR_IO,     /* the file cannot be opened or read, or its gzip data is damaged */
    EEP_TRACE_ERROR_OPTION, /* an option is out of its range */
} EepTraceErrorCode;

typedef enum { EEP_TRACE_AUTO, EEP_TRACE_AZURE, EEP_TRACE_MOONCAKE } EepTraceFormatId;
typedef enum { EEP_TRACE_ON_ERROR_FAIL, EEP_TRACE_ON_ERROR_SKIP } EepTraceOnError;

/* Words of the two enums above, in their order, NULL at the end. */
extern const char *const eep_trace_format_words[];
extern const char *const eep_trace_on_error_words[];

#define EEP_TRACE_RATE_SCALE_MIN 1e-6
#define EEP_TRACE_RATE_SCALE_MAX 1e9

typedef struct {
    EepTraceFormatId format;  /* AUTO: told by the first line */
    EepTraceOnError on_error; /* SKIP: a bad row is counted and left out; the trace's time zero is
                                 then its first good row */
    double rate_scale; /* 20 = 20 times the rate: arrivals are divided by it, rounded half up, in
                          exact integers; [EEP_TRACE_RATE_SCALE_MIN, _MAX] */
    EepTime until;     /* rows that arrive at or after it (after scaling) are not part of the
                          trace, nor looked at; EEP_TIME_NEVER = all */
    guint64 limit;     /* most rows to return; 0 = all */
    EepTime spread_batches; /* > 0: n rows of one time are spread evenly over this time (not beyond
                               the next row's); for traces recorded in ticks, such as Mooncake's
                               conversation trace with 3 s. Holds one batch in memory. 0 = off */
} EepTraceOptions;

#define EEP_TRACE_OPTIONS_INIT                                                                     \
    {                                                                                              \
        EEP_TRACE_AUTO, EEP_TRACE_ON_ERROR_FAIL, 1.0, EEP_TIME_NEVER, 0, 0                         \
    }

/* Opens the trace at `path` (gzip is told by its magic number). `options` may be NULL for
 * EEP_TRACE_OPTIONS_INIT; it is copied. Reads as far as the first line. Returns NULL with error set
 * (FORMAT, IO, OPTION). Free with eep_trace_free(). */
EepTrace *eep_trace_open(const char *path, const EepTraceOptions *options, GError **error);

/* The same for `size` bytes of text in memory, which must outlive the trace. `name` stands for the
 * file in messages. No gzip. */
EepTrace *eep_trace_open_bytes(const char *name, const void *data, gsize size,
                               const EepTraceOptions *options, GError **error);

/* The next row. Messages have the form "FILE:LINE:COL: what is wrong: what is allowed; try ...",
 * the source line and a caret, and name the data row. After FAILED with EEP_TRACE_ERROR_ROW the
 * next call goes on with the row behind the bad one; after any other error the trace can only be
 * freed. */
EepTraceStatus eep_trace_next(EepTrace *trace, EepTraceRow *ret_row, GError **error);

/* Rows left out so far because of on_error = SKIP. */
guint64 eep_trace_skipped(const EepTrace *trace);

/* Why the first of them was left out, in the form above; NULL if none was. Owned by the trace. */
const char *eep_trace_first_skipped(const EepTrace *trace);

/* Prompt tokens that one hash stands for; 0 for a trace without hashes. */
guint32 eep_trace_hash_tokens(const EepTrace *trace);

/* The format's word: "azure", "mooncake" or "synthetic". */
const char *eep_trace_format_name(const EepTrace *trace);

void eep_trace_free(EepTrace *trace); /* NULL is allowed */

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepTrace, eep_trace_free)

G_END_DECLS

#endif
