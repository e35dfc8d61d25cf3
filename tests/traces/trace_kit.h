/* What the tests of traces/ share: opening text in memory, reading a trace to its end, published
 * files.
 *
 * Header-only; each test program uses part of it. Failures are Check's. One thread. */
#ifndef EEP_TESTS_TRACE_KIT_H
#define EEP_TESTS_TRACE_KIT_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traces/trace.h"

G_BEGIN_DECLS

/* Where the published traces are, from the project's root; they are not part of the project. */
#define SHARED_TRACES "../shared/traces/"

typedef struct {
    guint64 rows, prompt_tokens, output_tokens, hashes;
    EepTime last;
} TraceTotals;

static inline EepTrace *kit_open_text(const char *text, const EepTraceOptions *options)
{
    g_autoptr(GError) error = NULL;
    EepTrace *trace = eep_trace_open_bytes("t.txt", text, strlen(text), options, &error);
    ck_assert_msg(trace != NULL, "%s", error != NULL ? error->message : "no error set");
    ck_assert_ptr_null(error);
    return trace;
}

static inline EepTrace *kit_open_file(const char *path, const EepTraceOptions *options)
{
    g_autoptr(GError) error = NULL;
    EepTrace *trace = eep_trace_open(path, options, &error);
    ck_assert_msg(trace != NULL, "%s", error != NULL ? error->message : "no error set");
    return trace;
}

static inline EepTraceRow kit_row(EepTrace *trace)
{
    g_autoptr(GError) error = NULL;
    EepTraceRow row;
    EepTraceStatus status = eep_trace_next(trace, &row, &error);
    ck_assert_msg(status == EEP_TRACE_ROW, "status %d: %s", status,
                  error != NULL ? error->message : "");
    return row;
}

static inline void kit_end(EepTrace *trace)
{
    g_autoptr(GError) error = NULL;
    EepTraceRow row;
    for (int i = 0; i < 2; i++) {
        EepTraceStatus status = eep_trace_next(trace, &row, &error);
        ck_assert_msg(status == EEP_TRACE_END, "status %d: %s", status,
                      error != NULL ? error->message : "a row");
    }
}

/* The next call must fail with `code`; returns its message. Free with g_free(). */
static inline char *kit_failure(EepTrace *trace, int code)
{
    g_autoptr(GError) error = NULL;
    EepTraceRow row;
    ck_assert_int_eq(eep_trace_next(trace, &row, &error), EEP_TRACE_FAILED);
    ck_assert_msg(g_error_matches(error, EEP_TRACE_ERROR, code), "code %d: %s", error->code,
                  error->message);
    return g_strdup(error->message);
}

static inline TraceTotals kit_totals(EepTrace *trace)
{
    TraceTotals totals = {0, 0, 0, 0, 0};
    g_autoptr(GError) error = NULL;
    EepTraceRow row;
    EepTraceStatus status;
    while ((status = eep_trace_next(trace, &row, &error)) == EEP_TRACE_ROW) {
        if (row.arrival < totals.last)
            ck_abort_msg("row %" G_GUINT64_FORMAT " goes back in time", row.row);
        totals.rows++;
        totals.prompt_tokens += row.prompt_tokens;
        totals.output_tokens += row.output_tokens;
        totals.hashes += row.n_hashes;
        totals.last = row.arrival;
    }
    ck_assert_msg(status == EEP_TRACE_END, "%s", error != NULL ? error->message : "");
    return totals;
}

/* FALSE, having said so, if a published file is not there. */
static inline gboolean kit_have(const char *path)
{
    if (access(path, R_OK) == 0)
        return TRUE;
    printf("SKIPPED: %s is not here\n", path);
    return FALSE;
}

/* Runs the suite; for `return kit_run(...)` in main(). 77 (skipped) if nothing failed but a
 * published trace is missing, so that the report does not claim what was not checked. */
static inline int kit_run(Suite *suite, const char *const *published)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (failed > 0)
        return EXIT_FAILURE;
    for (; published != NULL && *published != NULL; published++)
        if (!kit_have(*published))
            return 77;
    return EXIT_SUCCESS;
}

G_END_DECLS

#endif
