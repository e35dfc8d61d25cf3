#include "gpu/emulation/emulated_switches.h"

#include "gpu/emulation/cuda_runtime_api.h"
#include "gpu/emulation/emulated_parts.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* *text moves behind the number; FALSE if there is none. */
static gboolean number(const char **text, guint64 *ret_value)
{
    if (!g_ascii_isdigit(**text))
        return FALSE;
    char *end;
    errno = 0;
    *ret_value = g_ascii_strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

static gboolean parse_trip(const char *text, EepEmulatedTrip *ret_trip)
{
    guint64 status = 0, device = 0;
    *ret_trip = (EepEmulatedTrip){.device = -1};
    if (!number(&text, &ret_trip->at))
        return FALSE;
    if (*text == ':' && (text++, !number(&text, &status) || status == 0 || status > 999))
        return FALSE;
    ret_trip->status = (int)status;
    if (*text == '@') {
        text++;
        if (!number(&text, &device) || device >= EEP_EMULATED_DEVICES_MAX)
            return FALSE;
        ret_trip->device = (int)device;
    }
    return *text == '\0';
}

static gboolean parse_bytes(const char *text, guint64 *ret_bytes)
{
    static const struct {
        char suffix;
        guint shift;
    } units[] = {{'K', 10}, {'M', 20}, {'G', 30}};
    guint64 value;
    if (!number(&text, &value))
        return FALSE;
    guint shift = 0;
    for (guint i = 0; i < G_N_ELEMENTS(units); i++)
        if (*text == units[i].suffix)
            shift = units[i].shift;
    *ret_bytes = value << shift;
    return text[shift != 0] == '\0' && value <= (G_MAXUINT64 >> (shift + 1));
}

static gboolean parse_count(const char *text, guint64 max, guint64 *ret_count)
{
    return number(&text, ret_count) && *text == '\0' && *ret_count <= max;
}

static void refuse(const char *name, const char *value, const char *wanted)
{
    fprintf(stderr, "emulated GPU: %s=%s is not understood: want %s\n", name, value, wanted);
    exit(2);
}

static void read_trip(const char *name, EepEmulatedTrip *ret_trip)
{
    const char *value = g_getenv(name);
    *ret_trip = (EepEmulatedTrip){.device = -1};
    if (value != NULL && !parse_trip(value, ret_trip))
        refuse(name, value, "N, N:STATUS, N@DEVICE or N:STATUS@DEVICE");
}

static guint64 read_count(const char *name, guint64 otherwise, guint64 max, const char *wanted)
{
    const char *value = g_getenv(name);
    guint64 count = otherwise;
    if (value != NULL && !parse_count(value, max, &count))
        refuse(name, value, wanted);
    return count;
}

static EepEmulatedSwitches switches_read;

static void read_all(void)
{
    EepEmulatedSwitches *switches = &switches_read;
    read_trip("EEP_EMULATED_FAIL", &switches->fail);
    read_trip("EEP_EMULATED_DIE", &switches->die);
    read_trip("EEP_EMULATED_HANG", &switches->hang);
    switches->latency_us =
        (guint)read_count("EEP_EMULATED_LATENCY", 0, 10000000, "microseconds, at most 10000000");
    switches->n_devices =
        (guint)read_count("EEP_EMULATED_DEVICES", 8, EEP_EMULATED_DEVICES_MAX, "0 to 64");
    switches->driver_version =
        (guint)read_count("EEP_EMULATED_DRIVER", switches->n_devices > 0 ? CUDART_VERSION : 0,
                          99990, "a version of CUDA as 12040, which is 12.4");
    switches->seed = read_count("EEP_EMULATED_SEED", 0, G_MAXUINT64, "a number");
    switches->memory_bytes = (guint64)4 << 30;
    const char *memory = g_getenv("EEP_EMULATED_MEMORY");
    if (memory != NULL && !parse_bytes(memory, &switches->memory_bytes))
        refuse("EEP_EMULATED_MEMORY", memory, "bytes, or a number with K, M or G");
}

const EepEmulatedSwitches *eep_emulated_switches(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_all);
    return &switches_read;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
guint64 eep_emulated_random(guint64 *state)
{
    guint64 z = *state += G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
