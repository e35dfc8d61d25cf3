/* The CUDA runtime calls that the worker uses, as the emulation declares them. Names and values are
 * NVIDIA's (CUDA 13.0), the text is ours; docs/emulation.md has each rule that is modelled.
 *
 * What is not here the worker must not use: the legacy default stream and everything that waits
 * without a deadline (cudaDeviceSynchronize, cudaStreamSynchronize, cudaMemcpy). A dropped status
 * does not compile. */
#ifndef EEP_GPU_EMULATION_CUDA_RUNTIME_API_H
#define EEP_GPU_EMULATION_CUDA_RUNTIME_API_H

#include <stddef.h>

#define CUDART_VERSION 13000

#ifdef __cplusplus
extern "C" {
#endif

#define EEP_CUDA_STATUS __attribute__((warn_unused_result)) enum cudaError

/* -- values -- */

enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInitializationError = 3,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidMemcpyDirection = 21,
    cudaErrorStubLibrary = 34,
    cudaErrorInsufficientDriver = 35,
    cudaErrorDevicesUnavailable = 46,
    cudaErrorInvalidDeviceFunction = 98,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNoKernelImageForDevice = 209,
    cudaErrorECCUncorrectable = 214,
    cudaErrorUnsupportedPtxVersion = 222,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorIllegalState = 401,
    cudaErrorNotReady = 600,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchTimeout = 702,
    cudaErrorContextIsDestroyed = 709,
    cudaErrorAssert = 710,
    cudaErrorHardwareStackError = 714,
    cudaErrorIllegalInstruction = 715,
    cudaErrorMisalignedAddress = 716,
    cudaErrorInvalidAddressSpace = 717,
    cudaErrorInvalidPc = 718,
    cudaErrorLaunchFailure = 719,
    cudaErrorNotPermitted = 800,
    cudaErrorNotSupported = 801,
    cudaErrorSystemNotReady = 802,
    cudaErrorSystemDriverMismatch = 803,
    cudaErrorCompatNotSupportedOnDevice = 804,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorStreamCaptureUnmatched = 903,
    cudaErrorStreamCaptureIsolation = 905,
    cudaErrorCapturedEvent = 907,
    cudaErrorStreamCaptureWrongThread = 908,
    cudaErrorUnknown = 999,
};
typedef enum cudaError cudaError_t;

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3,
    cudaMemcpyDefault = 4,
};

enum cudaMemoryType {
    cudaMemoryTypeUnregistered = 0,
    cudaMemoryTypeHost = 1,
    cudaMemoryTypeDevice = 2,
};

enum cudaDeviceAttr {
    cudaDevAttrMaxThreadsPerBlock = 1,
    cudaDevAttrMaxSharedMemoryPerBlock = 8,
    cudaDevAttrWarpSize = 10,
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrPciBusId = 33,
    cudaDevAttrPciDeviceId = 34,
    cudaDevAttrL2CacheSize = 38,
    cudaDevAttrUnifiedAddressing = 41,
    cudaDevAttrPciDomainId = 50,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76,
    cudaDevAttrMemoryPoolsSupported = 115,
};

enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal = 0,
    cudaStreamCaptureModeThreadLocal = 1,
    cudaStreamCaptureModeRelaxed = 2,
};

#define cudaStreamNonBlocking  0x01
#define cudaEventDefault       0x00
#define cudaEventBlockingSync  0x01
#define cudaEventDisableTiming 0x02

#define cudaStreamLegacy    ((cudaStream_t)0x1)
#define cudaStreamPerThread ((cudaStream_t)0x2)

/* -- types -- */

typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
typedef struct CUgraph_st *cudaGraph_t;
typedef struct CUgraphExec_st *cudaGraphExec_t;

struct dim3 {
    unsigned int x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned int width = 1, unsigned int height = 1, unsigned int depth = 1)
        : x(width), y(height), z(depth)
    {
    }
#endif
};
typedef struct dim3 dim3;

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    size_t sharedMemPerBlock;
    int warpSize;
    int maxThreadsPerBlock;
    int maxThreadsDim[3];
    int maxGridSize[3];
    int major, minor;
    int multiProcessorCount;
    int ECCEnabled;
    int pciBusID, pciDeviceID, pciDomainID;
    int unifiedAddressing;
    int memoryBusWidth;
    int l2CacheSize;
    int memoryPoolsSupported;
};

struct cudaPointerAttributes {
    enum cudaMemoryType type;
    int device;
    void *devicePointer;
    void *hostPointer;
};

/* -- devices -- */

EEP_CUDA_STATUS cudaGetDeviceCount(int *count);
EEP_CUDA_STATUS cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device);
EEP_CUDA_STATUS cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device);
EEP_CUDA_STATUS cudaDeviceGetPCIBusId(char *pciBusId, int len, int device);
EEP_CUDA_STATUS cudaSetDevice(int device);
EEP_CUDA_STATUS cudaGetDevice(int *device);
EEP_CUDA_STATUS cudaDriverGetVersion(int *driverVersion);
EEP_CUDA_STATUS cudaRuntimeGetVersion(int *runtimeVersion);
EEP_CUDA_STATUS cudaDeviceGetStreamPriorityRange(int *leastPriority, int *greatestPriority);

/* -- errors -- */

enum cudaError cudaGetLastError(void);
enum cudaError cudaPeekAtLastError(void);
const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);

/* -- memory -- */

EEP_CUDA_STATUS cudaMalloc(void **devPtr, size_t size);
EEP_CUDA_STATUS cudaFree(void *devPtr);
EEP_CUDA_STATUS cudaMallocAsync(void **devPtr, size_t size, cudaStream_t stream);
EEP_CUDA_STATUS cudaFreeAsync(void *devPtr, cudaStream_t stream);
EEP_CUDA_STATUS cudaMallocHost(void **ptr, size_t size);
EEP_CUDA_STATUS cudaFreeHost(void *ptr);
EEP_CUDA_STATUS cudaMemGetInfo(size_t *ret_free, size_t *ret_total);
EEP_CUDA_STATUS cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *ptr);
EEP_CUDA_STATUS cudaMemcpyAsync(void *dst, const void *src, size_t count, enum cudaMemcpyKind kind,
                                cudaStream_t stream);
EEP_CUDA_STATUS cudaMemsetAsync(void *devPtr, int value, size_t count, cudaStream_t stream);

/* -- streams and events -- */

EEP_CUDA_STATUS cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags);
EEP_CUDA_STATUS cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags,
                                             int priority);
EEP_CUDA_STATUS cudaStreamDestroy(cudaStream_t stream);
EEP_CUDA_STATUS cudaStreamQuery(cudaStream_t stream);
EEP_CUDA_STATUS cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags);
EEP_CUDA_STATUS cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags);
EEP_CUDA_STATUS cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
EEP_CUDA_STATUS cudaEventQuery(cudaEvent_t event);
EEP_CUDA_STATUS cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end);
EEP_CUDA_STATUS cudaEventDestroy(cudaEvent_t event);

/* -- graphs -- */

EEP_CUDA_STATUS cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode);
EEP_CUDA_STATUS cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
EEP_CUDA_STATUS cudaGraphInstantiate(cudaGraphExec_t *graphExec, cudaGraph_t graph,
                                     unsigned long long flags);
EEP_CUDA_STATUS cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream);
EEP_CUDA_STATUS cudaGraphDestroy(cudaGraph_t graph);
EEP_CUDA_STATUS cudaGraphExecDestroy(cudaGraphExec_t graphExec);

#ifdef __cplusplus
}
#endif

#endif
