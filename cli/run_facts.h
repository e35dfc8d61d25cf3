/* EepRunFacts: what the caller knows of a run beside its metrics.
 *
 * Plain values, borrowed for the length of the call that takes them; strings are nullable where it
 * says so. `wallclock` alone may differ between machines; it is written to wallclock.json only. */
#ifndef EEP_CLI_RUN_FACTS_H
#define EEP_CLI_RUN_FACTS_H

#include "core/json.h"
#include "core/metrics.h"
#include "core/token_curve.h"

G_BEGIN_DECLS

/* A figure that the run's results rest on. */
typedef struct {
    const char *what;   /* "start-up of an engine" */
    const char *basis;  /* "measured" | "derived" | "assumed" */
    const char *source; /* nullable */
} EepRunBasis;

typedef struct {
    gint64 started_unix_s; /* host's clock when the run began */
    double wall_s;         /* seconds that the run took */
    const char *host;      /* nullable */
    const char *folder;    /* as shown to the user, nullable */
    guint64 n_events;      /* dispatched by the loop */
    gint64 peak_rss_bytes; /* of the process; 0: not known */
    double lag_s;          /* of a paced run behind its clock, at most; 0 otherwise */
    /* Adds members on the workers that it ran on; nullable. */
    void (*write_workers)(gconstpointer workers, EepJson *json);
    gconstpointer workers;
} EepWallclock;

typedef struct {
    const char *name;    /* of the scenario */
    const char *version; /* of the program */
    guint64 seed;
    const char *backend;                          /* "sim", "cuda" */
    const char *label;                            /* SIMULATED | EMULATED | GPU */
    const char *model;                            /* "deepseek-v3" */
    const char *hardware;                         /* "h200-sxm" */
    const char *machines;                         /* for the screen: "h200-sxm 4x8" */
    const char *deployment;                       /* for the screen: "DP 16, nixl_ep, g2.1" */
    const char *elastic;                          /* for the screen: "DP 15..32"; nullable */
    const char *scenario;                         /* text of scenario.yaml */
    const char *scenario_sha256, *traffic_sha256; /* of the effective scenario; of its traffic */
    const char *trace_sha256, *model_sha256, *hardware_sha256; /* nullable */
    const char *load_sha256, *drift_load_sha256;               /* of skew's files; nullable */
    const char *const *pools;                                  /* names by pool id */
    guint n_pools;
    const EepRunBasis *basis;
    guint n_basis;
    const char *const *notes;   /* NULL-terminated, nullable */
    const char *const *expect;  /* NULL-terminated, nullable */
    const EepTwinFigures *twin; /* of each resize, in the metrics' order; nullable: no twin */
    gboolean interrupted, extrapolated;
    EepWallclock wallclock;
} EepRunFacts;

/* The resize cost so much beside the twin; FALSE where there is none, or it never began. */
static inline gboolean eep_run_twin_figures(const EepRunFacts *facts, const EepMetrics *metrics,
                                            guint resize, EepTwinFigures *ret_figures)
{
    if (facts->twin == NULL || eep_metrics_resize(metrics, resize)->accepted == EEP_TIME_NEVER)
        return FALSE;
    *ret_figures = facts->twin[resize];
    return TRUE;
}

/* The generation is our own and nobody has measured it: every output says so. */
static inline gboolean eep_run_is_design_study(const char *generation)
{
    return g_strcmp0(generation, "eep") == 0;
}

/* The pool's name; a number for one without. `ret_number` is scratch of 16 bytes. */
static inline const char *eep_run_pool_name(const char *const *pools, guint n_pools, EepPoolId pool,
                                            char ret_number[16])
{
    if (pool < n_pools)
        return pools[pool];
    g_snprintf(ret_number, 16, "%u", pool);
    return ret_number;
}

G_END_DECLS

#endif
