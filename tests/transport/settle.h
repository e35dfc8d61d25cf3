/* Waiting for what a non-blocking call of NCCL's own began. */
#ifndef EEP_TESTS_TRANSPORT_SETTLE_H
#define EEP_TESTS_TRANSPORT_SETTLE_H

#include <glib.h>
#include <nccl.h>

/* At most 5 s; whether it ended as wanted. */
static inline gboolean settle(ncclComm_t comm, ncclResult_t wanted)
{
    ncclResult_t async = ncclInProgress;
    for (int i = 0; i < 5000 && async == ncclInProgress; i++) {
        if (ncclCommGetAsyncError(comm, &async) != ncclSuccess)
            return FALSE;
        g_usleep(1000);
    }
    return async == wanted;
}

#endif
