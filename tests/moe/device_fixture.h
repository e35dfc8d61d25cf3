/* A fixture: one emulated device and a stream, of each test that includes this. */
#ifndef EEP_TESTS_MOE_DEVICE_FIXTURE_H
#define EEP_TESTS_MOE_DEVICE_FIXTURE_H

#include <check.h>

#include "gpu/worker/device.h"

#define WAIT_NS (20 * G_GINT64_CONSTANT(1000000000))

static EepDevice *device;
static EepStream stream;

static void set_up(void)
{
    g_autoptr(GError) error = NULL;
    device = eep_device_open(0, &error);
    ck_assert_msg(device != NULL, "%s", error ? error->message : "");
    ck_assert(eep_device_use(device, &error));
    ck_assert(eep_device_make_stream(device, TRUE, &stream, &error));
}

static void tear_down(void)
{
    eep_device_drop_stream(device, stream);
    eep_device_close(device);
}

#endif
