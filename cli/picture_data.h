/* EepPictureData: what the pictures of one run show, read from its folder and made small.
 *
 * Reads summary.json, requests.csv, timeline.csv and, where it is, events.jsonl; averages over
 * windows, so that a picture of an hour is as legible as one of a minute; writes the tables that
 * the scripts in plots/ draw. Knows nothing of gnuplot but the syntax of an assignment. Plain
 * values, owned by the caller; one thread. */
#ifndef EEP_CLI_PICTURE_DATA_H
#define EEP_CLI_PICTURE_DATA_H

#include "cli/picture_gantt.h"

G_BEGIN_DECLS

/* Requests in a window from which on it has a 99th percentile. */
#define EEP_PICTURE_P99_REQUESTS 100

typedef struct {
    double at_s, commit_s, serving_s, complete_s; /* since the run's start; ascending */
} EepPictureResize;

typedef struct {
    gint64 arrival_ns;
    gint64 first_token_ns, finish_ns; /* finish: of any fate; -1: none */
    gint64 ttft_us, tpot_us, e2el_us; /* of a completed one, else -1 */
    gboolean is_completed, is_lost;   /* lost: rejected or aborted */
} EepPictureRequest;

/* One interval of the time line of one pool. */
typedef struct {
    double begin_s, engines, running, waiting, imbalance, stalled_share; /* NAN: none */
    guint pool;
} EepPictureInterval;

typedef struct {
    char *title;
    double end_s;            /* of the time axis */
    double warmup_s;         /* requests that arrive earlier are not in distributions */
    double window_s;         /* of averages */
    double latency_window_s; /* of percentiles; wide enough for 100 requests if it can */
    double ttft_limit_ms, tpot_limit_ms; /* the scenario's; 0: none */
    GArray *resizes;                     /* EepPictureResize */
    GArray *reshuffles;                  /* double: when experts had been rearranged, s */
    GArray *requests;                    /* EepPictureRequest */
    GArray *intervals;                   /* EepPictureInterval */
    GPtrArray *pools;                    /* names, by EepPictureInterval.pool */
    GArray *gantts;                      /* EepPictureGantt; never NULL after reading */
} EepPictureData;

/* Reads the run folder. FALSE with an error (exit 2) when a file is missing or not of this format;
 * data is then to be cleared all the same. */
gboolean eep_picture_data_read(EepPictureData *data, const char *run, GError **error);

/* Writes the tables and "run.gp", which sets the variables of the scripts in plots/, into `folder`.
 */
gboolean eep_picture_data_write(const EepPictureData *data, const char *folder, GError **error);

void eep_picture_data_clear(EepPictureData *data);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EepPictureData, eep_picture_data_clear)

G_END_DECLS

#endif
