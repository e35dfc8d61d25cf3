#include "gpu/emulation/emulated_nccl_switches.h"

#include "gpu/emulation/emulated_runtime.h"

#include <pthread.h>
#include <stdlib.h>

/* The library that the header of the worker is of, if nobody says otherwise. */
#define VERSION 22809

static EepNcclSwitches switches;

static guint64 read_number(const char *name, guint64 otherwise, guint64 max)
{
    const char *text = g_getenv(name);
    guint64 value = otherwise;
    if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 0, max, &value, NULL)) {
        eep_emulated_report("%s=%s is not understood: want a number from 0 to %" G_GUINT64_FORMAT,
                            name, text, max);
        exit(2);
    }
    return value;
}

static void read_all(void)
{
    switches.announces = read_number("EEP_EMULATED_NCCL_DETECT", 1, 1) != 0;
    switches.compares_bus_id = read_number("EEP_EMULATED_NCCL_BUS_IDS", 0, 1) != 0;
    switches.version = read_number("EEP_EMULATED_NCCL_VERSION", VERSION, 99999);
    switches.latency_us = read_number("EEP_EMULATED_NCCL_LATENCY", 0, 10000000);
    switches.fails = read_number("EEP_EMULATED_NCCL_FAIL", 0, G_MAXINT32);
}

const EepNcclSwitches *eep_nccl_switches(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_all);
    return &switches;
}
