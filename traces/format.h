/* What a text format is: how to know it, and how one line becomes one row.
 *
 * A format knows nothing of files, time zero, order, skipping or scaling: text_trace.c does all
 * that. To add one: fill the table in a file format_NAME.c and list it in text_trace.c;
 * format_azure.c is the one to copy. Parsers must accept any bytes and never read beyond
 * line[length] (see line_source.h). */
#ifndef EEP_TRACES_FORMAT_H
#define EEP_TRACES_FORMAT_H

#include "traces/trace.h"

G_BEGIN_DECLS

/* Why a line is no row; set by eep_row_fault_set(). Fixed size: skipping rows allocates nothing. */
typedef struct {
    gsize offset;   /* byte of the line that is wrong, from 0 */
    char what[200]; /* printable ASCII */
    char allowed[120];
} EepRowFault;

/* Records a fault and returns FALSE, for `return eep_row_fault_set(...)`. `allowed` must be shorter
 * than the field; `what` is cut, and bytes in it that are not printable ASCII become '?'. */
gboolean eep_row_fault_set(EepRowFault *fault, gsize offset, const char *allowed, const char *what,
                           ...) G_GNUC_PRINTF(4, 5);

typedef struct {
    const char *name;
    gboolean has_header;
    guint32 hash_tokens;    /* prompt tokens a hash stands for, 0 without hashes */
    const char *first_line; /* for messages: what a file of this format begins with */

    /* TRUE if a file whose first line that is not blank is this one may be of this format. With
     * has_header the line must be a complete header, and is then not parsed as a row. */
    gboolean (*accepts)(const char *line, gsize length);

    void *(*state_new)(void); /* scratch memory of one trace; NULL if none is needed */
    void (*state_free)(void *state);

    /* Fills all of ret_row but `row`; `arrival` is absolute (ns from any fixed origin). Hashes live
     * in `state` until the next call. FALSE with `fault` set if the line is wrong. */
    gboolean (*parse)(void *state, const char *line, gsize length, EepTraceRow *ret_row,
                      EepRowFault *fault);
} EepTraceFormat;

extern const EepTraceFormat eep_trace_format_azure;
extern const EepTraceFormat eep_trace_format_mooncake;

G_END_DECLS

#endif
