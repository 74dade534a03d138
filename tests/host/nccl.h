/*
 * As much of NCCL as lib/comm/comm_nccl.c calls, between processes of one
 * machine by shared memory (tests/host_nccl.c), for tests without a GPU.
 *
 * Sums are tasks of a stream (cuda_runtime_api.h): they wait for the other
 * ranks without holding up other streams, and are captured with it.  As with
 * NCCL's communicators that do not block, a call is under way only when
 * ncclCommGetAsyncError() has said so; and a communicator is not gone before
 * all graphs that hold its sums are.
 *
 * NCCL_HOST_STALL=R:K: rank R never comes to its K-th sum, recorded ones
 * counted as often as they run.
 */
#ifndef BUSI_TESTS_NCCL_H
#define BUSI_TESTS_NCCL_H

#include "tests/host/cuda_runtime_api.h"

#pragma GCC visibility push(default)

typedef enum {
    ncclSuccess, ncclUnhandledCudaError, ncclSystemError,
    ncclInvalidArgument, ncclInProgress
} ncclResult_t;
typedef enum { ncclFloat, ncclBfloat16 } ncclDataType_t;
typedef enum { ncclSum } ncclRedOp_t;
typedef struct host_nccl *ncclComm_t;
typedef struct {
    char internal[128];
} ncclUniqueId;
typedef struct {
    int blocking;
} ncclConfig_t;
#define NCCL_CONFIG_INITIALIZER { 1 }

ncclResult_t ncclGetVersion(int *version);
ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
ncclResult_t ncclCommInitRankConfig(ncclComm_t *c, int size, ncclUniqueId id,
                                    int rank, ncclConfig_t *conf);
ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state);
ncclResult_t ncclCommFinalize(ncclComm_t c);
ncclResult_t ncclCommDestroy(ncclComm_t c);
ncclResult_t ncclCommAbort(ncclComm_t c);
const char *ncclGetErrorString(ncclResult_t rc);
const char *ncclGetLastError(ncclComm_t c);
ncclResult_t ncclAllReduce(const void *from, void *to, size_t n,
                           ncclDataType_t type, ncclRedOp_t op, ncclComm_t c,
                           cudaStream_t s);

#pragma GCC visibility pop

#endif
