#include "gpu/worker/transport_wait.h"

#define QUICK_LOOKS 20 /* with the shortest pause; then each pause is longer by itself */
#define SHORTEST_US 5
#define LONGEST_US  500

EepPace eep_pace(gint64 wait_ns, const gint *stop)
{
    return (EepPace){wait_ns, g_get_monotonic_time() + wait_ns / 1000, stop, 0};
}

gboolean eep_pace_next(EepPace *pace, const char *what, GError **error)
{
    if (pace->stop != NULL && g_atomic_int_get(pace->stop) != 0) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_STOPPED, "stopped waiting for %s",
                    what);
        return FALSE;
    }
    if (g_get_monotonic_time() >= pace->deadline_us) {
        g_set_error(error, EEP_DEVICE_ERROR, EEP_DEVICE_ERROR_TIMED_OUT,
                    "%s did not end within %" G_GINT64_FORMAT " ms", what, pace->wait_ns / 1000000);
        return FALSE;
    }
    const guint n_slow = MAX(pace->n_looks, QUICK_LOOKS) - QUICK_LOOKS;
    pace->n_looks++;
    g_usleep(MIN(SHORTEST_US * (1 + n_slow), LONGEST_US));
    return TRUE;
}

gboolean eep_pace_stream(EepPace *pace, EepStream stream,
                         gboolean (*look)(gpointer object, GError **error), gpointer object,
                         GError **error)
{
    for (;;) {
        const cudaError_t status = cudaStreamQuery(stream);
        if (status != cudaErrorNotReady) {
            return EEP_CUDA(status, error) && (look == NULL || look(object, error));
        }
        if ((look != NULL && !look(object, error)) || !eep_pace_next(pace, "the stream", error)) {
            return FALSE;
        }
    }
}
