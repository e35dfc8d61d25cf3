#include "gpu/worker/transport.h"

void eep_transport_free(EepTransport *transport)
{
    if (transport != NULL)
        transport->ops->free(transport);
}

void eep_comm_leave(EepComm *comm)
{
    if (comm != NULL)
        comm->ops->leave(comm, NULL);
}
