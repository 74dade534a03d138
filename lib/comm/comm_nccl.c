/*
 * Ranks on GPUs: vectors are summed by NCCL, on a stream of their own, while
 * the backward pass goes on; all else goes by the ranks' host communicator.
 *
 * Opened without blocking, and nothing blocks: we ask until it is done, has
 * failed or the time is up, and then abort, so that no rank hangs in a kernel
 * that waits for a dead one.
 *
 * While the backend's stream records a step, ours forks from it and joins it
 * again, and the sums are part of what is recorded.  Nothing is asked then: the
 * host asks between the steps.  Recording must not wait for other ranks, so
 * NCCL may not register buffers while it records: the ranks of a machine would
 * have to meet for that.
 */
#include "base/log.h"
#include "base/mem.h"
#include "comm/comm.h"
#include "comm/gpu_facts.h"
#include "kernels/cuda.h"

#include <cuda_runtime_api.h>
#include <nccl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NAP_US = 20, ABORT_S = 10, BF16_ROOM = 1 << 22 };

/* Ours: of a stream that another follows, and of the last calls of pace(). */
enum { READY, DONE, MARK, MARKS = 2, EVENTS = MARK + MARKS };

struct nccl {
    struct comm comm;
    struct comm *host;
    ncclComm_t nccl;
    cudaStream_t compute, stream;       /* the backend's, ours */
    cudaEvent_t event[EVENTS];
    unsigned paced;                     /* calls of pace() */
    void *bf16;                         /* [BF16_ROOM] */
    double timeout;
    pthread_t aborter;
    bool aborting;                      /* it runs */
};

static void *
abort_it(void *nccl)
{
    ncclCommAbort(nccl);
    return NULL;
}

/*
 * Kernels that wait for others end soon.  The call itself ends when recorded
 * steps that hold sums are gone, which the backend frees: so not here.
 */
static void
give_up(struct nccl *n)
{
    if (n->nccl != NULL)
        n->aborting = pthread_create(&n->aborter, NULL, abort_it,
                                     n->nccl) == 0;
    n->nccl = NULL;
}

static bool
recording(const struct nccl *n)
{
    enum cudaStreamCaptureStatus s = cudaStreamCaptureStatusNone;

    return cudaStreamIsCapturing(n->compute, &s) == cudaSuccess &&
           s != cudaStreamCaptureStatusNone;
}

static int
broken(struct nccl *n, ncclResult_t rc, struct err *e)
{
    const char *more = ncclGetLastError(n->nccl);

    err_set(e, EXIT_IO, "rank %d: NCCL: %s%s%s", n->comm.rank,
            ncclGetErrorString(rc), more != NULL && *more != '\0' ? ": " : "",
            more != NULL ? more : "");
    /* What cannot be recorded may still be done. */
    if (!recording(n))
        give_up(n);
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

/* What stream `later` is given now comes after what `first` has so far. */
static int
follow(struct nccl *n, cudaStream_t first, cudaEvent_t event,
       cudaStream_t later, struct err *e)
{
    cudaError_t rc;

    if (n->nccl == NULL)
        return err_set(e, EXIT_IO, "rank %d: NCCL has failed before",
                       n->comm.rank);
    rc = cudaEventRecord(event, first);
    if (rc == cudaSuccess)
        rc = cudaStreamWaitEvent(later, event, 0);
    return rc == cudaSuccess ? 0 : cuda_broken(n, rc, e);
}

/* Until the backend's stream has come to the event. */
static int
reach(struct nccl *n, cudaEvent_t event, struct err *e)
{
    double start = clock_seconds();
    cudaError_t rc;

    while ((rc = cudaEventQuery(event)) == cudaErrorNotReady) {
        ncclResult_t state = ncclSuccess;

        if (ncclCommGetAsyncError(n->nccl, &state) != ncclSuccess ||
            (state != ncclSuccess && state != ncclInProgress))
            return broken(n, state, e);
        if (late(n, start, "a sum over the GPUs", e) != 0)
            return -1;
    }
    return rc == cudaSuccess ? 0 : cuda_broken(n, rc, e);
}

/* By way of one vector, which recorded steps know: it never moves. */
static int
sum_bf16(struct nccl *n, float *x, size_t count, struct err *e)
{
    cudaError_t rc = cudaSuccess;

    if (n->bf16 == NULL)
        rc = cudaMalloc(&n->bf16, BF16_ROOM * sizeof(uint16_t));
    for (size_t m; count > 0 && rc == cudaSuccess; x += m, count -= m) {
        m = count < BF16_ROOM ? count : BF16_ROOM;
        cuda_pack_rows(1, (int)m, true, x, n->bf16, n->stream);
        if (settle(n, ncclAllReduce(n->bf16, n->bf16, m, ncclBfloat16,
                                    ncclSum, n->nccl, n->stream), e) != 0)
            return -1;
        cuda_unpack_rows(1, (int)m, true, n->bf16, NULL, x, n->stream);
        rc = cudaPeekAtLastError();
    }
    return rc == cudaSuccess ? 0 : cuda_broken(n, rc, e);
}

static int
nccl_sum(struct comm *c, float *x, size_t count, struct err *e)
{
    struct nccl *n = (struct nccl *)c;

    if (follow(n, n->compute, n->event[READY], n->stream, e) != 0)
        return -1;
    if (c->bf16)
        return sum_bf16(n, x, count, e);
    return settle(n, ncclAllReduce(x, x, count, ncclFloat, ncclSum, n->nccl,
                                   n->stream), e);
}

/* The backend's stream goes on behind ours; only then is the host let go. */
static int
nccl_wait(struct comm *c, struct err *e)
{
    struct nccl *n = (struct nccl *)c;
    cudaError_t rc;

    if (follow(n, n->stream, n->event[DONE], n->compute, e) != 0)
        return -1;
    if (recording(n))
        return 0;
    rc = cudaEventRecord(n->event[DONE], n->compute);
    return rc == cudaSuccess ? reach(n, n->event[DONE], e)
                             : cuda_broken(n, rc, e);
}

static int
nccl_pace(struct comm *c, struct err *e)
{
    struct nccl *n = (struct nccl *)c;
    cudaError_t rc;

    if (n->nccl == NULL)
        return err_set(e, EXIT_IO, "rank %d: NCCL has failed before", c->rank);
    rc = cudaEventRecord(n->event[MARK + n->paced++ % MARKS], n->compute);
    if (rc != cudaSuccess)
        return cuda_broken(n, rc, e);
    return n->paced < MARKS ? 0
                            : reach(n, n->event[MARK + n->paced % MARKS], e);
}

static int
nccl_hsum(struct comm *c, double *x, size_t count, struct err *e)
{
    struct nccl *n = (struct nccl *)c;

    if (n->host->class->hsum(n->host, x, count, e) == 0)
        return 0;
    give_up(n);         /* or the backend waits for its streams for ever */
    return -1;
}

/* Then the process ends, whatever the thread still does. */
static void
end_abort(struct nccl *n)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ABORT_S;
    if (n->aborting)
        pthread_timedjoin_np(n->aborter, NULL, &until);
}

static void
nccl_close(struct comm *c, bool failed)
{
    struct nccl *n = (struct nccl *)c;
    struct err e = { 0 };

    if (n->nccl != NULL && !failed &&
        settle(n, ncclCommFinalize(n->nccl), &e) == 0)
        ncclCommDestroy(n->nccl);
    else
        give_up(n);
    end_abort(n);
    for (int i = 0; i < EVENTS; i++)
        if (n->event[i] != NULL)
            cudaEventDestroy(n->event[i]);
    if (n->bf16 != NULL)
        cudaFree(n->bf16);
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
    setenv("NCCL_GRAPH_REGISTER", "0", 0);
    conf.blocking = 0;
    if (compare(n, device, e) != 0 || agree(n, &id, e) != 0 ||
        settle(n, ncclCommInitRankConfig(&n->nccl, n->comm.size, id,
                                         n->comm.rank, &conf), e) != 0)
        return -1;
    rc = cudaStreamCreateWithFlags(&n->stream, cudaStreamNonBlocking);
    for (int i = 0; i < EVENTS && rc == cudaSuccess; i++)
        rc = cudaEventCreateWithFlags(&n->event[i], cudaEventDisableTiming);
    return rc == cudaSuccess ? 0 : cuda_broken(n, rc, e);
}

static const struct comm_class nccl_class = {
    .name = "nccl", .sum = nccl_sum, .wait = nccl_wait, 
    .hsum = nccl_hsum, .close = nccl_close, .pace = nccl_pace
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
