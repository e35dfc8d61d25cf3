#include "core/suggest.h"

#include <string.h>

/* Words longer than this are no slip of the finger; it also bounds the work. */
#define LONGEST 64

static char folded(char c)
{
    return c == '_' ? '-' : g_ascii_tolower(c);
}

/* Optimal string alignment distance by rows; only three rows are alive. */
static guint distance(const char *a, const char *b)
{
    gsize n = strlen(a), m = strlen(b);
    guint rows[3][LONGEST + 1];

    for (gsize j = 0; j <= m; j++)
        rows[0][j] = j;
    for (gsize i = 1; i <= n; i++) {
        guint *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (gsize j = 1; j <= m; j++) {
            char x = folded(a[i - 1]), y = folded(b[j - 1]);
            guint best = above[j - 1] + (x != y);
            best = MIN(best, above[j] + 1);
            best = MIN(best, row[j - 1] + 1);
            if (i > 1 && j > 1 && x == folded(b[j - 2]) && folded(a[i - 2]) == y)
                best = MIN(best, two_above[j - 2] + 1);
            row[j] = best;
        }
    }
    return rows[n % 3][m];
}

const char *eep_suggest_nearest(const char *word, const char *const *candidates)
{
    g_return_val_if_fail(word != NULL && candidates != NULL, NULL);

    gsize length = strlen(word);
    if (length == 0 || length > LONGEST)
        return NULL;
    const char *nearest = NULL;
    guint least = length / 3 + 2;
    for (; *candidates != NULL; candidates++) {
        if (strlen(*candidates) > LONGEST)
            continue;
        guint edits = distance(word, *candidates);
        if (edits < least) {
            least = edits;
            nearest = *candidates;
        }
    }
    return nearest;
}
