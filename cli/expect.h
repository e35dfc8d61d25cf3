/* EepExpectation: one comparison of a scenario's `expect` list, judged by summary.json.
 *
 * "KEY OP VALUE": KEY is a path into summary.json with dots between levels, elements of lists by
 * their id or by number from 0 ("resizes.grow.outcome", "resizes.0.total_s"); a group that has a
 * `total` stands for it; OP is one of < <= == != >= >; VALUE is a number, true, false, null or a
 * word. A figure that is null, or of an
 * element that is not there, meets nothing but `== null`. Not an expression language. */
#ifndef EEP_CLI_EXPECT_H
#define EEP_CLI_EXPECT_H

#include "core/options.h"

G_BEGIN_DECLS

typedef struct {
    char *expression;
    char *value; /* what the summary says, three significant digits at least; "-": nothing */
    gboolean is_met;
} EepExpectation;

void eep_expectation_free(EepExpectation *expectation);

/* Before the run: the form is right, summary.json has such a key, and its figure can be compared
 * with the value. Ids are not checked. FALSE with an EEP_OPTION_ERROR. What passes here is judged
 * without an error. */
gboolean eep_expect_check(const char *expression, GError **error);

/* Judges all of `expressions` (NULL-terminated, nullable) by the text of a summary. Returns a list
 * of EepExpectation that owns its elements; NULL with an EEP_OPTION_ERROR for a comparison that is
 * malformed or names what the summary does not have. */
GPtrArray *eep_expect_judge(const char *const *expressions, const char *summary,
                            gboolean *ret_all_met, GError **error);

G_END_DECLS

#endif
