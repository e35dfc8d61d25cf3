/* The worlds that one call of eep explore goes through, and what it found in each.
 *
 * A world is a generation, a size before and one after, and how many faults; they are explored side
 * by side, each by one thread. Not the search itself (sim/explore_search.h), nor how it is printed
 * (explore_print.h). */
#ifndef EEP_CLI_EXPLORE_WORLDS_H
#define EEP_CLI_EXPLORE_WORLDS_H

#include "sim/explore_search.h"

G_BEGIN_DECLS

typedef struct {
    EepExploreSetting setting;
    const EepExplorePlant *plant; /* nullable */
    EepExploreResult result;
    gboolean is_done; /* else left out, since one before it ended badly */
    double seconds;
} EepExploreJob;

/* What was asked for on the command line. */
typedef struct {
    const EepGeneration *generation; /* NULL: all */
    const EepExplorePlant *plant;    /* nullable */
    guint from, to;                  /* engines */
    gint n_faults;                   /* -1: the default bound */
    gboolean is_deep;                /* the default bound with 2 faults at 4 engines */
    EepRecovery recovery;
    gboolean is_reduced;
    guint n_threads;
    guint64 max_bytes;
} EepExploreBound;

/* All worlds of the bound, by generation and then by size. g_array_unref(). */
GArray *eep_explore_jobs_new(const EepExploreBound *bound);
void eep_explore_jobs_free(GArray *jobs);

/* Explores them all, or up to the first that ends badly. */
gboolean eep_explore_jobs_run(GArray *jobs, const EepExploreBound *bound, GError **error);

/* Calls it; FALSE if that ended in an assertion that failed, with its message (256 bytes). */
gboolean eep_explore_guarded(void (*call)(gpointer data), gpointer data, char *ret_message);

/* A world and a path of events as a file, and back. */
void eep_explore_job_write(const EepExploreJob *job, GString *text);
gboolean eep_explore_job_read(const char *text, EepExploreJob *ret_job, GPtrArray **ret_path,
                              GError **error);

G_END_DECLS

#endif
