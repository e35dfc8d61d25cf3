#include "gpu/worker/worker_options.h"

#include <string.h>

#include "core/resize/group.h"
#include "gpu/wire.h"

G_DEFINE_QUARK(eep - worker - error - quark, eep_worker_error)

/* Before there are threads, since whoever asks first writes a static variable. */
static void __attribute__((constructor)) touch_quark(void)
{
    eep_worker_error_quark();
}

/* torchrun; Open MPI; MPICH and Intel MPI; Slurm; Kubernetes indexed jobs. Whoever is started by
 * another of them comes first: a batch script of Slurm has SLURM_PROCID=0, and what it starts with
 * mpirun inherits that. */
static const char *const rank_names[] = {"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID",
                                         "JOB_COMPLETION_INDEX"};
static const char *const device_names[] = {"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
                                           "MPI_LOCALRANKID", "SLURM_LOCALID"};
/* The second is the node on which srun was called. */
static const char *const host_names[] = {"MASTER_ADDR", "SLURM_LAUNCH_NODE_IPADDR"};

#define NO_DEVICE G_MAXUINT64 /* no flag says which */

const char *eep_worker_options_help(void)
{
    return "eep worker: one GPU at the service of `eep run --backend cuda --workers wait`\n"
           "\n"
           "  --connect HOST:PORT   of the coordinator, or unix:PATH [MASTER_ADDR:MASTER_PORT;\n"
           "                        without MASTER_ADDR, SLURM_LAUNCH_NODE_IPADDR]\n"
           "  --token HEX           that the coordinator shows [EEP_TOKEN]\n"
           "  --rank N              wanted rank [RANK, OMPI_COMM_WORLD_RANK, PMI_RANK,\n"
           "                        SLURM_PROCID, JOB_COMPLETION_INDEX; else any]\n"
           "  --device N            CUDA device [LOCAL_RANK, OMPI_COMM_WORLD_LOCAL_RANK,\n"
           "                        MPI_LOCALRANKID, SLURM_LOCALID, modulo the devices seen; else "
           "0]\n"
           "  --emulated            no GPU: an emulated device (eep worker only)\n"
           "  --wait SECONDS        how long to try to connect, and then how long to hear nothing\n"
           "                        until it is needed [60]\n"
           "  --check               looks at the GPU and tests itself on it; needs no coordinator\n"
           "  --help, --version\n"
           "\n"
           "exit: 0 sent home, 1 failed or lost its coordinator, 2 usage, refused, no GPU,\n"
           "      3 the device broke\n";
}

static gboolean parse_number(const char *what, const char *text, guint64 max, guint64 *ret_value,
                             GError **error)
{
    g_autoptr(GError) why = NULL;

    if (g_ascii_string_to_unsigned(text, 10, 0, max, ret_value, &why))
        return TRUE;
    g_set_error(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE,
                "%s: '%s' is no whole number from 0 to %" G_GUINT64_FORMAT, what, text, max);
    return FALSE;
}

static gboolean from_environment(const char *const *names, guint n_names, guint64 max,
                                 const char *(*environment)(const char *name), guint64 *value,
                                 GError **error)
{
    for (guint i = 0; i < n_names; i++) {
        const char *text = environment(names[i]);

        if (text != NULL && text[0] != '\0')
            return parse_number(names[i], text, max, value, error);
    }
    return TRUE;
}

static gboolean take_flag(EepWorkerOptions *options, const char *flag, const char *value,
                          guint64 *rank, guint64 *device, GError **error)
{
    guint64 number;

    if (strcmp(flag, "--connect") == 0) {
        g_free(options->connect);
        options->connect = g_strdup(value);
        return TRUE;
    }
    if (strcmp(flag, "--token") == 0) {
        g_free(options->token);
        options->token = g_strdup(value);
        return TRUE;
    }
    if (strcmp(flag, "--rank") == 0)
        return parse_number(flag, value, EEP_WIRE_MAX_RANKS - 1, rank, error);
    if (strcmp(flag, "--device") == 0)
        return parse_number(flag, value, 1023, device, error);
    if (strcmp(flag, "--worker") == 0) {
        if (!parse_number(flag, value, G_MAXUINT32, &number, error))
            return FALSE;
        options->worker = (guint32)number;
        return TRUE;
    }
    if (strcmp(flag, "--wait") == 0) {
        if (!parse_number(flag, value, 1000000, &number, error))
            return FALSE;
        options->connect_ns = (gint64)number * 1000000000;
        return TRUE;
    }
    g_set_error(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE,
                "unknown flag '%s'; try `eep worker --help`", flag);
    return FALSE;
}

static gboolean take_flags(EepWorkerOptions *options, int argc, char **argv, guint64 *rank,
                           guint64 *device, GError **error)
{
    for (int i = 1; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        g_autofree char *flag =
            equals != NULL ? g_strndup(argv[i], (gsize)(equals - argv[i])) : g_strdup(argv[i]);

        if (strcmp(flag, "--help") == 0 || strcmp(flag, "-h") == 0) {
            options->shows_help = TRUE;
            return TRUE;
        }
        if (strcmp(flag, "--version") == 0) {
            options->shows_version = TRUE;
            return TRUE;
        }
        if (strcmp(flag, "--check") == 0) {
            options->checks_itself = TRUE;
            continue;
        }
        if (equals == NULL && i + 1 >= argc) {
            g_set_error(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE,
                        "'%s': unknown, or its value is missing; try `eep worker --help`", flag);
            return FALSE;
        }
        if (!take_flag(options, flag, equals != NULL ? equals + 1 : argv[++i], rank, device, error))
            return FALSE;
    }
    return TRUE;
}

/* The address that a launcher tells; NULL without an error: none. */
static char *launcher_address(const char *(*environment)(const char *name), GError **error)
{
    const char *host = NULL, *port = environment("MASTER_PORT");
    guint64 number;

    for (guint i = 0; host == NULL && i < G_N_ELEMENTS(host_names); i++)
        host = environment(host_names[i]);
    if (host == NULL || port == NULL || !parse_number("MASTER_PORT", port, 65535, &number, error))
        return NULL;
    return g_strdup_printf("%s:%s", host, port);
}

static gboolean complete(EepWorkerOptions *options, const char *(*environment)(const char *name),
                         GError **error)
{
    g_autoptr(GError) why = NULL;

    if (options->connect == NULL)
        options->connect = launcher_address(environment, &why);
    if (why != NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (options->connect == NULL) {
        g_set_error(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE,
                    "no address: give --connect HOST:PORT, or set MASTER_ADDR and MASTER_PORT");
        return FALSE;
    }
    if (options->token == NULL)
        options->token = g_strdup(environment("EEP_TOKEN"));
    if (options->token == NULL || !eep_wire_parse_token(options->token, NULL)) {
        g_set_error(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE,
                    "no token of %d hexadecimal digits: give --token, or set EEP_TOKEN to what the "
                    "coordinator shows",
                    2 * EEP_WIRE_TOKEN_BYTES);
        return FALSE;
    }
    return TRUE;
}

/* What no flag has said. Who was started by a coordinator has its place, and whatever stands in
 * that coordinator's environment was not meant for it. */
static gboolean place(EepWorkerOptions *options, const char *(*environment)(const char *name),
                      guint64 rank, guint64 device, GError **error)
{
    guint64 local = 0;

    if ((rank == EEP_RANK_NONE && options->worker == 0 &&
         !from_environment(rank_names, G_N_ELEMENTS(rank_names), EEP_WIRE_MAX_RANKS - 1,
                           environment, &rank, error)) ||
        (device == NO_DEVICE && !from_environment(device_names, G_N_ELEMENTS(device_names), 1023,
                                                  environment, &local, error)))
        return FALSE;
    options->rank = (guint32)rank;
    options->is_local_rank = device == NO_DEVICE;
    options->device = (guint)(options->is_local_rank ? local : device);
    return TRUE;
}

gboolean eep_worker_options_parse(int argc, char **argv,
                                  const char *(*environment)(const char *name),
                                  EepWorkerOptions *ret_options, GError **error)
{
    EepWorkerOptions options = {.connect_ns = G_GINT64_CONSTANT(60000000000)};
    guint64 rank = EEP_RANK_NONE, device = NO_DEVICE;

    if (!take_flags(&options, argc, argv, &rank, &device, error) ||
        (!options.shows_help && !options.shows_version &&
         !(place(&options, environment, rank, device, error) &&
           (options.checks_itself || complete(&options, environment, error))))) {
        eep_worker_options_clear(&options);
        return FALSE;
    }
    *ret_options = options;
    return TRUE;
}

void eep_worker_options_clear(EepWorkerOptions *options)
{
    g_clear_pointer(&options->connect, g_free);
    g_clear_pointer(&options->token, g_free);
}
