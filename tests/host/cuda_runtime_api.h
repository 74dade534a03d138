/*
 * As much of the CUDA runtime as lib/backend/gpu.c and lib/comm/comm_nccl.c
 * call, over this machine's memory (tests/host_cuda.c), for tests without a
 * GPU.
 *
 * Nothing runs as it is enqueued: streams are worked off when somebody waits
 * for them or asks for an event, and then as far as that needs.  What may run
 * at the same time is run in the order that is worst for who forgot to wait:
 * a stream opened later is left behind as long as nothing waits for it, or,
 * with CUDA_HOST_STREAMS=early in the environment, is always ahead.
 *
 * Captures follow CUDA's rules: what is enqueued on a capturing stream is not
 * run; a stream that waits for a captured event joins; all must have been
 * joined by the first one at the end; nobody may wait for a captured event or
 * stream, nor copy from or to the host.
 *
 * CUDA_HOST_NO_CAPTURE: none begins.  CUDA_HOST_FULL=R:N: rank R cannot allocate
 * N bytes.  CUDA_HOST_COUNT=FILE: a line with the number of graphs launched.
 */
#ifndef BUSI_TESTS_CUDA_RUNTIME_API_H
#define BUSI_TESTS_CUDA_RUNTIME_API_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define CUDART_VERSION 13000

typedef enum {
    cudaSuccess, cudaErrorInvalidValue, cudaErrorMemoryAllocation,
    cudaErrorNoDevice, cudaErrorNotReady, cudaErrorCapturedEvent,
    cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated,
    cudaErrorStreamCaptureUnjoined, cudaErrorStreamCaptureIsolation
} cudaError_t;

struct cudaDeviceProp {
    char name[256];
    int major, minor, multiProcessorCount;
    size_t totalGlobalMem;
    int pageableMemoryAccessUsesHostPageTables;
};

typedef struct host_stream *cudaStream_t;
typedef struct host_event *cudaEvent_t;
typedef struct host_graph *cudaGraph_t, *cudaGraphExec_t;

enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice
};
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed };
enum cudaStreamCaptureStatus {
    cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive,
    cudaStreamCaptureStatusInvalidated
};

cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device);
cudaError_t cudaDeviceGetPCIBusId(char *text, int n, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
const char *cudaGetErrorString(cudaError_t rc);

cudaError_t cudaMalloc(void **p, size_t nbytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t nbytes,
                            enum cudaMemcpyKind kind, cudaStream_t s);
cudaError_t cudaMemsetAsync(void *to, int value, size_t nbytes,
                            cudaStream_t s);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t s);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t event,
                                unsigned flags);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t s);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b);

cudaError_t cudaStreamBeginCapture(cudaStream_t s,
                                   enum cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t s,
                                  enum cudaStreamCaptureStatus *status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                 unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

/*
 * Enqueue a call of go(arg), which is repeated until it returns true.  arg
 * [nbytes] is copied; gone(arg), if given, is called as the copy goes away.
 */
void cuda_host_put(cudaStream_t s, bool (*go)(void *arg),
                   void (*gone)(void *arg), const void *arg, size_t nbytes);

/* Kernels run so far. */
extern unsigned long cuda_host_launches;

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
