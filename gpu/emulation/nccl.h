/* The part of NCCL that the worker uses, as the emulation (emulated_nccl.c) offers it.
 *
 * Stands in for NVIDIA's nccl.h where the worker is built for the host: names, types, values and
 * argument lists are those of NCCL 2.28.9, so that the same source compiles against either; with
 * EEP_EMULATED_NCCL_MINOR 29 those of 2.29.3, which can grow communicators. The emulation itself
 * is built as the newer one and takes callers of both. What the worker does not use is not here.
 * What the emulation does differently is in docs/emulation.md. Functions may be called on any
 * thread; a communicator by one thread at a time. */
#ifndef EEP_GPU_EMULATION_NCCL_H
#define EEP_GPU_EMULATION_NCCL_H

#include <cuda_runtime_api.h>
#include <limits.h>
#include <stddef.h>

#ifndef EEP_EMULATED_NCCL_MINOR
#define EEP_EMULATED_NCCL_MINOR 28
#endif

#define NCCL_MAJOR  2
#define NCCL_SUFFIX "emulated"
#if EEP_EMULATED_NCCL_MINOR >= 29
#define NCCL_MINOR        29
#define NCCL_PATCH        3
#define NCCL_VERSION_CODE 22903
#else
#define NCCL_MINOR        28
#define NCCL_PATCH        9
#define NCCL_VERSION_CODE 22809
#endif

#define NCCL_VERSION(major, minor, patch)                                                          \
    ((major) <= 2 && (minor) <= 8 ? (major)*1000 + (minor)*100 + (patch)                           \
                                  : (major)*10000 + (minor)*100 + (patch))

#define NCCL_COMM_NULL       NULL
#define NCCL_UNIQUE_ID_BYTES 128

#define NCCL_CONFIG_UNDEF_INT INT_MIN
#define NCCL_CONFIG_UNDEF_PTR NULL

#define NCCL_SHRINK_DEFAULT 0x00
#define NCCL_SHRINK_ABORT   0x01 /* operations of the parent are ended first */
#define NCCL_REVOKE_DEFAULT 0x00

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ncclComm *ncclComm_t;

typedef struct {
    char internal[NCCL_UNIQUE_ID_BYTES];
} ncclUniqueId;

typedef enum {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclSystemError = 2,
    ncclInternalError = 3,
    ncclInvalidArgument = 4,
    ncclInvalidUsage = 5,
    ncclRemoteError = 6,
    ncclInProgress = 7,
    ncclNumResults = 8,
} ncclResult_t;

typedef enum {
    ncclSum = 0,
    ncclProd = 1,
    ncclMax = 2,
    ncclMin = 3,
    ncclAvg = 4,
    ncclNumOps = 5,
    ncclMaxRedOp = 0x7fffffff,
} ncclRedOp_t;

typedef enum {
    ncclInt8 = 0,
    ncclChar = 0,
    ncclUint8 = 1,
    ncclInt32 = 2,
    ncclInt = 2,
    ncclUint32 = 3,
    ncclInt64 = 4,
    ncclUint64 = 5,
    ncclFloat16 = 6,
    ncclHalf = 6,
    ncclFloat32 = 7,
    ncclFloat = 7,
    ncclFloat64 = 8,
    ncclDouble = 8,
    ncclBfloat16 = 9,
    ncclFloat8e4m3 = 10,
    ncclFloat8e5m2 = 11,
    ncclNumTypes = 12,
} ncclDataType_t;

/* Always starts as NCCL_CONFIG_INITIALIZER. Of the fields, only `blocking` means something here. */
typedef struct ncclConfig_v22800 {
    size_t size;
    unsigned int magic;
    unsigned int version;
    int blocking;
    int cgaClusterSize;
    int minCTAs;
    int maxCTAs;
    const char *netName;
    int splitShare;
    int trafficClass;
    const char *commName;
    int collnetEnable;
    int CTAPolicy;
    int shrinkShare;
    int nvlsCTAs;
    int nChannelsPerNetPeer;
    int nvlinkCentricSched;
#if NCCL_VERSION_CODE >= 22900
    int graphUsageMode;
    int numRmaCtx;
#endif
} ncclConfig_t;

#define EEP_EMULATED_NCCL_MAGIC 0xcafebeefU

#if NCCL_VERSION_CODE >= 22900
#define EEP_EMULATED_NCCL_CONFIG_END NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_INT
#else
#define EEP_EMULATED_NCCL_CONFIG_END
#endif

#define NCCL_CONFIG_INITIALIZER                                                                    \
    {                                                                                              \
        sizeof(ncclConfig_t), EEP_EMULATED_NCCL_MAGIC, NCCL_VERSION_CODE,                          \
            NCCL_CONFIG_UNDEF_INT, /* blocking */                                                  \
            NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_INT,                   \
            NCCL_CONFIG_UNDEF_PTR,                                               /* netName */     \
            NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_PTR, /* commName */    \
            NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_INT,                   \
            NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_INT, NCCL_CONFIG_UNDEF_INT,                   \
            EEP_EMULATED_NCCL_CONFIG_END                                                           \
    }

ncclResult_t ncclGetVersion(int *version);
ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
const char *ncclGetErrorString(ncclResult_t result);
const char *ncclGetLastError(ncclComm_t comm); /* of this thread's process; `comm` may be NULL */

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t *config);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *async_error);
ncclResult_t ncclCommFinalize(ncclComm_t comm);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclCommAbort(ncclComm_t comm);
ncclResult_t ncclCommRevoke(ncclComm_t comm, int flags);
ncclResult_t ncclCommShrink(ncclComm_t comm, int *excluded, int n_excluded, ncclComm_t *new_comm,
                            ncclConfig_t *config, int flags);
#if NCCL_VERSION_CODE >= 22900
/* An id for one grow, made by one rank of `comm`; a second one only after that grow. */
ncclResult_t ncclCommGetUniqueId(ncclComm_t comm, ncclUniqueId *id);
/* Ranks of `comm`: rank -1, and the id at the one that made it, else NULL. New ranks: comm NULL,
 * the id, and a rank behind those. */
ncclResult_t ncclCommGrow(ncclComm_t comm, int n_ranks, const ncclUniqueId *id, int rank,
                          ncclComm_t *new_comm, ncclConfig_t *config);
#endif

ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclAllGather(const void *send, void *recv, size_t n_each, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t n_each, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
