/*
 * comm: N processes (ranks) that train one network together.
 *
 * One rank per device.  Classes: "self" (one rank alone; every sum is what it
 * was), "mpi" (a plugin), "tcp" (comm_tcp.h), "nccl" (a plugin).  Vectors lie
 * in host memory unless `device` is set: comm_open_gpu() makes such a
 * communicator for GPUs.  Sums are made in a fixed order, neighbours first
 * (halves.h), so that every rank gets the same bits and every run too.
 */
#ifndef BUSI_COMM_COMM_H
#define BUSI_COMM_COMM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct comm;

struct comm_class {
    const char *name;
    struct comm *(*open)(double timeout, struct err *e);
    /*
     * x[i] becomes the sum over ranks, on every rank.  Only begun: x belongs
     * to the communicator until wait() returns.  All ranks make the same calls
     * in the same order; bits do not depend on how a vector is cut into calls.
     */
    int (*sum)(struct comm *c, float *x, size_t n, struct err *e);
    /*
     * For all sums that were begun; on GPUs for all that the backend was given
     * as well, recorded steps too.  While the backend records a step, what it
     * is given next comes after the sums, and nothing is waited for.
     */
    int (*wait)(struct comm *c, struct err *e);
    /*
     * GPUs alone, else NULL: wait for all that was enqueued before the last
     * call of this, so that the host is a step ahead and no more.
     */
    int (*pace)(struct comm *c, struct err *e);
    /* The same sum for doubles, complete on return; n = 0 is a barrier. */
    int (*hsum)(struct comm *c, double *x, size_t n, struct err *e);
    /*
     * Waits for the others, as long as they take.  Write every file before: a
     * rank that then exits with a status other than 0 ends those still there.
     * With `failed`, waits for nobody; the others are brought down when this
     * process exits, and its exit status is that of the run.  After an error
     * of any other function this is all that may be called.
     */
    void (*close)(struct comm *c, bool failed);
};

struct comm {
    const struct comm_class *class;
    int rank, size;
    int local_rank, local_size; /* among the ranks on this machine */
    bool device;                /* vectors of sum() are in GPUs' memory, in
                                   that of the backend */
    bool bf16;                  /* sum() rounds to bf16 what travels, terms
                                   and sums: half the bytes (mpi, nccl) */
};

/* Is there nobody to sum with?  One rank may sum by NCCL all the same. */
static inline bool
comm_alone(const struct comm *c)
{
    return c->size == 1 && !c->device;
}

/* sum(), complete on return. */
static inline int
comm_sum_now(struct comm *c, float *x, size_t n, struct err *e)
{
    return c->class->sum(c, x, n, e) == 0 && c->class->wait(c, e) == 0 ? 0
                                                                       : -1;
}

#define COMM_SYMBOL "busi_comm_class"

/*
 * mpi where the process was started by mpirun or srun with more than one rank,
 * tcp where the environment names ranks as torchrun does, else self.  timeout:
 * seconds that a rank may keep the others waiting; 0: for ever.
 */
struct comm *comm_open(double timeout, struct err *e);

/* The GPU of a rank. */
struct comm_gpu {
    int device;                 /* its number */
    void *stream;               /* cudaStream_t of the backend */
};

typedef struct comm *comm_over(struct comm *host, const struct comm_gpu *g,
                               double timeout, struct err *e);
#define COMM_OVER_SYMBOL "busi_comm_over"

/*
 * NCCL (a plugin) for the vectors of ranks that have a GPU each.  On success
 * host belongs to what is returned, and is closed with it.  Errors, EXIT_IO:
 * two ranks on a GPU, versions that differ, a rank that does not come; rank
 * and reason are named.
 */
struct comm *comm_open_gpu(struct comm *host, const struct comm_gpu *g,
                           double timeout, struct err *e);

/* Was this process started as one of several ranks? */
bool comm_launched(void);

/*
 * Start `ranks` copies of this program with the same arguments under mpirun
 * and wait; they have no stdin, and their stderr is no terminal.  Returns the
 * exit status of the first rank that failed (128 + n and a sentence in e if
 * signal n killed it); what that rank had to say has then been printed.
 *
 * Asked to stop by SIGTERM or SIGHUP, every rank gets SIGUSR1, by SIGINT
 * SIGUSR2: mpirun hands on no others.  Ranks treat them like SIGTERM and
 * SIGINT; the status is 128 + the signal that came.  A second signal two
 * seconds later (base/stop.h), or two minutes, ends them at once.  They die with
 * this process.
 */
int comm_launch(int ranks, int argc, char **argv, struct err *e);

#endif
