/*
 * Ranks on GPUs: vectors are summed by NCCL, on a stream of their own, while
 * the backward pass goes on; all else goes by the ranks' host communicator.
 *
 * Opened without blocking, and nothing blocks: we ask until it is done, has
 * failed or the time is up, and then abort, so that no rank hangs in a kernel
 * that waits for a dead one.
 */
#include "base/log.h"
#include "base/mem.h"
#include "comm/comm.h"
#include "comm/gpu_facts.h"

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NAP_US = 20 };

struct nccl {
    struct comm comm;
    struct comm *host;
    ncclComm_t nccl;
    cudaStream_t compute, stream;       /* the backend's, ours */
    cudaEvent_t ready, done;
    double timeout;
    bool begun;                         /* something is to be waited for */
};

static int
broken(struct nccl *n, ncclResult_t rc, struct err *e)
{
    const char *more = ncclGetLastError(n->nccl);

    err_set(e, EXIT_IO, "rank %d: NCCL: %s%s%s", n->comm.rank,
            ncclGetErrorString(rc), more != NULL && *more != '\0' ? ": " : "",
            more != NULL ? more : "");
    if (n->nccl != NULL)
        ncclCommAbort(n->nccl);
    n->nccl = NULL;
    return -1;
}

static int
cuda_broken(struct nccl *n, cudaError_t rc, struct err *e)
{
    err_set(e, EXIT_IO, "rank %d: CUDA: %s", n->comm.rank,
            cudaGetErrorString(rc));
    return broken(n, ncclUnhandledCudaError, e);
}

static int
late(struct nccl *n, double start, const char *what, struct err *e)
{
    const struct timespec nap = { 0, NAP_US * 1000 };

    nanosleep(&nap, NULL);
    if (n->timeout <= 0 || clock_seconds() - start < n->timeout)
        return 0;
    err_set(e, EXIT_IO, "rank %d: %s has not ended for %g s", n->comm.rank,
            what, n->timeout);
    return broken(n, ncclInProgress, e);
}

/* Until what rc came from is under way, or has failed. */
static int
settle(struct nccl *n, ncclResult_t rc, struct err *e)
{
    double start = clock_seconds();

    while (rc == ncclInProgress) {
        ncclResult_t state = ncclInProgress;

        rc = ncclCommGetAsyncError(n->nccl, &state);
        if (rc == ncclSuccess)
            rc = state;
        if (rc == ncclInProgress &&
            late(n, start, "the meeting of the GPUs", e) != 0)
            return -1;
    }
    return rc == ncclSuccess ? 0 : broken(n, rc, e);
}

/* What we enqueue now comes after what the backend has enqueued so far. */
static int
follow(struct nccl *n, struct err *e)
{
    cudaError_t rc = cudaEventRecord(n->ready, n->compute);

    if (n->nccl == NULL)
        return err_set(e, EXIT_IO, "rank %d: NCCL has failed before",
                       n->comm.rank);
    if (rc == cudaSuccess)
        rc = cudaStreamWaitEvent(n->stream, n->ready, 0);
    n->begun = true;
    return rc == cudaSuccess ? 0 : cuda_broken(n, rc, e);
}

static int
nccl_sum(struct comm *c, float *x, size_t count, struct err *e)
{
    struct nccl *n = (struct nccl *)c;

    if (follow(n, e) != 0)
        return -1;
    return settle(n, ncclAllReduce(x, x, count, ncclFloat, ncclSum, n->nccl,
                                   n->stream), e);
}

/* The backend's stream goes on behind ours; only then is the host let go. */
static int
nccl_wait(struct comm *c, struct err *e)
{
    struct nccl *n = (struct nccl *)c;
    double start = clock_seconds();
    ncclResult_t state = ncclSuccess;
    cudaError_t rc;

    if (!n->begun)
        return 0;
    n->begun = false;
    rc = cudaEventRecord(n->done, n->stream);
    if (rc == cudaSuccess)
        rc = cudaStreamWaitEvent(n->compute, n->done, 0);
    while (rc == cudaSuccess &&
           (rc = cudaEventQuery(n->done)) == cudaErrorNotReady) {
        rc = cudaSuccess;
        if (ncclCommGetAsyncError(n->nccl, &state) != ncclSuccess ||
            (state != ncclSuccess && state != ncclInProgress))
            return broken(n, state, e);
        if (late(n, start, "a sum over the GPUs", e) != 0)
            return -1;
    }
    return rc == cudaSuccess ? 0 : cuda_broken(n, rc, e);
}

static int
nccl_bcast(struct comm *c, float *x, size_t count, struct err *e)
{
    struct nccl *n = (struct nccl *)c;

    if (follow(n, e) != 0 ||
        settle(n, ncclBroadcast(x, x, count, ncclFloat, 0, n->nccl,
                                n->stream), e) != 0)
        return -1;
    return nccl_wait(c, e);
}

static int
nccl_hsum(struct comm *c, double *x, size_t count, struct err *e)
{
    struct nccl *n = (struct nccl *)c;

    return n->host->class->hsum(n->host, x, count, e);
}

static void
nccl_close(struct comm *c, bool failed)
{
    struct nccl *n = (struct nccl *)c;
    struct err e = { 0 };

    if (n->nccl != NULL && !failed &&
        settle(n, ncclCommFinalize(n->nccl), &e) == 0)
        ncclCommDestroy(n->nccl);
    else if (n->nccl != NULL)
        ncclCommAbort(n->nccl);
    if (n->ready != NULL)
        cudaEventDestroy(n->ready);
    if (n->done != NULL)
        cudaEventDestroy(n->done);
    if (n->stream != NULL)
        cudaStreamDestroy(n->stream);
    if (n->host != NULL)
        n->host->class->close(n->host, failed);
    free(n);
}

/* ------------------------------------------------------------------ opening */

/* What this rank has, to all, and a verdict. */
static int
compare(struct nccl *n, int device, struct err *e)
{
    size_t size = (size_t)n->comm.size;
    double *facts = mem_array(size * GPU_FACTS, sizeof *facts);
    double *mine = facts + n->comm.rank * GPU_FACTS;
    char name[256] = "", place[32] = "";
    int version = 0, rc;

    ncclGetVersion(&version);
    gethostname(name, sizeof name - 1);
    mine[FACT_VERSION] = version;
    mine[FACT_MACHINE] = gpu_facts_number(name);
    if (cudaDeviceGetPCIBusId(place, sizeof place, device) == cudaSuccess)
        mine[FACT_GPU] = gpu_facts_number(place);
    mine[FACT_DEVICE] = device;
    rc = n->host->class->hsum(n->host, facts, size * GPU_FACTS, e);
    if (rc == 0)
        rc = gpu_facts_check(facts, n->comm.size, e);
    free(facts);
    return rc;
}

/* Rank 0's id to all, a byte to a number. */
static int
agree(struct nccl *n, ncclUniqueId *id, struct err *e)
{
    double bytes[sizeof id->internal] = { 0 };

    if (n->comm.rank == 0) {
        ncclResult_t rc = ncclGetUniqueId(id);

        if (rc != ncclSuccess)
            return broken(n, rc, e);
        for (size_t i = 0; i < sizeof id->internal; i++)
            bytes[i] = (uint8_t)id->internal[i];
    }
    if (n->host->class->hsum(n->host, bytes, sizeof id->internal, e) != 0)
        return -1;
    for (size_t i = 0; i < sizeof id->internal; i++)
        id->internal[i] = (char)(uint8_t)bytes[i];
    return 0;
}

static int
meet(struct nccl *n, int device, struct err *e)
{
    ncclConfig_t conf = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id;
    cudaError_t rc;

    /* If there is no such GPU, the backend has said so before; NCCL will. */
    cudaSetDevice(device);
    conf.blocking = 0;
    if (compare(n, device, e) != 0 || agree(n, &id, e) != 0 ||
        settle(n, ncclCommInitRankConfig(&n->nccl, n->comm.size, id,
                                         n->comm.rank, &conf), e) != 0)
        return -1;
    rc = cudaStreamCreateWithFlags(&n->stream, cudaStreamNonBlocking);
    if (rc == cudaSuccess)
        rc = cudaEventCreateWithFlags(&n->ready, cudaEventDisableTiming);
    if (rc == cudaSuccess)
        rc = cudaEventCreateWithFlags(&n->done, cudaEventDisableTiming);
    return rc == cudaSuccess ? 0 : cuda_broken(n, rc, e);
}

static const struct comm_class nccl_class = {
    .name = "nccl", .sum = nccl_sum, .wait = nccl_wait, .bcast = nccl_bcast,
    .hsum = nccl_hsum, .close = nccl_close
};

static struct comm *
nccl_over(struct comm *host, const struct comm_gpu *g, double timeout,
          struct err *e)
{
    struct nccl *n = mem_array(1, sizeof *n);

    n->comm = *host;
    n->comm.class = &nccl_class;
    n->comm.device = true;
    n->host = host;
    n->compute = g->stream;
    n->timeout = timeout;
    if (meet(n, g->device, e) == 0)
        return &n->comm;
    n->host = NULL;             /* stays with the caller */
    nccl_close(&n->comm, true);
    return NULL;
}

extern comm_over *const busi_comm_over;

__attribute__((visibility("default")))
comm_over *const busi_comm_over = nccl_over;
