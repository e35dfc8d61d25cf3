/* eep worker: becomes the worker's own program, with the same arguments. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/hardware_run.h"

#define EMULATED "--emulated"

/* Both programs take the same flags: where only one is built, it tells about them. */
static gboolean only_asks(char **argv)
{
    return g_strv_contains((const char *const *)argv, "--help") ||
           g_strv_contains((const char *const *)argv, "--version");
}

/* Takes the word out of the arguments. */
static gboolean take(char **argv, const char *word)
{
    for (char **argument = argv + 1; *argument != NULL; argument++)
        if (strcmp(*argument, word) == 0) {
            memmove(argument, argument + 1, (g_strv_length(argument + 1) + 1) * sizeof *argument);
            return TRUE;
        }
    return FALSE;
}

int eep_command_worker(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    EepGpuDevice device = take(argv, EMULATED) ? EEP_GPU_DEVICE_EMULATED : EEP_GPU_DEVICE_GPU;
    g_autofree char *program = eep_hardware_find_worker(device, &error);

    if (program == NULL && only_asks(argv))
        program = eep_hardware_find_worker(EEP_GPU_DEVICE_EMULATED, NULL);
    if (program == NULL)
        return eep_command_fail(g_steal_pointer(&error));
    execv(program, argv);
    return eep_command_fail(g_error_new(EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                                        "%s: cannot be started: %s", program, g_strerror(errno)));
}
