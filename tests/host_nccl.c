/* host_nccl: tests/host/nccl.h. */
#include "tests/host/nccl.h"

#include "base/mem.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { RANKS = 8, MOST = 1 << 24 };     /* numbers in a sum */

struct shared {
    atomic_int joined;
    atomic_ulong brought[RANKS], taken[RANKS];  /* sums that a rank has */
    float x[RANKS][MOST];       /* of which pages that are written exist */
};

/* A call that has been made but is not under way yet. */
struct call {
    struct host_nccl *c;
    float *x;                   /* or uint16_t, bf16 */
    size_t n;
    bool half;
    bool brought;
};

struct host_nccl {
    int rank, size;
    struct shared *shared;
    unsigned long sums;         /* done */
    unsigned long stall;        /* the sum that never ends */
    struct call waiting;
    cudaStream_t stream;        /* of it; NULL: nothing waits */
    atomic_int held;            /* by graphs and streams */
    atomic_bool aborted;
};

ncclResult_t
ncclGetVersion(int *version)
{
    *version = 22809;
    return ncclSuccess;
}

ncclResult_t
ncclGetUniqueId(ncclUniqueId *id)
{
    int fd;

    snprintf(id->internal, sizeof id->internal, "/busi-nccl-%ld",
             (long)getpid());
    fd = shm_open(id->internal, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct shared)) != 0)
        return ncclSystemError;
    close(fd);
    return ncclSuccess;
}

ncclResult_t
ncclCommInitRankConfig(ncclComm_t *c, int size, ncclUniqueId id, int rank,
                       ncclConfig_t *conf)
{
    const char *stall = getenv("NCCL_HOST_STALL");
    struct host_nccl *n = mem_array(1, sizeof *n);
    int fd = shm_open(id.internal, O_RDWR, 0600), who;

    if (fd < 0 || size > RANKS || conf->blocking)
        return ncclInvalidArgument;
    n->rank = rank;
    n->size = size;
    n->shared = mmap(NULL, sizeof *n->shared, PROT_READ | PROT_WRITE,
                     MAP_SHARED, fd, 0);
    close(fd);
    if (n->shared == MAP_FAILED)
        return ncclSystemError;
    if (stall == NULL || sscanf(stall, "%d:%lu", &who, &n->stall) != 2 ||
        who != rank)
        n->stall = 0;
    if (atomic_fetch_add(&n->shared->joined, 1) + 1 == size)
        shm_unlink(id.internal);
    *c = n;
    return ncclInProgress;
}

/* ------------------------------------------------------------------ calls */

static float
widen(uint16_t half)
{
    uint32_t u = (uint32_t)half << 16;
    float x;

    memcpy(&x, &u, 4);
    return x;
}

static uint16_t
narrow(float x)
{
    uint32_t u;

    memcpy(&u, &x, 4);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

static float
number(const struct call *a, size_t i)
{
    return a->half ? widen(((uint16_t *)a->x)[i]) : a->x[i];
}

static bool
all_have(const atomic_ulong *count, const struct host_nccl *n,
         unsigned long k)
{
    for (int r = 0; r < n->size; r++)
        if (atomic_load(&count[r]) < k)
            return false;
    return true;
}

static void
take(const struct call *a)
{
    struct host_nccl *n = a->c;

    for (size_t i = 0; i < a->n; i++) {
        float x = n->shared->x[0][i];

        for (int r = 1; r < n->size; r++)
            x += n->shared->x[r][i];
        if (a->half)
            ((uint16_t *)a->x)[i] = narrow(x);
        else
            a->x[i] = x;
    }
}

/* Bring this rank's numbers when nobody reads those of the last call any more,
 * then take what all have brought. */
static bool
run(void *arg)
{
    struct call *a = arg;
    struct host_nccl *n = a->c;
    unsigned long k = n->sums + 1;

    if (atomic_load(&n->aborted))
        return true;
    if (k == n->stall || !all_have(n->shared->taken, n, k - 1))
        return false;
    if (!a->brought) {
        for (size_t i = 0; i < a->n; i++)
            n->shared->x[n->rank][i] = number(a, i);
        a->brought = true;
        atomic_store(&n->shared->brought[n->rank], k);
    }
    if (!all_have(n->shared->brought, n, k))
        return false;
    take(a);
    a->brought = false;         /* it may be part of a graph */
    n->sums = k;
    atomic_store(&n->shared->taken[n->rank], k);
    return true;
}

static void
gone(void *arg)
{
    atomic_fetch_sub(&((struct call *)arg)->c->held, 1);
}

static ncclResult_t
begin(ncclComm_t c, struct call a, cudaStream_t s)
{
    if (c->stream != NULL || a.n > MOST || s == NULL)
        return ncclInvalidArgument;
    c->waiting = a;
    c->stream = s;
    return ncclInProgress;
}

ncclResult_t
ncclAllReduce(const void *from, void *to, size_t n, ncclDataType_t type,
              ncclRedOp_t op, ncclComm_t c, cudaStream_t s)
{
    const struct call a = { c, to, n, type == ncclBfloat16, false };

    return from == to && op == ncclSum ? begin(c, a, s) : ncclInvalidArgument;
}

ncclResult_t
ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *state)
{
    *state = atomic_load(&c->shared->joined) < c->size ? ncclInProgress
                                                       : ncclSuccess;
    if (c->stream != NULL) {
        atomic_fetch_add(&c->held, 1);
        cuda_host_put(c->stream, run, gone, &c->waiting, sizeof c->waiting);
        c->stream = NULL;
    }
    return ncclSuccess;
}

/* -------------------------------------------------------------------- end */

ncclResult_t
ncclCommFinalize(ncclComm_t c)
{
    (void)c;
    return ncclInProgress;
}

/* As NCCL's: not before all graphs with its sums are destroyed. */
ncclResult_t
ncclCommDestroy(ncclComm_t c)
{
    const struct timespec nap = { 0, 1000 * 1000 };

    while (atomic_load(&c->held) > 0)
        nanosleep(&nap, NULL);
    munmap(c->shared, sizeof *c->shared);
    free(c);
    return ncclSuccess;
}

ncclResult_t
ncclCommAbort(ncclComm_t c)
{
    atomic_store(&c->aborted, true);
    return ncclCommDestroy(c);
}

const char *
ncclGetErrorString(ncclResult_t rc)
{
    static const char *const text[] = {
        "no error", "CUDA failed", "system error", "invalid argument",
        "in progress"
    };

    return text[rc];
}

const char *
ncclGetLastError(ncclComm_t c)
{
    (void)c;
    return "";
}
