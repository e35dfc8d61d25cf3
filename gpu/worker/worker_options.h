/* EepWorkerOptions: what a worker is told on its command line and by whoever launched it.
 *
 * The flags of `eep worker`. Rank and address, where no flag says them, come from the launcher's
 * environment: SLURM_PROCID, OMPI_COMM_WORLD_RANK, PMI_RANK, RANK, JOB_COMPLETION_INDEX and
 * MASTER_ADDR with MASTER_PORT; the device from SLURM_LOCALID, OMPI_COMM_WORLD_LOCAL_RANK,
 * MPI_LOCALRANKID, LOCAL_RANK; the token from EEP_TOKEN. Plain values. */
#ifndef EEP_GPU_WORKER_WORKER_OPTIONS_H
#define EEP_GPU_WORKER_WORKER_OPTIONS_H

#include <glib.h>

G_BEGIN_DECLS

#define EEP_WORKER_ERROR (eep_worker_error_quark())
GQuark eep_worker_error_quark(void);
typedef enum {
    EEP_WORKER_ERROR_USAGE,   /* flags, environment */
    EEP_WORKER_ERROR_REFUSED, /* by the coordinator */
    EEP_WORKER_ERROR_LOST,    /* the coordinator has gone */
} EepWorkerError;

typedef struct {
    char *connect;  /* HOST:PORT or unix:PATH */
    char *token;    /* 64 hexadecimal digits */
    guint32 rank;   /* EEP_RANK_NONE: any */
    guint32 worker; /* id that the coordinator has given already; 0: none */
    guint device;
    gboolean is_local_rank; /* `device` is the launcher's local rank: a process that sees fewer
                               devices counts around them */
    gint64 connect_ns;      /* how long to try, and to hear nothing until WELCOME */
    gboolean shows_help, shows_version;
    gboolean checks_itself; /* instead of serving anybody */
} EepWorkerOptions;

/* `environment` is asked for the launcher's variables (g_getenv). Errors: USAGE. */
gboolean eep_worker_options_parse(int argc, char **argv,
                                  const char *(*environment)(const char *name),
                                  EepWorkerOptions *ret_options, GError **error);
void eep_worker_options_clear(EepWorkerOptions *options);

/* The text of --help. */
const char *eep_worker_options_help(void);

G_END_DECLS

#endif
